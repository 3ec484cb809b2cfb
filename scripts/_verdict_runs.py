"""Small real runs with a known truth, for `scripts/evidence-verdict`.

A run is a small network with dropout, trained on a small part of one of scikit-learn's data sets
(`_verdict_settings` draws them). Its history has the rows that `OverfittingMonitor` would give
(`tests/metrics/test_evidence.py` compares the two). Its truth is found by running again.
"""

import dataclasses
import functools
import json
import math
import pathlib
from collections.abc import Collection
from typing import Any

import sklearn.datasets
import torch
from _verdict_settings import BATCH, Setting, epochs
from torch import nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own habit

SEEDS = 5  # runs behind each truth
STEP = 0.2  # how far the rate is raised or lowered
MARGIN = 0.02  # a relative fall of validation loss that is worth a change


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
    first: tuple[nn.Module, ...]
    if setting.net == "cnn":  # of the digits, whose 64 figures are 8 rows of 8
        first = (
            *(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3, padding=1), nn.ReLU()),
            *(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU()),
            *(nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(rate)),
        )
        inputs = 64  # 16 channels of 2 by 2
    else:
        first = (nn.Linear(inputs, wide), nn.ReLU(), nn.Dropout(rate))
        inputs = wide
    return nn.Sequential(
        *first,
        *(nn.Linear(inputs, wide), nn.ReLU(), nn.Dropout(rate)),
        nn.Linear(wide, outputs),
    )


def optimizer(setting: Setting, net: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of a run, with torch's own defaults, and momentum for SGD."""
    if setting.optimizer == "sgd":
        return torch.optim.SGD(net.parameters(), lr=setting.lr, momentum=0.9, fused=True)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[setting.optimizer]
    return kind(net.parameters(), lr=setting.lr, fused=True)


def loss(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, or squared error where there is one output."""
    return F.mse_loss(outputs[:, 0], y) if outputs.shape[1] == 1 else F.cross_entropy(outputs, y)


def train(
    setting: Setting, rate: float, seed: int, times: int = 1, only: Collection[int] | None = None
) -> list[dict[str, Any]]:
    """Train once, ``times`` as long as the setting says, and return the history's rows.

    With ``only``, the numbers of validations, no others are made, and without a probe: the run is
    the same, as measuring changes nothing in it.
    """
    torch.manual_seed(seed)
    x, y, valid_x, valid_y = data(setting)
    net = model(setting, rate)
    steps = optimizer(setting, net)
    order = torch.Generator().manual_seed(seed)
    tenth = torch.randperm(len(x), generator=order)[: max(1, round(len(x) / 10))]
    total, every = epochs(setting)
    rows = []
    for epoch in range(total * times):
        for batch in torch.randperm(len(x), generator=order).split(BATCH):
            steps.zero_grad()
            loss(net(x[batch]), y[batch]).backward()
            steps.step()
        number, left = divmod(epoch + 1, every)
        if left == 0 and only is None:
            rows.append(_measure(net, epoch, (x, y), (valid_x, valid_y), tenth))
        elif left == 0 and number - 1 in only:
            rows.append({"epoch": epoch, "val_loss": _validate(net, valid_x, valid_y)})
    return rows


@torch.no_grad()
def _validate(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    net.eval()
    found = float(loss(net(x), y))
    net.train()
    return found


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
    last, longest = total // every - 1, 2 * total // every - 1
    half = max(0, (last + 1) // 2 - 1)
    found: dict[str, list[float]] = {
        k: [] for k in ("as_is", "raised", "lowered", "longer", "half")
    }
    higher, lower = min(setting.rate + STEP, 0.9), max(setting.rate - STEP, 0.0)
    for seed in range(SEEDS):
        ends = train(setting, setting.rate, seed, times=2, only=(half, last, longest))
        by_epoch = {row["epoch"]: row["val_loss"] for row in ends}
        for name, number in (("as_is", last), ("longer", longest), ("half", half)):
            found[name].append(by_epoch[(number + 1) * every - 1])
        found["raised"].append(train(setting, higher, seed, only=(last,))[0]["val_loss"])
        if lower < setting.rate:
            found["lowered"].append(train(setting, lower, seed, only=(last,))[0]["val_loss"])
    history = train(setting, setting.rate, 0)
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


def history(run: dict[str, Any], *, tenth: bool = False) -> list[dict[str, Any]]:
    """A run's rows as the monitor gives them: of all training samples, or of a tenth of them."""
    rows = []
    for row in run["history"]:
        probe, added = row["overfit/probe/val_loss"], row["overfit/inflation/val_loss"]
        if tenth:
            probe, added = row["tenth"], row["tenth_noisy"] - row["tenth"]
        rows.append(
            {
                "epoch": row["epoch"],
                "val_loss": row["val_loss"],
                "rate": run["setting"]["rate"],
                "overfit/probe/val_loss": probe,
                "overfit/inflation/val_loss": added,
            }
        )
    return rows


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    """Read the runs of one half, without those that diverged: nothing is true of them."""
    every = [json.loads(line) for line in path.read_text().splitlines()]
    return [run for run in every if all(map(math.isfinite, run["found"]["as_is"]))]
