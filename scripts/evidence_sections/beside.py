"""Dropout beside augmentation, weight decay and label smoothing: is what they give additive?"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from thinned.report import Difference
from thinned.report._comparison.statistics import difference, holm

from ._arms import Arm, Group
from ._claim import Claim
from ._compare import Comparison, View
from ._mlp import dropped
from ._results import Results
from ._table import BEST, ERROR, LOSS, Measure, delta, stacked, values
from ._tasks import TASKS

TITLE = "Beside other regularizers"
RATES = (0.0, 0.3, 0.5)
OTHERS = ("augmentation", "weight decay", "label smoothing")
ON = ("digits", "signs", "cancer", "wine", "diabetes", "drawn")
INTERACTION = """\
**The interaction**: what dropout changes beside the other, minus what it changes alone. 0 would be
additive; above 0 they do in part the same work, or are in each other's way. p is Holm's over the
rows of a data set."""


def augmented(x: Tensor) -> Tensor:
    """Move each image by up to one pixel, with zeros behind it; add noise of 0.3 to a table."""
    if x.ndim == 2:
        return x + 0.3 * torch.randn_like(x)
    n, _, high, wide = x.shape
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
    down, right = torch.randint(3, (2, n, 1, 1))
    rows = down + torch.arange(high).reshape(1, high, 1)
    columns = right + torch.arange(wide).reshape(1, 1, wide)
    return padded[torch.arange(n).reshape(n, 1, 1), 0, rows, columns][:, None]


CHANGES: Mapping[str, dict[str, Any]] = {
    "nothing": {},
    "augmentation": {"augment": augmented},
    "weight decay": {"weight_decay": 0.5},
    "label smoothing": {"smoothing": 0.1},
}


def _arm(other: str, rate: float) -> Arm:
    return Arm(
        dropped(128, 128),
        (rate,),
        lambda recipe, _rate: dataclasses.replace(recipe, **CHANGES[other]),
    )


def _arms(task: str) -> dict[str, Arm]:
    """Nothing and each of the others, each without dropout and with two rates."""
    possible = [o for o in CHANGES if not (TASKS[task].predicts_number and o == "label smoothing")]
    return {f"{other}, {r:g}": _arm(other, r) for other in possible for r in RATES}


def interactions(results: Results, task: str, measure: Measure) -> dict[str, Difference | None]:
    """What dropout changes beside the other, minus what it changes alone; Holm's p over all."""

    def gain(other: str, rate: float) -> dict[int, float]:
        with_it, without = (
            values(results.tuned(f"{task}/{other}, {r:g}"), measure) for r in (rate, 0.0)
        )
        return {seed: with_it[seed] - without[seed] for seed in without}

    return holm(
        {
            f"{other}, {rate:g}": difference(gain(other, rate), gain("nothing", rate))
            for other in OTHERS
            if f"{other}, 0" in SECTION.groups[task].arms
            for rate in RATES[1:]
        }
    )


PAIRS = tuple(f"{other}, {rate:g}" for other in OTHERS for rate in RATES[1:])


def quotes(results: Results) -> dict[str, str]:
    """On how many data sets each interaction in loss is above 0, and below, with p < 0.05."""
    both = [interactions(results, task, LOSS) for task in SECTION.keys(results)]
    found = {}
    for name in PAIRS:
        here = [each[name] for each in both if name in each]
        told = [each.mean for each in here if each is not None and each.significant]
        found[f"{name}: above"] = f"{sum(mean > 0 for mean in told)} of {len(here)}"
        found[f"{name}: below"] = f"{sum(mean < 0 for mean in told)} of {len(here)}"
    return found


def more(results: Results) -> str:
    """The interactions, and on how many tasks each is above 0."""
    tables = {}
    tasks = SECTION.keys(results)
    both = {task: {m: interactions(results, task, m) for m in (LOSS, ERROR)} for task in tasks}
    for task, found in both.items():
        lines = [f"| interaction | {LOSS.head} | {ERROR.head} |", "|---|---|---|"]
        for name in found[LOSS]:
            error = "" if TASKS[task].predicts_number else delta(found[ERROR][name], ERROR.digits)
            lines.append(f"| {name} | {delta(found[LOSS][name], LOSS.digits)} | {error} |")
        tables[task] = "\n".join(lines)
    counted = quotes(results)
    counts = [
        f"- *{name}*: above 0 on {counted[f'{name}: above']} data sets, below on "
        f"{counted[f'{name}: below']}"
        for name in PAIRS
    ]
    return "\n\n".join([INTERACTION, "\n".join(counts), stacked(tables, "data")])


SECTION = Comparison(
    {task: Group(task, _arms(task)) for task in ON},
    base="nothing, 0",
    claims=(
        Claim("alone", "Dropout alone (0.3) lowers the loss", "nothing, 0.3"),
        *(
            claim
            for other in OTHERS
            for claim in (
                Claim(other, f"{other.capitalize()} alone lowers the loss", f"{other}, 0"),
                Claim(f"{other}, error", "It lowers the error", f"{other}, 0", measure=ERROR),
                Claim(
                    f"{other}, 0.3",
                    f"Dropout (0.3) beside {other} lowers the loss further",
                    f"{other}, 0.3",
                    base=f"{other}, 0",
                ),
                Claim(
                    f"{other}, 0.3, error",
                    "It lowers the error further",
                    f"{other}, 0.3",
                    base=f"{other}, 0",
                    measure=ERROR,
                ),
            )
        ),
    ),
    views=(View("val_loss", (LOSS, BEST, ERROR)),),
    name="beside, rate",
    more=more,
    also=quotes,
)
