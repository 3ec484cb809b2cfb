"""Dropout of contiguous blocks of a feature map (Ghiasi 2018)."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling

from thinned._checks import check_choice, check_count
from thinned.layers._axes import require_channel_dim
from thinned.layers._rate import RateLayer, compiled_draw, require_dropout_like
from thinned.layers._transforms import under_transform


class _DropBlock(RateLayer):
    """What the three layers share; they differ in the number of spatial axes."""

    kind: ClassVar[str] = "drop_block"
    spatial: ClassVar[int]

    def __init__(
        self,
        p: float = 0.1,
        block_size: int = 7,
        *,
        per_channel: bool = True,
        gamma: str = "exact",
    ) -> None:
        super().__init__()
        self.p = p
        self.block_size = check_count("block_size", block_size)
        self.per_channel = per_channel
        self.gamma = check_choice("gamma", gamma, ("exact", "paper"))

    @classmethod
    def from_module(
        cls,
        module: nn.Module,
        rate: float,
        *,
        neighbours: Iterable[nn.Module] = (),
        **options: Any,
    ) -> Self:
        """Return a layer that can take the place of ``module``.

        Args:
            module: a dropout module, or timm's or torchvision's own drop block, whose block size is
                taken over.
            rate: the new rate, in [0, 1].
            neighbours: the layers before and after. Where ``module`` is no channel dropout or drop
                block itself, they must show feature maps of shape (N, C, ...).
            **options: ``block_size``, ``per_channel``, ``gamma``.

        Raises:
            TypeError: if ``module`` is no dropout.
            ValueError: if channels come last, or nothing shows where they are.
        """
        size = getattr(module, "block_size", None)
        if isinstance(size, int):
            options.setdefault("block_size", size)
            return cls(rate, **options).adopt(module)
        require_dropout_like(cls, module)
        if require_channel_dim(cls.__name__, module, neighbours) != 1:
            msg = (
                f"{cls.__name__} needs channels at axis 1, and here they come last: take 'spatial'."
            )
            raise ValueError(msg)
        return cls(rate, **options).adopt(module)

    def forward(self, x: Tensor) -> Tensor:
        """Drop blocks of ``x`` in training."""
        if not self._drops():
            return x
        self._check_axes(x)
        hit = self._hit(x).to(torch.float32)
        scale = hit.numel() / (hit.numel() - hit.sum()).clamp_min(1.0)
        noise = (hit * -scale).add_(scale)  # 0 where hit, exactly: -s + s
        return x * noise.to(x.dtype)

    def _hit(self, x: Tensor) -> Tensor:
        """Draw which positions lie in a block: nonzero bytes of shape (N, C or 1, ...)."""
        sizes = x.shape[2:]
        blocks = [min(self.block_size, size) for size in sizes]
        channels = x.shape[1] if self.per_channel else 1
        # A block is known by its last corner, which may lie outside of the map by one block less 1.
        grid = [x.shape[0], channels, *(s + b - 1 for s, b in zip(sizes, blocks, strict=True))]
        if self.gamma == "paper":
            inside = [s - b + 1 for s, b in zip(sizes, blocks, strict=True)]
            ratio = math.prod(sizes) / math.prod(blocks) / math.prod(inside)
            hit = x.new_zeros(grid, dtype=torch.uint8)
            corner = hit
            for dim, (block, room) in enumerate(zip(blocks, inside, strict=True), start=2):
                corner = corner.narrow(dim, block - 1, room)
            corner.copy_(self._seeds(x, corner.shape, ratio=ratio))
        else:
            hit = self._seeds(x, grid, volume=math.prod(blocks))
        return _opaque_spread(hit, blocks) if is_compiling() else _spread(hit, blocks)

    def _seeds(
        self, x: Tensor, shape: Sequence[int], *, volume: int = 1, ratio: float = 0.0
    ) -> Tensor:
        """Draw the corners of blocks, each with probability gamma."""
        if is_compiling():
            rate = self._rate
            paper = (rate * ratio).clamp_max(1.0)
            gamma = paper if ratio else -torch.expm1(torch.log1p(-rate) / volume)
            return compiled_draw(gamma, shape, x.device).to(torch.uint8)
        exact = 1.0 - (1.0 - self._p) ** (1.0 / volume)
        gamma_now = min(1.0, self._p * ratio) if ratio else exact
        if x.device.type != "cpu" or gamma_now > 0.25 or under_transform():
            return (torch.rand(shape, device=x.device) < gamma_now).to(torch.uint8)
        # The same distribution from few random numbers: where the number of seeds is Poisson and
        # each falls anywhere, the cells are independent, and empty with probability exp(-mean).
        seeds = torch.zeros(shape, dtype=torch.uint8)
        cells = seeds.numel()
        mean = -math.log1p(-gamma_now) * cells
        count = int(torch.poisson(torch.tensor(mean, dtype=torch.float64)))
        seeds.view(-1)[torch.randint(max(cells, 1), (count,))] = 1  # an empty batch has no cell
        return seeds

    def extra_repr(self) -> str:
        """The rate, and what a block is."""
        per = "" if self.per_channel else ", per_channel=False"
        gamma = "" if self.gamma == "exact" else f", gamma={self.gamma!r}"
        return f"p={self.p:g}, block_size={self.block_size}{per}{gamma}"

    def _check_axes(self, x: Tensor) -> None:
        if x.dim() != self.spatial + 2:
            msg = (
                f"{type(self).__name__} needs (N, C) and {self.spatial} spatial axes, got a tensor "
                f"of shape {tuple(x.shape)}. Of DropBlock1d, 2d and 3d take the one with its axes."
            )
            raise ValueError(msg)


def _spread(hit: Tensor, blocks: Sequence[int]) -> Tensor:
    """Return which positions have a seed among themselves and the ``block`` - 1 that follow."""
    for dim, block in enumerate(blocks, start=2):
        width = 1
        while width < block:
            step = min(width, block - width)
            length = hit.shape[dim] - step
            hit = hit.narrow(dim, 0, length) | hit.narrow(dim, step, length)
            width += step
    return hit


@torch.library.custom_op("thinned::spread_blocks", mutates_args=())
def _opaque_spread(hit: Tensor, blocks: list[int]) -> Tensor:
    """Do the same, closed to the compiler, which would fuse the steps and repeat them a cell."""
    return _spread(hit, blocks).clone()


@_opaque_spread.register_fake
def _(hit: Tensor, blocks: list[int]) -> Tensor:
    sizes = [size - block + 1 for size, block in zip(hit.shape[2:], blocks, strict=True)]
    return hit.new_empty([*hit.shape[:2], *sizes])


class DropBlock1d(_DropBlock):
    """Drop contiguous stretches of a signal.

    As :class:`DropBlock2d`, for inputs :math:`(N, C, L)` and stretches of ``block_size`` positions.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> layer = DropBlock1d(0.3, block_size=3)
        >>> (layer(torch.ones(1, 1, 12)) != 0).int()
        tensor([[[0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]]], dtype=torch.int32)
    """

    spatial = 1


class DropBlock2d(_DropBlock):
    r"""Drop contiguous squares of a feature map.

    .. math:: y = x \odot M \cdot \frac{\mathrm{count}(M)}{\mathrm{count\_ones}(M)}

    where :math:`M` is 0 in squares of ``block_size``, each there with probability :math:`\gamma`.
    In evaluation it is the identity. Saved for backward: the mask.

    Squares overlap, so the paper's equation 1, :math:`\gamma = \frac{p}{b^2} \frac{H W}{(H - b + 1)
    (W - b + 1)}`, drops less than ``p``: 0.39 at 0.5. The default ``gamma="exact"`` drops ``p``
    everywhere: :math:`\gamma = 1 - (1 - p)^{1 / b^2}`, and squares may reach over the border.
    ``gamma="paper"`` is the equation to the letter, with squares that lie inside.

    Args:
        p: the rate, the share of positions that is dropped, in [0, 1].
        block_size: side of a square; at most the map's own side is used.
        per_channel: draw for each channel (the paper's choice), or share the squares among them,
            which costs less.
        gamma: ``"exact"`` or ``"paper"``, see above.

    Shape:
        - Input: :math:`(N, C, H, W)`.
        - Output: as the input.

    Raises:
        ValueError: if ``p`` is outside [0, 1], or the input has another number of axes.
        TypeError: if ``p`` is not a number.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> y = DropBlock2d(0.5, block_size=7)(torch.ones(32, 64, 28, 28))
        >>> round((y == 0).float().mean().item(), 2)
        0.5
        >>> y = DropBlock2d(0.5, block_size=7, gamma="paper")(torch.ones(32, 64, 28, 28))
        >>> round((y == 0).float().mean().item(), 2)
        0.37

    References:
        Ghiasi, Lin, Le (2018), *DropBlock: A regularization method for convolutional networks*,
        algorithm 1 and equation 1, https://arxiv.org/abs/1810.12890
    """

    spatial = 2


class DropBlock3d(_DropBlock):
    """Drop contiguous cubes of a volume.

    As :class:`DropBlock2d`, for inputs :math:`(N, C, D, H, W)` and cubes of ``block_size``
    positions a side.

    Example:
        >>> layer = DropBlock3d(0.2, block_size=3).eval()
        >>> layer(torch.ones(1, 1, 4, 4, 4)).sum()
        tensor(64.)
    """

    spatial = 3
