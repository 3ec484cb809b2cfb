"""Data set size: does dropout help with little data, some, plenty (Srivastava 2014, fig. 10)?"""

import functools
from collections.abc import Callable
from typing import Any

from thinned import layers

from . import _nets as nets
from ._grid import digits, grid, numbers, tries
from ._picture import figure, line
from ._results import Results, Row
from ._size import Size
from ._table import ERROR, LOSS, stacked, table, values
from ._train import Recipe

TITLE = "Data set size"
SIZES = (50, 100, 200, 400, 800)


def _run(train: int, size: Size, seed: int, *, rate: float, attempt: int) -> Row:
    def build() -> Any:
        return nets.mlp(64, (128, 128), 10, functools.partial(layers.Dropout, rate))

    return numbers(
        build, digits(seed, size, train), Recipe(steps=size.steps(400), lr=2e-3), seed, attempt
    )


def arms(size: Size) -> dict[str, Callable[[int], Row]]:
    """Each size without dropout and with four rates."""
    found = {}
    for train in size.few(SIZES):
        make = functools.partial(_run, train, size)
        found |= tries(f"{train}/none", len(size.rates), make)
        found |= grid(f"{train}/Dropout", size.rates, make)
    return found


def _sizes(results: Results) -> list[int]:
    return sorted({int(name.partition("/")[0]) for name in results.arms})


def _members(results: Results, train: int) -> dict[str, dict[int, Row]]:
    fixed = sorted(name for name in results.arms if name.startswith(f"{train}/Dropout/"))
    middle = next((name for name in fixed if name.endswith("/0.5")), fixed[0])
    return {
        "none": results.tuned(f"{train}/none"),
        "rate 0.5": {s: {**row, "choice": 0.5} for s, row in enumerate(results.arms[middle])},
        "rate by validation": results.tuned(f"{train}/Dropout"),
    }


def block(results: Results) -> str:
    """One table. Each size is a comparison of its own, of two arms."""
    members = {train: _members(results, train) for train in _sizes(results)}
    tables = {
        str(train): table(arms, "none", [LOSS, ERROR], choice="rate")
        for train, arms in members.items()
    }
    return stacked(tables, "samples")


def picture(results: Results) -> Any:
    """Loss and error against the number of training samples."""
    made, axes = figure(2)
    sizes = _sizes(results)
    for ax, measure in zip(axes, (LOSS, ERROR), strict=True):
        for arm in ("none", "rate 0.5", "rate by validation"):
            line(ax, sizes, [values(_members(results, n)[arm], measure) for n in sizes], arm)
        ax.set(xscale="log", xlabel="training samples", ylabel=measure.head, ylim=(0, None))
        ax.set_xticks(sizes, [str(n) for n in sizes])
        ax.minorticks_off()
    axes[0].legend()
    return made
