"""What the two applied sections share: an MLP and a CNN, judged on other test sets."""

import functools
from collections.abc import Callable

from torch import nn

from thinned import layers

from . import _nets as nets
from ._data import Data
from ._grid import grid, tries
from ._results import Results, Row
from ._size import Size
from ._train import Recipe, fit, measure

STEPS = {"mlp": 400, "cnn": 150}
LR = {"mlp": 2e-3, "cnn": 2e-3}
TOLD = {"mlp": "MLP, 64-128-128-10", "cnn": "CNN, two residual blocks of 24 channels"}


def techniques() -> dict[str, dict[str, Callable[[float], nn.Module]]]:
    """The arms of both networks: a function from the rate to a network."""

    def site(layer: Callable[..., nn.Module], rate: float, **options: int) -> nets.Site:
        return functools.partial(layer, rate, **options)

    def mlp(**given: object) -> nn.Module:
        return nets.mlp(64, (128, 128), 10, **given)

    block = layers.DropBlock2d
    return {
        "mlp": {
            "none": lambda _: mlp(),
            "Dropout": lambda r: mlp(site=site(layers.Dropout, r)),
            "DropConnect": lambda r: mlp(linear=functools.partial(layers.DropConnectLinear, p=r)),
            "Dropout of pixels": lambda r: nn.Sequential(layers.Dropout(r), mlp()),
            "DropBlock of pixels": lambda r: nn.Sequential(block(r, block_size=3), mlp()),
        },
        "cnn": {
            "none": lambda _: nets.cnn(),
            "Dropout, head": lambda r: nets.cnn(head=site(layers.Dropout, r)),
            "DropBlock": lambda r: nets.cnn(features=site(block, r, block_size=3)),
        },
    }


def run(
    family: str,
    name: str,
    data: Callable[[int], Data],
    size: Size,
    seed: int,
    *,
    rate: float,
    attempt: int,
) -> Row:
    """Train once; the errors on the other test sets stand under their names."""
    made, build = data(seed), techniques()[family][name]
    recipe = Recipe(steps=size.steps(STEPS[family]), lr=LR[family])
    found = fit(lambda: build(rate), made, recipe, seed + 1000 * attempt)
    row = dict(found.numbers)
    for other, part in made.others.items():
        row[f"{other} loss"], row[other] = measure(found.net, part)
    return row


def arms(data: Callable[[int], Data], size: Size) -> dict[str, Callable[[int], Row]]:
    """Every technique at every rate; none has as many tries."""
    found = {}
    for family, members_ in techniques().items():
        for name in members_:
            make = functools.partial(run, family, name, data, size)
            if name == "none":
                found |= tries(f"{family}/none", len(size.rates), make)
            else:
                found |= grid(f"{family}/{name}", size.rates, make)
    return found


def members(results: Results, family: str, by: str = "val_loss") -> dict[str, dict[int, Row]]:
    """Every technique at the rate that a validation loss picks."""
    return {name: results.tuned(f"{family}/{name}", by) for name in techniques()[family]}
