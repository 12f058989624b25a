"""When a process beside the run quantizes what is ahead."""

from __future__ import annotations

import msgspec
import pytest

from aquatint.catalog.working import PROGRAM, Working
from aquatint.plan.steps import ByteRange, Component
from aquatint.runtime.beside import WORTHWHILE, Beside, Means, worthwhile
from support.plans import component

HELD, LOADING = 300 << 20, 50 << 20
NEEDED = PROGRAM + HELD + LOADING


def quantized(key: str, size: int) -> Component:
    return msgspec.structs.replace(
        component(key, quantized=True), bytes=size, held=ByteRange(HELD, HELD), working=Working(LOADING, 0, 0)
    )


LARGE = quantized("large", WORTHWHILE)
HALF, OTHER_HALF = quantized("half", WORTHWHILE // 2), quantized("other", WORTHWHILE // 2)


@pytest.mark.parametrize(
    ("ahead", "means", "expected"),
    [
        ([LARGE], Means(2, 1, None, None), [LARGE]),
        ([LARGE], Means(1, 1, None, None), []),
        ([LARGE], Means(3, 2, None, None), []),  # its threads would share cores with the run's
        ([LARGE], Means(4, 2, None, None), [LARGE]),
        ([HALF], Means(2, 1, None, None), []),
        ([HALF, OTHER_HALF], Means(2, 1, None, None), [HALF, OTHER_HALF]),
        ([HALF], Means(2, 1, None, None, is_running=True), [HALF]),
        ([LARGE], Means(2, 1, NEEDED, NEEDED), [LARGE]),
        ([LARGE], Means(2, 1, NEEDED - 1, None), []),
        ([LARGE], Means(2, 1, None, NEEDED - 1), []),
        ([LARGE], Means(2, 1, None, -1), []),
        ([], Means(2, 1, None, None), []),
    ],
)
def test_where_it_helps(ahead: list[Component], means: Means, expected: list[Component]) -> None:
    assert worthwhile(Beside.AUTO, ahead, means) == expected
    assert worthwhile(Beside.ALWAYS, ahead, means) == ahead
    assert worthwhile(Beside.NEVER, ahead, means) == []
