"""A section that compares arms: on every task the same tables, and what holds on how many."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from thinned.report import Difference

from ._arms import Group, runs
from ._claim import Claim, Tally, tabled, tally_of
from ._picture import many
from ._results import Results, Row
from ._size import Size
from ._table import (
    BEST,
    ERROR,
    LOSS,
    Measure,
    Rows,
    changes,
    chosen,
    delta,
    differences,
    mean,
    stacked,
    table,
    values,
)
from ._tasks import TASKS


@dataclasses.dataclass(frozen=True)
class View:
    """What is read off the runs that one validation loss picks."""

    by: str
    measures: tuple[Measure, ...]
    told: str = ""


VIEWS = (
    View("val_loss", (LOSS, ERROR), "After the last step, rates by validation loss there:"),
    View("best_val_loss", (BEST,), "At the checkpoint of the lowest validation loss:"),
)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Groups of arms, each against its base.

    Attributes:
        groups: by ``case, task``, or by ``task`` where there is one case only.
        cases: the heading of each case; its tasks stand in one table and one picture.
        claims: what is counted over the tasks.
        views: one table each.
        derive: adds to a row what is computed from it.
        more: text behind the tables.
        also: further figures that prose may quote.
    """

    groups: Mapping[str, Group]
    base: str
    claims: tuple[Claim, ...] = ()
    cases: Mapping[str, str] = dataclasses.field(default_factory=lambda: {"": ""})
    views: tuple[View, ...] = VIEWS
    name: str = "arm"
    derive: Callable[[Row], Row] = lambda _row: {}
    more: Callable[[Results], str] | None = None
    also: Callable[[Results], Mapping[str, str]] = lambda _results: {}

    def arms(self, size: Size) -> dict[str, Callable[[int], Row]]:
        """Return every run by its name."""
        return runs(self.groups, size)

    def keys(self, results: Results, case: str = "") -> dict[str, str]:
        """The groups of a case that have been run, by task."""
        run = {name.partition("/")[0] for name in results.arms}
        return {
            group.task: key
            for key, group in self.groups.items()
            if key in run and (key.rpartition(", ")[0] == case)
        }

    def members(self, results: Results, key: str, by: str = "val_loss") -> dict[str, Rows]:
        """Every arm of a group at the rate that a validation loss picks, for each seed."""
        found = {name: results.tuned(f"{key}/{name}", by) for name in self.groups[key].arms}
        return {
            name: {seed: row | self.derive(row) for seed, row in rows.items()}
            for name, rows in found.items()
        }

    def view_of(self, measure: Measure) -> str:
        """The validation loss that picks where this measure is read."""
        return next((view.by for view in self.views if measure in view.measures), "val_loss")

    def measured(self, key: str, view: View) -> list[Measure]:
        """The measures of a view that mean something on the task of a group."""
        number = TASKS[self.groups[key].task].predicts_number
        return [each for each in view.measures if not (number and each.points)]

    def tallies(self, results: Results) -> list[Tally]:
        """Every claim on the tasks of its case, as far as it can be measured there."""
        found = []
        for claim in self.claims:
            by, base = self.view_of(claim.measure), claim.base or self.base
            arms, bases = {}, {}
            for task, key in self.keys(results, claim.case).items():
                known = not (TASKS[task].predicts_number and claim.measure.points)
                members = self.members(results, key, by)
                if known and claim.arm in members and base in members:
                    arms[task], bases[task] = members[claim.arm], members[base]
            found.append(tally_of(claim, arms, bases))
        return found

    def block(self, results: Results, pictures: Mapping[str, str]) -> str:
        """Claims, then a picture and a table a view for each case; ``pictures`` are files."""
        parts = []
        counted = self.tallies(results)
        for case, told in self.cases.items():
            keys = self.keys(results, case)
            if not keys:
                continue
            parts += [f"### {told}"] if told else []
            here = [each for each in counted if each.claim.case == case and each.found]
            parts += [tabled(here)] if here else []
            parts += [f"![{told or 'Differences'}]({pictures[case]})"] if case in pictures else []
            for view in self.views:
                tables = {task: self.rows(results, key, view) for task, key in keys.items()}
                parts += [view.told] if view.told else []
                parts.append(stacked(tables, "data"))
        return "\n\n".join([*parts, *([self.more(results)] if self.more else [])])

    def rows(self, results: Results, key: str, view: View) -> str:
        """The table of a group."""
        members = self.members(results, key, view.by)
        blank = set(view.measures) - set(self.measured(key, view))
        tuned = any(len(arm.rates) > 1 for arm in self.groups[key].arms.values())
        choice = "rate" if tuned else ""
        return table(members, self.base, view.measures, name=self.name, choice=choice, blank=blank)

    def shown(self, results: Results) -> list[str]:
        """The cases that have a picture."""
        return [case for case in self.cases if self.keys(results, case)]

    def pictures(self, results: Results) -> dict[str, Any]:
        """One picture a case: what each arm changes on each task."""
        colours = {task: f"C{place}" for place, task in enumerate(TASKS)}
        return {case: many(self._panels(results, case), colours) for case in self.shown(results)}

    def _panels(self, results: Results, case: str) -> dict[str, Mapping[str, Mapping[str, Any]]]:
        panels: dict[str, dict[str, Mapping[str, Any]]] = {}
        for view in self.views:
            for each in view.measures:
                unit = "points" if each.points else f"% of {self.base}"
                title = f"{each.head.removesuffix(', %')}, {unit}"
                panels[title] = {
                    task: changes(self.members(results, key, view.by), self.base, each)
                    for task, key in self.keys(results, case).items()
                    if each in self.measured(key, view)
                }
        return panels

    def figures(self, results: Results) -> dict[str, str]:
        """Every number that a page may quote, by name."""
        found = dict(self.also(results))
        for tally in self.tallies(results):
            name = tally.claim.name
            for side, word in ((1, "held"), (0, "open"), (-1, "lost")):
                found[f"{name}: {word}"] = tally.count(side)
                found[f"{name}: {word} by"] = tally.span(side)
        for case in self.cases:
            for key in self.keys(results, case).values():
                found |= self._quoted(results, key)
        return found

    def _quoted(self, results: Results, key: str) -> dict[str, str]:
        found = {}
        for view in self.views:
            members = self.members(results, key, view.by)
            for each in self.measured(key, view):
                against = differences(members, self.base, each)
                shares = changes(members, self.base, each)
                for arm, rows in members.items():
                    label = f"{key}: {arm}: {each.quote or each.key}"
                    found[label] = mean(values(rows, each), each.digits).partition(" ")[0]
                    if arm != self.base:
                        found[f"{label} minus"] = delta(against[arm], each.digits)
                        found |= _size_of(label, shares[arm], each)
                    found.setdefault(f"{key}: {arm}: rate", chosen(rows))  # of the first view
        return found


def _size_of(label: str, found: Difference | None, measure: Measure) -> dict[str, str]:
    """How large a change is: with its sign, and without, behind "lowers it by"."""
    if found is None:
        return {}
    digits, unit = (1, " points") if measure.points else (0, "%")
    return {
        f"{label} change": f"{found.mean:+.{digits}f}{unit}",
        f"{label} by": f"{abs(found.mean):.{digits}f}{unit}",
    }
