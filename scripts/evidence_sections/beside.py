"""Dropout beside augmentation, weight decay and label smoothing: is what they give additive?"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from thinned import layers
from thinned.report import Difference
from thinned.report._statistics import difference, holm

from . import _nets as nets
from ._grid import digits, numbers
from ._picture import figure, forest
from ._results import Results, Row
from ._size import Size
from ._table import ERROR, LOSS, Measure, delta, mean, values
from ._train import Recipe

TITLE = "Beside other regularizers"
RATES = (0.0, 0.3, 0.5)
OTHERS = {
    "augmentation": "random shifts by up to one pixel, in both directions",
    "weight decay": "AdamW, 0.5 (times the learning rate of 0.002 a step)",
    "label smoothing": "0.1",
}


def shifted(x: Tensor) -> Tensor:
    """Move each image by up to one pixel, with zeros behind it."""
    n, _, high, wide = x.shape
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
    down, right = torch.randint(3, (2, n, 1, 1))
    rows = down + torch.arange(high).reshape(1, high, 1)
    columns = right + torch.arange(wide).reshape(1, 1, wide)
    return padded[torch.arange(n).reshape(n, 1, 1), 0, rows, columns][:, None]


def _recipe(other: str, size: Size) -> Recipe:
    plain = Recipe(steps=size.steps(400), lr=2e-3)
    changed: dict[str, dict[str, Any]] = {
        "augmentation": {"augment": shifted},
        "weight decay": {"weight_decay": 0.5},
        "label smoothing": {"smoothing": 0.1},
    }
    return dataclasses.replace(plain, **changed.get(other, {}))


def _run(other: str, rate: float, size: Size, seed: int) -> Row:
    def build() -> Any:
        return nets.mlp(64, (128, 128), 10, functools.partial(layers.Dropout, rate))

    return numbers(build, digits(seed, size), _recipe(other, size), seed)


def arms(size: Size) -> dict[str, Callable[[int], Row]]:
    """Nothing and each of three others, each without dropout and with two rates."""
    return {
        f"{other}/{rate:g}": functools.partial(_run, other, rate, size)
        for other in ("nothing", *OTHERS)
        for rate in RATES
    }


def interactions(results: Results, measure: Measure) -> dict[str, Difference | None]:
    """What dropout changes beside the other, minus what it changes alone; Holm's p over all."""

    def gain(other: str, rate: float) -> dict[int, float]:
        with_it, without = (
            values(dict(enumerate(results.arms[f"{other}/{r:g}"])), measure) for r in (rate, 0.0)
        )
        return {seed: with_it[seed] - without[seed] for seed in without}

    return holm(
        {
            f"{other}, rate {rate:g}": difference(gain(other, rate), gain("nothing", rate))
            for other in OTHERS
            for rate in RATES[1:]
        }
    )


def _effects(results: Results, measure: Measure) -> dict[str, Difference | None]:
    """What each combination changes against nothing at all."""
    rows = {n: values(dict(enumerate(r)), measure) for n, r in results.arms.items()}
    plain = rows["nothing/0"]
    return holm(
        {n.replace("/", ", rate "): difference(v, plain) for n, v in rows.items() if v != plain}
    )


def block(results: Results) -> str:
    """All cells, and the interactions."""
    heads = ["beside", "rate", LOSS.head, "minus nothing", ERROR.head, "minus nothing"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    against = {each: _effects(results, each) for each in (LOSS, ERROR)}
    for name, rows in results.arms.items():
        cells = list(name.split("/"))
        for each in (LOSS, ERROR):
            cells.append(mean(values(dict(enumerate(rows)), each), each.digits))
            found = against[each].get(name.replace("/", ", rate "))
            cells.append(delta(found, each.digits) if found else "")
        lines.append("| " + " | ".join(cells) + " |")
    heads = ["interaction", LOSS.head, ERROR.head]
    more = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    both = {each: interactions(results, each) for each in (LOSS, ERROR)}
    for name in both[LOSS]:
        cells = [delta(both[each][name], each.digits) for each in (LOSS, ERROR)]
        more.append("| " + " | ".join([name, *cells]) + " |")
    told = (
        "**The interaction**: what dropout changes beside the other, minus what it changes alone. "
        "0 would be additive; above 0 they do in part the same work, or are in each other's way."
    )
    return "\n\n".join(["\n".join(lines), told, "\n".join(more)])


def picture(results: Results) -> Any:
    """Effects of all cells, and interactions."""
    made, axes = figure(2, high=4.0, wide=9.6)
    forest(axes[0], _effects(results, LOSS), "test loss, minus nothing")
    forest(axes[1], interactions(results, LOSS), "interaction, test loss")
    return made
