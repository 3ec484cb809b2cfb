"""Co-adaptation: how much units move together, which dropout is there to lower."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


def co_adaptation(units: Tensor) -> Tensor:
    r"""Return the mean absolute correlation of units.

    .. math:: \frac{1}{U(U-1)} \sum_{i \ne j} |\rho_{ij}|

    0 for units that are independent over the samples, 1 for copies of each other. Units that
    never change are left out; NaN if fewer than two are left. With N samples the value of
    independent units is about :math:`0.8 / \sqrt{N}`, so compare equal N.

    Args:
        units: activations of shape ``(N, U)`` or ``(N, U, *)``; every position counts as a
            sample.

    Returns:
        A scalar tensor.

    Example:
        >>> x = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, -1.0], [3.0, 6.0, -1.0], [4.0, 8.0, 1.0]])
        >>> round(co_adaptation(x).item(), 4)
        0.3333

    References:
        N. Srivastava and others, "Dropout", 2014, section 7.1 (co-adaptation);
        M. Cogswell and others, https://arxiv.org/abs/1511.06068 (as a covariance).
    """
    return _compute(*_moments(_by_sample(units)))


class CoAdaptation(Metric):
    """`co_adaptation` over batches and processes.

    Args:
        num_units: the number of units ``U``. Memory and time grow with its square.
        **kwargs: of `torchmetrics.Metric`.

    Example:
        >>> metric = CoAdaptation(num_units=3)
        >>> metric.update(torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, -1.0]]))
        >>> metric.update(torch.tensor([[3.0, 6.0, -1.0], [4.0, 8.0, 1.0]]))
        >>> round(metric.compute().item(), 4)
        0.3333
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    count: Tensor
    total: Tensor
    products: Tensor

    def __init__(self, num_units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        kind = torch.float64
        self.add_state("count", torch.zeros((), dtype=kind), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(num_units, dtype=kind), dist_reduce_fx="sum")
        square = torch.zeros(num_units, num_units, dtype=kind)
        self.add_state("products", square, dist_reduce_fx="sum")

    def update(self, units: Tensor) -> None:
        """Add a batch of activations of shape ``(N, U)`` or ``(N, U, *)``."""
        count, total, products = _moments(_by_sample(units))
        self.count += count
        self.total += total
        self.products += products

    def compute(self) -> Tensor:
        """Return the mean absolute correlation so far."""
        return _compute(self.count, self.total, self.products)


def _by_sample(units: Tensor) -> Tensor:
    if units.ndim < 2:
        msg = f"Expected `units` of shape (N, U) or (N, U, *), got {tuple(units.shape)}."
        raise ValueError(msg)
    return units.detach().movedim(1, -1).flatten(0, -2).to(torch.float64)


def _moments(samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    count = torch.tensor(len(samples), dtype=torch.float64, device=samples.device)
    return count, samples.sum(0), samples.T @ samples


def _compute(count: Tensor, total: Tensor, products: Tensor) -> Tensor:
    mean = total / count
    covariance = products / count - torch.outer(mean, mean)
    variance = covariance.diagonal()
    moving = variance > 1e-12 * (products.diagonal() / count)
    kept = int(moving.sum())
    if kept < 2:
        return torch.full((), float("nan"), device=total.device)
    scale = variance[moving].rsqrt()
    correlation = covariance[moving][:, moving] * torch.outer(scale, scale)
    apart = correlation.abs().sum() - correlation.diagonal().abs().sum()
    return (apart / (kept * (kept - 1))).float()
