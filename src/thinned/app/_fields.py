"""What a component of the configuration takes: the form of the generated schemas."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_NAMES = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "list": "a list",
    "mapping": "a mapping",
    "null": "null",
}


@dataclass(frozen=True)
class Field:
    """One argument of a component.

    Args:
        kinds: what it may be: ``boolean``, ``integer``, ``number``, ``string``, ``list``,
            ``mapping``, ``null``; none of them where only the component itself can tell.
        choices: the texts allowed, or all.
        low: smallest number allowed.
        high: largest number allowed.
        open_low: whether ``low`` itself is excluded.
        required: whether it has no default.
    """

    kinds: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    open_low: bool = False
    required: bool = False

    def problem(self, value: Any) -> str | None:
        """Return what was expected where ``value`` does not fit, else None.

        Example:
            >>> Field(("number",), low=0.0, high=1.0).problem(1.5)
            'a number in [0, 1]'
            >>> Field(("number",), low=0.0, high=1.0).problem(1)
        """
        kind = kind_of(value)
        fits = (
            not self.kinds or kind in self.kinds or (kind == "integer" and "number" in self.kinds)
        )
        if not fits:
            return self.expected()
        if kind == "string" and self.choices and value not in self.choices:
            return self.expected()
        if kind in {"integer", "number"} and not self._in_range(value):
            return self.expected()
        return None

    def expected(self) -> str:
        """Say in words what is allowed."""
        words = [self._word(kind) for kind in self.kinds]
        return " or ".join(words) if words else "another value"

    def _word(self, kind: str) -> str:
        if kind == "string" and self.choices:
            return "one of " + ", ".join(repr(choice) for choice in self.choices)
        ranged = kind in {"integer", "number"} and (self.low is not None or self.high is not None)
        return _NAMES[kind] + (f" in {self._interval()}" if ranged else "")

    def _interval(self) -> str:
        low = "(-inf" if self.low is None else f"{'(' if self.open_low else '['}{self.low:.12g}"
        high = "inf)" if self.high is None else f"{self.high:.12g}]"
        return f"{low}, {high}"

    def _in_range(self, value: float) -> bool:
        low = -float("inf") if self.low is None else self.low
        high = float("inf") if self.high is None else self.high
        above = value > low if self.open_low else value >= low
        return above and value <= high  # NaN fails both, and so is out of every range


def kind_of(value: Any) -> str:
    """Name the kind of a plain value, as YAML has them.

    Example:
        >>> [kind_of(value) for value in (True, 1, 0.5, "a", [1], {"a": 1}, None)]
        ['boolean', 'integer', 'number', 'string', 'list', 'mapping', 'null']
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    for kind, types in _KINDS.items():
        if isinstance(value, types):
            return kind
    return type(value).__name__


_KINDS: dict[str, type | tuple[type, ...]] = {
    "integer": int,
    "number": float,
    "string": str,
    "mapping": Mapping,
    "list": Sequence,
}
