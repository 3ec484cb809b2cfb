"""Dropout of whole channels (Tompson 2015)."""

from collections.abc import Iterable
from typing import Any, Self

from torch import Tensor, nn

from thinned.layers._axes import require_channel_dim
from thinned.layers._rate import RateLayer, require_dropout_like


class SpatialDropout(RateLayer):
    r"""Drop whole channels, over all positions.

    .. math:: y_{n,c,s} = x_{n,c,s}\, m_{n,c} / (1 - p), \quad
        m_{n,c} \sim \mathrm{Bernoulli}(1 - p)

    Neighbouring positions of a feature map are alike, so dropping single elements of it takes away
    little. In training each channel of each sample is zeroed with probability ``p`` and the others
    are scaled; in evaluation it is the identity. With ``channel_dim=1`` it is
    ``torch.nn.Dropout2d`` to the bit, for any number of spatial axes. Saved for backward: one
    number a channel.

    Args:
        p: the rate, in [0, 1].
        channel_dim: the axis of the channels: 1 for ``(N, C, *)``, -1 for tokens (N, T, C) or
            images in (N, H, W, C). It is never guessed from the number of axes.
        batch_dim: the axis of the samples: 0, or 1 for sequences in (T, N, C).

    Shape:
        - Input: any shape that has both axes, such as :math:`(N, C, *)`.
        - Output: as the input.

    Raises:
        ValueError: if ``p`` is outside [0, 1], or the two axes are one.
        TypeError: if ``p`` is not a number.

    Example:
        >>> import torch
        >>> layer = SpatialDropout(0.5)
        >>> _ = torch.manual_seed(0)
        >>> layer(torch.ones(1, 4, 2, 2)).amax(dim=(2, 3))
        tensor([[0., 0., 2., 0.]])
        >>> tokens = SpatialDropout(0.5, channel_dim=-1)(torch.ones(1, 3, 100))
        >>> bool((tokens[0, 0] == tokens[0, 1]).all())
        True

    References:
        Tompson, Goroshin, Jain, LeCun, Bregler (2015), *Efficient Object Localization Using
        Convolutional Networks*, section 3.2, https://arxiv.org/abs/1411.4280
    """

    def __init__(self, p: float = 0.5, channel_dim: int = 1, batch_dim: int = 0) -> None:
        super().__init__()
        if channel_dim == batch_dim:
            msg = f"Expected `channel_dim` and `batch_dim` to differ, got {channel_dim} for both."
            raise ValueError(msg)
        self.p = p
        self.channel_dim = channel_dim
        self.batch_dim = batch_dim

    @classmethod
    def from_module(
        cls,
        module: nn.Module,
        rate: float,
        *,
        neighbours: Iterable[nn.Module] = (),
        **options: Any,
    ) -> Self:
        """Return a layer that can take the place of the dropout ``module``.

        Args:
            module: a dropout module.
            rate: the new rate, in [0, 1].
            neighbours: the layers before and after. Where ``channel_dim`` is not given, ``module``
                itself (``nn.Dropout2d``) or they must show where the channels are.
            **options: ``channel_dim`` and ``batch_dim``. Where ``batch_dim`` is not given, it is
                that of ``module`` if it has one.

        Raises:
            TypeError: if ``module`` is no dropout.
            ValueError: if nothing shows which axis holds the channels.
        """
        require_dropout_like(cls, module)
        if "channel_dim" not in options:
            options["channel_dim"] = require_channel_dim(cls.__name__, module, neighbours)
        if isinstance(own := getattr(module, "batch_dim", None), int):
            options.setdefault("batch_dim", own)
        return cls(rate, **options).adopt(module)

    def forward(self, x: Tensor) -> Tensor:
        """Drop channels of ``x`` in training."""
        if not self._drops():
            return x
        shape = [1] * x.dim()
        for dim in (self.batch_dim, self.channel_dim):
            shape[dim] = x.shape[dim]
        return x * self._noise(x, shape)

    def extra_repr(self) -> str:
        """The rate and the axes."""
        batch = f", batch_dim={self.batch_dim}" if self.batch_dim else ""
        return f"p={self.p:g}, channel_dim={self.channel_dim}{batch}"
