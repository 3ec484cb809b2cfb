"""What the verdict looks at: numbers without a unit, from a run's history."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import _verdict_course as course
from ._prechelt import as_errors

LEAST_ROWS = 4
NEW_PROBE = "overfit/new_probe"  # marks a row whose probe holds other samples than the one before
MEMORIZED = 0.03  # probe error, as a part of validation's, below which nothing is left to learn
NEARLY_NONE = 0.05  # a rate below is read as none: calibrated were 0, 0.1 and more
STILL = 0.03  # a relative trend that is hardly one
LEARNED = 0.05  # a relative fall since the first validation that is more than none
_DOUBT = 0.1  # new runs were right less often than cross-validation had said
_DOUBT_BY_NOISE = 3.0  # a noisy curve tells less
_MOST_NOISE = 0.3
_LEAST_NOISE = 1e-4
_DISTINCT = 3  # figures that are equal by chance (an accuracy of few samples) hardly move so often
_TINY = 1e-9


@dataclass(frozen=True)
class Features:
    """A history in figures; errors are losses, or 1 - accuracy.

    Attributes:
        validation: validation error now (median of the last three).
        probe: error on the probe with dropout off.
        noisy: error on the probe with dropout on; None where it was not measured.
        first: validation error when it was first measured.
        best: lowest validation error.
        best_epoch: its epoch.
        epochs: epochs so far.
        lowest: where among the validations the lowest is, from 0, the first, to 1, the last.
        trend: relative change of validation error over the last third, by a fitted line.
        noise: relative standard deviation of validation error about its course.
        since_middle: logarithm of validation error now over that in the middle of training.
        rate: mean dropout rate.
        is_loss: whether the metric is a loss, as in the runs that the verdict was calibrated on.
        new_probe: the epoch since which the probe is as it is; None if since the beginning.
        same_samples: whether the probe's figures are validation's own, one by one.
    """

    validation: float
    probe: float
    noisy: float | None
    first: float
    best: float
    best_epoch: int
    epochs: int
    lowest: float
    trend: float
    noise: float
    since_middle: float
    rate: float
    is_loss: bool
    new_probe: int | None = None
    same_samples: bool = False

    @property
    def margin(self) -> float | None:
        """Logarithm of validation over training *with* dropout: below 0, noise costs more."""
        if self.noisy is None:
            return None
        return math.log(max(self.validation, _TINY) / max(self.noisy, _TINY))

    @property
    def gap(self) -> float:
        """The gap as a part of validation error."""
        return 1.0 - self.probe / max(self.validation, _TINY)

    @property
    def memorized(self) -> bool:
        """Whether next to nothing of the training data is left to learn."""
        return self.probe < MEMORIZED * self.validation

    @property
    def hardly_drops(self) -> bool:
        """Whether the rate is so low that a lower one would be the same."""
        return self.rate < NEARLY_NONE

    @property
    def drops_otherwise(self) -> bool:
        """Whether something drops of which no rate is known, such as stochastic depth."""
        return self.rate == 0.0 and self.noisy is not None and self.noisy != self.probe

    @property
    def rise(self) -> float:
        """How far validation error is above its lowest, relative."""
        return self.validation / max(self.best, _TINY) - 1.0

    @property
    def course(self) -> float:
        """Where validation error goes, from -1, down, to 1, up; near 0 where noise hides it."""
        return math.tanh(self.trend / (2.0 * self.noise + 0.01))

    @property
    def still(self) -> float:
        """How little validation error moves, from 0 to 1."""
        return math.exp(-((self.trend / STILL) ** 2))

    @property
    def learned(self) -> bool:
        """Whether validation error has fallen since it was first measured."""
        return self.first > (1.0 + LEARNED) * self.best

    @property
    def certainty(self) -> float:
        """How much the weights count: less where validation error is noisy."""
        return math.exp(-_DOUBT - _DOUBT_BY_NOISE * min(self.noise, _MOST_NOISE))

    def numbers(self) -> tuple[float, ...]:
        """Return what is weighed, in the order of the weights; the margin first, if known.

        The products say what the summands alone cannot: that rising validation means another
        thing with a gap than without, and levelled validation another with a high rate.
        """
        margin = self.margin
        gap = max(-0.2, self.gap)
        rate = 0.0 if self.hardly_drops else self.rate
        rest = (
            gap,
            float(self.memorized),
            min(0.5, math.log1p(max(0.0, self.rise))),
            self.lowest,
            _within(self.since_middle, -0.5, 0.5),
            self.course,
            self.still,
            rate,
            float(self.hardly_drops),
            gap * self.course,
            rate * self.still,
            _within(math.log(self.noise + _LEAST_NOISE), -8.0, 0.0) * self.course,
        )
        return rest if margin is None else (_within(margin, -1.0, 3.0), *rest)


NAMES = (
    *("margin", "gap", "memorized", "rise", "lowest", "since middle", "course", "still"),
    *("rate", "no dropout", "gap * course", "rate * still", "noise * course"),
)


def features(
    history: Sequence[Mapping[str, Any]], monitor: str, mode: str = "min"
) -> Features | None:
    """Read the figures from a history; None while it is too short.

    Args:
        history: rows as `OverfittingMonitor.history` has them.
        monitor: the watched key.
        mode: ``"min"`` or ``"max"``.
    """
    own, added = f"overfit/probe/{monitor}", f"overfit/inflation/{monitor}"
    rows = [r for r in history if monitor in r and own in r]
    raw = [float(r[monitor]) for r in rows]
    probes = [float(r[own]) for r in rows]
    if len(rows) < LEAST_ROWS or not all(map(math.isfinite, raw + probes)):
        return None
    noisy = [float(r[own]) + float(r[added]) for r in rows if added in r]
    known = noisy if len(noisy) == len(rows) and all(map(math.isfinite, noisy)) else []
    # together, so that a shifted scale is the same for all three
    errors = as_errors([*raw, *probes, *known], mode)
    validation, probe = errors[: len(rows)], errors[len(rows) : 2 * len(rows)]
    rate = float(rows[-1].get("rate", 0.0))
    with_noise = errors[2 * len(rows) :] if known else (probe if rate == 0.0 else [])
    lowest = min(range(len(rows)), key=validation.__getitem__)
    first = same_probe(rows)
    return Features(
        validation=course.end(validation),
        probe=course.end(probe[first:]),
        noisy=course.end(with_noise[first:]) if with_noise else None,
        first=validation[0],
        best=validation[lowest],
        best_epoch=int(rows[lowest].get("epoch", lowest)),
        epochs=int(rows[-1].get("epoch", len(rows) - 1)) + 1,
        lowest=lowest / (len(rows) - 1),
        trend=course.trend(validation),
        noise=course.noise(validation),
        since_middle=course.since_middle(validation),
        rate=rate,
        is_loss=mode == "min" and min(raw) >= 0.0,
        new_probe=int(rows[first].get("epoch", first)) if first else None,
        same_samples=raw[first:] == probes[first:] and len({*raw[first:]}) >= _DISTINCT,
    )


def same_probe(rows: Sequence[Mapping[str, Any]]) -> int:
    """Return the first of the last rows that have one probe: figures of others do not compare.

    Example:
        >>> same_probe([{}, {NEW_PROBE: 1.0}, {}]), same_probe([{}, {}])
        (1, 0)
    """
    return max((i for i, row in enumerate(rows) if row.get(NEW_PROBE)), default=0)


def _within(value: float, low: float, high: float) -> float:
    return min(high, max(low, value))
