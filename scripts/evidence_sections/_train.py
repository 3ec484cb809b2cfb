"""A plain training loop: many small networks, without a Trainer's cost for each.

The layers, the schedules and `set_rate` are the package's own. `tests/app/test_evidence.py` shows
that the loop and a Lightning Trainer with `DropoutScheduler` end at the same weights, to the bit.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

import thinned
from thinned.schedules import Constant, Profile, Schedule, as_profile

from ._data import Data, Part


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        steps: batches in all.
        batch: samples in one; the last, smaller one of an epoch is left out.
        schedule: moves the rate of all sites; None leaves the rates as they were built.
        profile: how the rate varies over the sites, which then needs ``widths``.
        checks: how often validation loss is measured, at even distances, the end included.
        penalty: added to the loss; of the network and the number of training samples.
        augment: changes the inputs of each training batch.
    """

    steps: int = 500
    batch: int = 32
    lr: float = 1e-3
    weight_decay: float = 0.0
    smoothing: float = 0.0
    schedule: Schedule | None = None
    profile: Profile | str | None = None
    widths: tuple[int, ...] = ()
    checks: int = 10
    penalty: Callable[[nn.Module, int], Tensor] | None = None
    augment: Callable[[Tensor], Tensor] | None = None


USUAL = Recipe(steps=400, lr=2e-3)


@dataclasses.dataclass
class Outcome:
    """What a run came to: losses by step, the network, and seconds of training alone."""

    net: nn.Module
    numbers: dict[str, float]
    curve: dict[int, float]
    seconds: float


def fit(build: Callable[[], nn.Module], data: Data, recipe: Recipe, seed: int) -> Outcome:
    """Train once. One ``seed`` gives the initial weights, the order of batches and the masks."""
    torch.manual_seed(seed)
    net = build()
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
    )
    move = _mover(net, recipe)
    checks = {round(recipe.steps * (k + 1) / recipe.checks) for k in range(recipe.checks)}
    curve: dict[int, float] = {}
    best: dict[str, float] = {}
    seconds, began = 0.0, time.process_time()
    for step, rows in enumerate(batches(len(data.train[0]), recipe, seed)):
        move(step)
        train_step(net, optimizer, data, rows, recipe)
        if step + 1 in checks:
            seconds += time.process_time() - began
            curve[step + 1] = measure(net, data.val)[0]
            if not best or curve[step + 1] < best["best_val_loss"]:
                loss, error = measure(net, data.test)
                best = {
                    "best_val_loss": curve[step + 1],
                    "best_test_loss": loss,
                    "best_test_error": error,
                }
            began = time.process_time()
    loss, error = measure(net, data.test)
    numbers = {"val_loss": curve[recipe.steps], "test_loss": loss, "test_error": error, **best}
    return Outcome(net, numbers, curve, seconds)


def train_step(
    net: nn.Module, optimizer: torch.optim.Optimizer, data: Data, rows: Tensor, recipe: Recipe
) -> float:
    """Take one step on these rows of the training part; return its loss, dropout on."""
    net.train()
    x, y = data.train[0][rows], data.train[1][rows]
    if recipe.augment is not None:
        x = recipe.augment(x)
    loss = loss_of(net(x), y, recipe.smoothing)
    if recipe.penalty is not None:
        loss = loss + recipe.penalty(net, len(data.train[0]))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def loss_of(output: Tensor, y: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy, or squared error where a number is predicted."""
    if y.dtype == torch.int64:
        return functional.cross_entropy(output, y, label_smoothing=smoothing)
    return functional.mse_loss(output, y)


@torch.no_grad()
def measure(net: nn.Module, part: Part) -> tuple[float, float]:
    """Return loss, and share of wrong classes (mean absolute error of a number), dropout off."""
    output = net.eval()(part[0])
    if part[1].dtype == torch.int64:
        wrong = (output.argmax(1) != part[1]).float().mean()
    else:
        wrong = functional.l1_loss(output, part[1])
    return loss_of(output, part[1]).item(), wrong.item()


def batches(size: int, recipe: Recipe, seed: int) -> Iterator[Tensor]:
    """Rows of each step: a new order every epoch, the same for all arms of one seed."""
    generator = torch.Generator().manual_seed(seed + 1_000_000)
    batch = min(recipe.batch, size)
    done = 0
    while done < recipe.steps:
        order = torch.randperm(size, generator=generator)
        for rows in order[: size - size % batch].split(batch):
            if done < recipe.steps:
                yield rows
            done += 1


def _mover(net: nn.Module, recipe: Recipe) -> Callable[[int], None]:
    """Return what sets the rates of a step, as `DropoutScheduler` does: step k is k/(N-1)."""
    schedule = recipe.schedule
    if schedule is None:
        return lambda _step: None
    sites = thinned.find_sites(net).select("*", (), "all")
    last = max(1, recipe.steps - 1)
    profile = as_profile(recipe.profile)
    widths = recipe.widths or (None,) * len(sites)

    def move(step: int) -> None:
        if step and isinstance(schedule, Constant):
            return
        rates = profile.rates(schedule(step / last), widths)
        for site, rate in zip(sites, rates, strict=True):
            thinned.set_rate([site], rate)

    return move
