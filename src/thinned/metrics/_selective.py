"""Is it right where it is sure: risk against coverage, and how well doubt tells errors."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import binary_auroc
from torchmetrics.utilities import dim_zero_cat


def risk_coverage(uncertainty: Tensor, errors: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return coverage and risk, where the surest predictions are kept first.

    At coverage :math:`k/N`, the risk is the mean error of the :math:`k` surest. Predictions that
    are equally sure share their mean error, so that their order does not matter.

    Args:
        uncertainty: shape ``(N,)``, larger is less sure: entropy, say, or variance.
        errors: shape ``(N,)``, 1 where a prediction was wrong, or any loss.

    Returns:
        Coverage :math:`1/N, 2/N, \dots, 1`, and the risk at each.

    Example:
        >>> coverage, risk = risk_coverage(torch.tensor([0.1, 0.9]), torch.tensor([0, 1]))
        >>> coverage.tolist(), risk.tolist()
        ([0.5, 1.0], [0.0, 0.5])

    References:
        El-Yaniv, Wiener (2010), *On the Foundations of Noise-free Selective Classification*,
        section 2, https://jmlr.org/papers/v11/el-yaniv10a.html
    """
    _check(uncertainty, errors)
    _, group = torch.unique(uncertainty, return_inverse=True)  # sorted, so 0 is the surest
    losses = errors.double()
    size = torch.bincount(group).double()
    mean = torch.zeros_like(size).index_add_(0, group, losses) / size
    shared = mean[group.sort().values]
    number = torch.arange(1, len(losses) + 1, device=losses.device, dtype=torch.float64)
    return (number / len(losses)).float(), (shared.cumsum(0) / number).float()


def aurc(uncertainty: Tensor, errors: Tensor) -> Tensor:
    """Return the area under the risk-coverage curve, the mean of its risks; smaller is better.

    It depends on how many errors there are, so compare models at equal accuracy or look at
    `error_auroc` as well.

    Args:
        uncertainty: shape ``(N,)``, larger is less sure.
        errors: shape ``(N,)``, 1 where a prediction was wrong, or any loss.

    Example:
        >>> aurc(torch.tensor([0.1, 0.9]), torch.tensor([0, 1])).item()
        0.25

    References:
        Geifman, Uziel, El-Yaniv (2019), *Bias-Reduced Uncertainty Estimation for Deep Neural
        Classifiers*, equation 2, https://arxiv.org/abs/1805.08206
    """
    return risk_coverage(uncertainty, errors)[1].double().mean().float()


def error_auroc(uncertainty: Tensor, errors: Tensor) -> Tensor:
    """Return how well doubt tells errors: the probability that an error is the less sure one.

    Of a pair of one wrong and one right prediction. 0.5 says nothing, 1 everything; NaN where all
    are right or all are wrong.

    Args:
        uncertainty: shape ``(N,)``, larger is less sure.
        errors: shape ``(N,)``, 1 where a prediction was wrong.

    Example:
        >>> error_auroc(torch.tensor([0.1, 0.9]), torch.tensor([0, 1])).item()
        1.0

    References:
        Hendrycks, Gimpel (2017), section 2, https://arxiv.org/abs/1610.02136
    """
    _check(uncertainty, errors)
    wrong = errors.bool()
    if bool(wrong.all()) or not bool(wrong.any()):
        return torch.full((), float("nan"), device=uncertainty.device)
    order = torch.unique(uncertainty, return_inverse=True)[1]  # binary_auroc wants [0, 1]
    return binary_auroc(order.double() / max(int(order.max()), 1), wrong.long())


def ood_auroc(inside: Tensor, outside: Tensor) -> Tensor:
    """Return how well doubt tells data from elsewhere, as `error_auroc` tells errors.

    Args:
        inside: uncertainty on data like the training's, shape ``(N,)``.
        outside: uncertainty on other data, shape ``(M,)``.

    Example:
        >>> ood_auroc(torch.tensor([0.1, 0.4]), torch.tensor([0.3, 0.9])).item()
        0.75

    References:
        Hendrycks, Gimpel (2017), section 3, https://arxiv.org/abs/1610.02136
    """
    truth = torch.cat([torch.zeros_like(inside), torch.ones_like(outside)])
    return error_auroc(torch.cat([inside, outside]), truth)


class _Pairs(Metric):
    """Keeps two numbers of each row: what is sorted by, and what is sorted."""

    is_differentiable = False
    full_state_update = False

    uncertainty: list[Tensor]
    errors: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("uncertainty", [], dist_reduce_fx="cat")
        self.add_state("errors", [], dist_reduce_fx="cat")

    def update(self, uncertainty: Tensor, errors: Tensor) -> None:
        """Add a batch of two tensors of shape ``(N,)``."""
        _check(uncertainty, errors)
        self.uncertainty.append(uncertainty.detach())
        self.errors.append(errors.detach())

    def _all(self) -> tuple[Tensor, Tensor]:
        return dim_zero_cat(self.uncertainty), dim_zero_cat(self.errors)


class RiskCoverage(_Pairs):
    """`risk_coverage` over batches and processes; keeps two numbers of each row.

    Args:
        **kwargs: of `torchmetrics.Metric`.

    Example:
        >>> metric = RiskCoverage()
        >>> metric.update(torch.tensor([0.9]), torch.tensor([1]))
        >>> metric.update(torch.tensor([0.1]), torch.tensor([0]))
        >>> metric.compute()
        (tensor([0.5000, 1.0000]), tensor([0.0000, 0.5000]))
    """

    def compute(self) -> tuple[Tensor, Tensor]:
        """Return coverage and risk so far."""
        return risk_coverage(*self._all())


class AURC(_Pairs):
    """`aurc` over batches and processes; keeps two numbers of each row.

    Args:
        **kwargs: of `torchmetrics.Metric`.

    Example:
        >>> metric = AURC()
        >>> metric.update(torch.tensor([0.9]), torch.tensor([1]))
        >>> metric.update(torch.tensor([0.1]), torch.tensor([0]))
        >>> metric.compute().item()
        0.25
    """

    higher_is_better = False

    def compute(self) -> Tensor:
        """Return the area so far."""
        return aurc(*self._all())


class ErrorAUROC(_Pairs):
    """`error_auroc` over batches and processes; keeps two numbers of each row.

    For data from elsewhere give ``errors`` = 1 on it and 0 on the other: then it is `ood_auroc`.

    Args:
        **kwargs: of `torchmetrics.Metric`.

    Example:
        >>> metric = ErrorAUROC()
        >>> metric.update(torch.tensor([0.1, 0.4]), torch.tensor([0, 0]))
        >>> metric.update(torch.tensor([0.3, 0.9]), torch.tensor([1, 1]))
        >>> metric.compute().item()
        0.75
    """

    higher_is_better = True

    def compute(self) -> Tensor:
        """Return the area so far."""
        return error_auroc(*self._all())


def _check(uncertainty: Tensor, errors: Tensor) -> None:
    if uncertainty.dim() != 1 or uncertainty.shape != errors.shape or not len(errors):
        msg = "Expected two tensors of the same shape (N,) with N above 0, got "
        raise ValueError(f"{msg}{tuple(uncertainty.shape)} and {tuple(errors.shape)}.")
