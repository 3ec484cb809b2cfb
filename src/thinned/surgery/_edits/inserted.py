"""What `insert` leaves on a module: a hook object that holds a layer, and so a rate.

A hook moves no key: the layer is no child of the module that carries it. It follows the model in
`deepcopy` and `pickle`, and activation checkpointing replays it with the module.
"""

import copy
from collections.abc import Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils.hooks import RemovableHandle

from thinned.layers._locked import LockedDropout
from thinned.layers._rate import RateLayer
from thinned.surgery._models.argument import place_and_name


class Inserted:
    """A layer that a module carries as a hook.

    Args:
        layer: what is done to the tensor. Its own ``training`` flag stays True: the hook asks the
            module that carries it.

    Attributes:
        name: what stands behind the colon in its path, the kind unless the module that carries it
            has a rate of that name itself (``gru:dropout`` is the GRU's own).
        training: ``None`` follows the module that carries the hook; ``True`` or ``False`` overrule
            it (Monte Carlo dropout sets True, then what was there before).
    """

    training: bool | None = None

    def __init__(self, layer: RateLayer) -> None:
        self.layer = layer.train()
        self.name = layer.kind

    @property
    def p(self) -> float:
        """The rate, the probability that a unit is dropped, in [0, 1]."""
        return self.layer.p

    @p.setter
    def p(self, value: float) -> None:
        self.layer.p = value

    @property
    def kind(self) -> str:
        """What is dropped, in the words of the vocabulary."""
        return self.layer.kind

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.layer!r})"

    def attach(self, host: nn.Module) -> tuple[RemovableHandle, ...]:
        """Register with ``host``, and return what removes it again."""
        if hasattr(host, self.kind):
            self.name = f"inserted_{self.kind}"
        return self._register(host)

    def _register(self, host: nn.Module) -> tuple[RemovableHandle, ...]:
        raise NotImplementedError

    def is_on(self, host: nn.Module) -> bool:
        """Say whether this forward of ``host`` drops."""
        return host.training if self.training is None else self.training


class AfterOutput(Inserted):
    """Drops in what a module returns."""

    def _register(self, host: nn.Module) -> tuple[RemovableHandle, ...]:
        return (host.register_forward_hook(self),)

    def __call__(self, host: nn.Module, _: tuple[Any, ...], output: Any) -> Any:
        """Return the output with something dropped, or ``None``: as it was."""
        return on_tensor(output, self.layer) if self.is_on(host) else None


class BeforeInput(Inserted):
    """Drops in what a module is given: the place after an activation that is no module."""

    _first: str | None = None  # the name of the first argument

    def _register(self, host: nn.Module) -> tuple[RemovableHandle, ...]:
        self._first = place_and_name(host, 0)[1]
        return (host.register_forward_pre_hook(self.given, with_kwargs=True),)

    def given(
        self, host: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Return the arguments with something dropped, or ``None``: as they were."""
        if args:
            dropped = self(host, args)
            return None if dropped is None else (dropped, kwargs)
        key = self._first if self._first in kwargs else floating(kwargs)
        if key is None or not self.is_on(host):
            return None
        return args, {**kwargs, key: on_tensor(kwargs[key], self.layer)}

    def __call__(self, host: nn.Module, args: tuple[Any, ...]) -> Any:
        """Return the arguments with something dropped in the first, or ``None``: as they were."""
        if not self.is_on(host) or not args:
            return None
        return (on_tensor(args[0], self.layer), *args[1:])


def on_tensor(value: Any, layer: RateLayer) -> Any:
    """Apply ``layer`` to the tensor in ``value``.

    That is ``value`` itself, the first entry of a tuple or list, or the only floating-point tensor
    in a mapping; where there is none, ``value`` stays as it is.
    """
    if isinstance(value, Tensor):
        return layer(value) if value.is_floating_point() else value
    if isinstance(value, PackedSequence):
        if isinstance(layer, LockedDropout):
            return layer(value)
        return value._replace(data=_on_packed(value, layer))
    if isinstance(value, tuple) and value:
        return rebuild(value, 0, on_tensor(value[0], layer))
    if isinstance(value, list) and value:
        return [on_tensor(value[0], layer), *value[1:]]
    if isinstance(value, MutableMapping) and (key := floating(value)) is not None:
        value = copy.copy(value)
        value[key] = layer(value[key])
    return value


def floating(mapping: Mapping[str, Any]) -> str | None:
    """Return the key of the only floating-point tensor; which of several it is, nobody knows."""
    found = [k for k, v in mapping.items() if isinstance(v, Tensor) and v.is_floating_point()]
    return found[0] if len(found) == 1 else None


def _on_packed(packed: PackedSequence, layer: RateLayer) -> Tensor:
    """Apply ``layer`` to packed steps: what is one for all steps of a sample stays so."""
    if not hasattr(layer, "batch_dim"):
        return layer(packed.data)  # type: ignore[no-any-return]  # calling a module gives Any
    axis: Any = layer.batch_dim
    batch, channels = int(packed.batch_sizes[0]), packed.data.shape[-1]
    ones = packed.data.new_ones(batch, 1, channels).movedim(0, axis)
    noise: Tensor = layer(ones).movedim(axis, 0).squeeze(1)
    rows = torch.cat([torch.arange(int(size)) for size in packed.batch_sizes])
    return packed.data * noise[rows.to(noise.device)]


def rebuild(value: tuple[Any, ...], index: int, entry: Any) -> Any:
    """Return a tuple (a named one too) with one entry exchanged."""
    entries = [*value[:index], entry, *value[index + 1 :]]
    make = getattr(type(value), "_make", None)
    return make(entries) if make is not None else tuple(entries)


def inserted_hooks(module: nn.Module) -> list[Inserted]:
    """Return the hooks of ours that a module carries, each once."""
    registered = (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
    holders = [getattr(hook, "__self__", hook) for hook in registered]
    return list(dict.fromkeys(holder for holder in holders if isinstance(holder, Inserted)))
