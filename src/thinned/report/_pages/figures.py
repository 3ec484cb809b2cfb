"""The figures of one run, as plotly's plain dicts.

Colours are named by role (``@validation``); the page's style sheet says which they are in light
and dark. Plain dicts cost no import of plotly at the end of a training; a test lets plotly check
every one of them.
"""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from thinned.report._records.course import train_key
from thinned.report._records.record import RateRow, Record

from .names import distinct

Figure = dict[str, Any]
Points = Sequence[tuple[float, float]]

GROUP_COLOURS = tuple(f"@s{i}" for i in range(1, 9))
DASHES = ("solid", "dash", "dot", "dashdot")
HEAT = [[0.0, "@h0"], [0.33, "@h1"], [0.66, "@h2"], [1.0, "@h3"]]
BAR = {"lenmode": "pixels", "len": 160, "y": 1, "yanchor": "top"}
MAX_POINTS = 1500
MAX_HEIGHT = 760
FEW = 8  # epochs, of which each has its mark on the axis
STEEP = 3.0  # times the range of what comes after it: a beginning that is left out


def line(name: str, points: Points, colour: str, **style: Any) -> Figure:
    """One line; long ones are thinned out, since a screen has fewer columns."""
    points = thin(points)
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(points) <= 40 else "lines",
        "name": escape(name),
        "x": [x for x, _ in points],
        "y": [finite(y) for _, y in points],
        "line": {"color": colour, "width": 2.2, **style},
        "marker": {"size": 5, "color": colour},
        "hovertemplate": "%{y:.4g}<extra>" + escape(name) + "</extra>",
    }


def without_markers(drawn: Figure) -> Figure:
    """A line alone, unless it is a single point, which has none."""
    known = sum(y is not None for y in drawn["y"])
    return {**drawn, "mode": "lines" if known > 1 else "lines+markers"}


def at_whole_epochs(drawn: Figure) -> Figure:
    """Mark whole epochs only on the axis of a short run; plotly would mark fifths of them."""
    last = max((x for each in drawn["data"] for x in each["x"]), default=math.inf)
    if last <= FEW:
        drawn["layout"]["xaxis"]["dtick"] = 1
    return drawn


def without_beginning(lines: Iterable[Points], mode: str) -> list[float] | None:
    """The axis of the later two thirds of some curves, where their beginning dwarfs these.

    Else None. What is better than all that comes after it is always on the axis.

    Example:
        >>> falls = [(0, 9.0), (1, 2.0), (2, 1.0), (3, 1.5), (4, 2.0), (5, 1.0)]
        >>> without_beginning([falls], "min"), without_beginning([falls[1:]], "min")
        ([0.95, 2.05], None)
    """
    values = [[y for _, y in points if math.isfinite(y)] for points in lines]
    late = [y for each in values for y in each[len(each) // 3 :]]
    if not late:
        return None
    every = [y for each in values for y in each]
    low, high = (min(every), max(late)) if mode == "min" else (min(late), max(every))
    pad = 0.05 * (high - low)
    steep = max(every) - min(every) > STEEP * (high - low) > 0.0
    return [low - pad, high + pad] if steep else None


def layout(x: str, y: str, marks: Iterable[Figure] = (), **more: Any) -> Figure:
    """Axes with titles, a legend above, and marks at certain moments."""
    marks = list(marks)
    return {
        "margin": {"l": 64, "r": 16, "t": 28, "b": 48},
        "hovermode": "x unified",
        "dragmode": False,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": {"title": {"text": escape(x)}, "zeroline": False, "fixedrange": True},
        "yaxis": {"title": {"text": escape(y)}, "zeroline": False, "fixedrange": True},
        "shapes": [mark["shape"] for mark in marks],
        "annotations": [mark["annotation"] for mark in marks],
        **more,
    }


def mark(x: float, text: str, colour: str, *, row: int = 0, low: bool = False) -> Figure:
    """A vertical line at a moment, with its name: in this row of names from the top or bottom."""
    edge = 0.02 + 0.09 * row
    return {
        "shape": {
            "type": "line",
            "x0": x,
            "x1": x,
            "y0": 0,
            "y1": 1,
            "yref": "paper",
            "line": {"color": colour, "width": 1.5, "dash": "dot"},
        },
        "annotation": {
            "x": x,
            "y": edge if low else 1.0 - edge,
            "yref": "paper",
            "yanchor": "bottom" if low else "top",
            "xanchor": "left",
            "xshift": 4,
            "showarrow": False,
            "text": escape(text),
            "font": {"color": colour, "size": 12},
        },
    }


def learning(record: Record, metric: str, mode: str, marks: Iterable[Figure]) -> Figure:
    """Probe against validation, and the logged training metric behind them."""
    lines = []
    train = train_key(record, metric)
    if train is not None:
        lines.append(line(f"{train} (as logged)", record.series(train), "@train", dash="dot"))
    probe = record.series(f"overfit/probe/{metric}")
    if probe:
        lines.append(line("training probe", probe, "@probe"))
    lines.append(line("validation", record.series(metric), "@validation"))
    drawn = layout("epoch", metric, marks)
    shown = [record.series(train or ""), probe, record.series(metric)]
    if (axis := without_beginning(shown, mode)) is not None:
        drawn["yaxis"]["range"] = axis
    return {"data": lines, "layout": drawn}


def gap(record: Record, metric: str, marks: Iterable[Figure]) -> Figure:
    """The fair gap over time."""
    points = record.series(f"overfit/gap/{metric}")
    area = {**line("gap", points, "@gap"), "fill": "tozeroy", "fillcolor": "rgba(150,80,180,0.14)"}
    return {"data": [area], "layout": layout("epoch", "validation minus probe", marks)}


def noise(record: Record, metric: str) -> Figure:
    """The naive difference, and what of it is the dropout's own noise."""
    naive = naive_difference(record, metric)
    fair = record.series(f"overfit/gap/{metric}")
    inflation = record.series(f"overfit/inflation/{metric}")
    lines = [
        line("validation minus train, as logged", naive, "@train", dash="dot"),
        line("fair gap (probe)", fair, "@gap"),
        line("made by dropout itself", inflation, "@probe", dash="dash"),
    ]
    return {"data": [each for each in lines if each["x"]], "layout": layout("epoch", metric)}


def rates(record: Record) -> Figure:
    """The rate of each group over time."""
    names = list(dict.fromkeys(name for row in record.rates for name in row.groups))
    lines = []
    for i, name in enumerate(names):
        points = [(row.epoch, row.groups[name]) for row in record.rates if name in row.groups]
        style = {"dash": DASHES[i // len(GROUP_COLOURS) % len(DASHES)]}
        each = line(name, points, GROUP_COLOURS[i % len(GROUP_COLOURS)], **style)
        lines.append(without_markers(each))
    drawn = layout("epochs done", "rate", showlegend=True)
    drawn["yaxis"]["rangemode"] = "tozero"
    return {"data": lines, "layout": drawn}


def heat(rates: Sequence[RateRow]) -> Figure:
    """The rate of every site over time, the first layer on top."""
    rows = [row for row in rates if row.sites]
    paths = list(dict.fromkeys(path for row in rows for path in row.sites))
    cells = [[finite(row.sites.get(path, math.nan)) for row in rows] for path in paths]
    names = [escape(name) for name in distinct(paths)]
    height = min(MAX_HEIGHT, max(260, 22 * len(paths) + 110))  # of hundreds the axis names some
    drawn = with_rows(layout("epochs done", "", height=height), names)
    heatmap = {
        "type": "heatmap",
        "x": [row.epoch for row in rows],
        "y": names,
        "z": cells,
        "zmin": 0,
        "zmax": max((rate for row in rows for rate in row.sites.values()), default=1.0) or 1.0,
        "colorscale": HEAT,
        "colorbar": {"title": {"text": "rate"}, "thickness": 12, "outlinewidth": 0, **BAR},
        "hovertemplate": "%{y}<br>%{x} epochs: rate %{z:.4g}<extra></extra>",
        "xgap": 0,
        "ygap": int(height < MAX_HEIGHT),
    }
    return {"data": [heatmap], "layout": drawn}


def naive_difference(record: Record, metric: str) -> list[tuple[float, float]]:
    """Validation minus the training metric as logged, where the run logged one."""
    train = train_key(record, metric)
    if train is None:
        return []
    return [
        (row.epoch, row.values[metric] - row.values[train])
        for row in record.metrics
        if metric in row.values and train in row.values
    ]


def thin(points: Points, limit: int = MAX_POINTS) -> list[tuple[float, float]]:
    """Keep about ``limit`` points, the last one among them."""
    points = list(points)
    if len(points) <= limit:
        return points
    every = math.ceil(len(points) / limit)
    kept = points[::every]
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def finite(value: float) -> float | None:
    """JSON has no NaN; a line has a hole there."""
    return value if math.isfinite(value) else None


def escape(text: str) -> str:
    """Plotly reads some tags in its texts: what users named must stay text.

    Example:
        >>> escape("<b>a & b</b>")
        '&lt;b&gt;a &amp; b&lt;/b&gt;'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def with_rows(drawn: Figure, names: Sequence[str]) -> Figure:
    """Give a layout named rows, the first on top, and the room that the names need.

    Plotly's own ``automargin`` does not settle on narrow screens.
    """
    room = 16 + 7 * max((len(html.unescape(name)) for name in names), default=0)
    drawn["margin"] = {**drawn["margin"], "l": room}
    drawn["yaxis"] = {"autorange": "reversed", "fixedrange": True, "type": "category"}
    drawn["hovermode"] = "closest"
    return drawn


def values(figure: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """The numbers of a line figure as a table: heading and rows, thinned to some dozens."""
    lines = [each for each in figure["data"] if each["type"] == "scatter"]
    at: dict[float, list[Any]] = {}
    for i, each in enumerate(lines):
        for x, y in zip(each["x"], each["y"], strict=True):
            at.setdefault(x, [None] * len(lines))[i] = y
    rows = [[round(x, 3), *at[x]] for x in sorted(at)]
    every = math.ceil(len(rows) / 60) or 1
    kept = rows[::every]
    if rows and kept[-1] is not rows[-1]:
        kept.append(rows[-1])
    first = html.unescape(figure["layout"]["xaxis"]["title"]["text"])
    return [first, *(html.unescape(each["name"]) for each in lines)], kept
