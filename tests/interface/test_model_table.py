"""The table at the end of a run, and what stands there of its memory."""

from __future__ import annotations

import io

import pytest

from aquatint.interface.cells import width
from aquatint.interface.model_table import ROWS, model_table, quantizer_label
from aquatint.interface.progress import Mode, reporter
from aquatint.plan.steps import ByteRange
from aquatint.runtime.events import Event, GenerateStarted, ModelTotals, RunFinished, RunStarted

MIB = 1 << 20
MODELS = [
    ModelTotals("shapes", {"unet": None, "vae": None}, 4, 5, 10.0, 20 * MIB),
    ModelTotals("a model with a name that is long\x1b", {"unet": "q8", "vae": None}, 12, 2, 960.0, 8 * MIB),
    ModelTotals("mixed", {"unet": "q2", "vae": None, "text_encoder": "q8"}, 0, 1, 0.0, 6 * MIB),
]

WIDE = """\
model                              quantizer                 images  loads   per image   weights
shapes                             none                           4      5       2.5 s  20.0 MiB
a model with a name that is long\N{REPLACEMENT CHARACTER}  q8                            12      2  1 min 20 s   8.0 MiB
mixed                              unet q2, text_encoder q8       0      1               6.0 MiB
"""


def finished(models: list[ModelTotals], **measured: object) -> RunFinished:
    peak = ByteRange(8 * MIB, 20 * MIB)
    return RunFinished(16, 8, 3, 0, 0, 0, 0, [], False, 9.0, {}, predicted_peak=peak, models=models, **measured)  # type: ignore[arg-type]


def shown(mode: Mode, statements: int, end: RunFinished) -> str:
    err = io.StringIO()
    events: list[Event] = [RunStarted(9, 16, 8)]
    events += [GenerateStarted(f"g{number}", "shapes", {}, 1, "", 1, 1) for number in range(statements)]
    with reporter(mode, io.StringIO(), err) as report:
        for event in [*events, end]:
            report(event)
    return err.getvalue()


def test_a_row_for_each() -> None:
    assert model_table(MODELS, None) == WIDE.splitlines()
    assert model_table(MODELS, 200) == WIDE.splitlines()


def test_an_upscaler_has_a_row_of_its_strings() -> None:
    better = ModelTotals("better", {"llm": "q8"}, 0, 2, 6.0, MIB, strings=24)
    assert model_table([better, MODELS[0]], None) == [
        "model   quantizer      images  loads   each   weights",
        "better  q8         24 strings      2  0.2 s   1.0 MiB",
        "shapes  none                4      5  2.5 s  20.0 MiB",
    ]


def test_rows_of_one_quantizer_say_what_it_is_for() -> None:
    parts: list[dict[str, str | None]] = [{"unet": "q2", "vae": None}, {"vae": "q2"}, {"unet": "q2", "vae": "q2"}]
    head, *rows = model_table([ModelTotals("m", each, 1, 1, 1.0, MIB) for each in parts], None)
    start, end = head.index("quantizer"), head.index("images")
    assert [row[start:end].strip() for row in rows] == ["q2 on unet", "q2 on vae", "q2 on unet, vae"]


@pytest.mark.parametrize("columns", [62, 66, 80, 96, 97])
def test_names_are_cut_where_there_is_no_room(columns: int) -> None:
    lines = model_table(MODELS, columns)
    assert max(map(width, lines)) <= columns
    assert [line.split()[-2:] for line in lines[1:]] == [["20.0", "MiB"], ["8.0", "MiB"], ["6.0", "MiB"]]


def test_names_keep_a_beginning_at_any_width() -> None:
    for columns in (0, 20, 40):
        assert [line[:8] for line in model_table(MODELS, columns)] == ["model   ", "shapes  ", "a model…", "mixed   "]


def test_names_may_be_wide() -> None:
    lines = model_table([ModelTotals("日本語", {}, 1, 1, 1.0, MIB), MODELS[0]], None)
    assert len({width(line) for line in lines}) == 1
    assert lines[1].startswith("日本語  none")


def test_a_long_sweep_is_cut_short() -> None:
    lines = model_table([MODELS[0]] * (ROWS + 7), None)
    assert len(lines) == 1 + ROWS + 1
    assert lines[-1] == "and 7 more"


def test_what_a_row_is_called() -> None:
    assert [quantizer_label(model) for model in MODELS] == ["none", "q8", "unet q2, text_encoder q8"]


@pytest.mark.parametrize("mode", [Mode.PLAIN, Mode.LIVE])
def test_it_is_for_runs_of_several_statements(mode: Mode) -> None:
    assert "per image" not in shown(mode, 1, finished(MODELS))
    assert "per image" in shown(mode, 2, finished(MODELS))


def test_it_is_not_for_quiet_runs() -> None:
    assert shown(Mode.QUIET, 2, finished(MODELS, measured_peak=30 * MIB, measured_by="own")) == ""


@pytest.mark.parametrize(
    ("by", "of"),
    [("own", "the process"), ("resident", "the process, files included"), ("device", "the device")],
)
def test_the_planned_peak_stands_beside_the_measured_one(by: str, of: str) -> None:
    last = shown(Mode.PLAIN, 1, finished([], measured_peak=30 * MIB, measured_by=by)).splitlines()[-1]
    assert last == f"peak memory: 8.0 MiB to 20.0 MiB of weights and work planned, 30.0 MiB of {of} measured"


def test_what_was_not_measured_is_not_told() -> None:
    assert "peak" not in shown(Mode.PLAIN, 1, finished([]))
