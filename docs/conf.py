"""The documentation site: `scripts/docs` builds it, and every warning is an error."""

import re
import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from docutils import nodes
from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))

import thinned

project = "thinned"
copyright = "the maintainers of thinned"  # noqa: A001  Sphinx reads this name
version = release = thinned.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "_mathml",
    "_directives",
]
exclude_patterns = ["_build"]
nitpicky = True

myst_enable_extensions = ["dollarmath", "attrs_inline", "deflist"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = "thinned"
html_static_path = ["_static"]
html_css_files = ["thinned.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"
highlight_language = "none"

autodoc_typehints = "none"  # signatures would be three lines long; docstrings tell units and ranges
OF_OTHERS = ["extra_repr", *(name for name in dir(pl.Callback) if not name.startswith("_"))]
autodoc_default_options = {"exclude-members": ", ".join(OF_OTHERS)}  # torch calls it, or Lightning
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

# What others document: their inventories are on the network, and a build needs none.
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(torch|torchmetrics|pytorch_lightning|lightning|pl|nn|numpy|matplotlib|pathlib)(\..*)?",
    ),
]

# Pages that stand outside of this folder, and where the site has them.
OUTSIDE = {"../CONTRIBUTING.md": "contributing.md", "../CHANGELOG.md": "changelog.md"}


def move_links(_app: Sphinx, page: str, source: list[str]) -> None:
    """Let links that lead out of this folder, right on a code host, lead to the site's pages."""
    for there, here in OUTSIDE.items():
        up = "../" * page.count("/")
        source[0] = source[0].replace(f"]({up}{there}", f"]({up}{here}")


def keep_colons(_app: Sphinx, what: str, *about: Any) -> None:
    """Keep the first words of a property: napoleon takes what stands before a colon for a type."""
    lines = about[-1]
    if what in ("attribute", "property") and lines:
        lines[0] = f": {lines[0]}"


def find_public(app: Sphinx, env: Any, node: nodes.Element, text: nodes.Element) -> Any:
    """Resolve a name where it is documented, also ``thinned.swap`` and ``surgery._swap.swap``."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target:
        return None
    public = re.sub(r"\._\w+", "", target)
    name = public.removeprefix("thinned.")
    thing = getattr(thinned, name, None) if "." not in name else None
    tried = [public, f"thinned.{name}"]
    if getattr(thing, "__module__", "").startswith("thinned."):
        tried.append(f"{'.'.join(thing.__module__.split('.')[:2])}.{name}")
    domain = env.get_domain("py")
    for each in tried:
        found = domain.resolve_xref(
            env, node["refdoc"], app.builder, node["reftype"], each, node, text
        )
        if found is not None:
            return found
    return text if public != target else None  # a private class has no page: plain text


def setup(app: Sphinx) -> None:
    """Connect the three."""
    app.connect("source-read", move_links)
    app.connect("autodoc-process-docstring", keep_colons, priority=400)  # before napoleon
    app.connect("missing-reference", find_public)
