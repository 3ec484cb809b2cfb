"""Pictures of what is dropped, and of how rates move.

A picture is an inline SVG: its text takes the page's colour and font, so that it suits both themes.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import matplotlib as mpl
from matplotlib.figure import Figure
from torch import Tensor

from thinned import schedules

INK = "#010203"  # stands for the page's own text colour
MOST_COLUMNS = 24  # of a small picture
LEAST = 0.05  # what is less is drawn as dropped
LINE = "#3b82c4"  # stands for the class `kept` of the style sheet


@dataclass(frozen=True)
class Panel:
    """One grid of cells.

    Attributes:
        values: rows by columns; 0 is dropped, 1 kept, between them a lighter colour, below 0 set
            to another value.
        title: above it.
        rows: what the rows are.
        columns: what the columns are.
        labels: of the columns.
    """

    values: Tensor
    title: str = ""
    rows: str = ""
    columns: str = ""
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class Picture:
    """Panels side by side, in lines, what they show, and the side of a cell."""

    lines: tuple[tuple[Panel, ...], ...]
    caption: str
    cell: float = 16


def draw(shown: Picture, *, small: bool = False) -> str:
    """Return the picture as SVG; a small one has some panels only, and no words."""
    cell = shown.cell / 2 if small else shown.cell
    fitting = MOST_COLUMNS // shown.lines[0][0].values.shape[1] or 1
    lines = (shown.lines[0][-fitting:],) if small else shown.lines
    left, above, gap = (0.0, 0.0, cell) if small else (22.0, 26.0, 26.0)
    slanted = any(panel.labels for panel in lines[0]) and not small
    above = 40.0 if slanted else above
    rows = max(len(panel.values) for line in lines for panel in line)
    below = 20.0 if any(panel.columns for panel in lines[0]) and not small else 2.0
    parts, width, y = [], 0.0, 0.0
    for at, line in enumerate(lines):
        x, y = left, y + (above if at == 0 else gap / 2)
        for panel in line:
            parts += [_cells(panel.values, x, y, cell), "" if small else _words(panel, x, y, cell)]
            x += panel.values.shape[1] * cell + gap
        width, y = max(width, x - gap), y + rows * cell
    width += 16.0 if slanted else 0.0
    head = f'viewBox="0 0 {width:g} {y + below:g}" width="{width:g}" height="{y + below:g}"'
    return f'<svg {head} role="img" aria-label="{escape(shown.caption)}">{"".join(parts)}</svg>'


def _cells(values: Tensor, x: float, y: float, cell: float) -> str:
    """Draw one rectangle a value."""
    parts = []
    for row, line in enumerate(values.tolist()):
        for column, value in enumerate(line):
            look = 'class="kept"' if value > LEAST else 'class="dropped"'
            if LEAST < value < 1:
                look += f' fill-opacity="{value:.2f}"'
            elif value < 0:
                look = 'class="other"'
            at = f'x="{x + column * cell + 1:g}" y="{y + row * cell + 1:g}"'
            size = f'width="{cell - 2:g}" height="{cell - 2:g}" rx="{cell / 6:.1f}"'
            parts.append(f"<rect {at} {size} {look}/>")
    return "".join(parts)


def _words(panel: Panel, x: float, y: float, cell: float) -> str:
    """Write what rows and columns are."""
    count, wide = panel.values.shape
    middle, bottom, half = x + wide * cell / 2, y + count * cell + 14, y + count * cell / 2
    parts = [
        f'<text x="{middle:g}" y="{y - 8:g}">{escape(panel.title)}</text>',
        f'<text x="{middle:g}" y="{bottom:g}">{escape(panel.columns)}</text>',
        f'<text transform="translate({x - 8:g} {half:g}) rotate(-90)">{escape(panel.rows)}</text>',
    ]
    for column, label in enumerate(panel.labels):
        at = f"translate({x + (column + 0.6) * cell:g} {y - 5:g}) rotate(-50)"
        parts.append(f'<text class="label" transform="{at}">{escape(label)}</text>')
    return "".join(part for part in parts if "></text>" not in part)


EXAMPLES: dict[str, schedules.Schedule] = {
    "step": schedules.Step((0.1, 0.3, 0.5), at=(0.3, 0.7)),
    "piecewise": schedules.Piecewise((0.0, 0.5, 0.1), at=(0.0, 0.4, 1.0)),
    "cyclic": schedules.Cyclic(0.1, 0.5),
    "warmup": schedules.Warmup(schedules.Cosine(0.5, 0.1), until=0.2),
    "sequence": schedules.Sequence(
        (schedules.Linear(0.0, 0.5), schedules.Cosine(0.5, 0.2)), at=(0.4,)
    ),
}


def example(name: str) -> schedules.Schedule:
    """Return a schedule to draw: one of the above, or what the name means with rate 0.5."""
    return EXAMPLES.get(name) or schedules.as_schedule(name, rate=0.5)


def course(schedule: schedules.Schedule) -> str:
    """Return rate against progress as SVG, by the schedule's own ``plot``."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 1.7))
        axes = figure.add_axes((0.12, 0.24, 0.86, 0.7))
        schedule.plot(axes)
        axes.get_legend().remove()
        for line in axes.lines:
            line.set(color=LINE, linewidth=2.2, solid_capstyle="round")
        axes.set(ylim=(-0.02, 0.62), yticks=[0, 0.25, 0.5], xticks=[0, 0.5, 1])
        axes.spines[["top", "right"]].set_visible(False)
        return _svg(figure, f"Rate against progress of {schedule!r}")


STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "thinned",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def _svg(figure: Figure, description: str) -> str:
    """Return a figure as an inline SVG that takes the page's colour and font."""
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = text.replace(INK, "currentColor")
    text = re.sub(r"font: (\S+) [^;\"]*", r"font-size: \1", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(description)}" ', 1)
