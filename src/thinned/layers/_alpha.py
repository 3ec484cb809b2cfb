"""Dropout for self-normalizing networks (Klambauer 2017)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn.functional import alpha_dropout, feature_alpha_dropout

from thinned._checks import check_rate
from thinned.layers._rate import RateLayer

_ALPHA = -1.7580993408473766  # -lambda * alpha of SELU: its value at minus infinity


def _compiled(x: Tensor, rate: Tensor, shape: Sequence[int]) -> Tensor:
    """Drop to SELU's lower end where not kept, then restore mean 0 and variance 1."""
    keep = torch.empty(shape, dtype=x.dtype, device=x.device).bernoulli_(1.0 - rate)
    a = ((1.0 - rate) * (1.0 + rate * _ALPHA**2)).rsqrt()
    a = torch.where(rate < 1.0, a, 0.0)  # rate 1 gives zeros, as torch does
    dropped = (x - _ALPHA) * (keep * a) + a * _ALPHA * (1.0 - rate)
    return torch.where(rate > 0.0, dropped, x)  # to the bit: there and back is not x


class AlphaDropout(RateLayer, nn.AlphaDropout):
    r"""Drop single elements to the lower end of SELU, keeping mean 0 and variance 1.

    .. math:: y_i = a\,(x_i m_i + \alpha' (1 - m_i)) + b, \quad m_i \sim \mathrm{Bernoulli}(1 - p)

    with :math:`\alpha' = -1.7581`, :math:`a = ((1 - p)(1 + p \alpha'^2))^{-1/2}` and
    :math:`b = -a p \alpha'`. In evaluation it is the identity. It belongs after ``nn.SELU``: for
    other activations :math:`\alpha'` means nothing. Eagerly it is ``torch.nn.AlphaDropout`` to the
    bit. Rate 1 gives zeros. Saved for backward: the mask.

    Args:
        p: the rate, in [0, 1].
        inplace: write the result into the input (eager only).

    Shape:
        - Input: :math:`(*)`, any shape.
        - Output: as the input.

    Raises:
        ValueError: if ``p`` is outside [0, 1].
        TypeError: if ``p`` is not a number.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> y = AlphaDropout(0.3)(torch.randn(200_000))
        >>> abs(round(y.mean().item(), 1)), round(y.std().item(), 2)
        (0.0, 1.0)

    References:
        Klambauer, Unterthiner, Mayr, Hochreiter (2017), *Self-Normalizing Neural Networks*,
        section "New Dropout Technique", https://arxiv.org/abs/1706.02515
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__(check_rate("p", p), inplace)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name
        """Drop elements of ``input`` in training."""
        if self.training and is_compiling():
            return _compiled(input, self._rate, input.shape).to(input.dtype)
        if is_compiling():
            return input  # asking for the float would compile anew at each new rate
        return alpha_dropout(input, self._p, self.training, self.inplace)


class FeatureAlphaDropout(RateLayer, nn.FeatureAlphaDropout):
    r"""Drop whole channels to the lower end of SELU, keeping mean 0 and variance 1.

    .. math:: y_{n,c,s} = a\,(x_{n,c,s} m_{n,c} + \alpha' (1 - m_{n,c})) + b, \quad
        m_{n,c} \sim \mathrm{Bernoulli}(1 - p)

    with :math:`a`, :math:`b` and :math:`\alpha'` as in :class:`AlphaDropout`. In evaluation it is
    the identity. Eagerly it is ``torch.nn.FeatureAlphaDropout`` to the bit. Saved for backward: one
    number a channel.

    Args:
        p: the rate, in [0, 1].
        inplace: write the result into the input (eager only).

    Shape:
        - Input: :math:`(N, C, *)`.
        - Output: as the input.

    Raises:
        ValueError: if ``p`` is outside [0, 1].
        TypeError: if ``p`` is not a number.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> y = FeatureAlphaDropout(0.3)(torch.randn(100, 1000, 4))
        >>> abs(round(y.mean().item(), 1)), round(y.std().item(), 1)
        (0.0, 1.0)

    References:
        Klambauer, Unterthiner, Mayr, Hochreiter (2017), *Self-Normalizing Neural Networks*,
        section "New Dropout Technique", https://arxiv.org/abs/1706.02515, with the channels of
        Tompson et al. (2015), https://arxiv.org/abs/1411.4280
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__(check_rate("p", p), inplace)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name
        """Drop channels of ``input`` in training."""
        if self.training and is_compiling():
            shape = [*input.shape[:2], *[1] * (input.dim() - 2)]
            return _compiled(input, self._rate, shape).to(input.dtype)
        if is_compiling():
            return input  # asking for the float would compile anew at each new rate
        return feature_alpha_dropout(input, self._p, self.training, self.inplace)
