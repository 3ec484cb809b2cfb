"""Checks of arguments, shared by all rooms, so that the same mistake reads the same everywhere."""

import math
from typing import Any


def check_rate(name: str, value: Any) -> float:
    """Return ``value`` as a float if it is a rate, a probability of dropping in [0, 1].

    Args:
        name: the argument's name, for the message.
        value: what the user gave.

    Raises:
        TypeError: if ``value`` is not a number.
        ValueError: if it is NaN or outside [0, 1].

    Example:
        >>> check_rate("p", 0.25)
        0.25
        >>> check_rate("p", 1.5)
        Traceback (most recent call last):
        ...
        ValueError: Expected `p` to be a rate in [0, 1], got 1.5. A rate is the probability that a
        unit is dropped: 0.1 drops a tenth.
    """
    return check_number(name, value, 0.0, 1.0, what="a rate", hint=RATE_HINT)


RATE_HINT = "A rate is the probability that a unit is dropped: 0.1 drops a tenth."


def check_number(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    what: str = "a number",
    hint: str = "",
) -> float:
    """Return ``value`` as a float if it lies in [low, high], else raise with name and value."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        msg = f"Expected `{name}` to be {what} in [{low:g}, {high:g}], got {value!r}. {hint}"
        raise TypeError(msg.rstrip())
    number = float(value)
    if not low <= number <= high:  # NaN fails every comparison, and so is caught here too
        msg = f"Expected `{name}` to be {what} in [{low:g}, {high:g}], got {value!r}. {hint}"
        raise ValueError(msg.rstrip())
    return number


def check_choice(name: str, value: Any, choices: Any) -> str:
    """Return ``value`` if it is one of ``choices``, else raise with the nearest one."""
    import difflib

    known = list(choices)
    if value in known:
        return str(value)
    near = difflib.get_close_matches(str(value), [str(k) for k in known], n=1)
    did = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(repr(k) for k in known)
    msg = f"Expected `{name}` to be one of {listed}, got {value!r}.{did}"
    raise ValueError(msg)
