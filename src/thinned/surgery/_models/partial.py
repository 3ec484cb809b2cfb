"""What a ``functools.partial`` of a layer class says: the class and its options."""

import functools
import inspect
from collections.abc import Mapping
from typing import Any


def taken_apart(value: "functools.partial[Any]") -> tuple[Any, Mapping[str, Any]]:
    """Return the class and its options by name.

    Raises:
        TypeError: if an option is given by position, or the class knows it not.
    """
    layer = value.func
    name = getattr(layer, "__name__", repr(layer))
    if value.args:
        msg = f"Expected the options of {name} by name, got {value.args!r}. "
        msg += "Write functools.partial(Layer, option=...); the rate is `rate`."
        raise TypeError(msg)
    parameters = inspect.signature(layer).parameters
    open_ended = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    unknown = [option for option in value.keywords if option not in parameters]
    if unknown and not open_ended:
        msg = f"Expected options of {name}, got {', '.join(map(repr, unknown))}. "
        msg += f"It takes {', '.join(map(repr, parameters))}."
        raise TypeError(msg)
    return layer, value.keywords
