"""The look of all pictures: small SVG files that are the same at every drawing."""

import math
import pathlib
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl

from thinned.report import Difference
from thinned.report._comparison.statistics import estimate

mpl.use("svg")
mpl.rcParams.update(
    {
        "svg.hashsalt": "thinned",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans", "Arial", "sans-serif"],
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e3e3e3",
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.prop_cycle": mpl.cycler(
            color=[
                *("#1f5fa8", "#c8511b", "#2f8f5b", "#7a4fa3", "#8a6d1f", "#b03060", "#4d4d4d"),
                *("#1d9a9a", "#d48a00", "#6b8e23"),
            ]
        ),
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
    }
)


def figure(columns: int = 1, rows: int = 1, *, wide: float = 0.0, high: float = 3.2) -> Any:
    """Return a figure and its axes, which are always a flat list."""
    import matplotlib.pyplot as plt

    width = wide or (5.2 if columns == 1 else 8.6)
    made, axes = plt.subplots(rows, columns, figsize=(width, high * rows), squeeze=False)
    return made, list(axes.flat)


def save(made: Any, path: pathlib.Path) -> None:
    """Write and close, without a date."""
    import matplotlib.pyplot as plt

    if made.get_layout_engine() is None:
        made.tight_layout()
    made.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(made)


def line(
    ax: Any, x: Sequence[float], series: Sequence[Mapping[int, float]], label: str, **style: Any
) -> None:
    """Draw means over seeds with bars of one standard error."""
    found = [estimate(each) for each in series]
    means = [each.mean if each else float("nan") for each in found]
    errors = [(each.se if each else None) or 0.0 for each in found]
    ax.errorbar(x, means, errors, label=label, marker="o", ms=4, capsize=2, lw=1.4, **style)


def forest(
    ax: Any, found: Mapping[str, Difference | None], title: str, *, better: str = "lower is better"
) -> None:
    """Draw paired differences with 95% intervals; filled where Holm's p is below 0.05."""
    names = [name for name, each in found.items() if each is not None and each.low is not None]
    for place, name in enumerate(reversed(names)):
        each = found[name]
        if each is None or each.low is None or each.high is None:
            continue
        colour = "#8a8a8a"
        if each.significant:
            colour = "#2f8f5b" if (each.mean < 0) == (better == "lower is better") else "#c8511b"
        ax.plot([each.low, each.high], [place, place], color=colour, lw=1.8)
        face = colour if each.significant else "white"
        ax.plot(each.mean, place, "o", ms=6, mfc=face, mec=colour)
    ax.axvline(0, color="black", lw=0.8)
    ax.set_yticks(range(len(names)), list(reversed(names)))
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.set(title=title, xlabel=f"difference ({better})")
    ax.locator_params(axis="x", nbins=5)
    ax.grid(visible=False, axis="y")


def many(
    panels: Mapping[str, Mapping[str, Mapping[str, Difference | None]]], colours: Mapping[str, str]
) -> Any:
    """Draw a panel for each title: an arm a row, in it a mark for each task, of its colour.

    The limits leave out what is more than twelve times as far as the middle of all ends; it is
    drawn at the edge as an arrow.
    """
    arms = list(dict.fromkeys(a for each in panels.values() for f in each.values() for a in f))
    tasks = list(dict.fromkeys(task for each in panels.values() for task in each))
    high = 1.0 + 0.11 * len(arms) * (len(tasks) + 1.0)
    columns = min(4, max(2, len(panels)))
    rows = -(-len(panels) // columns)
    made, axes = figure(columns, rows, high=max(2.0, high), wide=3.6 * columns)
    made.set_layout_engine("constrained")
    for ax, (place, (title, found)) in zip(axes, enumerate(panels.items()), strict=False):
        _marks(ax, found, arms, {task: colours[task] for task in tasks})
        ax.set_title(title, fontsize=9)
        ax.set_xlabel("difference (lower is better)")
        labels = [textwrap.fill(arm, 18) for arm in arms] if place % columns == 0 else []
        ax.set_yticks([-place for place in range(len(arms))], labels)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    names, labels = axes[0].get_legend_handles_labels()
    if len(tasks) > 1:
        made.legend(names, labels, loc="outside lower center", ncols=len(tasks), fontsize=8)
    return made


def _marks(
    ax: Any,
    found: Mapping[str, Mapping[str, Difference | None]],
    arms: Sequence[str],
    colours: Mapping[str, str],
) -> None:
    ends = [abs(e) for f in found.values() for d in f.values() if d for e in (d.low, d.high) if e]
    limit = min(max(ends), 12 * statistics.median(ends)) * 1.05 if ends else 1.0
    for rank, (task, colour) in enumerate(colours.items()):
        ax.plot([], [], "o", ms=5, color=colour, label=task)
        for place, arm in enumerate(arms):
            each = found.get(task, {}).get(arm)
            if each is None or each.low is None or each.high is None:
                continue
            y = -place + 0.36 - 0.72 * (rank + 0.5) / len(colours)
            if abs(each.mean) > limit:
                edge = math.copysign(limit * 0.98, each.mean)
                ax.plot(edge, y, "<" if edge < 0 else ">", ms=5, color=colour)
                continue
            ax.plot([each.low, each.high], [y, y], color=colour, lw=1.3)
            face = colour if each.significant else "white"
            ax.plot(each.mean, y, "o", ms=4.5, mfc=face, mec=colour)
    ax.axvline(0, color="black", lw=0.8)
    for place in range(1, len(arms)):
        ax.axhline(0.5 - place, color="#e3e3e3", lw=0.6)
    reach = [e for f in found.values() for d in f.values() if d for e in (d.low, d.high) if e]
    ax.set_xlim(max(-limit, 1.1 * min([0.0, *reach])), min(limit, 1.1 * max([0.0, *reach])))
    ax.set_ylim(0.5 - len(arms), 0.5)
    ax.grid(visible=False, axis="y")
