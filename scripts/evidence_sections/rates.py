"""Rate against error, at a fixed width and at fixed kept units (Srivastava 2014, fig. 9)."""

import functools
from collections.abc import Callable
from typing import Any

from thinned import layers

from . import _nets as nets
from ._grid import digits, numbers
from ._picture import figure, line
from ._results import Results, Row
from ._size import Size
from ._table import ERROR, LOSS, Measure, delta, differences, mean, values
from ._train import Recipe

TITLE = "Rate against error"
RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
KINDS = {"fixed width": "128 units in each hidden layer", "fixed kept": "64 units kept on average"}
TRAIN_LOSS = Measure("train_loss", "training loss")
TRAIN_ERROR = Measure("train_error", "training error, %", 100.0, 2)


def _width(kind: str, rate: float) -> int:
    return 128 if kind == "fixed width" else round(64 / (1 - rate))


def _run(kind: str, rate: float, size: Size, seed: int) -> Row:
    wide = _width(kind, rate)

    def build() -> Any:
        return nets.mlp(64, (wide, wide), 10, functools.partial(layers.Dropout, rate))

    return numbers(build, digits(seed, size), Recipe(steps=size.steps(400), lr=2e-3), seed)


def arms(size: Size) -> dict[str, Callable[[int], Row]]:
    """Ten rates, twice."""
    return {
        f"{kind}/{rate:g}": functools.partial(_run, kind, rate, size)
        for kind in KINDS
        for rate in size.few(RATES)
    }


def _curve(results: Results, kind: str) -> dict[str, dict[int, Row]]:
    return {
        name.partition("/")[2]: dict(enumerate(rows))
        for name, rows in results.arms.items()
        if name.startswith(f"{kind}/")
    }


def block(results: Results) -> str:
    """A row a rate, for both kinds."""
    parts = []
    for kind, told in KINDS.items():
        found = _curve(results, kind)
        against = {each: differences(found, "0", each) for each in (LOSS, ERROR)}
        heads = [
            "rate",
            "units",
            "training loss",
            LOSS.head,
            "minus rate 0",
            ERROR.head,
            "minus rate 0",
        ]
        lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        for rate, rows in found.items():
            cells = [rate, str(_width(kind, float(rate))), mean(values(rows, TRAIN_LOSS))]
            for each in (LOSS, ERROR):
                cells.append(mean(values(rows, each), each.digits))
                cells.append(delta(against[each][rate], each.digits) if rate != "0" else "")
            lines.append("| " + " | ".join(cells) + " |")
        parts += [f"**{told[0].upper()}{told[1:]}**", "\n".join(lines)]
    return "\n\n".join(parts)


def picture(results: Results) -> Any:
    """Training and test, loss and error."""
    made, axes = figure(2)
    for kind, told in KINDS.items():
        found = _curve(results, kind)
        x = [float(rate) for rate in found]
        for ax, test, train in zip(axes, (LOSS, ERROR), (TRAIN_LOSS, TRAIN_ERROR), strict=True):
            line(ax, x, [values(rows, test) for rows in found.values()], f"test, {told}")
            colour = ax.containers[-1][0].get_color()
            line(
                ax,
                x,
                [values(rows, train) for rows in found.values()],
                f"training, {told}",
                color=colour,
                ls=":",
                mfc="white",
            )
            ax.set(xlabel="rate", ylabel=test.head.replace("test ", ""))
    axes[0].set_ylim(0, 0.6)  # what is above, a rate of 0.9 at a fixed width, is in the table
    axes[1].set_ylim(0, 16)
    axes[0].legend(fontsize=8, loc="upper left")
    return made
