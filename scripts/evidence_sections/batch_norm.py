"""Batch norm: with, without, and in which order (Li 2019, the variance shift)."""

import functools
import statistics

import torch
from torch import nn

from thinned import layers

from ._arms import Arm, Group
from ._claim import Claim, crossed
from ._compare import Comparison
from ._data import Data
from ._results import Results, Row
from ._size import RATES
from ._table import BEST, ERROR, LOSS, Measure, mean, stacked, values
from ._tasks import FOUR

TITLE = "Batch norm and the order of layers"
ORDERS = {
    "none": "linear, ReLU",
    "Dropout": "linear, ReLU, dropout",
    "BN": "linear, norm, ReLU",
    "BN, then Dropout": "linear, norm, ReLU, dropout, in both layers",
    "Dropout, then BN": "linear, dropout, norm, ReLU, in both layers",
    "BN, Dropout behind the last": "as BN, and dropout behind the last ReLU only",
}
BOTH = tuple(order for order in ORDERS if "BN" in order and "Dropout" in order)
SHIFTED = """\
**The variance shift**: what a norm divides by in evaluation (its running estimate, made with
dropout on) over the variance that its input then has."""
SHIFT = Measure("shift", "variance, training to evaluation", 1.0, 2)


def build(order: str, data: Data, rate: float) -> nn.Sequential:
    """Two hidden layers of 128 in that order."""
    parts: list[nn.Module] = [nn.Flatten()]
    for place, inputs in enumerate((data.inputs, 128)):
        parts.append(nn.Linear(inputs, 128))
        if order == "Dropout, then BN":
            parts.append(layers.Dropout(rate))
        if "BN" in order:
            parts.append(nn.BatchNorm1d(128))
        parts.append(nn.ReLU())
        last = order == "BN, Dropout behind the last" and place == 1
        if last or order in ("Dropout", "BN, then Dropout"):
            parts.append(layers.Dropout(rate))
    return nn.Sequential(*parts, nn.Linear(128, data.outputs))


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


def _shift(net: nn.Module, data: Data) -> Row:
    return {"shift": shift(net, data)}


def _arms() -> dict[str, Arm]:
    """Six orders; those with dropout have four rates, the others four tries."""
    found = {}
    for order in ORDERS:
        more = {"after": _shift} if "BN" in order else {}
        rates = RATES if "Dropout" in order else ()
        found[order] = Arm(functools.partial(build, order), rates, **more)
    return found


def shifts(results: Results) -> str:
    """How far the variance shifts at each rate, and with batch norm alone."""
    tables = {}
    for task in (task for task in FOUR if f"{task}/BN/try 1" in results.arms):
        label = f"{task}/{BOTH[0]}/"
        rates = [name.removeprefix(label) for name in results.arms if name.startswith(label)]
        heads = ["order", *(f"rate {rate}" for rate in rates), "no dropout"]
        lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        plain = mean(values(results.tuned(f"{task}/BN"), SHIFT), 2)
        for order in BOTH:
            columns = [results.column(f"{task}/{order}/{rate}", "shift") for rate in rates]
            cells = [order, *(mean(each, 2) for each in columns), plain]
            lines.append("| " + " | ".join(cells) + " |")
        tables[task] = "\n".join(lines)
    return f"{SHIFTED}\n\n{stacked(tables, 'data')}"


def quotes(results: Results) -> dict[str, str]:
    """The smallest and the largest mean shift over the data sets, by order and rate."""
    found = {}
    for order in BOTH:
        for rate in RATES:
            names = [f"{task}/{order}/{rate:g}" for task in SECTION.groups]
            means = [statistics.mean(results.column(n, "shift").values()) for n in names]
            found[f"shift, {order}, {rate:g}"] = f"{min(means):.2f} to {max(means):.2f}"
    return found


SECTION = Comparison(
    {task: Group(task, _arms()) for task in FOUR},
    base="BN",
    claims=(
        Claim("norm", "Batch norm alone has a lower loss than nothing", "BN", base="none"),
        Claim("norm, dropout", "It has a lower loss than dropout alone", "BN", base="Dropout"),
        *crossed(
            [("", order) for order in BOTH],
            (
                ("", "*{}* has a higher loss than batch norm", LOSS),
                ("best", "also at the best checkpoint", BEST),
                ("error", "and a higher error", ERROR),
            ),
            lower=False,
        ),
        Claim(
            "front",
            "Dropout in front of the norms has a higher loss than dropout behind them",
            "Dropout, then BN",
            base="BN, then Dropout",
            lower=False,
        ),
        Claim(
            "order",
            "Dropout in front of the norms has a higher loss than dropout behind the last one",
            "Dropout, then BN",
            base="BN, Dropout behind the last",
            lower=False,
        ),
    ),
    name="order",
    more=shifts,
    also=quotes,
)
