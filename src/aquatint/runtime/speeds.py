"""How fast a run has been: seconds for each byte that was loaded or saved, each string, and each denoising step.

Pure arithmetic: what took how long is told from outside, and so is what is asked for.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Mapping
from enum import StrEnum
from statistics import median, median_low

from aquatint.runtime.work import Kind, LoadAhead, RewriteAhead

_KEPT = 31
"""How many durations of one kind are remembered: as a machine gets warmer or busier, old ones say less."""


class Way(StrEnum):
    """How a component gets into memory; each has a speed of its own."""

    PLAIN = "plain"
    QUANTIZING = "quantizing"
    STORE = "store"
    BESIDE = "beside"  # the wait for the process that quantizes, and the store


class _Rate:
    """Seconds for each byte, or each string, by how long those until now took."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0

    def add(self, count: int, seconds: float) -> None:
        self.count += count
        self.seconds += seconds

    def __call__(self, count: int) -> float | None:
        return count * self.seconds / self.count if self.count else None


class Speeds:
    """What has been measured. Where there is nothing of the very same kind, the answers go by the nearest there is."""

    def __init__(self) -> None:
        self._rates: dict[Way, _Rate] = {way: _Rate() for way in Way}
        self._weightless: deque[float] = deque(maxlen=_KEPT)
        self._saves = _Rate()
        self._rewrites: dict[str, _Rate] = defaultdict(_Rate)
        self._ways: dict[str, Way] = {}
        self._last_way = Way.QUANTIZING
        self._steps: dict[Kind, deque[float]] = defaultdict(lambda: deque(maxlen=_KEPT))
        self._besides: dict[Kind, deque[float]] = defaultdict(lambda: deque(maxlen=_KEPT))

    def loaded(self, load: LoadAhead, way: Way, seconds: float) -> None:
        """A component was loaded that `way`."""
        if load.quantized:
            self._ways[load.component] = self._last_way = way
        if load.bytes:
            self._rates[way].add(load.bytes, seconds)
        else:
            self._weightless.append(seconds)

    def saved(self, count: int, seconds: float) -> None:
        """A model with as many bytes of weights was saved."""
        self._saves.add(count, seconds)

    def rewrote(self, rewrite: RewriteAhead, seconds: float) -> None:
        """An upscaler has written its strings."""
        self._rewrites[rewrite.pipeline].add(rewrite.strings, seconds)

    def stepped(self, kind: Kind, seconds: float) -> None:
        """A denoising step was made right after the one before it."""
        self._steps[kind].append(seconds)

    def finished(self, kind: Kind, beside: float) -> None:
        """An image was written that took `beside` seconds for all but its denoising steps."""
        self._besides[kind].append(max(0.0, beside))

    def load(self, load: LoadAhead) -> float | None:
        """Return the seconds that a load will take, or None if nothing like it was loaded.

        A component that the run has loaded before comes the same way again, and a new one the way of the last.
        """
        if not load.bytes:
            # Schedulers and tokenizers. The first may import a module, and is no measure for the others.
            return median(self._weightless) if self._weightless else 0.0
        way = self._ways.get(load.component, self._last_way) if load.quantized else Way.PLAIN
        if (seconds := self._rates[way](load.bytes)) is not None:
            return seconds
        together = _Rate()
        for rate in self._rates.values():
            together.add(rate.count, rate.seconds)
        return together(load.bytes)

    def save(self, count: int) -> float | None:
        """Return the seconds that saving as many bytes will take, or None if nothing was saved or loaded as it is."""
        seconds = self._saves(count)
        return self._rates[Way.PLAIN](count) if seconds is None else seconds

    def rewrite(self, rewrite: RewriteAhead) -> float | None:
        """Return the seconds that an upscaler will take: by its own speed, else that of others; None without any."""
        if rewrite.pipeline in self._rewrites:
            return self._rewrites[rewrite.pipeline](rewrite.strings)
        together = _Rate()
        for rate in self._rewrites.values():
            together.add(rate.count, rate.seconds)
        return together(rewrite.strings)

    def step(self, kind: Kind) -> float | None:
        """Return the seconds of a denoising step, or None if there was none to measure.

        The median: the first step of a pipeline is slower than all others, and so is one while the computer is busy.
        """
        return _of_nearest(self._steps, kind)

    def beside(self, kind: Kind) -> float | None:
        """Return the seconds of an image beside its denoising steps, or None if there was no image to measure."""
        return _of_nearest(self._besides, kind)


def _of_nearest(measured: Mapping[Kind, Collection[float]], kind: Kind) -> float | None:
    """Return the median for `kind`; else of images of its pipeline, else of all, each carried over to its size."""
    # The lower one of two: the first image warms the libraries up.
    if kind in measured:
        return median_low(measured[kind])
    alike = [other for other in measured if other.pipeline == kind.pipeline] or list(measured)
    known = [_scaled(median_low(measured[other]), other, kind) for other in alike]
    return median(known) if known else None


def _scaled(seconds: float, measured: Kind, asked: Kind) -> float:
    """Return `seconds` for images of another size: a step does something for each pixel."""
    if measured.pixels is None or asked.pixels is None:
        return seconds
    return seconds * asked.pixels / measured.pixels
