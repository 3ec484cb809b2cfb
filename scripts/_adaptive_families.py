"""Other networks for `scripts/adaptive`: those of `scripts/evidence`, trained one after another."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from _adaptive_sim import Controller, Make, Seen, scaled
from evidence_sections import batch_norm
from evidence_sections._data import Data
from evidence_sections._families import FAMILIES
from evidence_sections._size import Size
from evidence_sections._tasks import TASKS
from evidence_sections._train import Recipe, batches, loss_of, measure, train_step
from torch import nn

import thinned
from thinned.callbacks._adaptive.highest import highest

GRID = ("p=0.00", "p=0.10", "p=0.30", "p=0.50", "p=0.70", "p=0.90")
OTHERS = ("adaptive", "highest", "no bound")
CHECKS = 20


@dataclasses.dataclass(frozen=True)
class FamilyTask:
    """A network of `scripts/evidence` on one of its data sets.

    Args:
        data: a name of its tasks.
        build: makes the network for these data and a rate.
        steps: batches in all.
        recipe: the rest of the training.
    """

    name: str
    data: str
    build: Callable[[Data, float], nn.Module]
    steps: int
    recipe: Recipe

    @property
    def epochs(self) -> float:
        """How often each training example is seen; an epoch's last, smaller batch is left out."""
        return self.steps / (TASKS[self.data].train // self.recipe.batch)

    @property
    def moves(self) -> float:
        """How far the optimizer can move a weight, as the callback sees it."""
        return self.steps * self.recipe.lr

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.parts(0).outputs

    @functools.cached_property
    def highest(self) -> float:
        """The highest rate that the callback tries on this network."""
        return highest(self.build(self.parts(0), 0.5), "*", kinds="all")

    def parts(self, seed: int) -> Data:
        """The seed's training, validation and test part."""
        return TASKS[self.data].data(seed, Size())


def train(task: FamilyTask, seeds: Sequence[int], methods: Sequence[Make]) -> dict[str, np.ndarray]:
    """Train every method on every seed, as `_adaptive_sim.train` does; the same arrays."""
    every = [[run(task, seed, make(task)) for make in methods] for seed in seeds]
    return {key: np.array([[one[key] for one in row] for row in every]) for key in every[0][0]}


def run(task: FamilyTask, seed: int, controller: Controller) -> dict[str, object]:
    """Train once; values at each evaluation, and the two of the scaled outputs at the end."""
    data = task.parts(seed)
    torch.manual_seed(seed)
    net = task.build(data, 0.5)
    recipe = dataclasses.replace(task.recipe, steps=task.steps)
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
    )
    sites = thinned.find_sites(net).select("*", (), "all")
    looks = {round(task.steps * (k + 1) / CHECKS) for k in range(CHECKS)}
    first, losses = measure(net, data.val)[0], []
    kept: dict[str, list[float]] = {"test": [], "val": [], "accuracy": [], "rate": []}
    for step, rows in enumerate(batches(len(data.train[0]), recipe, seed)):
        thinned.set_rate(sites, controller.rate)
        losses.append(train_step(net, optimizer, data, rows, recipe))
        if step + 1 not in looks:
            continue
        outputs, labels = outputs_of(net, data.val[0]), data.val[1]
        val = loss_of(outputs, labels).item()
        test, wrong = measure(net, data.test)
        seen = (sum(losses) / len(losses), val, first, (step + 1) / task.steps, outputs, labels)
        controller.step(Seen(*seen))
        losses = []
        found = {"test": test, "val": val, "accuracy": 1 - wrong, "rate": controller.rate}
        for key, value in found.items():
            kept[key].append(value)
    ends = {"val": data.val, "test": data.test}
    outputs_at_end = {name: outputs_of(net, part[0])[None] for name, part in ends.items()}
    labels_of_all = {name: part[1][None] for name, part in ends.items()}
    return kept | {k: v.item() for k, v in scaled(outputs_at_end, labels_of_all).items()}


@torch.no_grad()
def outputs_of(net: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """What the network says, dropout off."""
    return net.eval()(inputs)


def _family(family: str, technique: str, data: str, times: int = 1) -> FamilyTask:
    found = FAMILIES[family]
    recipe = found.recipes[data]
    name = f"{family}_{data}" + (f"_x{times}" if times > 1 else "")
    return FamilyTask(name, data, found.arms[technique].build, times * recipe.steps, recipe)


def _norm(order: str, name: str, data: str) -> FamilyTask:
    build = functools.partial(batch_norm.build, order)
    return FamilyTask(name.replace(" ", "_"), data, build, 400, Recipe(lr=2e-3))


_BEHIND = "BN, Dropout behind the last"
_ALL = (
    *(
        _norm(_BEHIND, f"norm {data}", data)
        for data in ("digits", "noisy digits", "cancer", "drawn")
    ),
    _norm("BN, then Dropout", "norm twice digits", "digits"),
    _family("cnn", "Dropout, head", "signs"),
    _family("cnn", "Spatial", "signs", 2),
    _family("text", "Dropout", "keys"),
    _family("text", "Dropout", "topics", 3),
    _family("transformer", "Dropout", "digits"),
    _family("transformer", "Dropout", "topics"),
    _family("rnn", "Dropout", "digits"),
    _family("rnn", "Dropout", "sequences", 3),
)
FAMILY_TASKS = {task.name: task for task in _ALL}
