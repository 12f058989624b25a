"""Tables of comparisons, in each of their forms."""

from __future__ import annotations

import json
from math import inf

from aquatint.runtime.tables import Row, means, table, text

ROWS = [
    Row("q8", "full.png", "q8.png", {"psnr": 40.125, "mse": 6.5}),
    Row("q4, g64 | x", "full.png", "q4.png", {"psnr": 20.0, "mse": 650.25}),
    Row("lost", "full.png", "lost.png", None),
]
METRICS = ["psnr", "mse"]


def test_csv_has_every_digit() -> None:
    assert table("t.csv", ROWS, METRICS).decode() == (
        "label,reference,image,psnr,mse\n"
        "q8,full.png,q8.png,40.125,6.5\n"
        '"q4, g64 | x",full.png,q4.png,20.0,650.25\n'
        "lost,full.png,lost.png,,\n"
    )


def test_markdown_is_rounded_and_ends_in_the_means() -> None:
    assert table("out/t.MD", ROWS, METRICS).decode() == text(ROWS, METRICS)
    assert text(ROWS, METRICS) == (
        "|              |  psnr |   mse |\n"
        "|--------------|------:|------:|\n"
        "| q8           | 40.12 |   6.5 |\n"
        "| q4, g64 \\| x |    20 | 650.2 |\n"
        "| lost         |     - |     - |\n"
        "| mean         | 30.06 | 328.4 |\n"
    )


def test_one_row_has_no_means() -> None:
    assert text(ROWS[:1], ["mse"]) == "|    | mse |\n|----|----:|\n| q8 | 6.5 |\n"


def test_json_writes_infinity_as_a_string() -> None:
    rows = [Row("same", "a.png", "b.png", {"psnr": inf})]
    assert json.loads(table("t.json", rows, ["psnr"])) == {
        "metrics": ["psnr"],
        "mean": {"psnr": "inf"},
        "pairs": [{"label": "same", "reference": "a.png", "image": "b.png", "values": {"psnr": "inf"}}],
    }


def test_means_leave_out_what_was_not_made() -> None:
    assert means(ROWS, METRICS) == {"psnr": 30.0625, "mse": 328.375}
    assert means(ROWS[2:], METRICS) == {}
