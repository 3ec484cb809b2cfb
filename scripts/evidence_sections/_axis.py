"""Sections in which one number moves: the same comparison at each of its values, and curves."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ._claim import tabled
from ._compare import Comparison
from ._picture import figure, line
from ._results import Results
from ._table import Measure, Rows, stacked, values

Point = tuple[float, str, str]  # where it is drawn, the case, the arm
Curve = tuple[Measure, Sequence[Point]]


@dataclasses.dataclass(frozen=True)
class Axis(Comparison):
    """Cases that are values on an axis, with the same arms at each.

    Attributes:
        axis: what the cases are.
        drawn: the curves: what each is called, its arm and its measure.
    """

    axis: str = ""
    drawn: tuple[tuple[str, str, Measure], ...] = ()

    def block(self, results: Results, pictures: Mapping[str, str]) -> str:
        """Claims, the picture, and for each view one table by task and value."""
        parts = [tabled([each for each in self.tallies(results) if each.found])]
        parts += [f"![{self.axis}]({file})" for file in pictures.values()]
        for view in self.views:
            tables: dict[str, dict[str, str]] = {}
            for case in self.cases:
                for task, key in self.keys(results, case).items():
                    tables.setdefault(task, {})[case] = self.rows(results, key, view)
            parts += [view.told] if view.told else []
            parts.append(
                stacked({t: stacked(each, self.axis) for t, each in tables.items()}, "data")
            )
        return "\n\n".join(parts)

    def shown(self, results: Results) -> list[str]:  # noqa: ARG002 - as in the base
        """One picture for all cases."""
        return [""]

    def pictures(self, results: Results) -> dict[str, Any]:
        """The change of loss over the axis, a panel a task."""
        made = {
            label: (measure, [(float(case), case, arm) for case in self.cases])
            for label, arm, measure in self.drawn
        }
        return {"": curves(self, results, made, self.axis, log=True)}


def curves(
    section: Comparison,
    results: Results,
    drawn: Mapping[str, Curve],
    axis: str,
    *,
    log: bool = False,
) -> Any:
    """Draw what arms change of a measure, in percent of the base: a panel a task."""
    cases = list(dict.fromkeys(case for _, points in drawn.values() for _, case, _ in points))
    tasks = list(dict.fromkeys(task for case in cases for task in section.keys(results, case)))
    columns = 2 if len(tasks) == 4 else min(3, len(tasks))
    rows = -(-len(tasks) // columns)
    made, axes = figure(columns, rows, wide=3.2 * max(2, columns), high=2.4)
    for ax in axes[len(tasks) :]:
        ax.set_axis_off()
    for ax, task in zip(axes, tasks, strict=False):
        ax.axhline(0, color="black", lw=0.8)
        middles, places = [0.0], []
        for label, (measure, points) in drawn.items():
            found = {}
            for x, case, arm in points:
                key = section.keys(results, case).get(task)
                if key is not None:
                    members = section.members(results, key, section.view_of(measure))
                    found[x] = share(members[arm], members[section.base], measure)
            line(ax, list(found), list(found.values()), label)
            middles += [statistics.mean(each.values()) for each in found.values()]
            places = list(found)
        low, high = min(*middles, -20.0), min(max(*middles, 20.0), 60.0)
        ax.set(title=task, xlabel=axis, ylim=(1.2 * low, 1.2 * high))
        if log:
            ax.set(xscale="log")
            ax.set_xticks(places, [f"{x:g}" for x in places])
            ax.minorticks_off()
    for ax in axes[::columns]:
        ax.set_ylabel("change of loss, %")
    if len(drawn) > 1:
        axes[0].legend(fontsize=7)
    return made


def share(arm: Rows, base: Rows, measure: Measure) -> dict[int, float]:
    """The paired difference to the base, in percent of the mean of the base."""
    mine, plain = values(arm, measure), values(base, measure)
    mean = statistics.mean(plain.values())
    return {seed: 100 * (mine[seed] - plain[seed]) / mean for seed in plain}
