"""Prechelt's stopping criteria, read as measures of overfitting.

Reference:
    L. Prechelt, "Early Stopping - but when?", 1998, https://doi.org/10.1007/3-540-49430-8_3.
"""

import itertools
import math
from collections.abc import Sequence

from thinned._checks import check_choice, check_count, check_number


def generalization_loss(validation: Sequence[float]) -> float:
    r"""Return :math:`GL(t) = 100 \left(E_{va}(t) / E_{opt}(t) - 1\right)`, in per cent.

    :math:`E_{opt}(t)` is the lowest validation error up to now. 0 at a new best; infinite after an
    error of 0.

    Args:
        validation: validation errors so far, oldest first; errors, so lower is better and none is
            negative. See `as_errors` for metrics to maximize.

    Raises:
        ValueError: if there is no error yet, or one is negative.

    Example:
        >>> round(generalization_loss([1.0, 0.5, 0.6]), 3)
        20.0

    References:
        Prechelt 1998, section 2.2.
    """
    errors = _errors("validation", validation)
    best = min(errors)
    if errors[-1] == best:
        return 0.0
    return math.inf if best == 0.0 else 100.0 * (errors[-1] / best - 1.0)


def progress(training: Sequence[float], strip: int = 5) -> float:
    r"""Return how much training still moves in the last ``k`` epochs.

    .. math:: P_k(t) = 1000 \left(\frac{\sum_{t'=t-k+1}^{t} E_{tr}(t')}
        {k \min_{t'=t-k+1}^{t} E_{tr}(t')} - 1\right)

    High while the error falls or is unsteady, 0 when it stands still.

    Args:
        training: training errors (ours are the probe's, with dropout off), oldest first.
        strip: number of last epochs ``k``; fewer are used while there are fewer.

    Raises:
        ValueError: if there is no error yet, one is negative, or ``strip`` is below 1.

    Example:
        >>> round(progress([9.0, 1.0, 0.9, 0.8, 0.7, 0.6]), 3)
        333.333

    References:
        Prechelt 1998, section 2.2.
    """
    last = _errors("training", training)[-check_count("strip", strip) :]
    low = min(last)
    if low == 0.0:
        return 0.0 if max(last) == 0.0 else math.inf
    return 1000.0 * (math.fsum(last) / (len(last) * low) - 1.0)


def progress_quotient(
    validation: Sequence[float], training: Sequence[float], strip: int = 5
) -> float:
    r"""Return :math:`PQ(t) = GL(t) / P_k(t)`: generalization lost per progress made.

    Args:
        validation: validation errors so far.
        training: training errors so far.
        strip: the ``k`` of `progress`.

    Example:
        >>> round(progress_quotient([1.0, 0.5, 0.6], [0.9, 0.5, 0.4]), 4)
        0.04

    References:
        Prechelt 1998, section 2.2.
    """
    lost, moved = generalization_loss(validation), progress(training, strip)
    if lost == 0.0:
        return 0.0
    if math.isinf(moved):
        return math.nan if math.isinf(lost) else 0.0
    return math.inf if moved == 0.0 else lost / moved


def up_strips(validation: Sequence[float], strip: int = 5) -> int:
    r"""Return for how many strips in a row validation error has risen.

    Prechelt's :math:`UP_s` stops when this reaches :math:`s`: the error at the end of each of the
    last :math:`s` strips of ``strip`` epochs is above the one at the end of the strip before.

    Args:
        validation: validation errors so far.
        strip: epochs in a strip.

    Example:
        >>> up_strips([3.0, 2.0, 1.0, 1.1, 1.2, 1.3, 1.4], strip=2)
        2

    References:
        Prechelt 1998, section 2.2.
    """
    ends = _errors("validation", validation)[:: -check_count("strip", strip)]
    rising = 0
    for later, earlier in itertools.pairwise(ends):
        if later <= earlier:
            break
        rising += 1
    return rising


def as_errors(values: Sequence[float], mode: str = "min") -> list[float]:
    """Turn a metric's values into errors, for the functions above.

    Values to minimize stay as they are if none is negative. Values to maximize become 1 - value
    if all lie in [0, 1], as an accuracy does. Anything else has no natural zero, and is shifted so
    that its best value so far is 1 and a change by the range so far counts 1.

    Args:
        values: the metric's values, oldest first.
        mode: ``"min"`` or ``"max"``, which of them is better.

    Raises:
        ValueError: if ``mode`` is another word.

    Example:
        >>> as_errors([0.5, 0.75], mode="max")
        [0.5, 0.25]
        >>> as_errors([-3.0, -1.0, -2.0])
        [1.0, 2.0, 1.5]
    """
    check_choice("mode", mode, ("min", "max"))
    if mode == "min" and all(v >= 0.0 for v in values):
        return list(values)
    if mode == "max" and all(0.0 <= v <= 1.0 for v in values):
        return [1.0 - v for v in values]
    costs = list(values) if mode == "min" else [-v for v in values]
    low, high = min(costs), max(costs)
    spread = high - low or 1.0
    return [1.0 + (c - low) / spread for c in costs]


def _errors(name: str, values: Sequence[float]) -> list[float]:
    errors = [check_number(name, v, 0.0, what="an error") for v in values]
    if not errors:
        msg = f"Expected `{name}` to hold at least one error, got none."
        raise ValueError(msg)
    return errors
