"""The part of a forward before its first random call: followed, and kept for the next ones.

It is followed operator by operator, so no model needs to be cut in two. What makes it unsafe is
noticed, and then every sample is a forward of its own.
"""

import functools
import random
import sys
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import flop_registry

from thinned.uncertainty._forwards.rows import tensors

Operator = Any  # torch._ops.OpOverload, whose module is private
Shape = tuple[tuple[int, ...], tuple[int, ...]]

DETACH = torch.ops.aten.detach.default  # what a factory returns, if a mode holds it, is detached

# These read a tensor's memory and are no operators, so a tensor without values would be read.
_PEEKS = {Tensor.numpy, Tensor.tolist, Tensor.__array__, Tensor.data_ptr, Tensor.untyped_storage}


@dataclass
class Step:
    """One operator of the beginning.

    Attributes:
        operator: what was called.
        result: what it returned, with a mark in the place of each tensor.
        shapes: shape and strides of each of these tensors.
        likes: dtype and device of each.
        alias: the index of the argument that the tensor is (in-place operators), else None.
        kept: the tensor itself where the rest of the forward may ask for it.
    """

    operator: Operator
    result: Any = None
    shapes: list[Shape] = field(default_factory=list)
    likes: list[tuple[torch.dtype, torch.device]] = field(default_factory=list)
    alias: list[int | None] = field(default_factory=list)
    kept: list[Tensor | None] = field(default_factory=list)


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Follows a forward and keeps what its beginning has computed.

    Attributes:
        steps: the beginning, up to the first random call.
        draws: number of elements of each random call.
        safe: whether the kept values can be given back to another forward.
        flops: multiply-adds of the beginning and of the rest, as torch's counter sees them.
        operators: all that were called.
        largest: number of elements of the largest tensor that the rest has made.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.steps: list[Step] = []
        self.draws: list[int] = []
        self.safe = True
        self.flops = [0, 0]
        self.operators: list[Operator] = []
        self.largest = 0
        self._others = _state_of_others()
        self._alive: list[list[weakref.ref[Tensor] | None]] = []
        self._storages: set[int] = set()
        self._made: set[int] = set()

    def __torch_dispatch__(
        self, func: Operator, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if is_composite(func):
            with self:
                return func.decompose(*args, **kwargs)
        self.operators.append(func)
        drawn = is_random(func, args, kwargs)
        if drawn and not self.draws:
            self._close()
        if func._schema.is_mutable:
            self._note_writes(func, args, protect=bool(self.draws) or drawn)
        result = func(*args, **kwargs)
        self.flops[bool(self.draws)] += flops_of(func, args, kwargs, result)
        if drawn:
            self.draws.append(sum(t.numel() for t in tensors(result)))
        elif not self.draws:
            self._record(func, args, result)
        for tensor in tensors(result):
            self._made.add(tensor.untyped_storage()._cdata)
            if self.draws:
                self.largest = max(self.largest, tensor.numel())
        return result

    def __exit__(self, *error: object) -> None:
        """Stop following; what Python or numpy drew would be given back as well: not safe."""
        super().__exit__(*error)  # type: ignore[no-untyped-call]  # as above
        self.safe = self.safe and _state_of_others() == self._others

    def _record(self, func: Operator, args: tuple[Any, ...], result: Any) -> None:
        given = tensors(args)
        step = Step(func)
        alive: list[weakref.ref[Tensor] | None] = []
        for tensor in tensors(result):
            step.shapes.append((tuple(tensor.shape), tensor.stride()))
            step.likes.append((tensor.dtype, tensor.device))
            step.alias.append(next((i for i, each in enumerate(given) if each is tensor), None))
            alive.append(weakref.ref(tensor))
        step.result = result if not step.shapes else tree_map(_forget, result)
        self.steps.append(step)
        self._alive.append(alive)

    def _close(self) -> None:
        """Keep what is still alive at the first random call: nothing else can be asked for."""
        for step, alive in zip(self.steps, self._alive, strict=True):
            step.kept = [None if ref is None else ref() for ref in alive]
            for tensor in step.kept:
                if tensor is not None:
                    self._storages.add(tensor.untyped_storage()._cdata)
        self._alive = []

    def _note_writes(self, func: Operator, args: tuple[Any, ...], *, protect: bool) -> None:
        """Copy what is kept before it is written into; notice a forward that writes elsewhere."""
        for argument, value in zip(func._schema.arguments, args, strict=False):
            written = argument.alias_info is not None and argument.alias_info.is_write
            if written and isinstance(value, Tensor):
                storage = value.untyped_storage()._cdata
                self.safe = self.safe and storage in self._made  # a buffer, say, or the input
                if protect:
                    self._copy(storage)

    def _copy(self, storage: int) -> None:
        if storage not in self._storages:
            return
        self._storages.discard(storage)
        shared = 0
        for step in self.steps:
            for index, tensor in enumerate(step.kept):
                if tensor is not None and tensor.untyped_storage()._cdata == storage:
                    step.kept[index] = tensor.clone()
                    shared += step.alias[index] is None
        self.safe = self.safe and shared <= 1  # a write into one view would miss the others


def flops_of(func: Operator, args: Any, kwargs: Any, result: Any) -> int:
    """Return the multiply-adds of an operator, as torch's counter sees them."""
    formula = flop_registry.get(func.overloadpacket)
    if formula is not None:
        return int(formula(*args, **kwargs, out_val=result))
    if any(name in func.__name__ for name in ("lstm", "gru", "rnn")):
        x, *weights = tensors(args)
        rows = x.numel() // max(x.shape[-1], 1)
        return 2 * rows * sum(w.numel() for w in weights)
    return 0


class Peeks(TorchFunctionMode):
    """Notices who reads a tensor's memory beside the operators: not safe to give back."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in _PEEKS:
            self.recorder.safe = False
        return func(*args, **(kwargs or {}))


FORGOTTEN = object()


def _forget(value: Any) -> Any:
    return FORGOTTEN if isinstance(value, Tensor) else value


def is_random(func: Operator, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Say whether a call draws random numbers: attention at rate 0 does not."""
    if not _may_be_random(func):
        return False
    place = _place_of_rate(func)
    if place is None:
        return True
    rate = args[place] if place < len(args) else kwargs.get("dropout_p", 0.0)
    return bool(rate != 0.0)


@functools.cache
def _may_be_random(func: Operator) -> bool:
    return torch.Tag.nondeterministic_seeded in func.tags


@functools.cache
def _place_of_rate(func: Operator) -> int | None:
    names = [argument.name for argument in func._schema.arguments]
    return names.index("dropout_p") if "dropout_p" in names else None


def is_composite(func: Operator) -> bool:
    """Say whether an operator is still to be taken apart: in inference mode nobody has done it."""
    return torch.is_inference_mode_enabled() and func._can_decompose()


def _state_of_others() -> tuple[Any, ...]:
    numpy: Any = sys.modules.get("numpy")
    state = numpy.random.get_state() if numpy else ()
    return random.getstate(), tuple(bytes(v) if hasattr(v, "tobytes") else v for v in state)
