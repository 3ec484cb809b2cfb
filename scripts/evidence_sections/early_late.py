"""Early and late dropout: does it help to drop in one half of the training only (Liu 2023)?"""

import functools
from collections.abc import Callable
from typing import Any

from thinned.schedules import Constant, Early, Late, Schedule

from . import _scheduled as scheduled
from ._grid import digits
from ._picture import figure, forest
from ._results import Results, Row
from ._size import Size
from ._table import BEST, ERROR, LOSS, Measure, differences, sentence, table

TITLE = "Early and late dropout"
SCHEDULES: dict[str, Callable[[float], Schedule]] = {
    "constant": Constant,
    "early": lambda rate: Early(rate, until=0.5),
    "early, falling": lambda rate: Early(rate, until=0.5, shape="linear"),
    "late": lambda rate: Late(rate, begin=0.5),
}
CASES = {
    "overfits": "200 samples, two layers of 128, 400 steps",
    "underfits": "1,000 samples, two layers of 12, 400 steps",
}
TRAIN_LOSS = Measure("train_loss", "training loss, dropout off")


def arms(size: Size) -> dict[str, Callable[[int], Row]]:
    """A network too large for its data and one too small, each with every schedule."""

    def much(seed: int, train: int) -> Any:
        return digits(seed, size, train)

    settings = {"overfits": (200, (128, 128)), "underfits": (1000, (12, 12))}
    found = {}
    for case, (train, widths) in settings.items():
        data = functools.partial(much, train=train)
        found |= scheduled.arms(case, data, widths, 400, SCHEDULES, size)
    return found


def _members(results: Results, case: str, by: str = "val_loss") -> dict[str, dict[int, Row]]:
    return scheduled.members(results, case, ("none", *SCHEDULES), by)


def block(results: Results) -> str:
    """For both networks: against none, and against a constant rate."""
    parts = []
    for case, told in CASES.items():
        final, best = _members(results, case), _members(results, case, "best_val_loss")
        dropped = {name: rows for name, rows in final.items() if name != "none"}
        parts += [
            f"### A network that {case}: {told}",
            table(final, "none", [LOSS, ERROR, TRAIN_LOSS], name="schedule", choice="rate"),
            table(best, "none", [BEST], name="at the best checkpoint", choice="rate"),
            sentence(final, "none", LOSS, "Test loss at the end"),
            sentence(final, "none", TRAIN_LOSS, "Training loss"),
            sentence(best, "none", BEST, "Test loss at the best checkpoint"),
            sentence(dropped, "constant", LOSS, "Test loss at the end"),
        ]
    return "\n\n".join(parts)


def picture(results: Results) -> Any:
    """Differences to none, for both networks."""
    made, axes = figure(3, 2, high=2.3, wide=9.6)
    for place, case in enumerate(CASES):
        final, best = _members(results, case), _members(results, case, "best_val_loss")
        row = axes[3 * place : 3 * place + 3]
        for ax, measure, found in zip(row, (LOSS, BEST, ERROR), (final, best, final), strict=True):
            forest(ax, differences(found, "none", measure), f"{case}: {measure.head}")
            ax.set_xlabel("minus none")
        for ax in row[1:]:
            ax.set_yticklabels([])
    return made
