"""Which object something is, as a number that no later object gets, and that keeps none alive."""

import functools
import itertools
import weakref
from typing import Any

_NUMBERS = itertools.count()
_KNOWN: dict[int, tuple["weakref.ref[object]", int]] = {}


def _forget(known: dict[int, Any], address: int, _: object) -> None:
    known.pop(address, None)


def identity(value: object) -> tuple[int, int]:
    """Return what two objects never share, not even one that stands where another has stood.

    It is not asked whether objects call themselves equal. What cannot be referred to weakly (a
    list, say) is told by its address alone.
    """
    address = id(value)
    known = _KNOWN.get(address)
    if known is not None and known[0]() is value:
        return address, known[1]
    try:
        held = weakref.ref(value, functools.partial(_forget, _KNOWN, address))
    except TypeError:
        return address, -1
    number = next(_NUMBERS)
    _KNOWN[address] = held, number
    return address, number
