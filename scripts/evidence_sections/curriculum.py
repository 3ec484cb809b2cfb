"""Curriculum dropout: is it better to begin with the whole network (Morerio 2017)?"""

import functools
from collections.abc import Callable
from typing import Any

from thinned.schedules import Constant, Curriculum, Linear, Schedule

from . import _scheduled as scheduled
from ._grid import digits
from ._picture import figure, forest
from ._results import Results, Row
from ._size import Size
from ._table import BEST, ERROR, LOSS, differences, sentence, table

TITLE = "Curriculum dropout"
SCHEDULES: dict[str, Callable[[float], Schedule]] = {
    "constant": Constant,
    "curriculum": Curriculum,
    "rising": lambda rate: Linear(0.0, rate),
    "falling": lambda rate: Linear(rate, 0.0),
}
SIZES = (200,)


def arms(size: Size) -> dict[str, Callable[[int], Row]]:
    """Two sizes of the training set, each with every schedule."""
    found = {}
    for train in SIZES:
        data = functools.partial(_data, size=size, train=train)
        found |= scheduled.arms(f"{train}", data, (128, 128), 400, SCHEDULES, size)
    return found


def _data(seed: int, *, size: Size, train: int) -> Any:
    return digits(seed, size, train)


def _members(results: Results, train: int, by: str = "val_loss") -> dict[str, dict[int, Row]]:
    return scheduled.members(results, str(train), ("none", *SCHEDULES), by)


def block(results: Results) -> str:
    """Every schedule against a constant rate."""
    parts = []
    for train in SIZES:
        final, best = _members(results, train), _members(results, train, "best_val_loss")
        parts += [
            f"### {train} training samples",
            table(final, "constant", [LOSS, ERROR], name="schedule", choice="rate"),
            table(best, "constant", [BEST], name="at the best checkpoint", choice="rate"),
            sentence(final, "constant", LOSS, "Test loss at the end"),
            sentence(final, "constant", ERROR, "Test error at the end"),
            sentence(best, "constant", BEST, "Test loss at the best checkpoint"),
        ]
    return "\n\n".join(parts)


def picture(results: Results) -> Any:
    """Differences to a constant rate."""
    made, axes = figure(3, len(SIZES), high=2.3, wide=9.6)
    for place, train in enumerate(SIZES):
        final, best = _members(results, train), _members(results, train, "best_val_loss")
        row = axes[3 * place : 3 * place + 3]
        for ax, measure, found in zip(row, (LOSS, BEST, ERROR), (final, best, final), strict=True):
            forest(ax, differences(found, "constant", measure), f"{train} samples: {measure.head}")
            ax.set_xlabel("minus constant")
        for ax in row[1:]:
            ax.set_yticklabels([])
    return made
