"""How much too large a model's outputs are, by its validation: the log of a temperature. No torch.

For classes the logits, divided by the temperature, have the lowest validation loss
(Guo et al. 2017, https://arxiv.org/abs/1706.04599): above 1 the network is surer than it is right.
For numbers the same is one over the calibration slope: what the outputs' deviations from their mean
have to be divided by.
"""

import math
from collections.abc import Sequence

LOG_TEMPERATURES = tuple(round(-1.4 + 0.2 * step, 1) for step in range(18))
"""Logs of the temperatures that logits are divided by: from 0.25 to 7.4."""

SHARES = (0.0, 0.03, 0.07, 0.15, 0.25, 0.4, 0.6)
"""Shares of labels that may be wrong: drawn anew, any class as likely as another."""

SCALE = 0.75
"""What outputs are multiplied by, and divided by, where only losses can be seen."""

_SPREAD = 0.7  # standard deviation of the log-temperature that is expected before any evidence
_RIGHT = 0.5  # how likely it is, before any evidence, that no label is wrong
_DOUBT = 1 / 2  # how much the reading with wrong labels counts beside that without
_LEAST = 1e-3  # curvature of the loss: with less, a parabola says nothing
_MOST = 400.0  # examples: with more, the evidence would be finer than the step of the temperatures


_PRIOR = [(each / _SPREAD) ** 2 / 2 for each in LOG_TEMPERATURES]  # minus its logarithm


def of_labels(losses: Sequence[Sequence[float]], count: float) -> float:
    r"""Return the log-temperature that labels call for.

    It is the mean of a posterior over a grid, between two readings of what the network gets wrong:
    all labels are right, and a share :math:`\varepsilon` of them is drawn anew, of which no
    temperature could make anything. Where few examples say little, it is near 0.

    .. math:: L(\tau, \varepsilon) = -\overline{\log\left((1 - \varepsilon)\,
        \mathrm{softmax}(z / \tau)_y + \varepsilon / K\right)}

    Args:
        losses: mean losses in nats: a row for each of `LOG_TEMPERATURES`, a column for each of
            `SHARES`.
        count: number of examples that they are means over.

    Example:
        >>> sure = [[abs(each - 0.6)] * len(SHARES) for each in LOG_TEMPERATURES]
        >>> round(of_labels(sure, 100), 1)
        0.6
        >>> round(of_labels(sure, 1), 1)
        0.2
    """
    count = min(count, _MOST)
    by_share = [
        [-count * row[column] - against for row, against in zip(losses, _PRIOR, strict=True)]
        for column in range(len(SHARES))
    ]
    some = (1 - _RIGHT) / (len(SHARES) - 1)
    both = [
        value + math.log(some if column else _RIGHT)
        for column, values in enumerate(by_share)
        for value in values
    ]
    return (1 - _DOUBT) * _mean(by_share[0]) + _DOUBT * _mean(both)


def of_numbers(slope: float, error: float) -> float:
    """Return the same for numbers: about minus the log of the calibration slope.

    Args:
        slope: of the regression of targets on outputs.
        error: its standard error.

    Example:
        >>> round(of_numbers(0.5, 0.05), 1), round(of_numbers(0.5, 1.0), 1)
        (0.7, 0.3)
    """
    error = max(error, abs(slope) / 10)  # finer than that, the step of the temperatures would show
    off = [(slope - math.exp(-each)) / error for each in LOG_TEMPERATURES]
    return _mean([-(each**2) / 2 - against for each, against in zip(off, _PRIOR, strict=True)])


def of_three(smaller: float, same: float, larger: float, count: float, unit: float = 1.0) -> float:
    """Return the same where only losses can be seen: of outputs times `SCALE`, as is, and over it.

    It is the lowest point of a parabola through the three.

    Args:
        smaller: loss of outputs times `SCALE`.
        same: loss of outputs as they are.
        larger: loss of outputs divided by `SCALE`.
        count: number of examples.
        unit: the loss that counts as one nat.

    Example:
        >>> loss = lambda log_scale: 1.0 + (log_scale + 0.2) ** 2
        >>> step = -math.log(SCALE)
        >>> round(of_three(loss(-step), loss(0.0), loss(step), 400), 2)
        0.2
    """
    if unit <= 0:
        return 0.0
    step = -math.log(SCALE)
    rise = (larger - smaller) / (2 * step) / unit
    bend = max((smaller + larger - 2 * same) / step**2 / unit, _LEAST)
    best = max(LOG_TEMPERATURES[0], min(LOG_TEMPERATURES[-1], rise / bend))
    sharp = min(count, _MOST) * bend
    return best * sharp / (sharp + _SPREAD**-2)


def _mean(logs: Sequence[float]) -> float:
    top = max(logs)
    weights = [math.exp(each - top) for each in logs]
    grid = LOG_TEMPERATURES * (len(logs) // len(LOG_TEMPERATURES))
    return sum(w * t for w, t in zip(weights, grid, strict=True)) / sum(weights)
