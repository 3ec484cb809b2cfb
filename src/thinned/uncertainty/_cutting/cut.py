"""Forwards that are cut in two: before the cut for the rows of a batch, behind it for many copies.

The model runs as it always does. At the cut, the few tensors that cross it are repeated along the
batch, so one forward gives many samples. That is right where nothing else crosses, no row looks at
another, and what is random comes after; `find_cut` has shown it, and here it is watched that a
forward goes on as it did then.
"""

import contextlib
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from thinned.surgery._running.trace import call
from thinned.uncertainty._forwards.output import output_of
from thinned.uncertainty._forwards.rows import tensors

from .flow import UnlikeShownError


@dataclass(frozen=True)
class Crossing:
    """A tensor that crosses a cut, as two and three rows have shown it.

    Attributes:
        dim: the dimension of the batch; None for a tensor without.
        two: its shape for two rows.
        three: its shape for three.
    """

    dim: int | None
    two: tuple[int, ...]
    three: tuple[int, ...]

    def repeated(self, tensor: Tensor, rows: int, copies: int) -> Tensor:
        """Return copies of the rows, one after the other."""
        grown = zip(self.two, self.three, strict=True)
        shape = tuple(a + (b - a) * (rows - 2) for a, b in grown)
        if tuple(tensor.shape) != shape:
            msg = f"expected {shape} at the cut, got {tuple(tensor.shape)}"
            raise UnlikeShownError(msg)
        return tensor if self.dim is None else torch.cat([tensor] * copies, dim=self.dim)


class RandomState:
    """Where torch's generators stand: those that a model draws from which is given this input."""

    def __init__(self, x: Any) -> None:
        self._generators = [torch.default_generator]
        for device in {tensor.device for tensor in tensors(x)}:
            if device.type == "cuda":
                self._generators.append(torch.cuda.default_generators[device.index or 0])
        self._states = [generator.get_state() for generator in self._generators]

    def restore(self) -> None:
        """Put them back."""
        for generator, state in zip(self._generators, self._states, strict=True):
            generator.set_state(state)

    def is_now(self) -> bool:
        """Say whether nothing was drawn since."""
        pairs = zip(self._generators, self._states, strict=True)
        return all(torch.equal(generator.get_state(), state) for generator, state in pairs)


@dataclass(frozen=True)
class Cut:
    """A place where a module is called, or returns, and nothing else crosses.

    Attributes:
        module: the module, held weakly.
        call: which of its calls.
        calls: how often a forward calls it.
        entering: whether the cut is before the module, or behind.
        crossing: the tensors that it is given, or returns; None for one of nobody's.
        share: of the multiply-adds, what comes before.
        largest: number of elements of the largest tensor behind, for two rows.
    """

    module: "weakref.ref[nn.Module]"
    call: int
    calls: int
    entering: bool
    crossing: tuple[Crossing | None, ...]
    share: float
    largest: int

    @contextlib.contextmanager
    def repeating(self, rows: int, copies: int, start: RandomState) -> Iterator[None]:
        """Cut the one forward that is called inside."""
        module = self.module()
        if module is None:
            msg = "the module of the cut is gone"
            raise UnlikeShownError(msg)
        seen = 0

        def passing(value: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen - 1 != self.call:
                return value
            if not start.is_now():
                msg = "something was drawn before the cut"
                raise UnlikeShownError(msg)
            return _all_repeated(value, self.crossing, rows, copies)

        if self.entering:
            handle = module.register_forward_pre_hook(
                lambda _, args, kwargs: passing((args, kwargs)), with_kwargs=True
            )
        else:
            handle = module.register_forward_hook(
                lambda _, __, output: passing(output), prepend=True
            )
        try:
            yield
        finally:
            handle.remove()
        if seen != self.calls:
            msg = f"the module of the cut was called {seen} times, not {self.calls}"
            raise UnlikeShownError(msg)


def _all_repeated(value: Any, crossing: tuple[Crossing | None, ...], rows: int, copies: int) -> Any:
    found = tensors(value)
    if len(found) != len(crossing):
        msg = f"expected {len(crossing)} tensors at the cut, got {len(found)}"
        raise UnlikeShownError(msg)
    done: dict[int, Tensor] = {}  # one tensor given twice stays one, whatever is written into it
    for tensor, each in zip(found, crossing, strict=True):
        if each is not None and id(tensor) not in done:
            done[id(tensor)] = each.repeated(tensor, rows, copies)
    return _exchanged(value, done)


def _exchanged(value: Any, by: dict[int, Tensor]) -> Any:
    if isinstance(value, Tensor):
        return by.get(id(value), value)
    if type(value) is tuple:
        return tuple([_exchanged(each, by) for each in value])
    if type(value) is dict:
        return {name: _exchanged(each, by) for name, each in value.items()}
    return tree_map(lambda v: by.get(id(v), v), value)


def forward(
    cut: Cut, model: nn.Module, x: Any, rows: int, copies: int, start: RandomState
) -> Tensor:
    """Return the output for copies of the rows of an input, from one forward that is cut.

    Args:
        cut: where.
        model: the model.
        x: what it is called with.
        rows: of the input.
        copies: how many of each row.
        start: where the generators stand now.

    Raises:
        UnlikeShownError: if the forward goes another way than it was shown to.
    """
    with cut.repeating(rows, copies, start):
        output = output_of(call(model, x))
    if not output.dim() or len(output) != rows * copies:
        msg = f"expected {rows * copies} rows, got an output of shape {tuple(output.shape)}"
        raise UnlikeShownError(msg)
    return output
