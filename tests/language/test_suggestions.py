"""Names that are probably meant: near ones among a few, and one letter away among many, at a cost that is bounded."""

from collections.abc import Iterator

import pytest

from aquatint.diagnostics import EDIT_LIMIT, FILTER_LIMIT, NAME_LIMIT, did_you_mean, misspelt, nearest


class Counted(str):
    """A name that counts how often it is compared."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, other)


def many(count: int) -> Iterator[str]:
    return (f"name_{number}" for number in range(count))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("nam_7", "name_7"), ("nname_7", "name_7"), ("nmae_7", "name_7"), ("nane_7", "name_7"), ("other", None)],
)
@pytest.mark.parametrize("count", [NAME_LIMIT - 1, FILTER_LIMIT + 1, 20_000])
def test_one_letter_is_found_among_few_and_many(name: str, expected: str | None, count: int) -> None:
    assert nearest(name, many(count)) == expected


def test_among_a_few_more_may_differ() -> None:
    assert nearest("StableDifusionPipline", ["StableDiffusionPipeline", "FluxPipeline"]) == "StableDiffusionPipeline"
    assert nearest("num-inference-steps", ["num_inference_steps"]) == "num_inference_steps"


@pytest.mark.parametrize("length", [EDIT_LIMIT + 1, NAME_LIMIT + 1, 100_000])
def test_of_long_names_nothing_is_made(length: int) -> None:
    assert list(misspelt("y" * length)) == []
    assert nearest("y" * length, many(20_000)) is None


def test_what_is_made_of_a_name_grows_with_it_alone() -> None:
    assert len(list(misspelt("y" * EDIT_LIMIT))) < 150 * (EDIT_LIMIT + 1)
    Counted.compared = 0
    nearest("absent", map(Counted, many(20_000)))
    assert Counted.compared < 10


def test_the_help_names_the_first_of_many() -> None:
    assert did_you_mean("other", many(20_000)).startswith("known names: `name_0`, `name_1`, `name_10`, `name_100`, ")
    assert did_you_mean("other", many(20_000)).endswith(" and 19988 more")
