"""What skipped blocks of stochastic depth give back: time and loss against masks and none."""

import statistics
import time

import torch
from torch import Tensor, nn

from thinned import layers
from thinned.report._comparison.statistics import difference, holm

from ._results import Results, Row
from ._size import Size
from ._table import delta, mean
from ._tasks import TASKS
from ._train import Recipe, batches, measure, train_step

SKIPS = {
    "none": ("mask", 0.0),
    "mask 0.3": ("mask", 0.3),
    "skip 0.3": ("skip", 0.3),
    "mask 0.5": ("mask", 0.5),
    "skip 0.5": ("skip", 0.5),
}
ARM = "skip/all"
TOLD = "**What skipping gives back.** All modes are trained in turns, a step each."
BLOCKS, STEPS = 6, 200


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


def run(size: Size, seed: int) -> Row:
    """Train all modes in turns, a step each, so that the machine is the same for all."""
    data = TASKS["digits"].data(seed, size, 400)
    recipe = Recipe(steps=size.steps(STEPS), batch=128)
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


def shares(results: Results, name: str) -> dict[int, float]:
    """The time of a step in that of the network without stochastic depth, by seed."""
    return {s: row[f"{name}, ms"] / row["none, ms"] for s, row in enumerate(results.arms[ARM])}


def block(results: Results) -> str:
    """Time and loss of each mode."""
    heads = ["stochastic depth", "ms a step", "ratio to none", "test loss", "minus none"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    losses = {name: results.column(ARM, f"{name}, loss") for name in SKIPS}
    against = holm({n: difference(losses[n], losses["none"]) for n in SKIPS if n != "none"})
    for name in SKIPS:
        cells = [name, mean(results.column(ARM, f"{name}, ms")), mean(shares(results, name), 2)]
        cells += [mean(losses[name]), delta(against[name]) if name != "none" else ""]
        lines.append("| " + " | ".join(cells) + " |")
    return f"{TOLD}\n\n" + "\n".join(lines)


def quotes(results: Results) -> dict[str, str]:
    """What each mode changes of the time of a step, in percent."""
    means = {name: statistics.mean(shares(results, name).values()) for name in SKIPS}
    return {f"{name}: time": f"{100 * (each - 1):+.0f}%" for name, each in means.items()}
