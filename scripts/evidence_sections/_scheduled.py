"""What the sections on schedules share: arms of a schedule made from its rate, on one network."""

import functools
from collections.abc import Callable, Mapping, Sequence

from thinned import layers
from thinned.schedules import Schedule

from . import _nets as nets
from ._data import Data
from ._grid import grid, numbers, tries
from ._results import Results, Row
from ._size import Size
from ._train import Recipe

Makes = Mapping[str, Callable[[float], Schedule]]


def run(
    data: Callable[[int], Data],
    widths: tuple[int, ...],
    schedule: Callable[[float], Schedule] | None,
    steps: int,
    seed: int,
    *,
    rate: float,
    attempt: int,
) -> Row:
    """Train an MLP whose rates the schedule moves."""
    chosen = schedule(rate) if schedule else None
    start = chosen(0.0) if chosen else 0.0

    def build() -> nets.nn.Module:
        return nets.mlp(64, widths, 10, functools.partial(layers.Dropout, start))

    return numbers(build, data(seed), Recipe(steps=steps, lr=2e-3, schedule=chosen), seed, attempt)


def arms(
    label: str,
    data: Callable[[int], Data],
    widths: tuple[int, ...],
    steps: int,
    schedules: Makes,
    size: Size,
) -> dict[str, Callable[[int], Row]]:
    """No dropout with as many tries as there are rates, and each schedule at each rate."""
    make = functools.partial(run, data, widths)
    found = tries(
        f"{label}/none", len(size.rates), functools.partial(make, None, size.steps(steps))
    )
    for name, schedule in schedules.items():
        found |= grid(
            f"{label}/{name}", size.rates, functools.partial(make, schedule, size.steps(steps))
        )
    return found


def members(
    results: Results, label: str, names: Sequence[str], by: str = "val_loss"
) -> dict[str, dict[int, Row]]:
    """Every schedule at the rate that validation picks."""
    return {name: results.tuned(f"{label}/{name}", by) for name in names}
