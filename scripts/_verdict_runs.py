"""Small real runs with a known truth, for `scripts/evidence-verdict`.

A run is an MLP with dropout after each hidden activation, trained by Adam on a small part of one
of scikit-learn's data sets. Its history has the rows that `OverfittingMonitor` would give
(`tests/metrics/test_evidence.py` compares the two). Its truth is found by running again.
"""

import dataclasses
import functools
import math
import random
from typing import Any

import sklearn.datasets
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own habit

SIZES = {
    "digits": (60, 100, 200, 500),
    "breast_cancer": (40, 100, 200),
    "wine": (30, 60, 90),
    "diabetes": (50, 100, 200),
}
RATES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.85)
SEEDS = 5  # runs behind each truth
STEP = 0.2  # how far the rate is raised or lowered
MARGIN = 0.02  # a relative fall of validation loss that is worth a change
ROWS = 30  # validations in a run
BATCH = 32


@dataclasses.dataclass(frozen=True)
class Setting:
    """One run: everything but the random initialization and masks."""

    data: str
    size: int
    hidden: int
    rate: float
    noise: float
    steps: int
    lr: float
    split: int


def settings(count: int, seed: int) -> list[Setting]:
    """Draw ``count`` settings; another seed gives other settings and other splits."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        data = draw.choice(list(SIZES))
        found.append(
            Setting(
                data=data,
                size=draw.choice(SIZES[data]),
                hidden=draw.choice((16, 64, 128, 256)),
                rate=draw.choice(RATES),
                noise=draw.choice((0.0, 0.0, 0.2)),
                steps=draw.choice((60, 200, 600)),
                lr=draw.choice((1e-3, 1e-3, 3e-4)),
                split=seed * 100_000 + number,
            )
        )
    return found


@functools.cache
def _load(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    kind = torch.float32 if name == "diabetes" else torch.int64
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=kind)


def data(setting: Setting) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Training and validation tensors; labels of both are noisy where the setting says so."""
    x, y = _load(setting.data)
    draw = torch.Generator().manual_seed(setting.split)
    order = torch.randperm(len(x), generator=draw)
    train, valid = order[: setting.size], order[setting.size :][:400]
    mean, scale = x[train].mean(0), x[train].std(0)
    x = (x - mean) / torch.where(scale > 0, scale, 1.0)
    if setting.data == "diabetes":
        y = (y - y[train].mean()) / y[train].std()
        y = y + setting.noise * 5 * torch.randn(len(y), generator=draw)
    else:
        wrong = torch.rand(len(y), generator=draw) < setting.noise
        y = torch.where(wrong, torch.randint(int(y.max()) + 1, y.shape, generator=draw), y)
    return x[train], y[train], x[valid], y[valid]


def model(setting: Setting, rate: float) -> nn.Sequential:
    """The network of a run, fresh from the global generator."""
    inputs = _load(setting.data)[0].shape[1]
    outputs = {"digits": 10, "breast_cancer": 2, "wine": 3, "diabetes": 1}[setting.data]
    wide = setting.hidden
    return nn.Sequential(
        *(nn.Linear(inputs, wide), nn.ReLU(), nn.Dropout(rate)),
        *(nn.Linear(wide, wide), nn.ReLU(), nn.Dropout(rate)),
        nn.Linear(wide, outputs),
    )


def loss(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, or squared error where there is one output."""
    return F.mse_loss(outputs[:, 0], y) if outputs.shape[1] == 1 else F.cross_entropy(outputs, y)


def epochs(setting: Setting) -> tuple[int, int]:
    """Epochs of a run, and epochs from one validation to the next."""
    total = max(1, round(setting.steps / math.ceil(setting.size / BATCH)))
    return total, max(1, total // ROWS)


def train(setting: Setting, rate: float, seed: int, times: int = 1) -> list[dict[str, Any]]:
    """Train once, ``times`` as long as the setting says, and return the history's rows."""
    torch.manual_seed(seed)
    x, y, valid_x, valid_y = data(setting)
    net = model(setting, rate)
    optimizer = torch.optim.Adam(net.parameters(), lr=setting.lr, fused=True)
    order = torch.Generator().manual_seed(seed)
    tenth = torch.randperm(len(x), generator=order)[: max(1, round(len(x) / 10))]
    total, every = epochs(setting)
    rows = []
    for epoch in range(total * times):
        for batch in torch.randperm(len(x), generator=order).split(BATCH):
            optimizer.zero_grad()
            loss(net(x[batch]), y[batch]).backward()
            optimizer.step()
        if (epoch + 1) % every == 0:
            rows.append(_measure(net, epoch, (x, y), (valid_x, valid_y), tenth))
    return rows


@torch.no_grad()
def _measure(net: nn.Module, epoch: int, known: Any, fresh: Any, tenth: Any) -> dict[str, Any]:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        noisy_out = net(known[0])
    net.eval()
    out = net(known[0])
    probe = float(loss(out, known[1]))
    row = {
        "epoch": epoch,
        "val_loss": float(loss(net(fresh[0]), fresh[1])),
        "overfit/probe/val_loss": probe,
        "overfit/inflation/val_loss": float(loss(noisy_out, known[1])) - probe,
        "tenth": float(loss(out[tenth], known[1][tenth])),
        "tenth_noisy": float(loss(noisy_out[tenth], known[1][tenth])),
    }
    net.train()
    return row


def truth(setting: Setting) -> dict[str, Any]:
    """Run again with other rates and lengths; say what would have lowered validation loss.

    Runs with the same seed share split, initial weights and the order of batches, so that their
    differences are paired. ``helps`` asks for a mean relative fall of at least ``MARGIN`` and of
    two standard errors.
    """
    total, every = epochs(setting)
    last = total // every
    found: dict[str, list[float]] = {
        k: [] for k in ("as_is", "raised", "lowered", "longer", "half")
    }
    higher, lower = min(setting.rate + STEP, 0.9), max(setting.rate - STEP, 0.0)
    history: list[dict[str, Any]] = []
    for seed in range(SEEDS):
        rows = train(setting, setting.rate, seed, times=2)
        history = history or rows[:last]
        found["as_is"].append(rows[last - 1]["val_loss"])
        found["longer"].append(rows[-1]["val_loss"])
        found["half"].append(rows[max(0, last // 2 - 1)]["val_loss"])
        found["raised"].append(train(setting, higher, seed)[-1]["val_loss"])
        if lower < setting.rate:
            found["lowered"].append(train(setting, lower, seed)[-1]["val_loss"])
    return {"setting": dataclasses.asdict(setting), "found": found, "history": history}


def helps(found: dict[str, list[float]], change: str) -> float:
    """The mean relative fall of final validation loss by ``change``; 0 where it does not help."""
    if not found[change]:
        return 0.0
    falls = [(a - b) / a for a, b in zip(found["as_is"], found[change], strict=True)]
    mean = sum(falls) / len(falls)
    error = math.sqrt(sum((f - mean) ** 2 for f in falls) / (len(falls) - 1) / len(falls))
    return mean if mean >= MARGIN and mean >= 2 * error else 0.0


def true_word(found: dict[str, list[float]]) -> tuple[str, str]:
    """The verdict that the re-runs call right, and the remedy that worked."""
    raised, lowered = helps(found, "raised"), helps(found, "lowered")
    if raised and raised >= lowered:
        return "overfitting", "raise the rate"
    if lowered:
        return "over-regularized", "lower the rate"
    if helps(found, "longer"):
        return "underfitting", "train longer"
    if helps(found, "half"):
        return "overfitting", "train less"
    return "healthy", "keep"
