"""Digits in fog, rain, noise and other brightness, never seen in training: who is robust?"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from thinned.app.data import WEATHERS, in_weather

from . import _applied as applied
from ._data import Data
from ._grid import digits
from ._picture import figure, forest
from ._results import Results, Row
from ._size import Size
from ._table import Measure, differences, sentence, table

TITLE = "Weather"
STRENGTH = 0.5
CLEAR = Measure("test_error", "error, clear, %", 100.0, 1)
BAD = Measure("weather", "error in weather, %", 100.0, 1)
GAP = Measure("gap", "gap", 100.0, 1)
EACH = tuple(Measure(name, f"{name}, %", 100.0, 1) for name in WEATHERS)


def _data(seed: int, *, size: Size) -> Data:
    plain = digits(seed, size)
    images, labels = plain.test
    others = {name: (in_weather(images, name, STRENGTH, seed), labels) for name in WEATHERS}
    return dataclasses.replace(plain, others=others)


def arms(size: Size) -> dict[str, Callable[[int], Row]]:
    """All techniques on both networks."""
    return applied.arms(functools.partial(_data, size=size), size)


def _members(results: Results, family: str) -> dict[str, dict[int, Row]]:
    found = applied.members(results, family)
    for rows in found.values():
        for row in rows.values():
            row["weather"] = sum(row[name] for name in WEATHERS) / len(WEATHERS)
            row["gap"] = row["weather"] - row["test_error"]
    return found


def block(results: Results) -> str:
    """Clear and in weather, the gap, and each weather by itself."""
    parts = []
    for family, told in applied.TOLD.items():
        found = _members(results, family)
        parts += [
            f"### {told}",
            table(found, "none", [CLEAR, BAD, GAP], choice="rate"),
            table(found, "none", EACH, name="error in each weather"),
            sentence(found, "none", BAD, "Error in weather, mean of the four"),
            sentence(found, "none", GAP, "Gap, error in weather minus error when clear"),
        ]
    return "\n\n".join(parts)


def picture(results: Results) -> Any:
    """Differences to none, when clear and in weather."""
    made, axes = figure(3, 2, high=2.4, wide=9.6)
    for place, family in enumerate(applied.TOLD):
        found = _members(results, family)
        row = axes[3 * place : 3 * place + 3]
        for ax, measure in zip(row, (CLEAR, BAD, GAP), strict=True):
            forest(ax, differences(found, "none", measure), f"{family}: {measure.head}")
            ax.set_xlabel("percentage points, minus none")
        for ax in row[1:]:
            ax.set_yticklabels([])
    return made
