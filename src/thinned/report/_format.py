"""Numbers as text, as many digits as the error allows; and paths."""

import math
from pathlib import Path


def plus_minus(mean: float, se: float | None) -> str:
    """Write a mean with its standard error, both to the error's second digit.

    Example:
        >>> plus_minus(0.412345, 0.00634), plus_minus(0.5, None)
        ('0.4123 ± 0.0063', '0.5')
    """
    if se is None or not math.isfinite(se) or not math.isfinite(mean):
        return short(mean)
    digits = decimals(se)
    return f"{mean:.{digits}f} ± {se:.{digits}f}"


def signed(value: float | None) -> str:
    """Write a difference with its sign.

    Example:
        >>> signed(0.01234), signed(-3.0)
        ('+0.0123', '\u22123')
    """
    if value is None:
        return ""
    text = short(abs(value), 3)
    return f"\u2212{text}" if value < 0 else f"+{text}"


def short(value: float | None, digits: int = 4) -> str:
    """Write a number in as many significant digits, without an exponent where that is readable.

    Example:
        >>> short(0.123456), short(12345.6), short(1e-7), short(0.5)
        ('0.1235', '12346', '1e-07', '0.5')
    """
    if value is None:
        return ""
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 10**digits:
        return f"{value:.0f}"
    return f"{value:.{digits}g}"


def p_value(p: float | None) -> str:
    """Write a p with its sign of relation; more than four decimals say nothing.

    Example:
        >>> p_value(0.0321), p_value(1e-9)
        ('= 0.032', '< 0.0001')
    """
    if p is None:
        return ""
    return "< 0.0001" if p < 1e-4 else f"= {short(p, 2)}"


def decimals(error: float) -> int:
    """How many decimals an error of this size leaves."""
    if error <= 0:
        return 4
    return min(8, max(0, 1 - math.floor(math.log10(error))))


def from_here(path: Path) -> str:
    """Write a path as it is shortest from the present folder, so that a line can hold it."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (OSError, ValueError):  # elsewhere, or the present folder is gone
        return str(path)
