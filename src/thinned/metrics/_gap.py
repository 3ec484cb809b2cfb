"""What one validation says: gap, ratio, inflation."""

import math


def gap(validation: float, probe: float) -> float:
    r"""Return the fair gap, :math:`v - p`.

    Both are evaluation-mode figures of the same code, so that the difference is not made by
    dropout being on in one and off in the other. Positive is worse for a loss, better for a
    metric to maximize.

    Args:
        validation: the metric on the validation set.
        probe: the metric on the probe, a fixed subset of the training set.

    Example:
        >>> round(gap(0.75, 0.5), 3)
        0.25
    """
    return validation - probe


def ratio(validation: float, probe: float) -> float:
    r"""Return :math:`v / p`: how many times the probe's figure validation has.

    Without a unit, and so comparable between runs. NaN if both are 0, infinite if only the probe
    is.

    Args:
        validation: the metric on the validation set.
        probe: the metric on the probe.

    Example:
        >>> ratio(0.75, 0.5)
        1.5
    """
    if probe == 0.0:
        return math.nan if validation == 0.0 else math.copysign(math.inf, validation)
    return validation / probe


def inflation(noisy: float, probe: float) -> float:
    r"""Return what dropout's noise adds to a training-mode figure, :math:`n - p`.

    ``noisy`` and ``probe`` are of the same samples and the same weights; only dropout is on in
    the first. The usual comparison, of training loss with dropout on against validation loss with
    dropout off, is :math:`v - n`, the gap *minus* the inflation: with enough dropout it is
    negative while the model overfits.

    Args:
        noisy: the metric on the probe with dropout on.
        probe: the metric on the probe with dropout off.

    Example:
        A gap of 0.25 hides behind an inflation of 0.5:

        >>> inflation(1.0, 0.5), gap(0.75, 0.5), round(0.75 - 1.0, 3)
        (0.5, 0.25, -0.25)
    """
    return noisy - probe


def inflation_share(validation: float, probe: float, noisy: float) -> float:
    r"""Return the part of the difference that dropout makes, :math:`|n-p| / (|n-p| + |v-p|)`.

    0 says that the naive difference of training and validation figures is all gap, 1 that it is
    all dropout. NaN if there is neither.

    Args:
        validation: the metric on the validation set.
        probe: the metric on the probe with dropout off.
        noisy: the metric on the probe with dropout on.

    Example:
        >>> round(inflation_share(0.75, 0.5, 1.0), 3)
        0.667
    """
    noise, fair = abs(inflation(noisy, probe)), abs(gap(validation, probe))
    return math.nan if noise + fair == 0.0 else noise / (noise + fair)
