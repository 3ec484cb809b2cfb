"""Layer size: how does width change what dropout does, and the rate that is best?"""

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
from ._table import ERROR, LOSS, chosen, delta, differences, mean, values
from ._train import Recipe

TITLE = "Layer size"
WIDTHS = (8, 24, 72, 216)


def _run(wide: int, size: Size, seed: int, *, rate: float, attempt: int) -> Row:
    def build() -> Any:
        return nets.mlp(64, (wide, wide), 10, functools.partial(layers.Dropout, rate))

    return numbers(build, digits(seed, size), Recipe(steps=size.steps(400), lr=2e-3), seed, attempt)


def arms(size: Size) -> dict[str, Callable[[int], Row]]:
    """Each width without dropout and with four rates."""
    found = {}
    for wide in size.few(WIDTHS):
        make = functools.partial(_run, wide, size)
        found |= tries(f"{wide}/none", len(size.rates), make)
        found |= grid(f"{wide}/Dropout", size.rates, make)
    return found


def _widths(results: Results) -> list[int]:
    return sorted({int(name.partition("/")[0]) for name in results.arms})


def _members(results: Results, wide: int) -> dict[str, dict[int, Row]]:
    return {arm: results.tuned(f"{wide}/{arm}") for arm in ("none", "Dropout")}


def block(results: Results) -> str:
    """A row a width. Each width is a comparison of its own."""
    heads = ["units", "rate"]
    for each in (LOSS, ERROR):
        heads += [f"{each.head}: none", "Dropout", "difference"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for wide in _widths(results):
        found = _members(results, wide)
        cells = [str(wide), chosen(found["Dropout"])]
        for each in (LOSS, ERROR):
            cells += [mean(values(rows, each), each.digits) for rows in found.values()]
            cells.append(delta(differences(found, "none", each)["Dropout"], each.digits))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def picture(results: Results) -> Any:
    """Loss and error against width, and the rate that validation picks."""
    made, axes = figure(3, wide=9.6)
    widths = _widths(results)
    for ax, measure in zip(axes, (LOSS, ERROR), strict=False):
        for arm in ("none", "Dropout"):
            line(ax, widths, [values(_members(results, w)[arm], measure) for w in widths], arm)
        ax.set(ylabel=measure.head, ylim=(0, None))
    axes[0].legend()
    picked = [[r["choice"] for r in results.tuned(f"{w}/Dropout").values()] for w in widths]
    axes[2].plot(widths, [statistics.mean(each) for each in picked], "o-", ms=4, color="#c8511b")
    axes[2].set(ylabel="rate by validation (mean)", ylim=(0, 0.8))
    for ax in axes:
        ax.set(xscale="log", xlabel="units in each hidden layer")
        ax.set_xticks(widths, [str(w) for w in widths])
        ax.minorticks_off()
    return made
