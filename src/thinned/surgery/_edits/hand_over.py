"""Hand the live state of one module to another that stands, or stood, in its place."""

import copy
import inspect
import itertools
from collections.abc import Iterator
from types import CodeType
from typing import Any

import torch
from torch import nn

from thinned.surgery._models.known import rules_of

_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
_HELD_BY = ("__func__", "fget", "fset")  # by class methods and properties


def share_hooks(old: nn.Module, new: nn.Module) -> dict[str, tuple[int, ...]]:
    """Let ``new`` carry the hooks of ``old`` besides those that it came with.

    Both hold the very same dictionaries from here on, so that a handle which somebody kept still
    removes its hook, and a hook added to one is there for the other.

    Returns:
        The keys of the hooks that ``new`` came with, for :func:`take_off`.
    """
    came_with: dict[str, tuple[int, ...]] = {}
    for name in _HOOKS:
        shared, own = old.__dict__[name], new.__dict__[name]
        if shared is not own:
            came_with[name] = tuple(own)
            shared.update(own)
            new.__dict__[name] = shared
    new._is_full_backward_hook = old._is_full_backward_hook
    return came_with


def take_off(module: nn.Module, keys: dict[str, tuple[int, ...]]) -> None:
    """Remove hooks that came with another module."""
    for name, held in keys.items():
        for key in held:
            module.__dict__[name].pop(key, None)


def shell(module: nn.Module, hooks_of: nn.Module) -> nn.Module:
    """Copy a module without its tensors, and with the hooks of another one.

    The copy shares the tensors until others are handed over.
    """
    tensors = itertools.chain(module.parameters(), module.buffers())
    known: dict[int, object] = {id(tensor): tensor for tensor in tensors}
    copied = type(module).__new__(type(module))
    for name, value in vars(module).items():
        copied.__dict__[name] = (
            hooks_of.__dict__[name] if name in _HOOKS else copy.deepcopy(value, known)
        )
    return copied


def hand_over(source: nn.Module, target: nn.Module) -> None:
    """Give ``target`` the parameters, buffers, children and modes that ``source`` now has.

    Only names that both have count. With ``setattr`` and not by the dictionaries, since recurrent
    layers of torch keep a second list of their weights.
    """
    for name, parameter in source._parameters.items():
        if name in target._parameters and target._parameters[name] is not parameter:
            setattr(target, name, parameter)
    for name, buffer in source._buffers.items():
        if name in target._buffers and target._buffers[name] is not buffer:
            setattr(target, name, buffer)
    for name, child in source._modules.items():
        held = target._modules.get(name)
        if child is None or held is None or held is child:
            continue
        hand_over(child, held)
    target.training = source.training
    target._is_full_backward_hook = source._is_full_backward_hook
    for child in target.children():
        if child not in set(source.modules()):
            child.train(source.training)


def extras(old: nn.Module, new: nn.Module) -> dict[str, Any]:
    """Return what somebody has set on a layer besides what its class holds.

    Frameworks mark the modules that they run (ultralytics: where the input comes from). What the
    class itself holds, ``new`` has in its own way: torch's classes declare it, and others name it
    in the code of their methods.
    """
    if old in set(new.modules()):
        return {}
    own = {"forward", *vars(nn.Module()), *(rule.attribute for rule in rules_of(type(old)))}
    for cls in type(old).__mro__:
        own.update(inspect.get_annotations(cls), vars(cls).get("__constants__", ()))
        if not cls.__module__.startswith("torch."):
            own.update(vars(cls), *(_names_in(value) for value in vars(cls).values()))
    own.update(vars(new), *(vars(c) for c in type(new).__mro__ if not issubclass(nn.Module, c)))
    return {name: value for name, value in vars(old).items() if name not in own}


def _names_in(value: Any) -> Iterator[str]:
    """Yield the names of attributes in the code of a method or a property."""
    for function in (value, *(getattr(value, name, None) for name in _HELD_BY)):
        code = getattr(function, "__code__", function)
        if isinstance(code, CodeType):
            yield from code.co_names
            for inner in code.co_consts:
                yield from _names_in(inner)


def same_state(old: nn.Module, new: nn.Module) -> str | None:
    """Say how the checkpoint would change with ``new`` in the place of ``old``, or ``None``."""
    before, after = old.state_dict(keep_vars=True), new.state_dict(keep_vars=True)
    if list(before) != list(after):
        lost = [key for key in before if key not in after]
        added = [key for key in after if key not in before]
        return f"keys lost: {lost or 'none'}, keys added: {added or 'none'}"
    for key, value in before.items():
        if isinstance(value, nn.Parameter) and after[key] is not value:
            return f"{key!r} is another Parameter, which no optimizer would train"
        if isinstance(value, torch.Tensor) and after[key].shape != value.shape:
            return f"{key!r} has another shape"
    return None
