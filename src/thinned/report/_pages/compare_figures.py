"""The figures of a comparison: means with their error bars, and the learning curves."""

import math
from collections.abc import Sequence
from typing import Any

from thinned.report._comparison.arms import Arm, Column, Comparison

from .figures import (
    GROUP_COLOURS,
    Figure,
    Points,
    at_whole_epochs,
    escape,
    layout,
    line,
    thin,
    with_rows,
    without_beginning,
    without_markers,
)
from .names import shorten

MAX_PANELS = 12
MAX_CURVES = 8
MAX_NAMES = 16  # on an axis


def means(found: Comparison) -> Figure:
    """Best and last value of the main metric by arm, with standard errors and single seeds."""
    numeric = all(arm.number is not None for arm in found.arms)
    columns = [column for column in found.columns if column.key == found.main.key]
    data: list[Figure] = []
    for column, colour, symbol in zip(
        columns, ("@validation", "@probe"), ("circle", "square"), strict=True
    ):
        data.append(_seeds(found, column, colour, numeric=numeric))
        data.append(_mean_line(found, column, colour, symbol, numeric=numeric))
    setting = found.settings[0] if len(found.settings) == 1 else "setting"
    drawn = layout(setting, found.main.key)
    drawn["hovermode"] = "closest"
    if not numeric and len(found.arms) > MAX_NAMES:
        drawn["xaxis"].update(type="category", showticklabels=False)
        drawn["xaxis"]["title"]["text"] += ", named in the table below"
    elif not numeric:
        # Upright where they do not fit side by side, as on a phone; then they need the height.
        drawn["xaxis"].update(type="category", autotickangles=[0, 90], automargin="height")
        longest = max(len(line) for arm in found.arms for line in _name(arm).split("<br>"))
        drawn["height"] = 352 + 6 * longest
    chosen = found.arm(found.chosen)
    if chosen is not None and found.main.title in chosen.estimates:
        drawn["annotations"] = [_choice(found, chosen, numeric=numeric)]
    return {"data": data, "layout": drawn}


def differences(found: Comparison) -> Figure:
    """Each arm minus the baseline, with its 95% interval."""
    arms = [arm for arm in found.arms if found.main.title in arm.differences]
    changes = [arm.differences[found.main.title] for arm in arms]
    names = _unique([shorten(" ".join(arm.choice.values())) for arm in arms])
    points = {
        "type": "scatter",
        "mode": "markers",
        "name": "difference",
        "x": [change.mean for change in changes],
        "y": names,
        "marker": {"size": 10, "color": "@gap"},
        "error_x": {
            "type": "data",
            "array": [_half(change.high, change.mean) for change in changes],
            "color": "@gap",
            "thickness": 2,
            "width": 6,
        },
        "hovertemplate": "%{y}: %{x:.4g}<extra></extra>",
    }
    drawn = layout(f"difference in {found.main.key}", "")
    drawn["height"] = max(288, 42 * len(arms) + 110)  # at least what the style sheet keeps free
    drawn = with_rows(drawn, names)
    drawn["yaxis"].update(autorange=False, range=[len(names) - 0.5, -0.5])
    drawn["xaxis"].update(rangemode="tozero", zeroline=True, zerolinewidth=2)
    return {"data": [points], "layout": drawn}


def curves(found: Comparison) -> tuple[dict[str, tuple[Figure, str]], bool]:
    """The main metric over the epochs, one panel an arm, all on the same axes.

    With it comes whether these leave out the beginning of the runs.
    """
    shown = [
        run.record.series(found.main.key)
        for arm in found.arms[:MAX_PANELS]
        for run in arm.runs[:MAX_CURVES]
    ]
    late = without_beginning(shown, found.main.mode or "min")
    ranges = late or _range(shown)
    panels: dict[str, tuple[Figure, str]] = {}
    for i, arm in enumerate(found.arms[:MAX_PANELS]):
        lines = []
        for run in arm.runs[:MAX_CURVES]:
            points = thin(run.record.series(found.main.key), 120)
            if any(math.isfinite(value) for _, value in points):
                seed = run.record.seed
                name = run.record.name if seed is None else f"seed {seed}"
                each = line(name, points, GROUP_COLOURS[i % len(GROUP_COLOURS)])
                lines.append({**without_markers(each), "opacity": 0.75})
        if lines:
            drawn = layout("epoch", "", showlegend=False, height=220)
            drawn["margin"] = {"l": 52, "r": 10, "t": 8, "b": 42}
            drawn["yaxis"]["range"] = ranges
            panels[f"curve{i}"] = at_whole_epochs({"data": lines, "layout": drawn}), arm.label
    return panels, late is not None


def _seeds(found: Comparison, column: Column, colour: str, *, numeric: bool) -> Figure:
    points = [
        (arm, run.values[column.title], run.record.seed)
        for arm in found.arms
        for run in arm.runs
        if run.counts and column.title in run.values
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{column.at}, single runs",
        "x": [_place(arm, numeric=numeric) for arm, _, _ in points],
        "y": [value for _, value, _ in points],
        "text": [f"seed {seed}" for _, _, seed in points],
        "marker": {"size": 6, "color": colour, "opacity": 0.4},
        "hovertemplate": "%{x}, %{text}: %{y:.4g}<extra></extra>",
    }


def _mean_line(
    found: Comparison, column: Column, colour: str, symbol: str, *, numeric: bool
) -> Figure:
    arms = [arm for arm in found.arms if column.title in arm.estimates]
    if numeric:
        arms.sort(key=lambda arm: arm.number or 0.0)
    estimates = [arm.estimates[column.title] for arm in arms]
    return {
        "type": "scatter",
        "mode": "lines+markers" if numeric else "markers",
        "name": f"{column.at}, mean ± standard error",
        "x": [_place(arm, numeric=numeric) for arm in arms],
        "y": [each.mean for each in estimates],
        "error_y": {
            "type": "data",
            "array": [each.se or 0.0 for each in estimates],
            "color": colour,
            "thickness": 2,
            "width": 7,
        },
        "marker": {"size": 10, "color": colour, "symbol": symbol},
        "line": {"color": colour, "width": 1.5},
        "hovertemplate": "%{x}: %{y:.4g}<extra>" + column.at + "</extra>",
    }


def _choice(found: Comparison, chosen: Arm, *, numeric: bool) -> Figure:
    shown = [arm for arm in found.arms if found.main.title in arm.estimates]
    return {
        "x": chosen.number
        if numeric
        else shown.index(chosen),  # a category's own name may be a number
        "y": chosen.estimates[found.main.title].mean,
        "text": "1-SE choice",
        "showarrow": True,
        "arrowhead": 2,
        "arrowcolor": "@best",
        "ax": 0,
        "ay": 48,
        "font": {"color": "@best", "size": 12},
    }


def _place(arm: Arm, *, numeric: bool) -> Any:
    return arm.number if numeric else _name(arm)


def _name(arm: Arm) -> str:
    """What an arm is called below the axis: a line for each setting, which is narrower."""
    name = shorten(" ".join(arm.choice.values()) or arm.label)
    return escape(name).replace(" ", "<br>")


def _unique(names: list[str]) -> list[str]:
    """Escape, and number names that are alike once they are cut: each is a row of its own."""
    return [
        escape(name) if names.count(name) == 1 else f"{escape(name)} ({i + 1})"
        for i, name in enumerate(names)
    ]


def _half(high: float | None, mean: float) -> float:
    return 0.0 if high is None else high - mean


def _range(shown: Sequence[Points]) -> list[float] | None:
    values = [value for points in shown for _, value in points if math.isfinite(value)]
    if not values:
        return None
    pad = 0.05 * (max(values) - min(values)) or 0.1
    return [min(values) - pad, max(values) + pad]
