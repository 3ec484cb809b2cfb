"""The colours of the figures by role, read from the style sheet that the pages use."""

import re
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def palette(theme: str = "light") -> dict[str, str]:
    """Every role's colour in one theme.

    Example:
        >>> sorted(palette("dark")) == sorted(palette("light"))
        True
        >>> palette()["page"]
        '#ffffff'
    """
    css = files("thinned.report").joinpath("templates", "style.css").read_text("utf-8")
    light, dark = re.findall(r":root[^{]*\{([^}]*)\}", css)[:2]
    return dict(re.findall(r"--([\w-]+):\s*([^;]+);", light if theme == "light" else dark))


def coloured(figure: Any, theme: str = "light") -> Any:
    """Put a theme's colours where a figure names roles, for use outside of our pages.

    Example:
        >>> coloured({"line": {"color": "@page"}, "x": [1]})
        {'line': {'color': '#ffffff'}, 'x': [1]}
    """
    if isinstance(figure, str) and figure.startswith("@"):
        return palette(theme)[figure[1:]]
    if isinstance(figure, dict):
        return {key: coloured(each, theme) for key, each in figure.items()}
    if isinstance(figure, list):
        return [coloured(each, theme) for each in figure]
    return figure
