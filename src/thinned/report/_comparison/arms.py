"""What a comparison is made of: columns, runs, arms."""

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from thinned.report._records.record import Record, ended

from .choices import number
from .statistics import Difference, Estimate

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of a run: a metric, and the moment it is taken at.

    ``best`` is the validation at which the run's own main metric was best (what a checkpoint
    would keep), ``last`` the last one.
    """

    key: str
    at: str = "best"
    mode: str | None = "min"

    @property
    def title(self) -> str:
        """The column's heading."""
        return f"{self.key} ({self.at})"


@dataclass(slots=True)
class Run:
    """One run's figures, one for each column it has.

    ``improving`` says whether the main metric was clearly getting better when the run ended.
    """

    record: Record
    choice: dict[str, str]
    values: dict[str, float]
    best_epoch: float | None
    diverged: float | None = None
    improving: bool = False

    @property
    def state(self) -> str:
        """How it ended: the record's status, or what is wrong with its main metric.

        ``diverged`` if that ended as NaN, ``unmeasured`` if it never had any.
        """
        state = ended(self.record, self.diverged)
        return "unmeasured" if state in ("finished", "unknown") and not self.values else state

    @property
    def counts(self) -> bool:
        """Whether it enters the means: only runs that came to a good end, or an unknown one."""
        return self.state in ("finished", "unknown")


@dataclass(slots=True)
class Arm:
    """The runs of one choice, with their means and their differences to the baseline."""

    label: str
    choice: dict[str, str]
    runs: list[Run]
    estimates: dict[str, Estimate] = field(default_factory=dict)
    differences: dict[str, Difference] = field(default_factory=dict)
    within_one_se: bool = False

    @property
    def number(self) -> float | None:
        """The rate, where the arms are numbers."""
        return number(self.choice)

    def count(self, *statuses: str) -> int:
        """How many of its runs have one of these states."""
        return sum(run.state in statuses for run in self.runs)

    @property
    def improving(self) -> bool:
        """Whether all its runs that count were clearly getting better when they ended."""
        counted = [run for run in self.runs if run.counts]
        return bool(counted) and all(run.improving for run in counted)

    def by_seed(self, column: Column) -> dict[Hashable, float]:
        """One value a seed; runs of the same seed are no further evidence, and are averaged."""
        groups: dict[Hashable, list[float]] = {}
        for i, run in enumerate(self.runs):
            if run.counts and column.title in run.values:
                seed = run.record.seed
                groups.setdefault(("run", i) if seed is None else seed, []).append(
                    run.values[column.title]
                )
        return {seed: math.fsum(values) / len(values) for seed, values in groups.items()}


@dataclass(slots=True)
class Comparison:
    """What `compare` found.

    Attributes:
        columns: the figures; the first is the one that is decided by.
        arms: one for each choice, the baseline first, then by rate.
        baseline: label of the arm that the others are compared with; None with a single arm.
        chosen: label of the one-standard-error choice: of the arms that are as good as the best
            one, to one standard error, the one that interferes least (the baseline, else the
            smallest rate, else the best); None where the runs differ in their data.
        best: label of the arm with the best mean; None as ``chosen`` is.
        conclusion: what it comes to, in words.
        evidence: the numbers behind the conclusion.
        action: what to do next, in words.
    """

    columns: list[Column]
    arms: list[Arm]
    baseline: str | None
    chosen: str | None = None
    best: str | None = None
    conclusion: str = ""
    evidence: list[str] = field(default_factory=list)
    action: str = ""

    @property
    def main(self) -> Column:
        """The column that is decided by."""
        return self.columns[0]

    @property
    def runs(self) -> list[Run]:
        """All runs, arm by arm."""
        return [run for arm in self.arms for run in arm.runs]

    @property
    def settings(self) -> list[str]:
        """The settings in which the runs differ."""
        return list(self.arms[0].choice)

    @property
    def other_data(self) -> bool:
        """Whether the runs differ in their data, so that their metrics may not compare."""
        return len({arm.choice.get("data") for arm in self.arms}) > 1

    def arm(self, name: str | None) -> Arm | None:
        """The arm with this label."""
        return next((arm for arm in self.arms if arm.label == name), None)

    @property
    def significant(self) -> bool:
        """Whether the best arm is better than the baseline beyond accident, on the same data."""
        arm = self.arm(self.best)
        found = arm.differences.get(self.main.title) if arm else None
        return found is not None and found.significant and is_better(found.mean, self.main)

    def table(self, width: int = 120) -> "Table":
        """A rich table for the terminal, with the columns that fit into ``width``."""
        from .table import table

        return table(self, width)

    def to_csv(self, path: str | Path) -> Path:
        """Write one row a run."""
        from .table import to_csv

        return to_csv(self, path)

    def to_json(self, path: str | Path) -> Path:
        """Write the conclusion, the arms with their statistics, and the runs."""
        from .table import to_json

        return to_json(self, path)


def is_better(change: float, column: Column) -> bool:
    """Whether a change is for the better."""
    return change > 0 if column.mode == "max" else change < 0
