"""Dropout of weights (Wan 2013)."""

import math
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn.functional import dropout, linear

from thinned._checks import check_choice, check_count
from thinned.layers._rate import RateLayer, compiled_keep
from thinned.layers._sharing import require_class, share_parameters


def masked_weight(layer: RateLayer, weight: Tensor, batch: int | None = None) -> Tensor:
    """Return ``weight`` with entries dropped at the layer's rate, for each of ``batch`` samples.

    ``weight`` itself is not written. ``batch=None`` draws one mask.
    """
    if batch is not None:
        weight = weight.expand(batch, *weight.shape)
    if is_compiling():
        keep, scale = compiled_keep(layer._rate, weight.shape, weight.device)
        return torch.where(keep, weight * scale, 0.0)
    return dropout(weight, layer._p, training=True)


class DropConnectLinear(RateLayer, nn.Linear):
    r"""A linear layer whose weights are dropped.

    .. math:: y = x\,(W \odot M)^\top / (1 - p) + b, \quad M_{ij} \sim \mathrm{Bernoulli}(1 - p)

    In training each weight is zeroed with probability ``p`` and the others are scaled, so that the
    mean of ``y`` stays; the bias is kept. In evaluation it is ``nn.Linear``. ``weight`` itself is
    never written. The paper draws a mask for each sample; one for the batch is the usual cheap
    form. Saved for backward: the masked weight and its mask (``"sample"``: one for each sample).

    Args:
        in_features: number of input features.
        out_features: number of output features.
        bias: whether there is a bias.
        p: the rate, in [0, 1].
        mode: ``"batch"``, one mask a forward, or ``"sample"``, one for each sample along axis 0.
        inference: ``"mean"``, evaluation is ``nn.Linear``, or ``"gaussian"``, it is :meth:`expect`,
            the mean of ``activation(y)`` over masks. The same activation may still follow, if
            applying it twice is applying it once, as it is for ReLU.
        activation: for ``inference="gaussian"``.
        samples: for ``inference="gaussian"``, at least 1.
        device: where the parameters are made.
        dtype: of the parameters.

    Shape:
        - Input: :math:`(*, H_{in})`; with ``mode="sample"`` :math:`(N, *, H_{in})`.
        - Output: :math:`(*, H_{out})`.

    Raises:
        ValueError: if ``p`` is outside [0, 1] or ``mode`` is another word.
        TypeError: if ``p`` is not a number.

    Example:
        >>> layer = DropConnectLinear(4, 2, p=0.5)
        >>> list(layer.state_dict())
        ['weight', 'bias']
        >>> layer(torch.ones(3, 4)).shape
        torch.Size([3, 2])
        >>> plain = nn.Linear(4, 2)
        >>> DropConnectLinear.from_module(plain, 0.5).weight is plain.weight
        True

    References:
        Wan, Zeiler, Zhang, LeCun, Fergus (2013), *Regularization of Neural Networks using
        DropConnect*, equation 2 and algorithm 2, https://proceedings.mlr.press/v28/wan13.html
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        p: float = 0.5,
        mode: str = "batch",
        *,
        inference: str = "mean",
        activation: Callable[[Tensor], Tensor] = torch.relu,
        samples: int = 100,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, device=device, dtype=dtype)
        self.p = p
        self.mode = check_choice("mode", mode, ("batch", "sample"))
        self.inference = check_choice("inference", inference, ("mean", "gaussian"))
        self.activation = activation
        self.samples = check_count("samples", samples)

    @classmethod
    def from_module(cls, module: nn.Module, rate: float, **options: Any) -> Self:
        """Return a layer with the very parameters of the linear layer ``module``.

        Args:
            module: an ``nn.Linear``.
            rate: the rate, in [0, 1].
            **options: ``mode``, ``inference``, ``activation``, ``samples``.

        Raises:
            TypeError: if ``module`` is not exactly an ``nn.Linear``: a subclass may compute more.
        """
        source = require_class(cls, module, nn.Linear)
        bias = source.bias is not None
        made = cls(source.in_features, source.out_features, bias, rate, device="meta", **options)
        return share_parameters(made, source)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name
        """Apply the layer, with weights dropped in training."""
        if not self.training and self.inference == "gaussian":
            return self.expect(input, self.activation, self.samples)
        if not self._drops():
            return linear(input, self.weight, self.bias)
        if self.mode == "batch":
            return linear(input, masked_weight(self, self.weight), self.bias)
        weight = masked_weight(self, self.weight, input.shape[0])
        rows = input.reshape(input.shape[0], math.prod(input.shape[1:-1]), self.in_features)
        flipped = weight.transpose(1, 2)
        biased = self.bias is not None
        out = torch.baddbmm(self.bias, rows, flipped) if biased else torch.bmm(rows, flipped)
        return out.reshape(*input.shape[:-1], self.out_features)

    def expect(
        self, x: Tensor, activation: Callable[[Tensor], Tensor] = torch.relu, samples: int = 100
    ) -> Tensor:
        r"""Return the mean of ``activation(y)`` over masks, by the paper's moment matching.

        A sum over many dropped weights is close to a Gaussian, of mean :math:`x W^\top + b` and
        variance :math:`\frac{p}{1 - p}\, x^2 (W^2)^\top`. Its values are drawn ``samples`` times,
        which costs far less than so many masks.

        Args:
            x: the input.
            activation: the nonlinearity that follows the layer.
            samples: number of draws, at least 1.
        """
        rate = self._rate  # the tensor: the float would be burnt into compiled code
        mean = linear(x * (rate < 1.0), self.weight, self.bias)  # rate 1 leaves only the bias
        if not is_compiling() and self._p in (0.0, 1.0):  # nothing is random
            return activation(mean)
        ratio = torch.where(rate < 1.0, rate / (1.0 - rate), 0.0)
        variance = ratio * linear(x.square(), self.weight.square())
        spread = variance > 0.0  # not where a row is all zero: a root has no slope at 0
        std = torch.where(spread, variance, 1.0).sqrt() * spread
        total = torch.zeros_like(mean)
        for _ in range(samples):
            total = total + activation(torch.addcmul(mean, std, torch.randn_like(std)))
        return torch.where(ratio > 0.0, total / samples, activation(mean))

    def extra_repr(self) -> str:
        """The sizes, the rate and the mode."""
        return f"{nn.Linear.extra_repr(self)}, p={self.p:g}, mode={self.mode!r}"
