"""SELU and alpha dropout: does dropout that keeps mean and variance pay (Klambauer 2017)?"""

import functools
from collections.abc import Callable
from typing import Any

from torch import nn

from thinned import layers

from . import _nets as nets
from ._data import draw
from ._grid import grid, numbers, tries
from ._picture import figure, forest
from ._results import Results, Row
from ._size import Size
from ._table import BEST, ERROR, LOSS, differences, sentence, table
from ._train import Recipe

TITLE = "SELU and alpha dropout"
RATES = (0.05, 0.1, 0.3, 0.5)  # lower than elsewhere: the paper takes 0.05 and 0.1
DEPTH = 6
SETS = {"digits": (200, 800)}
ARMS = {
    "ReLU": (nn.ReLU, nn.Identity),
    "ReLU, Dropout": (nn.ReLU, layers.Dropout),
    "SELU": (nn.SELU, nn.Identity),
    "SELU, Dropout": (nn.SELU, layers.Dropout),
    "SELU, Alpha": (nn.SELU, layers.AlphaDropout),
}


def build(arm: str, inputs: int, outputs: int, rate: float) -> nn.Module:
    """Six layers of 64; weights are drawn as each activation asks (He, LeCun)."""
    activation, site = ARMS[arm]
    place = nn.Identity if site is nn.Identity else functools.partial(site, rate)
    net = nets.mlp(inputs, (64,) * DEPTH, outputs, place, activation=activation)
    gain = "relu" if activation is nn.ReLU else "linear"
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity=gain)
            nn.init.zeros_(module.bias)
    return net


def _run(name: str, arm: str, size: Size, seed: int, *, rate: float, attempt: int) -> Row:
    train, test = SETS[name]
    data = draw(name, seed, train, test=min(test, size.test()))
    inputs = data.train[0][0].numel()
    return numbers(
        lambda: build(arm, inputs, data.outputs, rate),
        data,
        Recipe(steps=size.steps(150), lr=2e-3),
        seed,
        attempt,
    )


def arms(size: Size) -> dict[str, Callable[[int], Row]]:
    """Five combinations of activation and dropout."""
    found = {}
    for name in SETS:
        for arm in ARMS:
            make = functools.partial(_run, name, arm, size)
            if "," in arm:
                found |= grid(f"{name}/{arm}", size.few(RATES), make)
            else:
                found |= tries(f"{name}/{arm}", len(size.rates), make)
    return found


def _members(results: Results, name: str, by: str = "val_loss") -> dict[str, dict[int, Row]]:
    return {arm: results.tuned(f"{name}/{arm}", by) for arm in ARMS}


def block(results: Results) -> str:
    """Against SELU without dropout."""
    parts = []
    for name in SETS:
        final, best = _members(results, name), _members(results, name, "best_val_loss")
        parts += [
            f"### {name}",
            table(final, "SELU", [LOSS, ERROR], choice="rate"),
            table(best, "SELU", [BEST], name="at the best checkpoint", choice="rate"),
            sentence(final, "SELU", LOSS, "Test loss at the end"),
            sentence(best, "SELU", BEST, "Test loss at the best checkpoint"),
            sentence(
                {arm: final[arm] for arm in ("SELU, Dropout", "SELU, Alpha")},
                "SELU, Dropout",
                LOSS,
                "Test loss at the end",
            ),
        ]
    return "\n\n".join(parts)


def picture(results: Results) -> Any:
    """Differences to SELU without dropout."""
    made, axes = figure(3, len(SETS), high=2.3, wide=9.6)
    for place, name in enumerate(SETS):
        final, best = _members(results, name), _members(results, name, "best_val_loss")
        row = axes[3 * place : 3 * place + 3]
        for ax, measure, found in zip(row, (LOSS, BEST, ERROR), (final, best, final), strict=True):
            forest(ax, differences(found, "SELU", measure), f"{name}: {measure.head}")
            ax.set_xlabel("minus SELU")
        for ax in row[1:]:
            ax.set_yticklabels([])
    return made
