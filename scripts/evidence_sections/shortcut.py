"""A mark that gives the label away in training and not in test: who relies on it less?"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from thinned.app.data import marked

from . import _applied as applied
from ._data import Data
from ._grid import digits
from ._picture import figure, line
from ._results import Results, Row
from ._size import Size
from ._table import Measure, sentence, table, values

TITLE = "Shortcut"
AGREE = 0.9
TRAINED = Measure("test_error", "error, mark as trained, %", 100.0, 1)
NONE = Measure("no mark", "no mark, %", 100.0, 1)
RANDOM = Measure("random mark", "random mark, %", 100.0, 1)
RELIANCE = Measure("reliance", "reliance", 100.0, 1)


def _data(seed: int, *, size: Size) -> Data:
    plain = digits(seed, size)
    train, val, test = (
        (marked(x, y, AGREE, 3 * seed + part), y)
        for part, (x, y) in enumerate((plain.train, plain.val, plain.test))
    )
    images, labels = plain.test
    others = {
        "no mark": plain.test,
        "random mark": (marked(images, labels, 0.0, seed), labels),
        "honest validation": (marked(plain.val[0], plain.val[1], 0.0, seed), plain.val[1]),
    }
    return dataclasses.replace(plain, train=train, val=val, test=test, others=others)


def arms(size: Size) -> dict[str, Callable[[int], Row]]:
    """All techniques on both networks."""
    return applied.arms(functools.partial(_data, size=size), size)


def _members(results: Results, family: str, by: str = "val_loss") -> dict[str, dict[int, Row]]:
    found = applied.members(results, family, by)
    for rows in found.values():
        for row in rows.values():
            row["reliance"] = row["random mark"] - row["test_error"]
    return found


def block(results: Results) -> str:
    """With the mark, without it and with a random one; the rate picked by either validation."""
    parts = []
    for family, told in applied.TOLD.items():
        found = _members(results, family)
        honest = _members(results, family, "honest validation loss")
        parts += [
            f"### {told}",
            "Rate by validation images with the mark, as in training:",
            table(found, "none", [TRAINED, RANDOM, RELIANCE, NONE], choice="rate"),
            sentence(found, "none", RELIANCE, "Reliance"),
            "Rate by validation images with random marks, for those who know of it:",
            table(honest, "none", [TRAINED, RANDOM, RELIANCE], choice="rate"),
            sentence(honest, "none", RANDOM, "Error with a random mark"),
            sentence(honest, "none", RELIANCE, "Reliance"),
        ]
    return "\n\n".join(parts)


def picture(results: Results) -> Any:
    """Error with a random mark and reliance, by rate."""
    made, axes = figure(2, 2, high=3.0, wide=9.6)
    for place, family in enumerate(applied.TOLD):
        for ax, measure in zip(axes[2 * place : 2 * place + 2], (RANDOM, RELIANCE), strict=True):
            for name in applied.techniques()[family]:
                if name != "none":
                    line(ax, *_by_rate(results, f"{family}/{name}", measure), name)
            _, (plain, *_rest) = _by_rate(results, f"{family}/none", measure)
            middle = sum(plain.values()) / len(plain)
            ax.axhline(middle, color="black", ls="--", lw=1, label="none")
            ax.set(title=f"{family}: {measure.head}", xlabel="rate")
        axes[2 * place + 1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return made


def _by_rate(
    results: Results, label: str, measure: Measure
) -> tuple[list[float], list[dict[int, float]]]:
    """Return the rates of a technique, and its numbers at each."""
    rates, found = [], []
    for name, rows in results.arms.items():
        if name.rpartition("/")[0] == label:
            last = name.rpartition("/")[2]
            rates.append(0.0 if last.startswith("try") else float(last))
            more = [{**r, "reliance": r["random mark"] - r["test_error"]} for r in rows]
            found.append(values(dict(enumerate(more)), measure))
    return rates, found
