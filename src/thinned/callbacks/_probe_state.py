"""A second evaluation that leaves no trace: the state around it, taken, lent and put back.

User code in validation hooks may do anything: accumulate in metrics and lists, keep a best value,
step a scheduler, draw random numbers. `Snapshot` is taken as a validation starts. While it is
*lent*, all that code works on copies that stand where they stood then, so that the probe begins
as the validation began; afterwards the very same objects are put back, with what the validation
left in them.
"""

import contextlib
import copy
import random
import types
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Generators = list[tuple[Any, Any]]

_FOREIGN = (  # state of these is Lightning's, torch's or a library's; the probe does not reach it
    *("pytorch_lightning", "lightning", "lightning_fabric", "lightning_utilities", "torch"),
    *("wandb", "tensorboard", "torchmetrics", "logging", "threading", "_thread", "_io", "io"),
    *("builtins", "functools", "contextlib", "pathlib", "multiprocessing", "omegaconf", "thinned"),
    *("re", "weakref", "collections", "types", "enum", "datetime", "numpy"),
)
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
                values = {k: None if t is None else t.detach().clone() for k, t in held.items()}
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
            then[name] = value if shared else self._copy(value)

    def _copy(self, value: Any) -> Any:
        if isinstance(value, _ATOMS):
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
            return value.copy()
        if is_generator(value):
            self.generators.append((value, generator_state(value)))
        elif isinstance(value, dict | list | set | deque | tuple):
            return self._copy_container(value)
        elif isinstance(value, nn.Module) or _is_users(value):
            self._visit(value)
        return value

    def _copy_container(self, value: Any) -> Any:
        if isinstance(value, tuple):
            parts = [self._copy(v) for v in value]
            return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
        made = copy.copy(value)
        self._seen[id(value)] = made
        if isinstance(value, dict):
            for key, held in value.items():
                dict.__setitem__(made, key, self._copy(held))
        elif isinstance(value, list | deque):
            for index, held in enumerate(value):
                made[index] = self._copy(held)
        return made


@contextlib.contextmanager
def isolated(seed: int, *holders: Any) -> Iterator[None]:
    """Seed Python's, numpy's and torch's generators, and put them back afterwards.

    Args:
        seed: seed inside, so that the probe is the same at each validation.
        *holders: data sets and other objects; generators that they keep are put back too.
    """
    found = [g for holder in holders for g in find_generators(holder)]
    kept = [(g, generator_state(g)) for g in found]
    python, array = random.getstate(), np.random.get_state()
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    cpu = torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(array)
        torch.set_rng_state(cpu)
        if on_gpu:
            torch.cuda.set_rng_state_all(on_gpu)
        for generator, state in kept:
            set_generator_state(generator, state)


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


def is_generator(value: Any) -> bool:
    """Say whether ``value`` is a random number generator whose state can be kept."""
    kinds = (random.Random, torch.Generator, np.random.Generator, np.random.RandomState)
    return isinstance(value, kinds)


def generator_state(generator: Any) -> Any:
    """Return a copy of a generator's state."""
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, random.Random):
        return generator.getstate()
    if isinstance(generator, np.random.RandomState):
        return generator.get_state()
    return copy.deepcopy(generator.bit_generator.state)


def set_generator_state(generator: Any, state: Any) -> None:
    """Put a generator back into a state that `generator_state` gave."""
    if isinstance(generator, torch.Generator | np.random.RandomState):
        generator.set_state(state)
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.bit_generator.state = state


@contextlib.contextmanager
def generators_as_of(states: Generators) -> Iterator[None]:
    """Set generators to earlier states, and back afterwards."""
    now = [(g, generator_state(g)) for g, _ in states]
    try:
        for generator, state in states:
            set_generator_state(generator, state)
        yield
    finally:
        for generator, state in now:
            set_generator_state(generator, state)


def find_generators(holder: Any, limit: int = 10_000) -> list[Any]:
    """Find the generators that an object keeps: in its attributes, in those of its parts, ...

    Args:
        holder: a data set, with its transforms and the data sets that it wraps.
        limit: objects looked at; a data set may keep its samples in a list of millions.
    """
    found: list[Any] = []
    seen: set[int] = set()
    todo: deque[Any] = deque([holder])
    while todo and len(seen) < limit:
        value = todo.popleft()
        if id(value) in seen or isinstance(value, (*_ATOMS, Tensor, np.ndarray)):
            continue
        seen.add(id(value))
        if is_generator(value):
            found.append(value)
        elif isinstance(value, dict):
            todo.extend(value.values())
        elif isinstance(value, list | tuple | set | deque):
            todo.extend(list(value)[:1000])
        elif hasattr(value, "__dict__"):
            todo.extend(vars(value).values())
    return found


_ATOMS = (
    *(str, bytes, int, float, complex, bool, type(None), type, torch.dtype, torch.device),
    *(types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType),
)


def _is_users(value: Any) -> bool:
    """Say whether an object is a plain one of the user's own, such as a meter."""
    if not hasattr(value, "__dict__") or isinstance(value, torch.utils.data.Dataset):
        return False
    roots = (base.__module__.partition(".")[0] for base in type(value).__mro__[:-1])
    return not any(root in _FOREIGN for root in roots)


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
        tensors = {id(t): t for t in (*held.values(), *part._buffers.values()) if t is not None}
        copies = [(t, t.detach().clone()) for t in tensors.values()]
        now.append((part, dict(part._buffers), copies))
    try:
        for part, held, values in start:
            part._buffers.clear()
            part._buffers.update(held)
            for name, tensor in held.items():
                _write(tensor, values[name])
        yield
    finally:
        for part, held, copies in now:
            part._buffers.clear()
            part._buffers.update(held)
            for tensor, value in copies:
                _write(tensor, value)


def _write(tensor: Tensor | None, value: Tensor | None) -> None:
    if tensor is not None and value is not None and not torch.equal(tensor, value):
        with torch.no_grad():
            tensor.copy_(value)
