"""The part of a forward before its first random call: run once, and given back afterwards.

It is followed operator by operator, so no model needs to be cut in two. What makes it unsafe is
noticed, and then every sample is a forward of its own.
"""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten
from torch.utils.flop_counter import flop_registry

Operator = Any  # torch._ops.OpOverload, whose module is private
Shape = tuple[tuple[int, ...], tuple[int, ...]]

_DETACH = torch.ops.aten.detach.default


class UnlikeBeforeError(RuntimeError):
    """A forward took another way than the recorded one: its beginning cannot be given back."""


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
        largest: number of elements of the largest tensor that the rest has made.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.steps: list[Step] = []
        self.draws: list[int] = []
        self.safe = True
        self.flops = [0, 0]
        self.largest = 0
        self._alive: list[list[weakref.ref[Tensor] | None]] = []
        self._storages: set[int] = set()

    def __torch_dispatch__(
        self, func: Operator, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        random = torch.Tag.nondeterministic_seeded in func.tags
        if random and not self.draws:
            self._close()
        if self.draws or random:
            self._protect(func, args)
        result = func(*args, **kwargs)
        self._count(func, args, kwargs, result)
        if random:
            self.draws.append(sum(t.numel() for t in _tensors(result)))
        elif not self.draws:
            self._record(func, args, result)
        if self.draws:
            self.largest = max(self.largest, *(t.numel() for t in _tensors(result)), 0)
        return result

    def _record(self, func: Operator, args: tuple[Any, ...], result: Any) -> None:
        given = _tensors(args)
        step = Step(func)
        alive: list[weakref.ref[Tensor] | None] = []
        for tensor in _tensors(result):
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

    def _protect(self, func: Operator, args: tuple[Any, ...]) -> None:
        """Copy what is kept before the rest of the forward writes into it."""
        if not func._schema.is_mutable:
            return
        for argument, value in zip(func._schema.arguments, args, strict=False):
            written = argument.alias_info is not None and argument.alias_info.is_write
            if written and isinstance(value, Tensor):
                self._copy(value.untyped_storage()._cdata)

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

    def _count(self, func: Operator, args: Any, kwargs: Any, result: Any) -> None:
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.flops[bool(self.draws)] += formula(*args, **kwargs, out_val=result)
        elif any(name in func.__name__ for name in ("lstm", "gru", "rnn")):
            x, *weights = _tensors(args)
            rows = x.numel() // max(x.shape[-1], 1)
            self.flops[bool(self.draws)] += 2 * rows * sum(w.numel() for w in weights)


class Replay(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Lets a forward begin with what was recorded, in ``copies`` copies along the batch.

    Operators of the beginning are not run: they return tensors of the right shape without a
    value. Where the rest of the forward asks for one, it gets the recorded value, repeated.

    Args:
        recorder: what was recorded.
        shapes: for each step the shapes and strides that its tensors have for the copied batch.
        dims: for each step and tensor, the dimension of the batch; None for a tensor without.
        copies: number of copies.
    """

    def __init__(
        self,
        recorder: Recorder,
        shapes: Sequence[Sequence[Shape]],
        dims: Sequence[Sequence[int | None]],
        copies: int,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.steps, self.shapes, self.dims, self.copies = recorder.steps, shapes, dims, copies
        self.draws: list[int] = []
        self._next = 0
        self._blanks: dict[int, tuple[Tensor, int, int]] = {}  # id -> itself, step, which tensor
        self._filled: dict[int, Tensor] = {}

    def __torch_dispatch__(
        self, func: Operator, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._next < len(self.steps):
            step = self.steps[self._next]
            if step.operator is not func:
                if func is _DETACH and id(args[0]) in self._blanks:
                    return self._same(func(*args), args[0])
                msg = f"expected {step.operator}, got {func}"
                raise UnlikeBeforeError(msg)
            self._next += 1
            return self._given(step, self._next - 1, args)
        args, kwargs = tree_map(self._fill, (args, kwargs))
        result = func(*args, **kwargs)
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.draws.append(sum(t.numel() for t in _tensors(result)))
        return result

    def _given(self, step: Step, number: int, args: tuple[Any, ...]) -> Any:
        given = _tensors(args)
        leaves, spec = tree_flatten(step.result)
        index = 0
        for place, leaf in enumerate(leaves):
            if leaf is not _FORGOTTEN:
                continue
            alias = step.alias[index]
            leaves[place] = self._blank(number, index) if alias is None else given[alias]
            index += 1
        return tree_unflatten(leaves, spec)

    def _blank(self, number: int, index: int) -> Tensor:
        dtype, device = self.steps[number].likes[index]
        shape, strides = self.shapes[number][index]
        blank = torch.empty_strided(shape, strides, dtype=dtype, device=device)
        self._blanks[id(blank)] = (blank, number, index)
        return blank

    def _same(self, result: Tensor, blank: Tensor) -> Tensor:
        """Let a tensor stand for another: a factory's result is detached once it is held here."""
        _, number, index = self._blanks[id(blank)]
        self._blanks[id(result)] = (result, number, index)
        return result

    def _fill(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or id(value) not in self._blanks:
            return value
        if id(value) not in self._filled:
            _, number, index = self._blanks[id(value)]
            kept = self.steps[number].kept[index]
            if kept is None:
                msg = f"a value of step {number} is asked for again"
                raise UnlikeBeforeError(msg)
            self._filled[id(value)] = repeated(kept, self.dims[number][index], self.copies)
        return self._filled[id(value)]


def repeated(tensor: Tensor, dim: int | None, copies: int) -> Tensor:
    """Return a tensor with its batch repeated; always a copy, which may be written into."""
    if dim is None or copies == 1:
        return tensor.clone()
    return tensor.repeat(*(copies if d == dim else 1 for d in range(tensor.dim())))


_FORGOTTEN = object()


def _forget(value: Any) -> Any:
    return _FORGOTTEN if isinstance(value, Tensor) else value


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_flatten(value)[0] if isinstance(leaf, Tensor)]
