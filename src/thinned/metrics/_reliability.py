"""Is it as often right as it says: confidence against accuracy, bin by bin."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from thinned._checks import check_number

from ._proper_scores import check_scored


def reliability(probabilities: Tensor, target: Tensor, bins: int = 15) -> Tensor:
    r"""Return what a reliability diagram shows: of each bin of confidence, what came true.

    The confidence is that of the most probable class; bin :math:`b` holds the rows whose confidence
    is in :math:`(\frac{b-1}{B}, \frac{b}{B}]`. The calibration error that torchmetrics has
    (``MulticlassCalibrationError(norm="l1")``) is the mean over all rows of the difference between
    the last two columns.

    Args:
        probabilities: shape ``(N, C)``, each row summing to 1.
        target: the true classes, shape ``(N,)``.
        bins: number of bins of equal width, :math:`B`.

    Returns:
        Shape ``(bins, 3)``: number of rows, mean confidence, accuracy; of an empty bin zeros.

    Example:
        >>> p = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
        >>> reliability(p, torch.tensor([0, 1, 1]), bins=4)[2:]
        tensor([[1.0000, 0.7000, 1.0000],
                [2.0000, 0.8500, 0.5000]])

    References:
        Guo, Pleiss, Sun, Weinberger (2017), *On Calibration of Modern Neural Networks*, section 2,
        https://arxiv.org/abs/1706.04599
    """
    return _means(_sums(probabilities, target, bins))


class Reliability(Metric):
    """`reliability` over batches and processes; keeps three numbers of each bin.

    Args:
        bins: number of bins of equal width.
        **kwargs: of `torchmetrics.Metric`.

    Example:
        >>> metric = Reliability(bins=2)
        >>> metric.update(torch.tensor([[0.75, 0.25]]), torch.tensor([0]))
        >>> metric.update(torch.tensor([[0.25, 0.75]]), torch.tensor([0]))
        >>> metric.compute()
        tensor([[0.0000, 0.0000, 0.0000],
                [2.0000, 0.7500, 0.5000]])
    """

    is_differentiable = False
    full_state_update = False

    sums: Tensor

    def __init__(self, bins: int = 15, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bins = int(check_number("bins", bins, 1, 1e6, what="a number of bins"))
        zeros = torch.zeros(self.bins, 3, dtype=torch.float64)
        self.add_state("sums", zeros, dist_reduce_fx="sum")

    def update(self, probabilities: Tensor, target: Tensor) -> None:
        """Add a batch of probabilities ``(N, C)`` and true classes ``(N,)``."""
        self.sums += _sums(probabilities, target, self.bins)

    def compute(self) -> Tensor:
        """Return the bins so far."""
        return _means(self.sums)


def _sums(probabilities: Tensor, target: Tensor, bins: int) -> Tensor:
    """Number of rows, sum of confidences and number of rows that are right, of each bin."""
    check_scored(probabilities, target)
    count = int(check_number("bins", bins, 1, 1e6, what="a number of bins"))
    confidence, chosen = probabilities.detach().max(dim=1)
    rows = torch.stack([torch.ones_like(confidence), confidence, chosen == target], 1).double()
    bin_of = (rows[:, 1] * count).ceil().clamp(1, count).long() - 1
    return torch.zeros_like(rows[:1].expand(count, 3)).index_add_(0, bin_of, rows)


def _means(sums: Tensor) -> Tensor:
    rows = sums[:, :1]
    return torch.cat([rows, sums[:, 1:] / rows.clamp(min=1.0)], 1).float()
