"""Figures in prose: written by name, filled in from the numbers that are kept."""

import re
from collections.abc import Callable, Mapping

_MARK = re.compile(r"(<!--= (\w+) \| (.+?) -->)(.*?)(<!--/-->)")


def filled(text: str, figures: Callable[[str], Mapping[str, str]]) -> str:
    """Put each figure between its marks; ``figures`` returns all of a section by name.

    Raises:
        KeyError: if a section has no figure of that name.
    """

    def put(mark: re.Match[str]) -> str:
        known, name = figures(mark[2]), mark[3]
        if name not in known:
            near = [each for each in known if each.split(":")[0] == name.split(":")[0]]
            msg = f"Expected a figure of {mark[2]}, got {name!r}. Near: {near or list(known)}"
            raise KeyError(msg)
        return f"{mark[1]}{known[name]}{mark[5]}"

    return _MARK.sub(put, text)


def unmarked(text: str) -> str:
    """The text without its quoted figures: what somebody typed."""
    return _MARK.sub("", text)
