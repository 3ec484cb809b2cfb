"""What the two applied sections share: an MLP and a CNN, judged on other test sets."""

from collections.abc import Callable

from torch import nn

from thinned import layers

from ._arms import Arm, Group
from ._data import Data
from ._families import FAMILIES
from ._train import Recipe

TASKS = ("digits", "signs")
RECIPES = {"mlp": Recipe(steps=400, lr=2e-3), "cnn": Recipe(steps=150, lr=2e-3)}
CASES = {family: FAMILIES[family].told for family in RECIPES}


def _before(layer: Callable[[float], nn.Module]) -> Arm:
    """The plain MLP behind a layer that drops pixels."""
    plain = FAMILIES["mlp"].arms["none"].build
    return Arm(lambda data, rate: nn.Sequential(layer(rate), plain(data, rate)))


ARMS: dict[str, dict[str, Arm]] = {
    "mlp": {
        **{name: FAMILIES["mlp"].arms[name] for name in ("none", "Dropout", "DropConnect")},
        "Dropout of pixels": _before(layers.Dropout),
        "DropBlock of pixels": _before(lambda rate: layers.DropBlock2d(rate, block_size=3)),
    },
    "cnn": {name: FAMILIES["cnn"].arms[name] for name in ("none", "Dropout, head", "DropBlock")},
}


def groups(prepare: Callable[[Data, int], Data]) -> dict[str, Group]:
    """Both networks on each task, with the test sets that ``prepare`` adds."""
    return {
        f"{family}, {task}": Group(task, arms, RECIPES[family], prepare=prepare)
        for family, arms in ARMS.items()
        for task in TASKS
    }


def techniques() -> list[tuple[str, str]]:
    """Every technique with its network."""
    return [(family, arm) for family, arms in ARMS.items() for arm in arms if arm != "none"]
