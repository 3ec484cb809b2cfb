"""What the value of a swap makes."""

import functools
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from torch import nn

from thinned.layers._rate import RateLayer
from thinned.layers._registry import VARIANTS, Variant, variant
from thinned.surgery._models.known import rules_of
from thinned.surgery._models.partial import taken_apart
from thinned.surgery._models.places import Place
from thinned.surgery._models.structure import neighbours
from thinned.surgery._sites.attributes import is_rate

Policy = Callable[[nn.Module], nn.Module | None]


@dataclass(frozen=True)
class Layers:
    """A value that names a class of layers, with its options.

    ``row`` is there where a name was given: a technique may have several classes (dropconnect has
    one for linear layers and three for convolutions), and the module decides among them.
    """

    layer: type[nn.Module]
    options: Mapping[str, Any] = field(default_factory=dict)
    row: Variant | None = None

    @property
    def label(self) -> str:
        """How messages name it."""
        return self.layer.__name__

    def made(self, module: nn.Module, rate: float | None) -> bool:
        """Say whether a module is already what this value would make."""
        return (
            type(module) in (self.row.layers if self.row else (self.layer,))
            and (rate is None or own_rate(module) == rate)
            and all(getattr(module, name, value) == value for name, value in self.options.items())
        )

    def make(self, place: Place, rate: float | None) -> nn.Module:
        """Return a layer that can take the module's place."""
        module, options = place.module, dict(self.options)
        if rate is None:
            rate = options.pop("p", own_rate(module))
        options.pop("p", None)
        if rate is None:
            msg = (
                f"Expected `rate` for {place.path!r}: a {type(module).__name__} holds no rate that "
            )
            msg += f"{self.label} could take over. Write swap(..., rate=0.1)."
            raise ValueError(msg)
        layer = self.row.layer_for(module, neighbours(place)) if self.row else self.layer
        if not issubclass(layer, RateLayer):
            return layer(rate, **options)
        if _variant_of(layer).takes_neighbours:
            options.setdefault("neighbours", neighbours(place))
        try:
            return layer.from_module(module, rate, **options)
        except ValueError as error:
            msg = f"{place.path}: {error}"
            raise ValueError(msg) from error


_MADE_BY: "weakref.WeakKeyDictionary[nn.Module, Policy]" = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Chosen:
    """A value that is a policy: a function that returns the new module, or ``None``."""

    policy: Policy
    layer = None

    @property
    def label(self) -> str:
        """How messages name it."""
        return getattr(self.policy, "__name__", type(self.policy).__name__)

    def made(self, module: nn.Module, _: float | None) -> bool:
        """Say whether this policy has made the module, in an earlier swap."""
        return _MADE_BY.get(module) is self.policy

    def make(self, place: Place, _: float | None) -> nn.Module | None:
        """Ask the policy."""
        new: Any = self.policy(place.module)
        if new is place.module:
            return None
        if new is not None and not isinstance(new, nn.Module):
            msg = f"Expected the policy {self.label!r} to return a module or None for "
            msg += f"{place.path!r}, got {new!r}."
            raise TypeError(msg)
        if new is not None:
            _MADE_BY[new] = self.policy
        return new


Value = Layers | Chosen


def as_value(value: Any) -> Value:
    """Make a value of a registry name, a layer class, a ``partial`` of one, or a policy."""
    if isinstance(value, str):
        row = variant(value)
        return Layers(row.layer, row=row)
    if isinstance(value, functools.partial) and _is_layer(value.func):
        return Layers(*taken_apart(value))
    if _is_layer(value):
        return Layers(value)
    if callable(value) and not isinstance(value, nn.Module):
        return Chosen(value)
    msg = (
        f"Expected a variant's name ({', '.join(VARIANTS)}), a layer class, a functools.partial of "
    )
    msg += f"one or a function module -> module | None, got {value!r}."
    raise TypeError(msg)


def own_rate(module: nn.Module) -> float | None:
    """Return the rate that a module holds, or ``None``: also where an RNN has torch's default."""
    if isinstance(module, RateLayer):
        return module.p
    if isinstance(module, nn.RNNBase) and module.dropout == 0.0:
        return None
    for rule in rules_of(type(module)):
        rate = getattr(module, rule.attribute, None)
        if is_rate(rate):
            return float(rate)
    return None


def _is_layer(value: Any) -> TypeGuard[type[nn.Module]]:
    return isinstance(value, type) and issubclass(value, nn.Module)


def _variant_of(layer: type[RateLayer]) -> Variant:
    return Variant("", layer, (), "", "")
