"""The price: steps and seconds to a given validation loss, and what skipped blocks give back."""

import functools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from thinned import layers
from thinned.report._statistics import difference
from thinned.schedules import Constant, Curriculum, Early, Late, Linear, Schedule

from . import _nets as nets
from ._grid import digits
from ._picture import figure, line
from ._results import Results, Row
from ._size import Size
from ._table import delta, mean
from ._train import Recipe, batches, fit, measure, train_step

TITLE = "The price"
STEPS, EVERY = 800, 20
COURSES: dict[str, Schedule] = {
    "none": Constant(0.0),
    "0.1": Constant(0.1),
    "0.3": Constant(0.3),
    "0.5": Constant(0.5),
    "0.7": Constant(0.7),
    "early 0.5": Early(0.5, until=0.5),
    "late 0.5": Late(0.5, begin=0.5),
    "curriculum 0.5": Curriculum(0.5),
    "falling 0.5": Linear(0.5, 0.0),
}
SKIPS = {
    "none": ("mask", 0.0),
    "mask 0.3": ("mask", 0.3),
    "skip 0.3": ("skip", 0.3),
    "mask 0.5": ("mask", 0.5),
    "skip 0.5": ("skip", 0.5),
}
REACHED = """\
**Steps until validation loss first falls to a target**: the median over seeds, and in brackets how
many reach it at all, where not all do. Then the loss itself: the best, and after the last step."""
SKIPPED = """\
**What skipping gives back.** All modes are trained in turns, a step each. p is not corrected for
the four comparisons."""
TARGETS = (1.0, 0.5, 0.35, 0.25, 0.2)
BLOCKS, SKIP_STEPS = 6, 200


def _course(name: str, size: Size, seed: int) -> Row:
    """Validation loss at every 20th step, and the seconds of a step."""
    schedule = COURSES[name]
    steps = size.steps(STEPS)
    recipe = Recipe(steps=steps, lr=2e-3, schedule=schedule, checks=max(2, steps // EVERY))
    place = functools.partial(layers.Dropout, schedule(0.0))
    found = fit(lambda: nets.mlp(64, (128, 128), 10, place), digits(seed, size), recipe, seed)
    losses = {f"after {step}": loss for step, loss in found.curve.items()}
    return {**losses, "ms": 1000 * found.seconds / steps, "test_loss": found.numbers["test_loss"]}


class Block(nn.Module):
    """A residual block: norm, wide layer, ReLU and back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.ReLU(),
            nn.Linear(4 * width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch."""
        return x + self.branch(x)


def residual(mode: str, rate: float) -> nn.Module:
    """Six residual blocks of width 128, each in stochastic depth at the same rate."""
    stack = [layers.StochasticDepth(Block(128), rate, mode=mode) for _ in range(BLOCKS)]
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 128), *stack, nn.Linear(128, 10))


def _skips(size: Size, seed: int) -> Row:
    """Train all modes in turns, a step each, so that the machine is the same for all."""
    data, recipe = digits(seed, size, 400), Recipe(steps=size.steps(SKIP_STEPS), batch=128)
    made, spent = {}, dict.fromkeys(SKIPS, 0.0)
    for name, (mode, rate) in SKIPS.items():
        torch.manual_seed(seed)
        net = residual(mode, rate)
        made[name] = (net, torch.optim.AdamW(net.parameters(), lr=recipe.lr, fused=True))
    for rows in batches(len(data.train[0]), recipe, seed):
        for name, (net, optimizer) in made.items():
            began = time.process_time()
            train_step(net, optimizer, data, rows, recipe)
            spent[name] += time.process_time() - began
    row = {f"{name}, ms": 1000 * took / recipe.steps for name, took in spent.items()}
    return row | {f"{name}, loss": measure(net, data.test)[0] for name, (net, _) in made.items()}


def arms(size: Size) -> dict[str, Callable[[int], Row]]:
    """The courses, and one arm that holds all modes of stochastic depth."""
    found = {f"course/{name}": functools.partial(_course, name, size) for name in COURSES}
    return {**found, "skip/all": functools.partial(_skips, size)}


def _curve(row: Row) -> dict[int, float]:
    return {int(key.split()[1]): value for key, value in row.items() if key.startswith("after ")}


def reached(rows: Sequence[Row], target: float) -> tuple[int, float]:
    """How many seeds reach the loss, and the median of their first steps over all seeds.

    Seeds that never reach it count as infinite, so that the median is fair to slow ones.
    """
    firsts = []
    for row in rows:
        steps = [step for step, loss in _curve(row).items() if loss <= target]
        firsts.append(min(steps) if steps else float("inf"))
    return sum(first < float("inf") for first in firsts), statistics.median(firsts)


def block(results: Results) -> str:
    """Steps by target; seconds a step; skip against mask."""
    courses = {n.partition("/")[2]: r for n, r in results.arms.items() if n.startswith("course/")}
    heads = [
        "rate or schedule",
        *(f"to {t:g}" for t in TARGETS),
        "best",
        "end",
        "ms a step",
        "ratio",
    ]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    plain = {seed: row["ms"] for seed, row in enumerate(courses["none"])}
    for name, rows in courses.items():
        cells = [name]
        for target in TARGETS:
            number, middle = reached(rows, target)
            cells.append("never" if middle == float("inf") else f"{middle:.0f}")
            cells[-1] += f" ({number}/{len(rows)})" if number < len(rows) else ""
        curves = [_curve(row) for row in rows]
        cells.append(mean({seed: min(curve.values()) for seed, curve in enumerate(curves)}))
        cells.append(mean({seed: curve[max(curve)] for seed, curve in enumerate(curves)}))
        cells.append(mean({seed: row["ms"] for seed, row in enumerate(rows)}))
        cells.append(mean({seed: row["ms"] / plain[seed] for seed, row in enumerate(rows)}, 2))
        lines.append("| " + " | ".join(cells) + " |")
    heads = ["stochastic depth", "ms a step", "ratio to none", "test loss", "minus none"]
    more = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    rows = dict(enumerate(results.arms["skip/all"]))
    for name in SKIPS:
        took = {seed: row[f"{name}, ms"] for seed, row in rows.items()}
        share = {seed: row[f"{name}, ms"] / row["none, ms"] for seed, row in rows.items()}
        loss = {seed: row[f"{name}, loss"] for seed, row in rows.items()}
        base = {seed: row["none, loss"] for seed, row in rows.items()}
        against = "" if name == "none" else delta(difference(loss, base))
        cells = [name, mean(took), mean(share, 2), mean(loss), against]
        more.append("| " + " | ".join(cells) + " |")
    return "\n\n".join(
        [
            REACHED,
            "\n".join(lines),
            SKIPPED,
            "\n".join(more),
        ]
    )


def picture(results: Results) -> Any:
    """Validation loss by step, and the time of a step."""
    made, axes = figure(3, wide=10.0)
    for ax, names in (
        (axes[0], ("none", "0.1", "0.3", "0.5", "0.7")),
        (axes[1], ("none", "0.5", "early 0.5", "late 0.5", "curriculum 0.5", "falling 0.5")),
    ):
        for name in names:
            curves = [_curve(row) for row in results.arms[f"course/{name}"]]
            steps = sorted(curves[0])
            middle = [statistics.mean(curve[step] for curve in curves) for step in steps]
            ax.plot(steps, middle, lw=1.5, label=name)
        ax.set(xlabel="step", ylabel="validation loss", ylim=(0.1, 0.7))
        ax.legend(fontsize=8)
    rows = results.arms["skip/all"]
    for mode in ("mask", "skip"):
        shares = [
            {s: row[f"{mode} {rate}, ms"] / row["none, ms"] for s, row in enumerate(rows)}
            for rate in ("0.3", "0.5")
        ]
        line(axes[2], (0.3, 0.5), shares, f"StochasticDepth, {mode}", mec="white")
    axes[2].plot((0, 0.6), (1, 0.4), ":", color="#8a8a8a", label="1 - rate")
    axes[2].set(xlabel="rate", ylabel="time of a step, none = 1", ylim=(0.3, 1.3), xlim=(0, 0.6))
    axes[2].legend(fontsize=8)
    return made
