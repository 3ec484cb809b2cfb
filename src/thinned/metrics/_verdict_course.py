"""How validation error moves, in numbers without a unit: its trend, its noise, its change."""

import math
import statistics
from collections.abc import Sequence

_TINY = 1e-9
_SPREAD = 1.65  # median of |a - 2b + c| over the standard deviation, where a, b, c are normal


def end(values: Sequence[float]) -> float:
    """Return the value at the end: the median of the last three.

    Example:
        >>> end([5.0, 1.0, 3.0, 2.0])
        2.0
    """
    return statistics.median(values[-3:])


def trend(values: Sequence[float]) -> float:
    """Return the relative change over the last third, by a line fitted to the logarithms."""
    tail = _logarithms(values)[-(len(values) // 3 + 1) :]
    return statistics.linear_regression(range(len(tail)), tail).slope * (len(tail) - 1)


def noise(values: Sequence[float]) -> float:
    """Return the relative standard deviation about a smooth course, over the last two thirds.

    It is read from second differences: a steady rise or fall has none.

    Example:
        >>> round(noise([1.0, 0.5, 0.25, 0.125, 0.0625]), 9)
        0.0
        >>> round(noise([1.0, 1.1, 1.0, 1.1, 1.0]), 3)
        0.116
    """
    logs = _logarithms(values)
    bends = [abs(a - 2.0 * b + c) for a, b, c in zip(logs, logs[1:], logs[2:], strict=False)]
    return statistics.median(bends[-max(2, 2 * len(values) // 3) :]) / _SPREAD


def since_middle(values: Sequence[float]) -> float:
    """Return the logarithm of the error now over that in the middle of training.

    Example:
        >>> round(since_middle([1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0]), 3)
        0.693
    """
    logs, middle = _logarithms(values), len(values) // 2
    return end(logs) - statistics.median(logs[max(0, middle - 2) : middle + 1])


def _logarithms(values: Sequence[float]) -> list[float]:
    return [math.log(max(value, _TINY)) for value in values]
