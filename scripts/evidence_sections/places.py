"""Where dropout stands: before the first layer, behind the hidden ones, behind the last one."""

import functools

from torch import nn

from thinned import layers

from ._arms import Arm, Group
from ._claim import Claim, crossed
from ._compare import Comparison
from ._data import Data
from ._size import RATES
from ._table import BEST, ERROR, LOSS
from ._tasks import FOUR

TITLE = "Input, hidden layers, output"
PLACES = {
    "none": (),
    "input": ("input",),
    "hidden": ("hidden",),
    "input and hidden": ("input", "hidden"),
    "output": ("output",),
}


def build(places: tuple[str, ...], data: Data, rate: float) -> nn.Sequential:
    """Two hidden layers of 128, with dropout at those places."""

    def site(place: str) -> list[nn.Module]:
        return [layers.Dropout(rate)] if place in places else []

    return nn.Sequential(
        *(nn.Flatten(), *site("input")),
        *(nn.Linear(data.inputs, 128), nn.ReLU(), *site("hidden")),
        *(nn.Linear(128, 128), nn.ReLU(), *site("hidden")),
        *(nn.Linear(128, data.outputs), *site("output")),
    )


ARMS = {
    label: Arm(functools.partial(build, places), RATES if places else ())
    for label, places in PLACES.items()
}
SECTION = Comparison(
    {task: Group(task, ARMS) for task in FOUR},
    base="none",
    claims=(
        *crossed(
            [("", place) for place, sites in PLACES.items() if sites],
            (
                ("", "Dropout at *{}* lowers the loss", LOSS),
                ("best", "also at the best checkpoint", BEST),
            ),
        ),
        Claim(
            "input or hidden",
            "Dropout at *input* has a lower loss than at *hidden*",
            "input",
            base="hidden",
        ),
        Claim(
            "input or hidden, error",
            "and a lower error",
            "input",
            base="hidden",
            measure=ERROR,
        ),
        Claim(
            "both",
            "Dropout at *input and hidden* has a lower loss than at *hidden* alone",
            "input and hidden",
            base="hidden",
        ),
        Claim(
            "output or hidden",
            "Dropout at *output* has a higher loss than at *hidden*",
            "output",
            base="hidden",
            lower=False,
        ),
    ),
    name="dropout at",
)
