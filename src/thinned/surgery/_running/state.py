"""Run somebody's forward and leave no trace: modes, buffers, attributes, generators."""

import collections
import contextlib
import copy
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from thinned._errors import ThinnedWarning
from thinned._generators import generators_kept, rewind
from thinned._users import is_users

_REGISTRIES = ("_parameters", "_buffers", "_modules")
_MOST_OBJECTS = 1000
_CONTAINERS = {
    *(list, dict, set),
    *(collections.OrderedDict, collections.defaultdict, collections.Counter, collections.deque),
}


@contextlib.contextmanager
def untouched(model: nn.Module, inputs: Any = None) -> Iterator[None]:
    """Put a model, and the random generators, back as they were before the block.

    Restored are the modes, the contents of buffers, every attribute of every module (Python's
    containers and plain objects of the user's own with their contents) and the generators of torch,
    numpy and Python: the global ones and those that modules keep. Inside autograd records, as in
    training, and compiled parts run eagerly.

    Args:
        model: the model that is going to run.
        inputs: what it is going to be called with; its devices' generators are restored too.
    """
    saved = [_Saved(module) for module in model.modules()]
    versions = {name: p._version for name, p in model.named_parameters()}
    devices = {t.device for t in _tensors([list(model.parameters()), inputs])}
    cuda = sorted({device.index or 0 for device in devices if device.type == "cuda"})
    try:
        with generators_kept(devices=cuda), torch.enable_grad(), _eagerly():
            yield
    finally:
        for state in saved:
            state.restore()
        changed = [n for n, p in model.named_parameters() if p._version != versions.get(n)]
        if changed:
            msg = f"The forward writes into its own weights ({changed[0]}, {len(changed)} in all), "
            msg += "so running it with example_input changed them."
            warnings.warn(msg, ThinnedWarning, stacklevel=4)


class _Saved:
    """What one module holds itself, also in containers and in plain objects of the user's own."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._attributes = dict(vars(module))
        self._registries = {name: dict(vars(module)[name]) for name in _REGISTRIES}
        self._tensors: list[tuple[Tensor, Tensor, int | None]] = []
        self._rewinds: list[Callable[[], object]] = []
        self._containers: list[tuple[Any, Any]] = []
        held = [value for name, value in self._attributes.items() if name not in _REGISTRIES]
        self._look_into([*held, *self._registries["_buffers"].values()])

    def _look_into(self, held: Iterable[Any]) -> None:
        for value in _contents(held):
            if isinstance(value, Tensor):
                if not isinstance(value, nn.Parameter):
                    self._tensors.append((value, value.detach().clone(), _version(value)))
            elif type(value) in _CONTAINERS:
                self._containers.append((value, copy.copy(value)))
            elif (back := rewind(value)) is not None:
                self._rewinds.append(back)

    def restore(self) -> None:
        held = vars(self._module)
        for name in [n for n in held if n not in self._attributes]:
            del held[name]
        held.update(self._attributes)
        for name, entries in self._registries.items():
            _refill(held[name], entries)
        for container, content in self._containers:
            _refill(container, content)
        with torch.no_grad():
            for tensor, content, version in self._tensors:
                if not _same(tensor, content, version):
                    tensor.copy_(content)
        for back in self._rewinds:
            back()


@contextlib.contextmanager
def own_generators_kept(model: nn.Module) -> Iterator[None]:
    """Put the generators that the modules of a model keep back as they were before the block."""
    held = _contents(value for module in model.modules() for value in vars(module).values())
    found = [back for value in held if (back := rewind(value)) is not None]
    try:
        yield
    finally:
        for back in found:
            back()


def _contents(values: Iterable[Any]) -> Iterator[Any]:
    """Yield values, and what Python's containers and users' objects among them hold, each once.

    Such an object is its dictionary of attributes; a graph of very many is not followed to its end.
    """
    waiting, seen, objects = list(values), set[int](), 0
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        if type(value) in _CONTAINERS or type(value) is tuple:
            waiting += value.values() if isinstance(value, dict) else value
        elif objects < _MOST_OBJECTS and is_users(value):
            objects += 1
            waiting.append(vars(value))


def _version(tensor: Tensor) -> int | None:
    """Return how often a tensor was written into, where its contents cannot be compared."""
    plain = tensor.layout is torch.strided and not tensor.is_nested
    return None if plain or tensor.is_inference() else tensor._version


def _same(one: Tensor, other: Tensor, version: int | None) -> bool:
    if version is not None:
        return one._version == version
    return one.device.type == "meta" or torch.equal(one, other)


def _refill(container: Any, content: Any) -> None:
    """Give a container its old entries; a dictionary's compared by identity, order included."""
    if isinstance(container, dict):
        now, then = list(container.items()), list(content.items())
        same = len(now) == len(then) and all(
            key == old_key and value is old
            for (key, value), (old_key, old) in zip(now, then, strict=True)
        )
        if not same:
            container.clear()
            container.update(content)
    elif isinstance(container, list):
        container[:] = content
    elif isinstance(container, collections.deque):
        container.clear()
        container.extend(content)
    else:
        container.clear()
        container.update(content)


@contextlib.contextmanager
def _eagerly() -> Iterator[None]:
    with torch.compiler.set_stance("force_eager"):
        yield


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _tensors(entry)
