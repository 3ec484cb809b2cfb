"""The look of all pictures: small SVG files that are the same at every drawing."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl

from thinned.report import Difference
from thinned.report._statistics import estimate

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
            color=["#1f5fa8", "#c8511b", "#2f8f5b", "#7a4fa3", "#8a6d1f", "#b03060", "#4d4d4d"]
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
