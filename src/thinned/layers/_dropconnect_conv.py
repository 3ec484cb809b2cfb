"""Dropout of the weights of convolutions (Wan 2013)."""

from typing import Any, ClassVar, Self

from torch import Tensor, nn

from thinned.layers._dropconnect import masked_weight
from thinned.layers._rate import RateLayer
from thinned.layers._sharing import require_class, share_parameters


class _DropConnectConv(RateLayer, nn.modules.conv._ConvNd):
    """What the three convolutions share; the class of torch is the next base of each."""

    plain: ClassVar[type[nn.modules.conv._ConvNd]]

    def __init__(self, *args: Any, p: float = 0.5, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.p = p

    @classmethod
    def from_module(cls, module: nn.Module, rate: float, **options: Any) -> Self:
        """Return a layer with the very parameters of the convolution ``module``.

        Args:
            module: a convolution of torch, of the same number of axes.
            rate: the rate, in [0, 1].
            **options: none so far.

        Raises:
            TypeError: if ``module`` is not exactly torch's class: a subclass may compute more.
        """
        source = require_class(cls, module, cls.plain)
        made = cls(
            source.in_channels,
            source.out_channels,
            source.kernel_size,
            source.stride,
            source.padding,
            source.dilation,
            source.groups,
            source.bias is not None,
            source.padding_mode,
            p=rate,
            device="meta",
            **options,
        )
        return share_parameters(made, source)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name
        """Convolve, with weights dropped in training."""
        weight = masked_weight(self, self.weight) if self._drops() else self.weight
        return self._conv_forward(input, weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes and the rate."""
        sizes = super(RateLayer, self).extra_repr()  # type: ignore[no-untyped-call]  # torch's
        return f"{sizes}, p={self.p:g}"


class DropConnectConv1d(_DropConnectConv, nn.Conv1d):
    """A 1d convolution whose weights are dropped.

    As :class:`DropConnectConv2d`, for ``nn.Conv1d``.

    Example:
        >>> import torch
        >>> layer = DropConnectConv1d(3, 8, kernel_size=3, p=0.2)
        >>> layer(torch.ones(2, 3, 10)).shape
        torch.Size([2, 8, 8])
    """

    plain = nn.Conv1d


class DropConnectConv2d(_DropConnectConv, nn.Conv2d):
    r"""A 2d convolution whose weights are dropped.

    .. math:: y = x * (W \odot M) / (1 - p) + b, \quad M \sim \mathrm{Bernoulli}(1 - p)

    In training each weight is zeroed with probability ``p``, at all positions and for all samples,
    and the others are scaled; the bias is kept. In evaluation it is ``nn.Conv2d``. ``weight``
    itself is never written. Saved for backward: the masked weight and its mask.

    Args:
        *args: as in ``nn.Conv2d``.
        p: the rate, in [0, 1].
        **kwargs: as in ``nn.Conv2d``.

    Shape:
        - Input: :math:`(N, C_{in}, H, W)`.
        - Output: :math:`(N, C_{out}, H_{out}, W_{out})`.

    Raises:
        ValueError: if ``p`` is outside [0, 1].
        TypeError: if ``p`` is not a number.

    Example:
        >>> plain = nn.Conv2d(3, 8, kernel_size=3)
        >>> DropConnectConv2d.from_module(plain, 0.2).weight is plain.weight
        True

    References:
        Wan, Zeiler, Zhang, LeCun, Fergus (2013), *Regularization of Neural Networks using
        DropConnect*, equation 2, https://proceedings.mlr.press/v28/wan13.html
    """

    plain = nn.Conv2d


class DropConnectConv3d(_DropConnectConv, nn.Conv3d):
    """A 3d convolution whose weights are dropped.

    As :class:`DropConnectConv2d`, for ``nn.Conv3d``.

    Example:
        >>> import torch
        >>> layer = DropConnectConv3d(1, 2, kernel_size=3, p=0.2)
        >>> layer(torch.ones(1, 1, 4, 4, 4)).shape
        torch.Size([1, 2, 2, 2, 2])
    """

    plain = nn.Conv3d
