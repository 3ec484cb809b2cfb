"""Checks of arguments, shared by all rooms, so that the same mistake reads the same everywhere."""

import math
import os
from collections.abc import Iterable
from pathlib import Path
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
    try:
        number = math.nan if isinstance(value, bool) else float(value.__float__())
        if low <= number <= high:  # NaN fails every comparison
            return number
        error: type[Exception] = TypeError if isinstance(value, bool) else ValueError
    except OverflowError:  # a whole number that has no float
        error = ValueError
    except (AttributeError, TypeError, ValueError, RuntimeError):  # also an array of several
        error = TypeError
    msg = f"Expected `{name}` to be {what} in [{low:g}, {high:g}], got {shown(value)}. {hint}"
    raise error(msg.rstrip())


def check_count(name: str, value: Any, least: int = 1, *, what: str = "a whole number") -> int:
    """Return ``value`` as an int if it is a whole number of at least ``least``, else raise.

    Example:
        >>> check_count("samples", 3.0)
        3
        >>> check_count("samples", 0.5)
        Traceback (most recent call last):
        ...
        ValueError: Expected `samples` to be a whole number from 1 on, got 0.5.
    """
    try:
        number = check_number(name, value, least, 2.0**53)
    except (TypeError, ValueError) as error:
        wrong: type[Exception] = type(error)
    else:
        if number.is_integer():
            return int(number)
        wrong = ValueError
    msg = f"Expected `{name}` to be {what} from {least} on, got {shown(value)}."
    raise wrong(msg)


def check_choice(name: str, value: Any, choices: Any) -> str:
    """Return ``value`` if it is one of ``choices``, else raise with the nearest one."""
    known = [str(each) for each in choices]
    if isinstance(value, str) and value in known:
        return str(value)
    did = nearest(value if isinstance(value, str) else shown(value), known)
    listed = ", ".join(repr(k) for k in known)
    msg = f"Expected `{name}` to be one of {listed}, got {shown(value)}.{did}"
    raise ValueError(msg)


def nearest(name: Any, known: Iterable[Any]) -> str:
    """Return `` Did you mean ...?`` with the most similar of the known names, or nothing.

    Example:
        >>> nearest("linaer", ["linear", "cosine"])
        " Did you mean 'linear'?"
        >>> nearest("xyz", ["linear", "cosine"])
        ''
    """
    import difflib

    found = difflib.get_close_matches(str(name), [str(item) for item in known], n=1)
    return f" Did you mean {found[0]!r}?" if found else ""


def check_path(name: str, value: Any) -> Path:
    """Return ``value`` as a path if it is one, else raise with name and value."""
    if isinstance(value, (str, os.PathLike)):
        return Path(value)
    msg = f"Expected `{name}` to be a path, got {shown(value)}. Write {name}='runs/first'."
    raise TypeError(msg)


def one_or_many(value: Any) -> tuple[Any, ...]:
    """Return a list's items, or what is no list as the only one; each is then to be checked.

    Example:
        >>> one_or_many("fit"), one_or_many(["fit", "test"]), one_or_many(None)
        (('fit',), ('fit', 'test'), (None,))
    """
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)


def shown(value: Any, most: int = 200) -> str:
    """Write a value for a message: whatever it is, and not at any length.

    Example:
        >>> shown("abc"), shown([0] * 1000, most=20)
        ("'abc'", '[0, 0, 0, 0, 0, 0...')
    """
    try:
        text = repr(value)
    except Exception:  # somebody's own class, or a whole number of many thousand digits
        text = f"<{type(value).__name__}>"
    return text if len(text) <= most else f"{text[: most - 3]}..."
