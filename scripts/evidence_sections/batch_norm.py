"""Batch norm: with, without, and in which order (Li 2019, the variance shift)."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from thinned import layers

from ._data import Data
from ._grid import digits, grid, tries
from ._picture import figure, forest
from ._results import Results, Row
from ._size import Size
from ._table import BEST, ERROR, LOSS, Measure, differences, mean, sentence, table, values
from ._train import Recipe, fit

TITLE = "Batch norm and the order of layers"
ORDERS = {
    "none": "linear, ReLU",
    "Dropout": "linear, ReLU, dropout",
    "BN": "linear, norm, ReLU",
    "BN, then Dropout": "linear, norm, ReLU, dropout, in both layers",
    "Dropout, then BN": "linear, dropout, norm, ReLU, in both layers",
    "BN, Dropout behind the last": "as BN, and dropout behind the last ReLU only",
}
SHIFTED = """\
**The variance shift**: what a norm divides by in evaluation (its running estimate, made with
dropout on) over the variance that its input then has."""
SHIFT = Measure("shift", "variance, training to evaluation", 1.0, 2)


def build(order: str, rate: float) -> nn.Sequential:
    """Two hidden layers of 128 in that order."""
    parts: list[nn.Module] = [nn.Flatten()]
    for place, inputs in enumerate((64, 128)):
        parts.append(nn.Linear(inputs, 128))
        if order == "Dropout, then BN":
            parts.append(layers.Dropout(rate))
        if "BN" in order:
            parts.append(nn.BatchNorm1d(128))
        parts.append(nn.ReLU())
        last = order == "BN, Dropout behind the last" and place == 1
        if last or order in ("Dropout", "BN, then Dropout"):
            parts.append(layers.Dropout(rate))
    return nn.Sequential(*parts, nn.Linear(128, 10))


@torch.no_grad()
def shift(net: nn.Module, data: Data) -> float:
    """Variance of the inputs of the norms in training over that in evaluation, mean over units.

    The running estimates are what evaluation divides by, so they stand for training. Units that
    hardly vary are left out.
    """
    ratios = []

    def look(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        now = inputs[0].var(0, correction=0)
        alive = now > 1e-4
        ratios.append((norm.running_var[alive] / now[alive]).log().mean())

    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm1d)]
    handles = [norm.register_forward_pre_hook(look) for norm in norms]
    net.eval()(data.train[0])
    for handle in handles:
        handle.remove()
    return float(torch.stack(ratios).mean().exp())


def _run(order: str, size: Size, seed: int, *, rate: float, attempt: int) -> Row:
    data = digits(seed, size)
    found = fit(
        lambda: build(order, rate),
        data,
        Recipe(steps=size.steps(400), lr=2e-3),
        seed + 1000 * attempt,
    )
    return {**found.numbers, **({"shift": shift(found.net, data)} if "BN" in order else {})}


def arms(size: Size) -> dict[str, Callable[[int], Row]]:
    """Six orders; those with dropout have four rates, the others four tries."""
    found = {}
    for order in ORDERS:
        make = functools.partial(_run, order, size)
        if "Dropout" in order:
            found |= grid(order, size.rates, make)
        else:
            found |= tries(order, len(size.rates), make)
    return found


def _members(results: Results, by: str = "val_loss") -> dict[str, dict[int, Row]]:
    return {order: results.tuned(order, by) for order in ORDERS}


def block(results: Results) -> str:
    """The orders against BN alone, and how far the variance shifts at each rate."""
    final, best = _members(results), _members(results, "best_val_loss")
    rates = sorted({name.rpartition("/")[2] for name in results.arms if "Dropout" in name})
    heads = ["order", *(f"rate {rate}" for rate in rates)]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for order in [each for each in ORDERS if "BN" in each and "Dropout" in each]:
        cells = [mean(results.column(f"{order}/{rate}", "shift"), 2) for rate in rates]
        lines.append("| " + " | ".join([order, *cells]) + " |")
    plain = mean(values(final["BN"], SHIFT), 2)
    lines.append("| BN | " + " | ".join([plain] * len(rates)) + " |")
    return "\n\n".join(
        [
            table(final, "BN", [LOSS, ERROR], name="order", choice="rate"),
            sentence(final, "BN", LOSS, "Test loss at the end"),
            table(best, "BN", [BEST], name="at the best checkpoint", choice="rate"),
            sentence(best, "BN", BEST, "Test loss at the best checkpoint"),
            SHIFTED,
            "\n".join(lines),
        ]
    )


def picture(results: Results) -> Any:
    """Differences to BN alone."""
    made, axes = figure(2, high=2.6)
    final, best = _members(results), _members(results, "best_val_loss")
    forest(axes[0], differences(final, "BN", LOSS), "test loss at the end, minus BN")
    forest(axes[1], differences(best, "BN", BEST), "test loss, best checkpoint, minus BN")
    axes[1].set_yticklabels([])
    return made
