"""Tables and sentences: means, paired differences, and which of them are more than noise."""

import dataclasses
import itertools
import statistics
from collections.abc import Collection, Mapping, Sequence

from thinned.report import Difference
from thinned.report._comparison.statistics import difference, estimate, holm

from ._results import Row

Rows = Mapping[int, Row]


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number that arms are compared by: its key, its head in the table, factor and digits.

    ``quote`` is what pages call it where they quote a figure.
    """

    key: str
    head: str
    factor: float = 1.0
    digits: int = 3
    quote: str = ""

    @property
    def points(self) -> bool:
        """Whether it is a share, whose differences are percentage points."""
        return self.factor == 100.0


ERROR = Measure("test_error", "test error, %", 100.0, 2, "error")
LOSS = Measure("test_loss", "test loss", quote="loss")
BEST = Measure("best_test_loss", "test loss, best checkpoint", quote="best")


def values(rows: Rows, measure: Measure) -> dict[int, float]:
    """Return the number by seed, in the table's unit."""
    return {seed: row[measure.key] * measure.factor for seed, row in rows.items()}


def differences(
    arms: Mapping[str, Rows], base: str, measure: Measure
) -> dict[str, Difference | None]:
    """Every arm minus the base over the same seeds, with Holm's p over the arms."""
    plain = values(arms[base], measure)
    found = {n: difference(values(rows, measure), plain) for n, rows in arms.items() if n != base}
    return holm(found)


def changes(arms: Mapping[str, Rows], base: str, measure: Measure) -> dict[str, Difference | None]:
    """The differences to the base in percent of its mean; of a share, in points as they are."""
    found = differences(arms, base, measure)
    unit = 1.0 if measure.points else statistics.mean(values(arms[base], measure).values()) / 100
    return {name: each and _scaled(each, unit) for name, each in found.items()}


def _scaled(found: Difference, unit: float) -> Difference:
    parts = ("mean", "se", "low", "high")
    known = {part: getattr(found, part) for part in parts if getattr(found, part) is not None}
    return dataclasses.replace(found, **{part: value / unit for part, value in known.items()})


def table(
    arms: Mapping[str, Rows],
    base: str,
    measures: Sequence[Measure],
    *,
    name: str = "arm",
    choice: str = "",
    blank: Collection[Measure] = (),
) -> str:
    """A row an arm: mean and standard error, and the paired difference to the base with its p.

    Columns of measures in ``blank`` stay empty, so that tables can be stacked.
    """
    heads = [name, *([choice] if choice else [])]
    for each in measures:
        heads += [each.head, f"minus {base}"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    against = {each: differences(arms, base, each) for each in measures if each not in blank}
    for arm, rows in arms.items():
        cells = [arm]
        if choice:
            cells.append(chosen(rows))
        for each in measures:
            if each in blank:
                cells += ["", ""]
                continue
            cells += [mean(values(rows, each), each.digits)]
            cells += [delta(against[each][arm], each.digits) if arm != base else ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def stacked(tables: Mapping[str, str], head: str) -> str:
    """Make one table of several that have the same columns, each row under its label."""
    lines: list[str] = []
    for label, each in tables.items():
        first, rule, *rows = each.splitlines()
        lines = lines or [f"| {head} {first}", f"|---{rule}"]
        lines += [f"| {label if place == 0 else ''} {row}" for place, row in enumerate(rows)]
    return "\n".join(lines)


def mean(numbers: Mapping[int, float], digits: int = 3) -> str:
    """Mean and standard error over seeds."""
    found = estimate(numbers)
    if found is None:
        return "none"
    spread = "" if found.se is None else f" ± {found.se:.{digits}f}"
    return f"{found.mean:.{digits}f}{spread}"


def delta(found: Difference | None, digits: int = 3) -> str:
    """A paired difference, its standard error and p; bold where p < 0.05."""
    if found is None or found.se is None or found.p is None:
        return "unknown"
    text = f"{found.mean:+.{digits}f} ± {found.se:.{digits}f}"
    return f"**{text}** ({_p(found.p)})" if found.significant else f"{text} ({_p(found.p)})"


def chosen(rows: Rows) -> str:
    """The rates that validation picked: the median, and the range over seeds."""
    picked = [row["choice"] for row in rows.values() if row["choice"] == row["choice"]]
    if not picked:
        return ""
    low, high = min(picked), max(picked)
    middle = f"{statistics.median(picked):g}"
    return middle if low == high else f"{middle} ({low:g} to {high:g})"


def sentence(
    arms: Mapping[str, Rows], base: str, measure: Measure, what: str, *, level: float = 0.05
) -> str:
    """Say in words which arms are lower, higher, or not told apart from the base."""
    found = differences(arms, base, measure)
    groups: dict[str, list[str]] = {"lower": [], "higher": [], "not told apart": []}
    for arm, each in found.items():
        told = each is not None and each.p is not None and each.p < level
        side = "not told apart" if not told or each is None else "lower"
        if told and each is not None and each.mean > 0:
            side = "higher"
        groups[side].append(f"*{arm}*")
    parts = [f"{side}: {', '.join(names) or 'none of them'}" for side, names in groups.items()]
    return f"{what} against *{base}* (Holm p < {level:g}): " + "; ".join(parts) + "."


def placebo(families: Mapping[str, Sequence[Rows]], measure: Measure) -> tuple[int, int]:
    """Compare what differs by its initial weights only: how many have p < 0.05, and of how many.

    Nothing is corrected, so one in twenty is what chance alone gives.
    """
    found = [
        difference(values(one, measure), values(other, measure))
        for tries in families.values()
        for one, other in itertools.combinations(tries, 2)
    ]
    return sum(each is not None and each.significant for each in found), len(found)


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"
