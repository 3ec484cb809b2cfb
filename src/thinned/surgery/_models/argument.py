"""Find an argument in a call, whether it was given by position or by name."""

import inspect
from typing import Any

from torch import nn


def place_and_name(host: nn.Module, source: int | str) -> tuple[int | None, str | None]:
    """Return position and name of an argument of which one is known, ``None`` where it has none.

    A call may give by name, and in another order, what the example gave by position.
    """
    try:
        parameters = list(inspect.signature(host.forward).parameters.values())
    except (TypeError, ValueError):  # compiled or built in: it has no signature to read
        parameters = []
    names = [each.name for each in parameters if each.kind <= each.POSITIONAL_OR_KEYWORD]
    if isinstance(source, str):
        return (names.index(source) if source in names else None), source
    return source, names[source] if source < len(names) else None


def picked(
    args: tuple[Any, ...], kwargs: dict[str, Any], position: int | None, name: str | None
) -> Any:
    """Return an argument, however it was given; alone, it needs no name."""
    if position is not None and position < len(args):
        return args[position]
    if name in kwargs:
        return kwargs[name]
    given = [*args, *kwargs.values()]
    return given[0] if len(given) == 1 else None
