"""Trainings of `scripts/adaptive` that early stopping ends long before what was planned."""

import dataclasses
from collections.abc import Mapping, Sequence

import _adaptive_sim as sim
import numpy as np
from _adaptive_tasks import TEN, Task

OTHERS = ("adaptive", "by plan")


@dataclasses.dataclass(frozen=True)
class StoppingTask(Task):
    """A task whose training stops once validation loss has had no new lowest for a while.

    Args:
        planned: steps that are planned.
        steps: the most that are trained here.
        patience: evaluations without a new lowest, after which it stops.
    """

    planned: int = 12_000
    patience: int = 10


def train(
    task: StoppingTask, seeds: Sequence[int], methods: Sequence[sim.Make]
) -> dict[str, np.ndarray]:
    """Train all methods as `_adaptive_sim` does; what is kept is the best evaluation until then."""
    found = sim.train(task, seeds, methods)
    found = {name: each for name, each in found.items() if each.ndim > 2}  # not the last networks'
    return best_kept(found, task.patience)


def best_kept(found: dict[str, np.ndarray], patience: int) -> dict[str, np.ndarray]:
    """Put in place of each evaluation the best one so far, and nothing new once it has stopped.

    Args:
        found: arrays [..., evaluations]; "val" says which is best.
        patience: evaluations without a new lowest, after which it stops.
    """
    best, left = np.zeros(found["val"].shape, int), np.full(found["val"].shape[:-1], patience)
    lowest = found["val"][..., 0]
    for now in range(1, best.shape[-1]):
        better = (found["val"][..., now] < lowest) & (left > 0)
        lowest = np.where(better, found["val"][..., now], lowest)
        left = np.where(better, patience, left - 1)
        best[..., now] = np.where(better, now, best[..., now - 1])
    return {name: np.take_along_axis(each, best, -1) for name, each in found.items()}


STOPPING: Mapping[str, Task] = {
    name: StoppingTask(**dataclasses.asdict(task) | {"data": task.data, "steps": 2400})
    for name, task in TEN.items()
}
"""The ten, planned twenty times as long. Nothing was chosen on them."""
