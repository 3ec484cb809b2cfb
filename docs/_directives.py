"""What pages take from the code: techniques and schedules, from their registries.

`{technique} NAME` begins a technique's page, `{gallery}` shows all of them, `{schedules}` draws
every schedule, `{examples}` shows every example. What is new there needs no change here.
"""

import ast
import inspect
import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import _pictures as pictures
from _masks import picture
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from thinned import layers, schedules

DOCS = Path(__file__).parent


def definition(thing: type) -> str:
    """Return the docstring down to its sections: what it is, the formula, how it behaves."""
    text = inspect.getdoc(thing) or ""
    return re.split(r"^(?:Args|Attributes|Shape|Raises|Example|References):", text, flags=re.M)[0]


def references(thing: type) -> str:
    """Return the papers of a docstring in one line, with links."""
    _, _, text = (inspect.getdoc(thing) or "").partition("References:")
    return re.sub(r"(https?://[^\s,]+[^\s,.])", r"<\1>", " ".join(text.split()))


@cache
def costs() -> tuple[tuple[str, str, str], ...]:
    """Return variant or class, rival and ratio of each row of the benchmarks of layers."""
    text = (DOCS / "benchmarks.md").read_text("utf-8")
    wanted = re.split(r"^### ", text, flags=re.M)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for part in wanted
        if part.startswith(("Each variant", "Recurrent"))
        for line in part.splitlines()
        if "±" in line and line.startswith("|")
    ]
    return tuple((name, rival, ratio) for name, rival, ratio, *_ in rows)


def cost(row: layers.Variant) -> list[str]:
    """Return the measured time of one variant against its rivals, a line each."""
    names = (row.name, *(each.__name__ for each in row.layers))
    lines: dict[str, str] = {}
    for name, rival, ratio in costs():
        what, _, detail = name.partition(", ")
        if what in names:
            against = (
                "torch's own" if " x " in rival else rival.replace("by hand", "the same by hand")
            )
            times = f"{ratio.split(' ')[0]} times {against}"
            about = ", ".join(part for part in ("" if what == row.name else what, detail) if part)
            lines.setdefault(about, f"{times} ({about})" if about else times)  # the first size
    return list(lines.values())


def effects(row: layers.Variant) -> list[str]:
    """Return on how many data sets the evidence tells the technique from none, a line a family."""
    network, lines = "", []
    for line in (DOCS / "evidence" / "techniques.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("### "):
            network = line[4:]
        elif claim := re.fullmatch(r"\*(.+)\* lowers the loss", cells[0]):
            arm = claim[1]
            if arm.partition(",")[0].lower().replace("conv", "") == row.name.replace("_", ""):
                held, undecided, contrary = cells[1:4]
                told = [f"lower on {held}", f"higher on {contrary}", f"undecided on {undecided}"]
                found = "; ".join(each for each in told if not each.endswith(" on 0"))
                at = f" ({arm})" if "," in arm or "Conv" in arm else ""
                lines.append(f"*{network}{at}*: test loss {found}")
    return lines


class Drawing(SphinxDirective):
    """What the three have in common."""

    def figure(self, svg: str, caption: str, name: str) -> nodes.Node:
        """Return a drawing with its caption; ``name`` is its class in the style sheet."""
        below = f"<figcaption>{escape(caption)}</figcaption>"
        html = f'<figure class="drawn {name}"><div class="wide">{svg}</div>{below}</figure>'
        return nodes.raw("", html, format="html")

    def parse(self, text: str) -> list[nodes.Node]:
        """Return what MyST makes of the text."""
        holder = nodes.container()
        self.state.nested_parse(StringList(text.splitlines(), "registry"), 0, holder)
        return holder.children

    def defined(self, thing: type) -> list[nodes.Node]:
        """Return the definition of a class, its names resolved as in its own docstring."""
        context = self.env.ref_context
        before = dict(context)
        room = ".".join(thing.__module__.split(".")[:2])
        context.update({"py:module": room, "py:class": thing.__name__})
        found = self.parse(f"```{{eval-rst}}\n{definition(thing)}\n```")
        context.clear()
        context.update(before)
        return found


class Technique(Drawing):
    """The head of a technique's page: picture, definition, names, paper, cost."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the nodes."""
        row = layers.variant(self.arguments[0])
        self.env.note_dependency(str(DOCS / "benchmarks.md"))
        shown = picture(row.name)
        classes = ", ".join(f"{{py:class}}`thinned.layers.{each.__name__}`" for each in row.layers)
        places = ", ".join(f"`{each}`" if "nn." in each else each for each in row.replaces)
        facts = {
            "Drops": row.summary,
            "Name": f"`{row.name}`, in `swap`, `insert` and in configurations; kind `{row.kind}`",
            "Classes" if row.others else "Class": classes,
            "Takes the place of": places,
            "Paper": references(row.layer),
        }
        measured = cost(row)
        if measured:
            facts["Time"] = "<br>".join(
                [*measured, "forward and backward: [benchmarks](../benchmarks.md)"]
            )
        source = "of data sets, against none, at the end: [evidence](../evidence/techniques.md)"
        facts["Effect"] = "<br>".join([*effects(row), source]) if effects(row) else "not measured"
        self.env.note_dependency(str(DOCS / "evidence" / "techniques.md"))
        table = "\n".join(f"| {name} | {text} |" for name, text in facts.items())
        listed = self.parse(f"| | |\n|---|---|\n{table}")
        return [
            self.figure(pictures.draw(shown), shown.caption, "mask"),
            *self.defined(row.layer),
            nodes.container("", *listed, classes=["facts"]),
        ]


class Gallery(Drawing):
    """A small picture of each technique, which leads to its page."""

    def run(self) -> list[nodes.Node]:
        """Return the nodes."""
        folder = "" if self.env.docname.startswith("techniques/") else "techniques/"
        cards = [
            f'<a class="card" href="{folder}{row.name}.html">'
            f"{pictures.draw(picture(row.name), small=True)}"
            f"<strong>{escape(row.name)}</strong><span>{escape(row.summary)}</span></a>"
            for row in layers.VARIANTS.values()
        ]
        return [nodes.raw("", f'<div class="gallery">{"".join(cards)}</div>', format="html")]


class Schedules(Drawing):
    """A section a schedule: plot, definition, how it was written."""

    def run(self) -> list[nodes.Node]:
        """Return the nodes."""
        sections = []
        for name, thing in schedules.SCHEDULES.items():
            shown = pictures.example(name)
            section = nodes.section(ids=[name], names=[name])
            section += nodes.title(text=name)
            section += self.defined(thing)
            section += self.figure(pictures.course(shown), repr(shown), "course")
            section += self.parse(f"All of it: {{py:class}}`thinned.schedules.{thing.__name__}`.")
            sections.append(section)
        return sections


class Examples(Drawing):
    """A section an example, with its source."""

    def run(self) -> list[nodes.Node]:
        """Return the nodes."""
        sections = []
        for path in sorted((DOCS.parent / "examples").rglob("*.py")):
            name = path.relative_to(DOCS.parent / "examples").as_posix()
            source = path.read_text("utf-8")
            section = nodes.section(ids=[nodes.make_id(name)], names=[name])
            section += nodes.title(text=name)
            section += self.parse((ast.get_docstring(ast.parse(source)) or "").split("\n\n")[0])
            section += nodes.literal_block(source, source, language="python")
            self.env.note_dependency(str(path))
            sections.append(section)
        return sections


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directives."""
    app.add_directive("technique", Technique)
    app.add_directive("gallery", Gallery)
    app.add_directive("schedules", Schedules)
    app.add_directive("examples", Examples)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
