"""Multiplicative Gaussian noise (Srivastava 2014)."""

import torch
from torch import Tensor
from torch.compiler import is_compiling

from thinned.layers._rate import RateLayer


class GaussianDropout(RateLayer):
    r"""Multiply single elements by Gaussian noise of mean 1.

    .. math:: y_i = x_i\, (1 + \sigma \epsilon_i), \quad \sigma = \sqrt{p / (1 - p)}, \quad
        \epsilon_i \sim \mathcal{N}(0, 1)

    The noise has the mean and the variance of dropout with the same rate, but drops nothing
    entirely. In evaluation it is the identity. Rate 1, where the variance has no bound, gives zeros
    as dropout does. Saved for backward: the noise.

    Args:
        p: the rate of the dropout with the same variance, in [0, 1].

    Shape:
        - Input: :math:`(*)`, any shape.
        - Output: as the input.

    Raises:
        ValueError: if ``p`` is outside [0, 1].
        TypeError: if ``p`` is not a number.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> y = GaussianDropout(0.2)(torch.ones(100_000))
        >>> round(y.mean().item(), 2), round(y.std().item(), 2)
        (1.0, 0.5)

    References:
        Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov (2014), *Dropout: A Simple Way to
        Prevent Neural Networks from Overfitting*, section 10,
        https://jmlr.org/papers/v15/srivastava14a.html
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Add noise to ``x`` in training."""
        if not self.training:
            return x
        if is_compiling():
            rate = self._rate
            sigma = torch.where(rate < 1.0, (rate / (1.0 - rate)).sqrt(), 0.0)
            noise = 1.0 + sigma * torch.empty(x.shape, device=x.device).normal_()
            return x * torch.where(rate < 1.0, noise, 0.0).to(x.dtype)
        if self._p == 0.0:
            return x
        if self._p == 1.0:
            return x * 0.0
        sigma_now = (self._p / (1.0 - self._p)) ** 0.5
        return x * torch.normal(1.0, sigma_now, x.shape, device=x.device, dtype=x.dtype)
