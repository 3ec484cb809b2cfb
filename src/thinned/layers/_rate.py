"""The base of every layer here: it holds a rate that may change at each step, compiled or not."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn.functional import dropout

from thinned._checks import check_rate
from thinned.layers._transforms import under_transform


class RateLayer(nn.Module):
    """A module with a rate ``p`` that can be set at any time.

    The rate lives in two places that never differ. Eager code uses the Python float: the same
    kernels and the same random stream as ``torch.nn.functional.dropout``. Compiled code reads a
    0-dim tensor: a Python float would be burnt into the graph, and eight new values later
    ``torch.compile`` would silently run the model eagerly.

    The tensor is a plain attribute, not a buffer, and a new rate is a new tensor: a graph may have
    saved the old one for its backward, where writing into it (as DDP does to buffers at each
    forward) would be an error. So it is also in no ``state_dict`` and in no average of weights.

    Subclasses say ``self.p = p`` in ``__init__``, after ``super().__init__()``. They may stand
    before a class of torch (``class Dropout(RateLayer, nn.Dropout)``).
    """

    kind: ClassVar[str] = "dropout"
    _p: float
    _rate: Tensor

    @property
    def p(self) -> float:
        """The rate, the probability that a unit is dropped, in [0, 1]."""
        return self._p

    @p.setter
    def p(self, value: float) -> None:
        self._p = check_rate("p", value)
        held = self.__dict__.get("_rate")
        self._rate = _rate_tensor(self._p, None if held is None else held.device)

    @classmethod
    def from_module(cls, module: nn.Module, rate: float, **options: Any) -> nn.Module:
        """Return a layer of this variant that can take the place of ``module``.

        Args:
            module: the module whose place it takes. Mode (training or evaluation) and device are
                carried over.
            rate: the new rate, in [0, 1].
            **options: the keyword arguments of this class.

        Raises:
            TypeError: if this variant cannot stand in for ``module``; the message says why.
        """
        require_dropout_like(cls, module)
        return cls(rate, **options).adopt(module)

    def adopt(self, module: nn.Module) -> Self:
        """Take over the mode and the device of ``module``, and return self."""
        self.training = module.training  # not of the parts, which may be frozen
        for tensor in (*module.parameters(), *module.buffers()):
            self._rate = _rate_tensor(self._p, tensor.device)
            break
        return self

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        # The rate follows to another device only. Made anew from the float, it is not rounded by
        # ``.half()``, nor left undefined by ``to_empty()`` after a build on the meta device.
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch's is untyped
        self._rate = _rate_tensor(self._p, fn(self._rate).device)
        return self

    def extra_repr(self) -> str:
        """The rate, as ``nn.Dropout`` shows it."""
        return f"p={self.p:g}"

    def _drops(self) -> bool:
        """Whether to draw a mask: compiled code must not ask for the float, see above."""
        return self.training and (is_compiling() or self._p > 0.0)

    def _noise(self, like: Tensor, shape: Sequence[int]) -> Tensor:
        """Draw a mask to multiply with: 0 with probability ``p``, else 1 / (1 - p)."""
        if is_compiling():
            keep, scale = compiled_keep(self._rate, shape, like.device)
            return torch.where(keep, scale, 0.0).to(like.dtype)
        if self._p == 1.0 or under_transform():  # vmap knows no in-place draw
            return dropout(like.new_ones(shape), self._p, training=True)
        kept = 1.0 - self._p
        return like.new_empty(shape).bernoulli_(kept).div_(kept)

    def _keep(self, like: Tensor, shape: Sequence[int]) -> Tensor:
        """Draw a boolean mask: False with probability ``p``."""
        if is_compiling():
            return compiled_keep(self._rate, shape, like.device)[0]
        return torch.rand(shape, device=like.device) >= self._p


def compiled_keep(
    rate: Tensor, shape: Sequence[int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return what is kept, and the factor 1 / (1 - rate), which is 0 where the rate is 1.

    Uniform numbers lie in [0, 1), so rate 0 keeps everything and rate 1 nothing, exactly. They are
    drawn in float32 whatever the layer's dtype: bfloat16 knows only 256 numbers in [0.5, 1).
    """
    scale = torch.where(rate < 1.0, 1.0 / (1.0 - rate), 0.0)
    return ~compiled_draw(rate, shape, device), scale


def compiled_draw(rate: Tensor, shape: Sequence[int], device: torch.device) -> Tensor:
    """Draw booleans, each true with probability ``rate``, in compiled code."""
    if device.type == "cpu":  # torch's kernel is three times as fast as inductor's loop of Philox
        return torch.empty(shape, dtype=torch.bool).bernoulli_(rate)
    return torch.rand(shape, device=device) < rate


def require_dropout_like(cls: type, module: nn.Module) -> None:
    """Raise unless ``module`` is elementwise or channel dropout, which any noise may replace."""
    if isinstance(module, nn.modules.dropout._DropoutNd) or (
        isinstance(module, RateLayer) and not list(module.parameters())
    ):
        return
    msg = (
        f"{cls.__name__} takes the place of a dropout module such as nn.Dropout, got "
        f"{type(module).__name__}. Swap a dropout module, or insert this variant where none is."
    )
    raise TypeError(msg)


def _rate_tensor(rate: float, device: torch.device | None = None) -> Tensor:
    with torch.inference_mode(mode=False):  # else it could not be set outside of inference mode
        return torch.full((), rate, dtype=torch.float32, device=device)
