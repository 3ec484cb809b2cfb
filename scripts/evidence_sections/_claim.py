"""A claim in words, tried on every data set of a section, and how many of them it holds on."""

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence

from thinned.report import Difference
from thinned.report._comparison.statistics import difference, holm

from ._table import LOSS, Measure, Rows, values


@dataclasses.dataclass(frozen=True)
class Claim:
    """An arm is lower than another one by some measure (or higher), on every task of a case.

    Attributes:
        name: what pages refer to it by.
        says: the claim in words.
        case: the case whose tasks are counted.
        base: what the arm is compared with; by default the base of the section.
    """

    name: str
    says: str
    arm: str
    case: str = ""
    base: str = ""
    measure: Measure = LOSS
    lower: bool = True


def crossed(
    arms: Iterable[tuple[str, str]],
    said: Sequence[tuple[str, str, Measure]],
    *,
    base: str = "",
    lower: bool = True,
) -> tuple[Claim, ...]:
    """Every sentence on every arm; an arm comes with its case, a sentence with a short name."""
    return tuple(
        Claim(
            ", ".join(part for part in (case, arm, short) if part),
            *(says.format(arm), arm, case, base),
            measure=measure,
            lower=lower,
        )
        for case, arm in arms
        for short, says, measure in said
    )


@dataclasses.dataclass(frozen=True)
class Tally:
    """What the tasks say: differences with Holm's p over them, and in percent of the base."""

    claim: Claim
    found: Mapping[str, Difference | None]
    shares: Mapping[str, float]

    def tasks(self, side: int) -> list[str]:
        """Tasks on which it holds (1), the contrary does (-1), or nothing is shown (0)."""
        return [task for task, each in self.found.items() if self._side(each) == side]

    def _side(self, found: Difference | None) -> int:
        if found is None or not found.significant:
            return 0
        return 1 if (found.mean < 0) == self.claim.lower else -1

    def count(self, side: int = 1) -> str:
        """On how many of how many."""
        return f"{len(self.tasks(side))} of {len(self.found)}"

    def span(self, side: int = 1) -> str:
        """The smallest and the largest change where it holds, in percent or in points."""
        sizes = sorted(abs(self.shares[task]) for task in self.tasks(side))
        if not sizes:
            return "none"
        digits, unit = (1, " points") if self.claim.measure.points else (0, "%")
        low, high = f"{sizes[0]:.{digits}f}", f"{sizes[-1]:.{digits}f}"
        return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"

    def names(self, side: int) -> str:
        """The tasks and the change on each."""
        digits, unit = (1, " points") if self.claim.measure.points else (0, "%")
        return ", ".join(f"{t} {self.shares[t]:+.{digits}f}{unit}" for t in self.tasks(side))

    def cells(self) -> list[str]:
        """One row of the table of claims."""
        here = [f"{self.count()}: {self.names(1)}" if self.tasks(1) else self.count()]
        for side in (0, -1):
            tasks = self.tasks(side)
            here.append(f"{len(tasks)}: {self.names(side)}" if tasks else "0")
        return [self.claim.says, *here]


def tabled(tallies: Sequence[Tally]) -> str:
    """The claims of a case, and on which data sets each holds."""
    heads = ["claim", "holds on", "not told apart", "the contrary on"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    lines += ["| " + " | ".join(each.cells()) + " |" for each in tallies]
    return "\n".join(lines)


def tally_of(claim: Claim, arms: Mapping[str, Rows], bases: Mapping[str, Rows]) -> Tally:
    """Compare the arm with the base on every task, paired over seeds."""
    found, shares = {}, {}
    for task in arms:
        one, other = values(arms[task], claim.measure), values(bases[task], claim.measure)
        found[task] = difference(one, other)
        change = statistics.mean(one.values()) - statistics.mean(other.values())
        middle = 1.0 if claim.measure.points else statistics.mean(other.values()) / 100
        shares[task] = change / middle
    return Tally(claim, holm(found), shares)
