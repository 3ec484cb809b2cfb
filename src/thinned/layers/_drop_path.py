"""Stochastic depth on a residual branch, before it is added (Huang 2016)."""

from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from thinned._checks import check_choice
from thinned.layers._rate import RateLayer

_RATE_OF = ("p", "drop_prob")  # torchvision; timm and Hugging Face


class DropPath(RateLayer):
    r"""Drop a residual branch, for each sample or for the whole batch.

    .. math:: y = x + \frac{m}{1 - p}\, \mathrm{branch}(x), \quad m \sim \mathrm{Bernoulli}(1 - p)

    This layer is what stands on the branch: it multiplies by :math:`m / (1 - p)`. In evaluation it
    is the identity. It is what timm calls ``DropPath`` and torchvision ``StochasticDepth``, and
    takes the place of both. Saved for backward: one number a sample.

    Args:
        p: the rate, in [0, 1].
        mode: ``"row"`` draws for each sample, ``"batch"`` once for all.
        scale_by_keep: divide by 1 - p, so that the mean stays.

    Shape:
        - Input: :math:`(N, *)`.
        - Output: as the input.

    Raises:
        ValueError: if ``p`` is outside [0, 1] or ``mode`` is another word.
        TypeError: if ``p`` is not a number.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> DropPath(0.5)(torch.ones(4, 3))
        tensor([[0., 0., 0.],
                [0., 0., 0.],
                [2., 2., 2.],
                [0., 0., 0.]])

    References:
        Huang, Sun, Liu, Sedra, Weinberger (2016), *Deep Networks with Stochastic Depth*, equation
        2, https://arxiv.org/abs/1603.09382
    """

    kind: ClassVar[str] = "drop_path"

    def __init__(self, p: float = 0.1, mode: str = "row", *, scale_by_keep: bool = True) -> None:
        super().__init__()
        self.p = p
        self.mode = check_choice("mode", mode, ("row", "batch"))
        self.scale_by_keep = scale_by_keep

    @classmethod
    def from_module(cls, module: nn.Module, rate: float, **options: Any) -> Self:
        """Return a layer that can take the place of ``module``, a library's own drop path.

        Args:
            module: timm's, torchvision's or a Hugging Face drop path, or an ``nn.Identity`` where a
                library built with rate 0.
            rate: the new rate, in [0, 1].
            **options: ``mode`` and ``scale_by_keep``; by default as in ``module``.

        Raises:
            TypeError: if ``module`` has parameters, or no rate of its own.
        """
        identity = type(module) is nn.Identity
        if not identity and (
            list(module.parameters()) or not any(hasattr(module, name) for name in _RATE_OF)
        ):
            msg = (
                f"DropPath takes the place of a library's drop path or of an nn.Identity, got "
                f"{type(module).__name__}. To drop a whole block use StochasticDepth."
            )
            raise TypeError(msg)
        own = {
            name: getattr(module, name)
            for name in ("mode", "scale_by_keep")
            if hasattr(module, name)
        }
        return cls(rate, **{**own, **options}).adopt(module)

    def forward(self, x: Tensor) -> Tensor:
        """Drop the branch ``x`` in training."""
        if not self._drops():
            return x
        shape = [x.shape[0] if self.mode == "row" else 1, *[1] * (x.dim() - 1)]
        if self.scale_by_keep:
            return x * self._noise(x, shape)
        return torch.where(self._keep(x, shape), x, 0.0)

    def extra_repr(self) -> str:
        """The rate and the mode."""
        scale = "" if self.scale_by_keep else ", scale_by_keep=False"
        return f"p={self.p:g}, mode={self.mode!r}{scale}"
