"""Activation sparsity: how many units are silent, which dropout raises."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from thinned._checks import check_number


def activation_sparsity(units: Tensor, threshold: float = 0.0) -> Tensor:
    """Return the share of activations whose absolute value is at most ``threshold``.

    Args:
        units: activations of any shape.
        threshold: what still counts as silent; 0 suits ReLU.

    Example:
        >>> activation_sparsity(torch.tensor([[0.0, 1.0], [0.0, 0.0]])).item()
        0.75

    References:
        N. Srivastava and others, "Dropout", 2014, section 7.2.
    """
    check_number("threshold", threshold, 0.0)
    return (units.abs() <= threshold).float().mean()


class ActivationSparsity(Metric):
    """`activation_sparsity` over batches and processes.

    Args:
        threshold: what still counts as silent.
        **kwargs: of `torchmetrics.Metric`.

    Example:
        >>> metric = ActivationSparsity()
        >>> metric.update(torch.tensor([0.0, 1.0]))
        >>> metric.update(torch.tensor([0.0, 0.0]))
        >>> metric.compute().item()
        0.75
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False

    silent: Tensor
    count: Tensor

    def __init__(self, threshold: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.threshold = check_number("threshold", threshold, 0.0)
        self.add_state("silent", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, units: Tensor) -> None:
        """Add a batch of activations of any shape."""
        self.silent += (units.abs() <= self.threshold).sum()
        self.count += units.numel()

    def compute(self) -> Tensor:
        """Return the share of silent activations so far."""
        return (self.silent / self.count).float()
