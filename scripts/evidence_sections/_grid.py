"""Arms that are tuned alike: one a rate, or as many tries where there is none."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from ._data import Data, draw
from ._results import Row
from ._size import Size
from ._train import Recipe, fit, measure

Make = Callable[..., Row]  # of `seed`, `rate` and `attempt`


def grid(label: str, rates: Sequence[float], make: Make) -> dict[str, Callable[[int], Row]]:
    """One arm a rate."""
    return {f"{label}/{r:g}": functools.partial(make, rate=r, attempt=0) for r in rates}


def tries(label: str, number: int, make: Make) -> dict[str, Callable[[int], Row]]:
    """As many arms without any rate: what picking the best of several is worth by itself."""
    return {
        f"{label}/try {k + 1}": functools.partial(make, rate=0.0, attempt=k) for k in range(number)
    }


def digits(seed: int, size: Size, train: int = 200, **options: Any) -> Data:
    """The digits of a seed: 200 for validation, up to 800 for test."""
    return draw("digits", seed, train, test=min(size.test(), 1797 - 200 - train), **options)


def numbers(
    build: Callable[[], nn.Module], data: Data, recipe: Recipe, seed: int, attempt: int = 0
) -> Row:
    """Train once, and return losses and errors, those of the training samples (dropout off) too."""
    found = fit(build, data, recipe, seed + 1000 * attempt)
    loss, error = measure(found.net, data.train)
    return {**found.numbers, "train_loss": loss, "train_error": error}
