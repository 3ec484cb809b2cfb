"""Which modules a class or a name means, and what to say where it means none."""

import fnmatch
from collections.abc import Iterable

from torch import nn

from thinned._checks import nearest
from thinned._errors import NoEffectError

from .places import Scope, holdings, places

Key = str | type[nn.Module]


def key_matches(key: Key, module: nn.Module) -> bool:
    """Say whether a key means this module: a class its subclasses too, a name exactly, or a glob.

    Example:
        >>> key_matches("Dropout", nn.Dropout()), key_matches("Dropout", nn.Dropout2d())
        (True, False)
        >>> key_matches("Dropout*", nn.Dropout2d()), key_matches(nn.Linear, nn.Linear(1, 1))
        (True, True)
    """
    if isinstance(key, str):
        return fnmatch.fnmatchcase(type(module).__name__, key)
    return isinstance(module, key)


def none_of(model: nn.Module, keys: Iterable[Key], scope: Scope) -> NoEffectError:
    """Say that no module in scope is of these classes, what the model holds, and what is near."""
    keys = list(keys)
    names = [key if isinstance(key, str) else key.__name__ for key in keys]
    msg = f"Expected a module of {', '.join(map(repr, names))} in {scope}, found none. "
    if any(key_matches(key, model) for key in keys):
        msg += f"The model itself is a {type(model).__name__}, and has no parent that could hold "
        return NoEffectError(f"{msg}another: give it one, torch.nn.Sequential(model).")
    held = {type(place.module).__name__ for place in places(model)}
    hints = (nearest(name, held) for name in names)
    return NoEffectError(f"{msg}The model holds: {holdings(model)}.{next(filter(None, hints), '')}")
