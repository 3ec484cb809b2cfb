"""Data set size: does dropout help with little data, some, plenty (Srivastava 2014, fig. 10)?"""

import functools
import statistics
from collections.abc import Callable
from typing import Any

from thinned import layers

from . import _nets as nets
from ._grid import digits, grid, numbers, tries
from ._picture import figure, line
from ._results import Results, Row
from ._size import Size
from ._table import ERROR, LOSS, Measure, stacked, table, values
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
    """Error against the number of samples, and what dropout changes, in percent of none."""
    made, axes = figure(3, wide=10.0)
    members = {train: _members(results, train) for train in _sizes(results)}
    for arm in ("none", "rate 0.5", "rate by validation"):
        line(axes[0], list(members), [values(each[arm], ERROR) for each in members.values()], arm)
    for ax, measure in zip(axes[1:], (LOSS, ERROR), strict=True):
        ax.axhline(0, color="black", lw=0.8)
        for arm, colour in (("rate 0.5", "C1"), ("rate by validation", "C2")):
            shares = [_share(each, arm, measure) for each in members.values()]
            line(ax, list(members), shares, arm, color=colour)
    axes[0].set(ylabel=ERROR.head, ylim=(0, None))
    axes[1].set(ylabel="change of test loss, % of none")
    axes[2].set(ylabel="change of test error, % of none")
    axes[0].legend(fontsize=8)
    for ax in axes:
        ax.set(xscale="log", xlabel="training samples")
        ax.set_xticks(list(members), [str(train) for train in members])
        ax.minorticks_off()
    return made


def _share(arms: dict[str, dict[int, Row]], arm: str, measure: Measure) -> dict[int, float]:
    """The paired difference to none, in percent of the mean of none."""
    plain, mine = values(arms["none"], measure), values(arms[arm], measure)
    mean = statistics.mean(plain.values())
    return {seed: 100 * (mine[seed] - plain[seed]) / mean for seed in plain}
