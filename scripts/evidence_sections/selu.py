"""SELU and alpha dropout: does dropout that keeps mean and variance pay (Klambauer 2017)?"""

import functools

from torch import nn

from thinned import layers

from . import _nets as nets
from ._arms import Arm, Group
from ._claim import Claim
from ._compare import Comparison
from ._data import Data
from ._table import BEST
from ._train import Recipe

TITLE = "SELU and alpha dropout"
RATES = (0.05, 0.1, 0.3, 0.5)  # lower than elsewhere: the paper takes 0.05 and 0.1
ON = ("digits", "diabetes", "drawn")
DEPTH, STEPS = 6, 300
KINDS = {
    "ReLU": (nn.ReLU, nn.Identity),
    "ReLU, Dropout": (nn.ReLU, layers.Dropout),
    "SELU": (nn.SELU, nn.Identity),
    "SELU, Dropout": (nn.SELU, layers.Dropout),
    "SELU, Alpha": (nn.SELU, layers.AlphaDropout),
}


def build(kind: str, data: Data, rate: float) -> nn.Module:
    """Six layers of 64; weights are drawn as each activation asks (He, LeCun)."""
    activation, site = KINDS[kind]
    place = nn.Identity if site is nn.Identity else functools.partial(site, rate)
    net = nets.mlp(data.inputs, (64,) * DEPTH, data.outputs, place, activation=activation)
    return nets.drawn_for(net, "relu" if activation is nn.ReLU else "linear")


ARMS = {kind: Arm(functools.partial(build, kind), RATES if "," in kind else ()) for kind in KINDS}
SECTION = Comparison(
    {task: Group(task, ARMS, Recipe(steps=STEPS, lr=2e-3)) for task in ON},
    base="SELU",
    claims=(
        Claim("alpha", "Alpha dropout raises the loss", "SELU, Alpha", lower=False),
        Claim(
            "alpha, best",
            "also at the best checkpoint",
            "SELU, Alpha",
            measure=BEST,
            lower=False,
        ),
        Claim(
            "alpha, dropout",
            "Alpha dropout has a higher loss than ordinary dropout",
            "SELU, Alpha",
            base="SELU, Dropout",
            lower=False,
        ),
        Claim("dropout", "Ordinary dropout lowers the loss of SELU", "SELU, Dropout"),
        Claim("dropout, best", "also at the best checkpoint", "SELU, Dropout", measure=BEST),
        Claim("relu", "SELU has a lower loss than ReLU", "SELU", base="ReLU"),
    ),
)
