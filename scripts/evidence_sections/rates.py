"""Rate against error, at a fixed width and at fixed kept units (Srivastava 2014, fig. 9)."""

import functools
from typing import Any

from torch import nn

from thinned import layers

from . import _nets as nets
from ._arms import Arm, Group
from ._axis import curves
from ._claim import Claim, crossed
from ._compare import Comparison, View
from ._data import Data
from ._results import Results
from ._table import BEST, ERROR, LOSS
from ._tasks import FIVE

TITLE = "Rate against error"
RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
WIDTH, KEPT = "fixed width", "fixed kept"
KINDS = {
    WIDTH: "128 units in each hidden layer",
    KEPT: "64 units kept on average in each hidden layer",
}
ON = {WIDTH: (*FIVE, "noisy digits"), KEPT: ("digits", "cancer", "drawn")}


def _build(kind: str, data: Data, rate: float) -> nn.Module:
    wide = 128 if kind == WIDTH else round(64 / (1 - rate))
    site = functools.partial(layers.Dropout, rate)
    return nets.mlp(data.inputs, (wide, wide), data.outputs, site)


def _arms(kind: str) -> dict[str, Arm]:
    """Nothing is picked: each rate is an arm."""
    return {f"{rate:g}": Arm(functools.partial(_build, kind), (rate,)) for rate in RATES}


class Rates(Comparison):
    """The arms are values on an axis."""

    def pictures(self, results: Results) -> dict[str, Any]:
        """The change of loss by rate, a panel a task."""
        found = {}
        for kind in self.shown(results):
            key = next(iter(self.keys(results, kind).values()))
            points = [(float(arm), kind, arm) for arm in self.members(results, key)]
            drawn = {"after the last step": (LOSS, points), "best checkpoint": (BEST, points)}
            found[kind] = curves(self, results, drawn, "rate")
        return found


SECTION = Rates(
    {f"{kind}, {task}": Group(task, _arms(kind)) for kind in KINDS for task in ON[kind]},
    base="0",
    claims=(
        *(
            Claim(f"{kind}, {rate}", f"A rate of {rate} lowers the loss", rate, kind)
            for kind in KINDS
            for rate in (f"{each:g}" for each in RATES[1:])
        ),
        *crossed(
            [(WIDTH, "0.3"), (WIDTH, "0.5")],
            (
                ("best", "A rate of {} lowers the loss at the best checkpoint", BEST),
                ("error", "A rate of {} lowers the error", ERROR),
            ),
        ),
    ),
    cases=KINDS,
    views=(View("val_loss", (LOSS, BEST, ERROR)),),
    name="at a rate of",
)
