"""Limits and checks for files that are data, whoever wrote them: records and logs of runs."""

import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

MAX_BYTES = 128 * 2**20  # of a file; a run of a year with thousands of sites has some ten MiB
MAX_LINE = 16 * 2**20  # characters
MAX_DEPTH = 32
LARGEST = 2**53  # the whole numbers that a float holds exactly
HUGE = 1e150  # what is larger counts as infinite, since its square has no float
MAX_ITEMS = 1_000_000  # of one line or one YAML file, aliases counted as often as they stand
_ESCAPED = re.compile(r"\\[ubf]")  # without which JSON holds neither control signs nor halves
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}

Check = Callable[[Any], Any]


def check_file(path: Path, what: str) -> Path:
    """Return the path if it is an ordinary file of a size that can be read.

    Args:
        path: the file, or a link to it.
        what: what it should be, for the message.

    Raises:
        FileNotFoundError: if there is nothing.
        ValueError: if it is a folder, a pipe or a device, or larger than ``MAX_BYTES``.
    """
    if not path.exists():  # also where links lead in a circle
        msg = f"Expected {what}, found nothing at {path}."
        raise FileNotFoundError(msg)
    if not path.is_file():
        msg = f"Expected {what}, but {path} is no ordinary file. Give the run's folder."
        raise ValueError(msg)
    size = path.stat().st_size
    if size > MAX_BYTES:
        msg = (
            f"Expected {what} of at most {MAX_BYTES / 2**20:.0f} MiB, but {path} has "
            f"{size / 2**20:.0f} MiB. Is it one?"
        )
        raise ValueError(msg)
    return path


def parse(line: str) -> dict[str, Any]:
    """Return the JSON object on a line.

    Raises:
        ValueError: if there is none, or one that is too long or nested too deeply.

    Example:
        >>> parse('{"type": "end", "seconds": NaN}')
        {'type': 'end', 'seconds': nan}
        >>> parse("[" * 100_000)
        Traceback (most recent call last):
        ...
        ValueError: Expected a row, got a value that is nested too deeply.
    """
    if len(line) > MAX_LINE:
        msg = f"Expected a row of at most {MAX_LINE} characters, got {len(line)}."
        raise ValueError(msg)
    try:
        row = json.loads(line)
    except RecursionError as error:
        msg = "Expected a row, got a value that is nested too deeply."
        raise ValueError(msg) from error
    if not isinstance(row, dict):
        msg = f"Expected a row, got {type(row).__name__}."
        raise ValueError(msg)
    check_size(row)
    cleaned: dict[str, Any] = clean(row) if _ESCAPED.search(line) else row
    return cleaned


def check_size(value: Any) -> None:
    """Raise a ValueError if a value is nested too deeply, or holds too much."""
    left, pending = MAX_ITEMS, [(value, 0)]
    while pending:
        each, depth = pending.pop()
        left -= 1
        if depth > MAX_DEPTH or left < 0:
            msg = f"Expected at most {MAX_DEPTH} levels and {MAX_ITEMS} items, got more."
            raise ValueError(msg)
        if isinstance(each, Mapping):
            pending += [(inner, depth + 1) for inner in each.values()]
        elif isinstance(each, (list, tuple, set)):
            pending += [(inner, depth + 1) for inner in each]


def take(row: Any, checks: Mapping[str, Check], required: Iterable[str] = ()) -> dict[str, Any]:
    """Return the fields of a row that are there, checked.

    Args:
        row: the JSON object.
        checks: what each field may hold; null is no value.
        required: the fields that must be there.

    Raises:
        ValueError: if a field is missing or holds something else.
    """
    if not isinstance(row, dict):
        raise _wrong("an object", row)
    found = {name: row[name] for name in checks if row.get(name) is not None}
    for name in required:
        if name not in found:
            raise _wrong(f"a field {name!r}", row)
    return {name: checks[name](value) for name, value in found.items()}


def text(value: Any) -> str:
    """Take a text."""
    if isinstance(value, str):
        return value
    raise _wrong("a text", value)


def texts(value: Any) -> list[str]:
    """Take a list of texts."""
    return [text(each) for each in items(value)]


def finites(value: Any) -> list[float]:
    """Return a list of finite numbers as it is."""
    return [finite(each) for each in items(value)]


def items(value: Any) -> list[Any]:
    """Take a list."""
    if isinstance(value, list):
        return value
    raise _wrong("a list", value)


def mapping(value: Any) -> dict[str, Any]:
    """Take an object."""
    if isinstance(value, dict):
        return value
    raise _wrong("an object", value)


def flag(value: Any) -> bool:
    """Take true or false."""
    if isinstance(value, bool):
        return value
    raise _wrong("true or false", value)


def whole(value: Any) -> int:
    """Take a whole number that a float can hold exactly."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST:
        return value
    raise _wrong("a whole number", value)


def number(value: Any) -> float:
    """Take a number; ``"nan"``, ``"inf"`` and ``"-inf"`` are numbers too.

    Example:
        >>> number(1), number("inf"), number(1e200)
        (1.0, inf, inf)
    """
    if isinstance(value, str) and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if abs(value) > HUGE:
            return math.inf if value > 0 else -math.inf
        return float(value)
    raise _wrong("a number", value)


def finite(value: Any) -> float:
    """Take a number that is neither infinite nor NaN, and not astronomical."""
    found = number(value)
    if abs(found) <= LARGEST:  # which NaN is not
        return found
    raise _wrong("a finite number", value)


def numbers(value: Any) -> dict[str, float]:
    """Take an object of numbers."""
    return {key: number(each) for key, each in mapping(value).items()}


def rows_of(length: int) -> Check:
    """Take a list of rows of some finite numbers each."""

    def check(value: Any) -> list[list[float]]:
        found = [[finite(each) for each in items(row)] for row in items(value)]
        if any(len(row) != length for row in found):
            raise _wrong(f"rows of {length} numbers", value)
        return found

    return check


def one_of(choices: Collection[str]) -> Check:
    """Take one of some texts."""

    def check(value: Any) -> str:
        if isinstance(value, str) and value in choices:
            return value
        raise _wrong(f"one of {', '.join(choices)}", value)

    return check


def _wrong(expected: str, value: Any) -> ValueError:
    return ValueError(f"Expected {expected}, got {str(value)[:80]!r}.")


def clean(value: Any) -> Any:
    r"""Return texts that a terminal shows and a file holds: no control signs, no half characters.

    Half of a character outside of Unicode's first plane is legal JSON, and no legal text; a
    terminal takes orders by control signs.

    Example:
        >>> clean({"a": ["\ud800b\x1b[2J", 1]})
        {'a': ['?b\ufffd[2J', 1]}
    """
    if isinstance(value, str):
        return _CONTROL.sub("\ufffd", value).encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [clean(each) for each in value]
    if isinstance(value, dict):
        return {clean(key): clean(each) for key, each in value.items()}
    return value
