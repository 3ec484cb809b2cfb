"""Since when a run overfits: the change-point of its validation curve, once there is evidence."""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from thinned._checks import check_number

_AFTER = 3  # a rise is not called one before it has this many points
_EVIDENCE = (
    30.0  # in noise variances, for a long curve; a short one needs more: tests simulate both
)
_SHORT = 800.0
_INTERVAL = 15.0  # simulated: the range holds the true epoch in 84 to 96 of 100 curves


@dataclass(frozen=True)
class Onset:
    """The change-point of a curve that falls and then rises.

    Attributes:
        epoch: the last epoch before validation error rises.
        earliest: first epoch that fits the curve about as well.
        latest: last epoch that fits it about as well.
        rise: how far the error has risen since, relative to where it was lowest (0.1 is 10%).
        evidence: how much better falling-then-rising fits than falling throughout, in units of
            the curve's own noise variance.
    """

    epoch: int
    earliest: int
    latest: int
    rise: float
    evidence: float


def onset(
    errors: Sequence[float], epochs: Sequence[int] | None = None, *, least: float = 0.02
) -> Onset | None:
    r"""Find the epoch after which validation error rises, or None while there is no evidence.

    Two fits are compared, both without an assumed shape: the nearest curve that never rises, and
    the nearest that falls up to epoch :math:`k` and never falls after it (isotonic regression on
    both sides, for every :math:`k`). The second is believed when it explains more than the noise
    would: the noise is estimated from the curve itself, its variance and how long it lasts
    (neighbouring validations are correlated, so a slow wave is not a rise).

    Args:
        errors: validation errors, oldest first; lower is better.
        epochs: the epoch of each; 0, 1, ... if left out.
        least: smallest rise worth a name, relative to the lowest error.

    Returns:
        The onset with the range of epochs that fit about as well, or None.

    Raises:
        ValueError: if ``epochs`` has another length than ``errors``.

    Example:
        >>> falling = [2.0 / (1 + e) + 0.2 for e in range(10)]
        >>> onset(falling) is None
        True
        >>> rising = [falling[-1] + 0.05 * e for e in range(1, 11)]
        >>> onset(falling + rising).epoch
        9

    References:
        R. E. Barlow and others, *Statistical inference under order restrictions*, 1972 (the
        regression); the comparison is ours.
    """
    check_number("least", least, 0.0)
    at = list(range(len(errors))) if epochs is None else list(epochs)
    if len(at) != len(errors):
        msg = f"Expected as many `epochs` as `errors` ({len(errors)}), got {len(at)}."
        raise ValueError(msg)
    values = [float(e) for e in errors]
    if len(values) < 2 * _AFTER or not all(map(math.isfinite, values)):
        return None
    falls = _cost_of_falling(values)
    rises = [*_cost_of_falling(values[::-1])[::-1], 0.0]
    costs = [falls[k] + rises[k + 1] for k in range(len(values))]
    last = len(values) - _AFTER
    best = min(range(last), key=lambda k: (costs[k], -k))
    noise = _noise(values, best)
    evidence = (falls[-1] - costs[best]) / noise
    bottom = statistics.median_high(values[max(0, best - 1) : best + 2])
    rise = (statistics.median(values[-3:]) - bottom) / (abs(bottom) or 1.0)
    if evidence < _EVIDENCE + _SHORT / len(values) or rise < least:
        return None
    near = [k for k in range(last) if costs[k] - costs[best] <= _INTERVAL * noise]
    return Onset(at[best], at[near[0]], at[near[-1]], rise, evidence)


def _cost_of_falling(values: list[float]) -> list[float]:
    """Squared distance of each prefix to the nearest sequence that never rises."""
    blocks: list[tuple[float, int, float]] = []  # mean, size, squared distance within
    costs, total = [], 0.0
    for value in values:
        mean, size, cost = value, 1, 0.0
        while blocks and blocks[-1][0] < mean:
            other, count, own = blocks.pop()
            total -= own
            apart = size * count / (size + count) * (mean - other) ** 2
            mean = (mean * size + other * count) / (size + count)
            size, cost = size + count, cost + own + apart
        blocks.append((mean, size, cost))
        total += cost
        costs.append(total)
    return costs


def _fitted(values: list[float]) -> list[float]:
    blocks: list[tuple[float, int]] = []
    for value in values:
        mean, size = value, 1
        while blocks and blocks[-1][0] < mean:
            other, count = blocks.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        blocks.append((mean, size))
    return [mean for mean, size in blocks for _ in range(size)]


def _noise(values: list[float], turn: int) -> float:
    """The variance of the curve about its fit, enlarged for how long its noise lasts."""
    fit = _fitted(values[: turn + 1]) + _fitted(values[turn + 1 :][::-1])[::-1]
    rest = [v - f for v, f in zip(values, fit, strict=True)]
    used = len(set(fit))
    square = math.fsum(r * r for r in rest)
    scale = max(abs(v) for v in values) * 1e-6
    variance = square / max(1, len(values) - used) + scale * scale
    together = math.fsum(a * b for a, b in itertools.pairwise(rest))
    lasting = min(0.9, max(0.0, together / square)) if square > 0.0 else 0.0
    return variance * (1.0 + lasting) / (1.0 - lasting)
