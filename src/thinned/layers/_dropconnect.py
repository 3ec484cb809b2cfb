"""Dropout of weights (Wan 2013)."""

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn.functional import dropout, linear

from thinned._checks import check_choice
from thinned.layers._rate import RateLayer, compiled_keep


class WeightMask(RateLayer):
    """What layers share that drop weights: the mask, and taking over another layer's parameters."""

    def _masked(self, weight: Tensor, batch: int | None = None) -> Tensor:
        """Return ``weight`` with entries dropped, for each of ``batch`` samples where given."""
        if batch is not None:
            weight = weight.expand(batch, *weight.shape)
        if is_compiling():
            keep, scale = compiled_keep(self._rate, weight.shape, weight.device)
            return torch.where(keep, weight * scale, 0.0)
        return dropout(weight, self._p, training=True)

    def _drops(self) -> bool:
        return self.training and (is_compiling() or self._p > 0.0)

    def share(self, module: nn.Module) -> Self:
        """Take the very parameters and buffers of ``module``, and its mode; return self."""
        for name, parameter in module.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, buffer in module.named_buffers(recurse=False):
            self._buffers[name] = buffer
        return self.adopt(module)


class DropConnectLinear(WeightMask, nn.Linear):
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
        DropConnect*, equation 2, https://proceedings.mlr.press/v28/wan13.html
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        p: float = 0.5,
        mode: str = "batch",
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, device=device, dtype=dtype)
        self.p = p
        self.mode = check_choice("mode", mode, ("batch", "sample"))

    @classmethod
    def from_module(cls, module: nn.Module, rate: float, **options: Any) -> Self:
        """Return a layer with the very parameters of the linear layer ``module``.

        Args:
            module: an ``nn.Linear``.
            rate: the rate, in [0, 1].
            **options: ``mode``.

        Raises:
            TypeError: if ``module`` is not exactly an ``nn.Linear``: a subclass may compute more.
        """
        if not isinstance(module, nn.Linear) or type(module) not in (nn.Linear, cls):
            msg = f"DropConnectLinear takes the place of nn.Linear, got {type(module).__name__}."
            raise TypeError(msg)
        made = cls(
            module.in_features,
            module.out_features,
            module.bias is not None,
            rate,
            device="meta",
            **options,
        )
        return made.share(module)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name
        """Apply the layer, with weights dropped in training."""
        if not self._drops():
            return linear(input, self.weight, self.bias)
        if self.mode == "batch":
            return linear(input, self._masked(self.weight), self.bias)
        weight = self._masked(self.weight, input.shape[0])
        rows = input.reshape(input.shape[0], -1, self.in_features)
        out = torch.bmm(rows, weight.transpose(1, 2)).reshape(*input.shape[:-1], self.out_features)
        return out if self.bias is None else out + self.bias

    def extra_repr(self) -> str:
        """The sizes, the rate and the mode."""
        return f"{nn.Linear.extra_repr(self)}, p={self.p:g}, mode={self.mode!r}"
