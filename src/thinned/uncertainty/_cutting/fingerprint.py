"""What a forward depends on beside its input and its weights: to see that nothing has changed.

Compared are the modules and how they hang together, their hooks, the shapes of their weights, and
every attribute, global and closed-over variable that the code of their forwards names, into
containers and plain objects. The values of weights and buffers are left out: they may be trained
between two calls.
"""

import functools
import weakref
from types import FunctionType, MethodType, NoneType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_modules

from thinned._log import logger

from .code_reads import names_in, reads_of_all, value_at
from .identity import identity

LARGE = 64  # entries of a container that are looked at
DEEP = 4  # objects in objects
_PLAIN = {int, float, complex, bool, str, bytes, NoneType, torch.dtype, torch.device, torch.Size}
# What nn.Module keeps of its own, looked at apart or changed by whoever asks.
_OWN = frozenset({"training", "_parameters", "_buffers", "_modules"}) | {
    name for name in vars(nn.Module()) if "hook" in name
}


class Fingerprint:
    """What was found, with its hash: to be asked for several times."""

    __slots__ = ("_found", "_hash")

    def __init__(self, found: Any) -> None:
        self._found = found
        self._hash = hash(found)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Fingerprint) and self._found == other._found)

    def __hash__(self) -> int:
        return self._hash


_LAST: "weakref.WeakKeyDictionary[nn.Module, Fingerprint]" = weakref.WeakKeyDictionary()


def fingerprint(model: nn.Module) -> Fingerprint | None:
    """Return something to compare with what is returned at another time; None if it cannot be."""
    try:
        found = Fingerprint(_fingerprint(model))
    except Exception as error:  # whatever an object says to being looked at
        logger.debug("nothing is kept of a model: %r", error)
        return None
    last = _LAST.setdefault(model, found)
    if last != found:
        last = _LAST[model] = found
    return last  # the same object while nothing changes: quick to look up


def mark(value: Any) -> Any:
    """Return something comparable for an input: a tensor's form, a plain value, an identity."""
    if isinstance(value, Tensor):
        return _form(value), value.stride() if value.layout is torch.strided else None
    return _mark(value, frozenset(), DEEP)


def _fingerprint(model: nn.Module) -> Any:
    modules = [m for m in model.modules() if not is_metric(m)]
    hooks = [hook for module in modules for hook in _hooks(module)]
    kinds = {type(module) for module in modules}
    kinds |= {type(getattr(hook, "__self__", hook)) for hook in hooks}
    names, beside = _named_by(frozenset(kinds))
    for module in modules:
        if "forward" in vars(module):
            names = names | _rebound(vars(module)["forward"])
    return (
        tuple([_module(module, names) for module in modules]),
        tuple([_beside(value_at(*place), names) for place in beside]),
        tuple([_mark(hook, names, 0) for hook in _everywhere()]),
    )


def is_metric(module: nn.Module | None) -> bool:
    """Say whether a module measures: what it counts between two forwards is no part of them."""
    kind: Any = type(module)
    return _measures(kind)


@functools.lru_cache(maxsize=2048)
def _measures(kind: Any) -> bool:
    return any(base.__module__ == "torchmetrics.metric" for base in kind.__mro__)


def _beside(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, FunctionType):  # what it reads in its turn is among the rest
        return identity(value)
    return _mark(value, names, 0)


@functools.lru_cache(maxsize=256)
def _named_by(classes: frozenset[Any]) -> tuple[frozenset[str], tuple[tuple[Any, str], ...]]:
    reads = reads_of_all(classes)
    return reads.names - _OWN, reads.beside


def _rebound(forward: Any) -> frozenset[str]:
    """Return what a forward reads that somebody has put on a module itself, and its own name."""
    code = getattr(forward, "__code__", None)
    return frozenset({"forward"}) | (names_in(code) - _OWN if code is not None else frozenset())


def _hooks(module: nn.Module) -> list[Any]:
    before, after = module._forward_pre_hooks, module._forward_hooks
    return [*before.values(), *after.values()] if before or after else []


def _everywhere() -> list[Any]:
    before, after = torch_modules._global_forward_pre_hooks, torch_modules._global_forward_hooks
    return [*before.values(), *after.values()]


def _module(module: nn.Module, names: frozenset[str]) -> Any:
    held = vars(module)
    weights = (*held["_parameters"].values(), *held["_buffers"].values())
    return (
        identity(module),
        identity(type(module)),
        tuple([(k, identity(v)) for k, v in held["_modules"].items() if not is_metric(v)]),
        tuple([_form(t) for t in weights]),
        tuple([_mark(hook, names, 0) for hook in _hooks(module)]),
        _attributes(held, names, 0),
    )


def _attributes(held: dict[str, Any], names: frozenset[str], depth: int) -> Any:
    return tuple(
        [
            (name, type(value), value if type(value) in _PLAIN else _mark(value, names, depth))
            for name, value in held.items()
            if name in names
        ]
    )


def _form(tensor: Tensor | None) -> Any:
    return None if tensor is None else (type(tensor), tensor.shape, tensor.dtype, tensor.device)


def _mark(value: Any, names: frozenset[str], depth: int) -> Any:
    """Return something comparable for a value of any type, which holds no object with a state."""
    kind = type(value)
    if kind in _PLAIN:
        return kind, value
    if isinstance(value, Tensor):
        return _form(value)
    if depth > DEEP:
        return identity(value)
    depth += 1
    if isinstance(value, dict | list | tuple | set | frozenset):
        return kind, len(value), _entries(value, names, depth)
    if isinstance(value, MethodType):
        return _mark(value.__func__, names, depth), _mark(value.__self__, names, depth)
    if isinstance(value, functools.partial):
        return tuple(_mark(v, names, depth) for v in (value.func, value.args, value.keywords))
    if isinstance(value, FunctionType):
        return identity(value), _function(value, names, depth)
    held = getattr(value, "__dict__", None)
    if isinstance(value, type) or not isinstance(held, dict):
        return identity(value)
    if not isinstance(value, nn.Module):
        return identity(value), _attributes(held, names, depth)
    weights = (*held["_parameters"].values(), *held["_buffers"].values())
    inside = tuple([_mark(child, names, depth) for child in held["_modules"].values()])
    return identity(value), _attributes(held, names, depth), inside, tuple(map(_form, weights))


def _entries(value: Any, names: frozenset[str], depth: int) -> Any:
    if len(value) > LARGE:
        return identity(value)
    if isinstance(value, dict):
        return tuple([(_mark(k, names, depth), _mark(v, names, depth)) for k, v in value.items()])
    return tuple([_mark(each, names, depth) for each in value])


def _function(function: FunctionType, names: frozenset[str], depth: int) -> Any:
    """Look at what a function that is no method (a hook, say) holds and names."""
    own = names_in(function.__code__)
    held = [value_at(cell, "") for cell in function.__closure__ or ()]
    beside = [function.__globals__.get(name) for name in own]
    held += [value for value in beside if type(value) in _PLAIN]
    return tuple([_mark(value, names | own, depth) for value in held])


def attributes(model: nn.Module) -> dict[tuple[int, str], tuple[Any, int]]:
    """Return what hangs on the modules now: a forward that changes it has a memory."""
    return {
        (index, name): (value, len(value) if isinstance(value, dict | list | set) else 0)
        for index, module in enumerate(model.modules())
        for name, value in vars(module).items()
        if name != "training"
    }


def is_same(before: dict[Any, tuple[Any, int]], after: dict[Any, tuple[Any, int]]) -> bool:
    """Say whether the very same objects are there, and containers are as long as they were."""
    return before.keys() == after.keys() and all(
        value is after[key][0] and size == after[key][1] for key, (value, size) in before.items()
    )
