"""Formulas as MathML: browsers draw it by themselves, so that pages load no script and no font."""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

# What docutils does not know, or sets wrongly: an index of an accented letter would go below it.
SPELLINGS = {
    r"\\dots\b": r"\\ldots",
    r"\\big\b": "",
    r"\\(tilde|overline)\s*(\{[^}]*\}|\w)": r"{\\\1 \2{}}",
}


def convert(writer: Any, node: nodes.Node, *, block: bool) -> str:
    """Return the formula of ``node``; what cannot be converted is a warning, and so an error."""
    formula = node.astext()
    for unknown, known in SPELLINGS.items():
        formula = re.sub(unknown, known, formula)
    try:
        return str(tex2mathml(formula, as_block=block))
    except MathError as error:
        logger.warning("formula: %s: %s", error, formula, location=node)
        return str(writer.encode(formula))


def visit_math(writer: Any, node: nodes.Element) -> None:
    """Write a formula within a line."""
    writer.body.append(convert(writer, node, block=False))
    raise nodes.SkipNode


def visit_displaymath(writer: Any, node: nodes.Element) -> None:
    """Write a formula that stands alone."""
    writer.body.append(f'<div class="formula">{convert(writer, node, block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the renderer."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
