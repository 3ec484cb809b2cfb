"""Forwards that begin with what was recorded, and go on by themselves."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from thinned.uncertainty._forwards.rows import tensors

from .flow import INPUT, UnlikeShownError
from .prefix import (
    DETACH,
    FORGOTTEN,
    Operator,
    Recorder,
    Shape,
    is_composite,
    is_random,
)


class Replay(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Lets forwards begin with what was recorded, in ``copies`` copies along the batch.

    Operators of the beginning are not run: they return tensors of the right shape without a
    value, which share one piece of memory. Where the rest of the forward asks for one, it gets the
    recorded value, repeated. One object serves many forwards, one after the other.

    Args:
        recorder: what was recorded.
        shapes: for each step the shapes and strides that its tensors have for the copied batch.
        dims: for each step and tensor, the dimension of the batch; None for a tensor without.
        copies: number of copies.

    Attributes:
        draws: number of elements of each random call of the last forward.
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
        self._inputs: list[Tensor] = []
        self._blanks: dict[int, tuple[Tensor, int, int]] = {}  # id -> itself, step, which tensor
        self._memory: dict[torch.device, torch.UntypedStorage] = {}
        self._filled: dict[tuple[int, int], Tensor] = {}
        self._written: set[tuple[int, int]] = set()

    def begin(self, x: Any) -> Any:
        """Prepare for another forward, and return what to call it with: the input in copies.

        What the last forward has written into is filled anew. An input is copied when it is asked
        for, which its beginning does not.
        """
        self.draws, self._next, self._blanks = [], 0, {}
        for key in self._written:
            del self._filled[key]
        self._written = set()
        self._inputs = [v for v in tree_flatten(x)[0] if isinstance(v, Tensor)]
        if self.copies == 1:
            return x
        return tree_map(self._stand_in, x)

    def _stand_in(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        blank = value.new_empty(len(value) * self.copies, *value.shape[1:])
        index = next(i for i, each in enumerate(self._inputs) if each is value)
        self._blanks[id(blank)] = (blank, INPUT, index)
        return blank

    def __torch_dispatch__(
        self, func: Operator, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if is_composite(func):
            with self:
                return func.decompose(*args, **(kwargs or {}))
        if self._next < len(self.steps):
            return self._given(func, args)
        args = tuple([self._fill(value) for value in args])
        kwargs = {name: self._fill(value) for name, value in (kwargs or {}).items()}
        if self._filled and func._schema.is_mutable:
            self._note_writes(func, args)
        result = func(*args, **kwargs)
        if is_random(func, args, kwargs):
            self.draws.append(sum(t.numel() for t in tensors(result)))
        return result

    def _given(self, func: Operator, args: tuple[Any, ...]) -> Any:
        """Return what the next step of the beginning returns, without running it."""
        number = self._next
        step = self.steps[number]
        if step.operator is not func:
            if func is DETACH and id(args[0]) in self._blanks:
                return self._same(func(*args), args[0])
            msg = f"expected {step.operator}, got {func}"
            raise UnlikeShownError(msg)
        self._next += 1
        given = tensors(args)
        leaves, spec = tree_flatten(step.result)
        index = 0
        for place, leaf in enumerate(leaves):
            if leaf is not FORGOTTEN:
                continue
            alias = step.alias[index]
            leaves[place] = self._blank(number, index) if alias is None else given[alias]
            index += 1
        return tree_unflatten(leaves, spec)

    def _blank(self, number: int, index: int) -> Tensor:
        dtype, device = self.steps[number].likes[index]
        shape, strides = self.shapes[number][index]
        if device not in self._memory:
            blob = torch.empty(self._bytes(device), dtype=torch.uint8, device=device)
            self._memory[device] = blob.untyped_storage()
        blank = torch.empty(0, dtype=dtype, device=device)
        blank.set_(self._memory[device], 0, shape, strides)
        self._blanks[id(blank)] = (blank, number, index)
        return blank

    def _bytes(self, device: torch.device) -> int:
        """Return the size of the largest tensor of the beginning."""
        return max(
            dtype.itemsize * (1 + sum(max(n - 1, 0) * s for n, s in zip(*shape, strict=True)))
            for step, shapes in zip(self.steps, self.shapes, strict=True)
            for (dtype, where), shape in zip(step.likes, shapes, strict=True)
            if where == device
        )

    def _same(self, result: Tensor, blank: Tensor) -> Tensor:
        """Let a tensor stand for another: a factory's result is detached once it is held here."""
        _, number, index = self._blanks[id(blank)]
        self._blanks[id(result)] = (result, number, index)
        return result

    def _fill(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            blank = self._blanks.get(id(value))
            return value if blank is None else self._value(blank[1], blank[2])
        if type(value) in (list, tuple):
            return type(value)(self._fill(each) for each in value)
        return value

    def _value(self, number: int, index: int) -> Tensor:
        key = (number, index)
        if key not in self._filled:
            kept: Tensor | None = self._inputs[index] if number == INPUT else None
            dim: int | None = 0
            if number != INPUT:
                kept, dim = self.steps[number].kept[index], self.dims[number][index]
            if kept is None:
                msg = f"a value of step {number} is asked for again"
                raise UnlikeShownError(msg)
            self._filled[key] = repeated(kept, dim, self.copies)
        return self._filled[key]

    def _note_writes(self, func: Operator, args: tuple[Any, ...]) -> None:
        for argument, value in zip(func._schema.arguments, args, strict=False):
            written = argument.alias_info is not None and argument.alias_info.is_write
            if written and isinstance(value, Tensor):
                storage = value.untyped_storage()._cdata
                for key, tensor in self._filled.items():
                    if tensor.untyped_storage()._cdata == storage:
                        self._written.add(key)


def repeated(tensor: Any, dim: int | None, copies: int) -> Any:
    """Return a tensor with its batch repeated; always a copy, which may be written into."""
    if not isinstance(tensor, Tensor):
        return tensor
    if dim is None or copies == 1:
        return tensor.clone()
    return torch.cat([tensor] * copies, dim=dim)
