"""Fills the templates: everything in one file, escaped, and shut off from the network."""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinned.report._format import short
from thinned.report._records.writer import plain, write_whole

from .bundle import csp_hash, plotly
from .figures import values

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def render(template: str, figures: dict[str, Any], **content: Any) -> str:
    """Make one self-contained page.

    Args:
        template: name of the template.
        figures: plotly figures as plain dicts, by the id of the element they are drawn in.
        content: what the template shows; escaped, whoever wrote it.
    """
    packed, library_hash = plotly()
    script = _asset("page.js")
    return (
        _environment()
        .get_template(template)
        .render(
            style=_asset("style.css"),
            script=script,
            plotly=packed,
            script_hashes=f"{csp_hash(script)} {library_hash}",
            figures=json_for_script(figures),
            **content,
        )
    )


def write(page: str, path: Path) -> Path:
    """Write a page as a whole, so that nobody opens a half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, page)
    return path


def json_for_script(value: Any) -> str:
    r"""Write JSON that is safe inside a script element, whatever strings it holds.

    Example:
        >>> print(json_for_script({"name": "</script>"}))
        {"name":"\u003c/script\u003e"}
    """
    text = json.dumps(plain(value), separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _cell(value: Any) -> str:
    """A table's cell: numbers short, nothing where there is nothing."""
    if value is None:
        return ""
    return short(value) if isinstance(value, float) else str(value)


def _marked(text: str) -> "Markup":
    """Text for people in which code stands between backticks, as it does in a terminal."""
    from markupsafe import Markup, escape

    parts = text.split("`")
    if len(parts) % 2 == 0:  # one backtick is left over: it is part of a name
        return escape(text)
    code = Markup("<code>{}</code>").format
    return Markup("").join(code(part) if i % 2 else escape(part) for i, part in enumerate(parts))


def _asset(name: str) -> str:
    return files("thinned.report").joinpath("templates", name).read_text("utf-8")


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("thinned.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(cell=_cell, marked=_marked)
    environment.globals.update(numbers=values)
    return environment
