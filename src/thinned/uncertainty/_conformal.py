"""Split conformal prediction: sets of classes that hold the truth as often as promised."""

import math

import torch
from torch import Tensor

from thinned._checks import check_number

from ._forwards.output import check_target


def conformal_threshold(probabilities: Tensor, target: Tensor, alpha: float = 0.1) -> float:
    r"""Return the probability from which on a class belongs to the set.

    With :math:`n` calibration rows exchangeable with those to come, a set of all classes whose
    probability is at least the threshold holds the true one with probability at least
    :math:`1 - \alpha`, whatever the model: on average over rows, and not for each kind of row.

    Args:
        probabilities: of calibration rows, shape ``(N, C)``: of one forward or of `mc_predict`.
        target: their true classes, shape ``(N,)``.
        alpha: share of sets that may miss the truth, in (0, 1).

    Returns:
        The threshold; ``-inf`` (every class) where there are too few rows for so small an alpha.

    Example:
        >>> p = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7]])
        >>> at = conformal_threshold(p, torch.tensor([0, 0, 0, 0]), alpha=0.4)
        >>> round(at, 4), conformal_sets(torch.tensor([[0.7, 0.3], [0.4, 0.6]]), at).tolist()
        (0.6, [[True, False], [False, True]])

    References:
        Angelopoulos, Bates (2023), *Conformal Prediction: A Gentle Introduction*, section 1.1,
        https://arxiv.org/abs/2107.07511
    """
    check_target(probabilities, target, "probabilities")
    share = check_number("alpha", alpha, 0.0, 1.0)
    rows = len(target)
    # Of the n + 1 ranks that a new row may take among these, the ceil((n + 1)(1 - alpha)) surest;
    # the small number keeps rounding from adding a rank.
    rank = math.ceil((rows + 1) * (1.0 - share) - 1e-9)
    if rank > rows:
        return -math.inf
    chosen = probabilities.gather(1, target[:, None]).squeeze(1)
    return float(chosen.sort(descending=True).values[max(rank, 1) - 1])


def conformal_sets(probabilities: Tensor, threshold: float) -> Tensor:
    """Return which classes belong to each row's set, a mask of shape ``(N, C)``.

    Args:
        probabilities: shape ``(N, C)``.
        threshold: of `conformal_threshold`.
    """
    return torch.ge(probabilities, threshold)
