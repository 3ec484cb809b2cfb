"""What the verdict looks at: eight numbers without a unit, from a run's history."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ._prechelt import as_errors

LEAST_ROWS = 4
NEW_PROBE = "overfit/new_probe"  # marks a row whose probe holds other samples than the one before
MEMORIZED = 0.03  # probe error, as a part of validation's, below which nothing is left to learn
NEARLY_NONE = 0.05  # a rate below is read as none: calibrated were 0, 0.1 and more
_DISTINCT = 3  # figures that are equal by chance (an accuracy of few samples) hardly move so often
_TINY = 1e-9


@dataclass(frozen=True)
class Features:
    """A history in figures; errors are losses, or 1 - accuracy.

    Attributes:
        validation: validation error now (median of the last three).
        probe: error on the probe with dropout off.
        noisy: error on the probe with dropout on; None where it was not measured.
        best: lowest validation error.
        best_epoch: its epoch.
        epochs: epochs so far.
        trend: relative change of validation error over the last third, by a fitted line.
        rate: mean dropout rate.
        is_loss: whether the metric is a loss, as in the runs that the verdict was calibrated on.
        new_probe: the epoch since which the probe is as it is; None if since the beginning.
        same_samples: whether the probe's figures are validation's own, one by one.
    """

    validation: float
    probe: float
    noisy: float | None
    best: float
    best_epoch: int
    epochs: int
    trend: float
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

    def numbers(self) -> tuple[float, ...]:
        """Return what is weighed, in the order of the weights; the margin first, if known."""
        margin = self.margin
        rest = (
            max(-0.2, self.gap),
            float(self.memorized),
            min(0.5, math.log1p(max(0.0, self.rise))),
            _within(self.trend, -0.4, 0.4),
            _within(self.trend / 0.03, -1.0, 1.0),
            0.0 if self.hardly_drops else self.rate,
            float(self.hardly_drops),
        )
        return rest if margin is None else (_within(margin, -1.0, 3.0), *rest)


NAMES = ("margin", "gap", "memorized", "rise", "trend", "direction", "rate", "no dropout")


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
        validation=_end(validation),
        probe=_end(probe[first:]),
        noisy=_end(with_noise[first:]) if with_noise else None,
        best=validation[lowest],
        best_epoch=int(rows[lowest].get("epoch", lowest)),
        epochs=int(rows[-1].get("epoch", len(rows) - 1)) + 1,
        trend=_trend(validation),
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


def _end(values: Sequence[float]) -> float:
    return statistics.median(values[-3:])


def _trend(values: Sequence[float]) -> float:
    """The relative change over the last third, by a line fitted to the logarithms."""
    tail = [math.log(max(v, _TINY)) for v in values[-(len(values) // 3 + 1) :]]
    return statistics.linear_regression(range(len(tail)), tail).slope * (len(tail) - 1)


def _within(value: float, low: float, high: float) -> float:
    return min(high, max(low, value))
