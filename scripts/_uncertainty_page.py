"""The tables, the sentences and the picture of `scripts/evidence-uncertainty`."""

from collections.abc import Mapping
from typing import Any

from _uncertainty_runs import ALPHA, ARMS, MC, MEMBERS, TASKS
from evidence_sections._picture import figure, forest
from evidence_sections._results import Results, Row
from evidence_sections._table import Measure, differences, mean, sentence, table, values

BASE = "plain"
NAMES = {"digits": "Digits", "breast_cancer": "Breast cancer"}
SHOWN = tuple(arm for arm in ARMS if arm != BASE)

Arms = Mapping[str, Mapping[int, Row]]


def arms_of(results: Results, task: str) -> dict[str, dict[int, Row]]:
    """The rows of one task by arm and seed."""
    found = {arm: results.arms[f"{task}/{arm}"] for arm in ARMS}
    return {arm: dict(enumerate(rows)) for arm, rows in found.items()}


def measures(test: str) -> list[Measure]:
    """What stands in the table of one test set."""
    return [
        Measure(f"{test} error", "error, %", 100.0, 2),
        Measure(f"{test} nll", "NLL", 1.0, 3),
        Measure(f"{test} ece", "ECE, %", 100.0, 2),
        Measure(f"{test} brier", "Brier", 1.0, 4),
    ]


def elsewhere(arms: Arms) -> str:
    """How well doubt tells other data: the AUROC of entropy, and of disagreement."""
    keys = [key for key in next(iter(arms.values()))[0] if key.endswith(" entropy")]
    heads = ["way", *(f"{key.removesuffix(' entropy')}: {what}" for key in keys for what in DOUBTS)]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for arm, rows in arms.items():
        cells = [arm]
        for key in keys:
            other = key.replace(" entropy", " disagreement")
            for each in (key, other):
                there = each in rows[0]
                cells.append(mean(values(rows, Measure(each, ""))) if there else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


DOUBTS = ("entropy", "disagreement")


def conformal(arms: Arms) -> str:
    """Coverage and size of split conformal sets."""
    heads = ["sets from", "coverage, %", "size", "coverage, corrupted, %", "size, corrupted"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for arm in (BASE, "plain, temperature", f"MC, T={MC}", f"ensemble of {MEMBERS}"):
        cells = [arm]
        for test in ("clear", "corrupted"):
            cells.append(mean(values(arms[arm], Measure(f"{test} coverage", "", 100.0)), 1))
            cells.append(mean(values(arms[arm], Measure(f"{test} size", "")), 2))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def block(results: Results) -> str:
    """All tables, and sentences that are made from the numbers."""
    parts: list[str] = []
    for task in TASKS:
        arms = arms_of(results, task)
        parts.append(f"### {NAMES[task]}")
        for test in ("clear", "corrupted"):
            parts.append(f"**{test.capitalize()} test rows.**")
            parts.append(table(arms, BASE, measures(test), name="way"))
            parts += [
                sentence(arms, BASE, each, each.head.removesuffix(", %"))
                for each in measures(test)[1:3]
            ]
        parts.append("**Telling data from elsewhere**, AUROC.")
        parts.append(elsewhere(arms))
        keys = [key for key in arms[BASE][0] if key.endswith(" entropy")]
        parts += [sentence(arms, BASE, Measure(key, ""), f"AUROC, {key}") for key in keys]
        parts.append(f"**Conformal sets** that shall hold the truth in {1 - ALPHA:.0%}.")
        parts.append(conformal(arms))
    return "\n\n".join(parts)


def picture(results: Results) -> Any:
    """Paired differences to one plain forward of the same networks."""
    made, axes = figure(4, 2, wide=13.0, high=3.1)
    for row, task in enumerate(TASKS):
        arms = arms_of(results, task)
        for column, (key, what) in enumerate(
            (("clear nll", "NLL"), ("clear ece", "ECE"), ("corrupted nll", "NLL, corrupted"))
        ):
            ax = axes[4 * row + column]
            forest(ax, differences(arms, BASE, Measure(key, "")), f"{NAMES[task]}: {what}")
        key = "8 and 9 entropy" if task == "digits" else "shuffled entropy"
        found = differences(arms, BASE, Measure(key, ""))
        name = f"{NAMES[task]}: AUROC, {key.removesuffix(' entropy')}"
        forest(axes[4 * row + 3], found, name, better="higher is better")
    for number, ax in enumerate(axes):
        if number % 4:
            ax.set_yticklabels([])
    return made
