"""Where dropout stands: before the first layer, behind the hidden ones, behind the last one."""

import functools
from collections.abc import Callable
from typing import Any

from torch import nn

from thinned import layers

from ._data import draw
from ._grid import grid, numbers, tries
from ._picture import figure, forest
from ._results import Results, Row
from ._size import Size
from ._table import BEST, ERROR, LOSS, differences, sentence, table
from ._train import Recipe

TITLE = "Input, hidden layers, output"
PLACES = {
    "none": (),
    "input": ("input",),
    "hidden": ("hidden",),
    "input and hidden": ("input", "hidden"),
    "output": ("output",),
}
SETS = {"digits": (200, 800), "diabetes": (100, 142)}  # training and test samples


def build(places: tuple[str, ...], inputs: int, outputs: int, rate: float) -> nn.Sequential:
    """Two hidden layers of 128, with dropout at those places."""

    def site(place: str) -> list[nn.Module]:
        return [layers.Dropout(rate)] if place in places else []

    return nn.Sequential(
        *(nn.Flatten(), *site("input")),
        *(nn.Linear(inputs, 128), nn.ReLU(), *site("hidden")),
        *(nn.Linear(128, 128), nn.ReLU(), *site("hidden")),
        *(nn.Linear(128, outputs), *site("output")),
    )


def _run(
    name: str, places: tuple[str, ...], size: Size, seed: int, *, rate: float, attempt: int
) -> Row:
    train, test = SETS[name]
    data = draw(name, seed, train, test=min(test, size.test()))
    inputs = data.train[0][0].numel()
    return numbers(
        lambda: build(places, inputs, data.outputs, rate),
        data,
        Recipe(steps=size.steps(400), lr=2e-3),
        seed,
        attempt,
    )


def arms(size: Size) -> dict[str, Callable[[int], Row]]:
    """Four rates for each choice of places, and four tries without any."""
    found = {}
    for name in SETS:
        for label, places in PLACES.items():
            make, arm = functools.partial(_run, name, places, size), f"{name}/{label}"
            found |= grid(arm, size.rates, make) if places else tries(arm, len(size.rates), make)
    return found


def _members(results: Results, name: str, by: str = "val_loss") -> dict[str, dict[int, Row]]:
    return {label: results.tuned(f"{name}/{label}", by) for label in PLACES}


def block(results: Results) -> str:
    """The places against none; of diabetes the loss only, since nothing is classified."""
    parts = []
    for name in SETS:
        final, best = _members(results, name), _members(results, name, "best_val_loss")
        measures = [LOSS, ERROR] if name == "digits" else [LOSS]
        parts += [
            f"**{name}**",
            table(final, "none", measures, name="dropout at", choice="rate"),
            sentence(final, "none", LOSS, "Test loss at the end"),
            table(best, "none", [BEST], name="at the best checkpoint", choice="rate"),
            sentence(best, "none", BEST, "Test loss at the best checkpoint"),
        ]
    return "\n\n".join(parts)


def picture(results: Results) -> Any:
    """Differences to none."""
    made, axes = figure(2, len(SETS), high=2.2)
    for row, name in enumerate(SETS):
        for ax, measure, by in zip(
            axes[2 * row : 2 * row + 2], (LOSS, BEST), ("val_loss", "best_val_loss"), strict=True
        ):
            found = differences(_members(results, name, by), "none", measure)
            forest(ax, found, f"{name}: {measure.head}")
            ax.set_xlabel("minus none")
        axes[2 * row + 1].set_yticklabels([])
    return made
