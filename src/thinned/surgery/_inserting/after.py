"""Places that the user names: after these modules, or before those."""

from collections.abc import Iterable
from typing import Any

from torch import nn

from thinned._checks import shown
from thinned.surgery._models.keys import Key, key_matches, none_of
from thinned.surgery._models.places import Scope, places
from thinned.surgery._models.structure import output_layer

from .placement import (
    BATCH_FIRST,
    FEATURE_MAP,
    NAMED,
    OUTPUT,
    SELF_NORMALIZING,
    TIME_FIRST,
    UNITS,
    Plan,
    Row,
    Spot,
)

INPUT = "input"


def plan_after(model: nn.Module, after: Key | Iterable[Key], scope: Scope) -> Plan:
    """Return the places after the modules of these classes, or before those in scope (``"input"``).

    Raises:
        TypeError: if a key is neither a class nor a name.
        NoEffectError: if a key means no module in scope.
    """
    keys: list[Any] = [after]
    if isinstance(after, Iterable) and not isinstance(after, str | type):
        keys = list(after)
    for key in keys:
        if not isinstance(key, str) and not (isinstance(key, type) and issubclass(key, nn.Module)):
            msg = (
                f"Expected `after` to be a module class or its name, or several, got {shown(key)}."
            )
            raise TypeError(msg)
    plan = Plan()
    if INPUT in keys:
        plan.spots += [
            Spot(path, module, NAMED, before=True) for path, module in _heads(model, scope)
        ]
    found = [
        place
        for place in places(model)
        if scope.holds(place.paths) and any(key_matches(key, place.module) for key in keys)
    ]
    idle = [k for k in keys if k != INPUT and not any(key_matches(k, p.module) for p in found)]
    if idle:
        raise none_of(model, idle, scope)
    last = output_layer(model)
    for place in found:
        is_last = last is not None and place.module is last.module
        if is_last and not scope.names(place.paths, [other.paths for other in found]):
            plan.left_out[place.path] = OUTPUT
        else:
            plan.spots.append(Spot(place.path, place.module, _row(place.module)))
    return plan


def _heads(model: nn.Module, scope: Scope) -> Iterable[tuple[str, nn.Module]]:
    """Return the model itself, or the outermost modules that the scope names."""
    if scope.include == ("*",):
        return [("", model)]
    inside: set[nn.Module] = set()
    found = []
    for place in places(model):
        if place.module not in inside and scope.holds(place.paths):
            found.append((place.path, place.module))
            inside.update(place.module.modules())
    return found


def _row(module: Any) -> Row:
    if isinstance(module, nn.RNNBase):
        return BATCH_FIRST if module.batch_first else TIME_FIRST
    if isinstance(module, nn.SELU):
        return SELF_NORMALIZING
    if isinstance(module, nn.modules.conv._ConvNd):
        return FEATURE_MAP
    return UNITS if isinstance(module, nn.Linear) else NAMED
