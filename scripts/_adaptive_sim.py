"""Trains all methods of `scripts/adaptive` on a task side by side, with common random numbers.

The methods of one seed share split, initial weights, order of batches and the uniform numbers
behind their dropout masks: they differ by their rates alone.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from _adaptive_nets import Networks, losses
from _adaptive_tasks import Split, Task

OPTIMIZERS = {
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
    "sgd": (torch.optim.SGD, {"momentum": 0.9}),
}
TEMPERATURES = torch.logspace(-1, 1.3, 47)


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a controller may look at after an evaluation.

    Args:
        train: mean training loss, dropout on, since the last evaluation.
        val: validation loss, dropout off.
        first: validation loss of the untrained network.
        progress: share of the planned run that is done.
        outputs: of validation, dropout off.
        labels: of validation.
    """

    train: float
    val: float
    first: float
    progress: float
    outputs: torch.Tensor
    labels: torch.Tensor


class Controller:
    """Sets the rate of one run. This one keeps it constant."""

    jitter: tuple[float, float] | None = None  # draw each step's rate from this range instead

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def step(self, seen: Seen) -> None:
        """Look, and set `rate` for the steps up to the next evaluation."""


Make = Callable[[Task], Controller]


def train(task: Task, seeds: Sequence[int], methods: Sequence[Make]) -> dict[str, np.ndarray]:
    """Train every method on every seed; arrays [seeds, methods, evaluations] (or without the last).

    Args:
        task: data and network.
        seeds: each gives a split, initial weights, batches and masks.
        methods: make the controllers.
    """
    splits = [task.split(seed) for seed in seeds]
    runs = Runs(task, splits, [torch.Generator().manual_seed(seed) for seed in seeds], len(methods))
    controllers = [make(task) for _ in seeds for make in methods]
    kept: dict[str, list[torch.Tensor]] = {}
    total = torch.zeros(len(controllers))
    first = runs.evaluate()["val"]
    for step in range(1, task.steps + 1):
        total += runs.step(rates(controllers, step))
        if step % task.every:
            continue
        row = {"train": total / task.every, "first": first, **runs.evaluate()}
        held = {"outputs": row.pop("outputs"), "labels": runs.spread(runs.parts["val"][1])}
        for i, controller in enumerate(controllers):
            seen = {name: row[name][i].item() for name in ("train", "val", "first")}
            seen |= {name: each[i] for name, each in held.items()}
            controller.step(Seen(**seen, progress=step / task.planned))
        row["rate"] = torch.tensor([c.rate for c in controllers])
        for name, values in row.items():
            kept.setdefault(name, []).append(values)
        total = torch.zeros(len(controllers))
    found = {name: torch.stack(values, -1) for name, values in kept.items()}
    found |= runs.scaled()
    shape = (len(seeds), len(methods))
    return {name: values.unflatten(0, shape).numpy() for name, values in found.items()}


def warm_cosine(progress: float) -> float:
    """Share of the learning rate: up over a twentieth of the run, then along a cosine to 0."""
    return min(1.0, 20 * progress) * (1 + math.cos(math.pi * progress)) / 2


def rates(controllers: list[Controller], step: int) -> torch.Tensor:
    """The rate of each run in this step."""
    found = [c.rate for c in controllers]
    draw = torch.rand((), generator=torch.Generator().manual_seed(step)).item()
    for i, c in enumerate(controllers):
        if c.jitter is not None:
            found[i] = c.jitter[0] + draw * (c.jitter[1] - c.jitter[0])
    return torch.tensor(found)


class Runs:
    """Networks, data and optimizer of all runs; runs of one seed lie side by side."""

    def __init__(
        self, task: Task, splits: list[Split], generators: list[torch.Generator], copies: int
    ) -> None:
        self.task, self.copies, self.generators = task, copies, generators
        self.parts = {
            name: tuple(
                torch.stack(t) for t in zip(*(getattr(s, name) for s in splits), strict=True)
            )
            for name in ("train", "val", "test")
        }
        x, _y = self.parts["train"]
        hidden = (task.hidden,) * task.layers
        self.nets = Networks(x.shape[-1], task.classes or 1, hidden, conv=task.conv)
        self.nets.begin(generators, copies)
        task.prepare(self.nets, generators, copies)
        make, options = OPTIMIZERS[task.optimizer]
        options = {"lr": task.lr, "weight_decay": task.weight_decay, "fused": True, **options}
        self.optimizer = make(self.nets.parameters(), **options)
        count = -(-task.steps * task.batch // task.size)
        order = [
            torch.cat([torch.randperm(task.size, generator=g) for _ in range(count)])
            for g in generators
        ]
        self.order = torch.stack(order)
        self.done = 0

    def spread(self, values: torch.Tensor) -> torch.Tensor:
        """Give every run what its seed has."""
        return values.repeat_interleave(self.copies, 0)

    def step(self, rate: torch.Tensor) -> torch.Tensor:
        """One step of every run; returns the losses."""
        start = self.done * self.task.batch
        self.done += 1
        chosen = self.order[:, start : start + self.task.batch]
        x, y = (t[torch.arange(len(chosen))[:, None], chosen] for t in self.parts["train"])
        found = losses(self.nets(self.spread(x), self.masks(rate)), self.spread(y))
        found.sum().backward()
        if self.task.optimizer != "adam":
            share = warm_cosine(self.done / self.task.steps)
            self.optimizer.param_groups[0]["lr"] = self.task.lr * share
        self.optimizer.step()
        self.optimizer.zero_grad()
        return found.detach()

    def masks(self, rate: torch.Tensor) -> list[torch.Tensor]:
        """Kept units, scaled up; a seed's runs compare one draw with their rates."""
        keep = (1 - rate)[:, None, None]
        made = []
        for width in self.nets.sites:
            shape = (self.task.batch, width)
            draw = torch.stack([torch.rand(shape, generator=g) for g in self.generators])
            made.append((self.spread(draw) < keep).float() / keep)
        return made

    @torch.no_grad()
    def evaluate(self) -> dict[str, torch.Tensor]:
        """Losses with dropout off; of numbers, the share of explained variance is the accuracy."""
        found = {}
        for part in ("val", "test"):
            x, y = (self.spread(t) for t in self.parts[part])
            outputs = self.nets(x)
            found[part] = losses(outputs, y)
            if part == "val":
                found["outputs"] = outputs
            elif y.is_floating_point():
                found["accuracy"] = 1 - found["test"] / y.var(1, correction=0)
            else:
                found["accuracy"] = (outputs.argmax(-1) == y).float().mean(1)
        return found

    @torch.no_grad()
    def scaled(self) -> dict[str, torch.Tensor]:
        """What `scaled` says of the networks as they are."""
        outputs = {p: self.nets(self.spread(self.parts[p][0])) for p in ("val", "test")}
        labels = {p: self.spread(self.parts[p][1]) for p in ("val", "test")}
        return scaled(outputs, labels)


def scaled(
    outputs: dict[str, torch.Tensor], labels: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Test loss with the temperature that validation likes best, of each run.

    Once with any, and once with those that make the network no surer than it is.

    Args:
        outputs: of ``"val"`` and ``"test"``, [runs, examples, outputs].
        labels: the same, [runs, examples].
    """
    tried = torch.stack([losses(outputs["val"] / t, labels["val"]) for t in TEMPERATURES])
    best = TEMPERATURES[tried.argmin(0)]
    chosen = {"test_scaled": best, "test_softened": best.clamp(min=1.0)}
    return {
        name: losses(outputs["test"] / t[:, None, None], labels["test"])
        for name, t in chosen.items()
    }
