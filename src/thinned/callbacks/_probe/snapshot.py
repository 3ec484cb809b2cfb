"""A second evaluation that leaves no trace: the state around it, taken, lent and put back.

User code in validation hooks may do anything: accumulate in metrics and lists, keep a best value,
step a scheduler, draw random numbers. `Snapshot` is taken as a validation starts. While it is
*lent*, all that code works on copies that stand where they stood then, so that the probe begins
as the validation began; afterwards the very same objects are put back, with what the validation
left in them.
"""

import contextlib
import copy
import operator
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from thinned._generators import generator_state, is_generator
from thinned._users import is_users
from thinned.callbacks._generators.found import ATOMS, Generators, generators_as_of

_STRUCTURE = ("_parameters", "_modules", "_buffers", "_trainer", "_fabric")


class Snapshot:
    """What a module tree holds now, beside its parameters.

    Args:
        module: the LightningModule. Parameters are shared: validation does not move them.
    """

    def __init__(self, module: nn.Module) -> None:
        self._seen: dict[int, Any] = {}
        self._start: list[tuple[Any, dict[str, Any]]] = []
        self._buffers: list[tuple[nn.Module, dict[str, Any], dict[str, Any]]] = []
        self.generators: Generators = []
        with torch.inference_mode(mode=False), torch.no_grad():
            for part in module.modules():
                held = dict(part._buffers)
                values = {k: t.detach().clone() for k, t in held.items() if _is_made(t)}
                self._buffers.append((part, held, values))
                self._visit(part)
        self._seen.clear()

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Let the module stand as at the snapshot; afterwards put back what stood before.

        A snapshot can be lent once: the probe works on its copies.
        """
        with _buffers_as_of(self._buffers), generators_as_of(self.generators):
            now = [(owner, dict(vars(owner))) for owner, _ in self._start]
            try:
                for owner, then in self._start:
                    _exchange(owner, then)
                yield
            finally:
                for owner, before in now:
                    _exchange(owner, before)

    def _visit(self, owner: Any) -> None:
        """Copy what an object's attributes hold; the object itself stays the same."""
        if id(owner) in self._seen:
            return
        self._seen[id(owner)] = owner
        then: dict[str, Any] = {}
        self._start.append((owner, then))
        for name, value in vars(owner).items():
            shared = isinstance(owner, nn.Module) and name in _STRUCTURE
            then[name] = value if shared else self._copy_or_share(value)

    def _copy_or_share(self, value: Any) -> Any:
        """Copy a value; one that is nested too deeply, such as a linked list, is shared."""
        seen, started = len(self._seen), len(self._start)
        try:
            return self._copy(value)
        except RecursionError:
            for half_done in list(self._seen)[seen:]:
                del self._seen[half_done]
            del self._start[started:]
            return value

    def _copy(self, value: Any) -> Any:
        if isinstance(value, ATOMS):
            return value
        known = self._seen.get(id(value))
        if known is not None:
            return known
        made = self._copy_new(value)
        self._seen[id(value)] = made
        return made

    def _copy_new(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return value if isinstance(value, nn.Parameter) else _clone(value)
        if isinstance(value, np.ndarray):
            mapped = isinstance(value, np.memmap) or not value.flags.writeable
            return value if mapped else value.copy()
        if is_generator(value):
            self.generators.append((value, generator_state(value)))
        elif isinstance(value, dict | list | set | deque | tuple):
            return self._copy_container(value)
        elif isinstance(value, nn.Module) or is_users(value):
            self._visit(value)
        return value

    def _copy_container(self, value: Any) -> Any:
        if isinstance(value, tuple):
            parts = [self._copy(v) for v in value]
            if all(map(operator.is_, parts, value)):
                return value  # also of a kind of its own, such as torch.Size
            return value._make(parts) if hasattr(value, "_make") else tuple(parts)
        try:
            made = copy.copy(value)
        except Exception:  # one that must not change, such as a frozen dictionary, is shared
            return value
        self._seen[id(value)] = made
        if isinstance(value, dict):
            for key, held in value.items():
                dict.__setitem__(made, key, self._copy(held))
        elif isinstance(value, list | deque):
            put = list.__setitem__ if isinstance(value, list) else deque.__setitem__
            for index, held in enumerate(value):
                put(made, index, self._copy(held))
        return made


@contextlib.contextmanager
def frozen_optimizers(optimizers: Iterable[Any], schedulers: Iterable[Any]) -> Iterator[None]:
    """Undo what validation hooks do to learning rates: users step schedulers there."""
    groups = [(group, _shallow(group)) for o in optimizers for group in o.param_groups]
    clocks = [(clock, _shallow(vars(clock))) for clock in schedulers]
    try:
        yield
    finally:
        for clock, before in clocks:
            _exchange(clock, before)
        for group, before in groups:
            group.clear()
            group.update(before)


def _clone(tensor: Tensor) -> Tensor:
    if tensor.grad_fn is not None:
        return tensor
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


def _exchange(owner: Any, attributes: dict[str, Any]) -> None:
    held = vars(owner)
    held.clear()
    held.update(attributes)


def _shallow(values: dict[str, Any]) -> dict[str, Any]:
    """Copy a dict, and the containers and tensors in it, one level down."""
    kept = dict(values)
    for name, value in values.items():
        if name != "params" and isinstance(value, list | dict | set):
            kept[name] = copy.copy(value)
        elif isinstance(value, Tensor):
            kept[name] = value.detach().clone()
    return kept


@contextlib.contextmanager
def _buffers_as_of(start: list[tuple[nn.Module, dict[str, Any], dict[str, Any]]]) -> Iterator[None]:
    """Write earlier values into buffers, and back afterwards.

    In place, unlike everything else: `DistributedDataParallel` broadcasts into the tensors that
    it knows.
    """
    now = []
    for part, held, _ in start:
        tensors = {id(t): t for t in (*held.values(), *part._buffers.values()) if _is_made(t)}
        copies = [(t, t.detach().clone()) for t in tensors.values()]
        now.append((part, dict(part._buffers), copies))
    try:
        for part, held, values in start:
            part._buffers.clear()
            part._buffers.update(held)
            for name, tensor in held.items():
                _write(tensor, values.get(name))
        yield
    finally:
        for part, held, copies in now:
            part._buffers.clear()
            part._buffers.update(held)
            for tensor, value in copies:
                _write(tensor, value)


def _is_made(tensor: Tensor | None) -> TypeGuard[Tensor]:
    """Say whether there is a tensor, and not one of a lazy layer that has seen no batch yet."""
    return tensor is not None and not nn.parameter.is_lazy(tensor)


def _write(tensor: Tensor | None, value: Tensor | None) -> None:
    if tensor is not None and value is not None and not torch.equal(tensor, value):
        with torch.no_grad():
            tensor.copy_(value)
