"""The base of every layer here: it holds a rate that may change at each step, compiled or not."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn.functional import dropout

from thinned._checks import check_rate
from thinned.layers._transforms import under_transform


class HeldRate:
    """A rate as a float and as a tensor; layers that are set together hold the same one.

    Args:
        rate: the rate, in [0, 1].
        device: of the tensor.

    Attributes:
        left: whether a layer that held it has got another one.
    """

    def __init__(self, rate: float, device: torch.device | None = None) -> None:
        self.left = False
        self.set(rate, device)

    def set(self, rate: float, device: torch.device | None) -> None:
        """Take another checked rate."""
        self.rate = rate
        self.tensor = rate_tensor(rate, device)


class RateLayer(nn.Module):
    """A module with a rate ``p`` that can be set at any time.

    The rate lives in two places that never differ. Eager code uses the Python float: the same
    kernels and the same random stream as ``torch.nn.functional.dropout``. Compiled code reads a
    0-dim tensor: a Python float would be burnt into the graph, and eight new values later
    ``torch.compile`` would silently run the model eagerly.

    Both are in a ``HeldRate``, which the layers of a group share: one write sets them all.
    Each has its share of that rate (see ``_many.py``); without a depth profile, all of it.

    The tensor is a plain attribute, not a buffer, and a new rate is a new tensor: a graph may have
    saved the old one for its backward, where writing into it (as DDP does to buffers at each
    forward) would be an error. So it is also in no ``state_dict`` and in no average of weights.

    A layer whose rate is learned says ``learned``: what it holds is not what it was set to.

    Subclasses say ``self.p = p`` in ``__init__``, after ``super().__init__()``. They may stand
    before a class of torch (``class Dropout(RateLayer, nn.Dropout)``).
    """

    kind: ClassVar[str] = "dropout"
    learned: ClassVar[bool] = False
    _held: HeldRate
    _share: float
    _share_tensor: Tensor | None

    @property
    def p(self) -> float:
        """The rate, the probability that a unit is dropped, in [0, 1]."""
        return self._held.rate * self._share

    @p.setter
    def p(self, value: float) -> None:
        held = self.__dict__.get("_held")
        self._hold(check_rate("p", value), None if held is None else held.tensor.device)

    @property
    def _p(self) -> float:
        """The rate for eager code, even where a subclass has made ``p`` its own."""
        return self._held.rate * self._share

    @property
    def _rate(self) -> Tensor:
        """The rate for compiled code."""
        rate = self._held.tensor
        return rate if self._share_tensor is None else rate * self._share_tensor

    def _hold(self, rate: float, device: torch.device | None) -> None:
        """Hold a rate alone."""
        if (held := self.__dict__.get("_held")) is not None:
            held.left = True
        self._held, self._share = HeldRate(rate, device), 1.0
        # One that had a share keeps one, for compiled code would be compiled anew without it.
        had = self.__dict__.get("_share_tensor") is not None
        self._share_tensor = rate_tensor(1.0, device) if had else None

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
            self._hold(self._p, tensor.device)
            break
        return self

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        # The rate follows to another device only. Made anew from the float, it is not rounded by
        # ``.half()``, nor left undefined by ``to_empty()`` after a build on the meta device.
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch's is untyped
        self._hold(self._p, fn(self._held.tensor).device)
        return self

    def _load_from_state_dict(self, state_dict: Any, prefix: str, meta: Any, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, meta, *args)
        # Weights that are assigned to a layer moved to the meta device do not take the rate along.
        if self._held.tensor.is_meta and meta.get("assign_to_params_buffers"):
            self._hold(self._p, torch.device("cpu"))

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


def rate_tensor(rate: float, device: torch.device | None = None) -> Tensor:
    """Return a rate as a 0-dim tensor that compiled code can read.

    Without a device it is never made on the meta device, from where it would not follow weights
    that are put in place later: a 0-dim tensor on the CPU works anywhere.
    """
    if torch.is_inference_mode_enabled():  # where it could not be set outside of it
        with torch.inference_mode(mode=False):
            return rate_tensor(rate, device)
    made = torch.full((), rate, dtype=torch.float32, device=device)
    return rate_tensor(rate, torch.device("cpu")) if device is None and made.is_meta else made
