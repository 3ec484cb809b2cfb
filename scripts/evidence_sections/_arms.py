"""Arms that are tuned alike: one a rate, or as many tries where there is none."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

from torch import nn

from ._data import Data
from ._results import Row
from ._size import RATES, Size
from ._tasks import TASKS
from ._train import USUAL, Recipe, fit, measure


@dataclasses.dataclass(frozen=True)
class Arm:
    """A way to train a network.

    Attributes:
        build: makes the network for these data and a rate.
        rates: what validation picks from. Without any there are as many tries as elsewhere rates,
            since picking the best of several initial weights is worth something by itself.
        change: what a rate changes in the recipe.
        after: what else is measured on the trained network.
        course: whether validation loss at every check and the time of a step are kept.
    """

    build: Callable[[Data, float], nn.Module]
    rates: tuple[float, ...] = RATES
    change: Callable[[Recipe, float], Recipe] = lambda recipe, _rate: recipe
    after: Callable[[nn.Module, Data], Row] = lambda _net, _data: {}
    course: bool = False


@dataclasses.dataclass(frozen=True)
class Group:
    """Arms that are compared with each other: on one task, by one recipe.

    Attributes:
        task: a name of `TASKS`.
        train: number of training samples, where it is not the task's own.
        prepare: adds to the data of a seed, as further test sets.
    """

    task: str
    arms: Mapping[str, Arm]
    recipe: Recipe = USUAL
    train: int = 0
    prepare: Callable[[Data, int], Data] = lambda data, _seed: data

    def data(self, seed: int, size: Size) -> Data:
        """Return what all arms of a seed learn from."""
        return self.prepare(TASKS[self.task].data(seed, size, self.train), seed)


def runs(groups: Mapping[str, Group], size: Size) -> dict[str, Callable[[int], Row]]:
    """Return a run by seed for each rate, or try, of each arm, as ``group/arm/rate``."""
    found = {}
    for key in size.few(tuple(groups)):
        for name, arm in groups[key].arms.items():
            make = functools.partial(run, groups[key], arm, size)
            for last, rate, attempt in _tries(arm.rates, size):
                found[f"{key}/{name}/{last}"] = functools.partial(make, rate=rate, attempt=attempt)
    return found


def _tries(rates: Sequence[float], size: Size) -> list[tuple[str, float, int]]:
    if rates:
        return [(f"{rate:g}", rate, 0) for rate in size.few(tuple(rates))]
    return [(f"try {k + 1}", 0.0, k) for k in range(len(size.rates))]


def run(group: Group, arm: Arm, size: Size, seed: int, *, rate: float, attempt: int) -> Row:
    """Train once; losses and errors of the parts, of the training samples with dropout off."""
    data = group.data(seed, size)
    recipe = dataclasses.replace(group.recipe, steps=size.steps(group.recipe.steps))
    recipe = arm.change(recipe, rate)
    found = fit(lambda: arm.build(data, rate), data, recipe, seed + 1000 * attempt)
    row = dict(found.numbers)
    row["train_loss"], row["train_error"] = measure(found.net, data.train)
    for other, part in data.others.items():
        row[f"{other} loss"], row[other] = measure(found.net, part)
    if arm.course:
        row |= {f"after {step}": loss for step, loss in found.curve.items()}
        row["ms"] = 1000 * found.seconds / recipe.steps
    return row | arm.after(found.net, data)
