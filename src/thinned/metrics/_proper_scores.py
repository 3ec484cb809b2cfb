"""Proper scores of predicted probabilities: smallest in expectation where they are the truth."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


def nll(probabilities: Tensor, target: Tensor) -> Tensor:
    r"""Return the mean negative log likelihood, :math:`-\frac{1}{N} \sum_i \log p_{i, y_i}`.

    A probability of 0 for the true class counts as the smallest number above 0.

    Args:
        probabilities: shape ``(N, C)``, each row summing to 1.
        target: the true classes, shape ``(N,)``.

    Example:
        >>> p = torch.tensor([[0.5, 0.5], [0.75, 0.25]])
        >>> round(nll(p, torch.tensor([0, 0])).item(), 4)
        0.4904

    References:
        Gneiting, Raftery (2007), *Strictly Proper Scoring Rules, Prediction, and Estimation*,
        section 4.1, https://doi.org/10.1198/016214506000001437
    """
    return _log_losses(probabilities, target).mean()


def brier(probabilities: Tensor, target: Tensor) -> Tensor:
    r"""Return the Brier score, :math:`\frac{1}{N} \sum_i \sum_c (p_{ic} - [c = y_i])^2`.

    Between 0 and 2: the sum over all classes, as Brier wrote it. Of two classes it is twice the
    figure that looks at one of them.

    Args:
        probabilities: shape ``(N, C)``, each row summing to 1.
        target: the true classes, shape ``(N,)``.

    Example:
        >>> p = torch.tensor([[0.5, 0.5], [0.75, 0.25]])
        >>> brier(p, torch.tensor([0, 0])).item()
        0.3125

    References:
        Brier (1950), *Verification of Forecasts Expressed in Terms of Probability*, equation 2
    """
    return _squares(probabilities, target).mean()


class _Mean(Metric):
    """A mean over all rows."""

    is_differentiable = True
    higher_is_better = False
    full_state_update = False

    total: Tensor
    count: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def _add(self, values: Tensor) -> None:
        self.total += values.sum()
        self.count += values.numel()

    def compute(self) -> Tensor:
        """Return the mean so far."""
        return (self.total / self.count).float()


class NegativeLogLikelihood(_Mean):
    """`nll` over batches and processes.

    Args:
        **kwargs: of `torchmetrics.Metric`.

    Example:
        >>> metric = NegativeLogLikelihood()
        >>> metric.update(torch.tensor([[0.5, 0.5]]), torch.tensor([0]))
        >>> metric.update(torch.tensor([[0.75, 0.25]]), torch.tensor([0]))
        >>> round(metric.compute().item(), 4)
        0.4904
    """

    def update(self, probabilities: Tensor, target: Tensor) -> None:
        """Add a batch of probabilities ``(N, C)`` and true classes ``(N,)``."""
        self._add(_log_losses(probabilities, target))


class BrierScore(_Mean):
    """`brier` over batches and processes.

    Args:
        **kwargs: of `torchmetrics.Metric`.

    Example:
        >>> metric = BrierScore()
        >>> metric.update(torch.tensor([[0.5, 0.5]]), torch.tensor([0]))
        >>> metric.update(torch.tensor([[0.75, 0.25]]), torch.tensor([0]))
        >>> metric.compute().item()
        0.3125
    """

    def update(self, probabilities: Tensor, target: Tensor) -> None:
        """Add a batch of probabilities ``(N, C)`` and true classes ``(N,)``."""
        self._add(_squares(probabilities, target))


def _log_losses(probabilities: Tensor, target: Tensor) -> Tensor:
    check_scored(probabilities, target)
    chosen = probabilities.gather(1, target[:, None]).squeeze(1)
    return -chosen.clamp_min(torch.finfo(chosen.dtype).tiny).log()


def _squares(probabilities: Tensor, target: Tensor) -> Tensor:
    check_scored(probabilities, target)
    truth = torch.zeros_like(probabilities).scatter_(1, target[:, None], 1.0)
    return (probabilities - truth).square().sum(dim=1)


def check_scored(probabilities: Tensor, target: Tensor) -> None:
    """Raise unless these are probabilities of classes, and as many true classes."""
    if probabilities.dim() != 2 or target.shape != probabilities.shape[:1]:
        msg = "Expected probabilities of shape (N, C) and a target of shape (N,), got "
        raise ValueError(f"{msg}{tuple(probabilities.shape)} and {tuple(target.shape)}.")
    sums = probabilities.detach().double().sum(dim=1)
    if len(sums) and float((sums - 1.0).abs().max()) > 1e-2:
        msg = "Expected probabilities, whose rows sum to 1, got a row that sums to "
        worst = float(sums[(sums - 1.0).abs().argmax()])
        raise ValueError(f"{msg}{worst:g}. Give softmax(logits), or `Prediction.probabilities`.")
