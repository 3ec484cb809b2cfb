"""Trains the networks of `scripts/evidence-uncertainty`, and scores every way to be uncertain."""

import dataclasses
import functools

import torch
from evidence_sections._data import load, standardized
from evidence_sections._results import Row
from evidence_sections._size import Size
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.functional.classification import multiclass_calibration_error

from thinned import mc_predict, metrics
from thinned.app.data import in_weather, split
from thinned.uncertainty import (
    conformal_sets,
    conformal_threshold,
    ensemble_predict,
    fit_temperature,
)

RATE, MEMBERS, ALPHA = 0.3, 5, 0.02
SAMPLES = (1, 5, 20, 50)
MC = 20  # samples where a table has one row for Monte Carlo dropout
KNOWN = 8  # digits 0 to 7 are learnt, 8 and 9 are from elsewhere
ARMS = (
    "plain",
    *(f"MC, T={count}" for count in SAMPLES),
    "plain, temperature",
    f"MC, T={MC}, temperature",
    f"ensemble of {MEMBERS}",
    f"ensemble of {MEMBERS}, temperature",
    "trained without dropout",
)

Part = tuple[Tensor, Tensor]


@dataclasses.dataclass(frozen=True)
class Task:
    """Rows to learn from and to be tested with; ``elsewhere`` are inputs without a right answer."""

    train: Part
    val: Part
    tests: dict[str, Part]
    elsewhere: dict[str, Tensor]
    classes: int


def digits(seed: int, size: Size) -> Task:
    """200 digits from 0 to 7; the test in noise, blur and fog; 8 and 9, and shuffled pixels."""
    x, y = load("digits")
    known = y < KNOWN
    others = x[~known]
    x, y = x[known], y[known]
    rows = split(len(x), 200, 200, seed)
    images, labels = x[rows[2]][: size.test()], y[rows[2]][: size.test()]
    spoilt = [
        in_weather(images, "noise", 0.5, seed),
        in_weather(images, "fog", 0.5, seed),
        functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False),
    ]
    order = torch.randperm(64, generator=torch.Generator().manual_seed(seed))
    shuffled = images.flatten(1)[:, order].reshape(images.shape)
    tests = {"clear": (images, labels), "corrupted": (torch.cat(spoilt), labels.repeat(3))}
    elsewhere = {"8 and 9": others, "shuffled": shuffled}
    parts = [(x[each], y[each]) for each in rows[:2]]
    return Task(parts[0], parts[1], tests, elsewhere, KNOWN)


def breast_cancer(seed: int, size: Size) -> Task:
    """100 rows; the test with noise as large as the features' spread; features shuffled in rows."""
    x, y = load("breast_cancer")
    rows = split(len(x), 100, 150, seed)
    x = standardized(x, rows[0])
    table, labels = x[rows[2]][: size.test()], y[rows[2]][: size.test()]
    generator = torch.Generator().manual_seed(seed)
    noisy = table + torch.randn(table.shape, generator=generator)
    order = torch.rand(table.shape, generator=generator).argsort(1)
    tests = {"clear": (table, labels), "corrupted": (noisy, labels)}
    parts = [(x[each], y[each]) for each in rows[:2]]
    return Task(parts[0], parts[1], tests, {"shuffled": table.gather(1, order)}, 2)


TASKS = {"digits": digits, "breast_cancer": breast_cancer}


def network(task: Task, rate: float) -> nn.Module:
    """Two hidden layers of 128 with dropout after each."""
    inputs = task.train[0][0].numel()
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(inputs, 128),
        nn.ReLU(),
        nn.Dropout(rate),
        nn.Linear(128, 128),
        nn.ReLU(),
        nn.Dropout(rate),
        nn.Linear(128, task.classes),
    )


def trained(task: Task, rate: float, seed: int, steps: int) -> nn.Module:
    """Adam at 0.001, batches of 32, a number of steps that was fixed beforehand."""
    torch.manual_seed(seed)
    net = network(task, rate)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    x, y = task.train
    for _ in range(steps):
        rows = torch.randint(len(x), (32,))
        optimizer.zero_grad()
        functional.cross_entropy(net(x[rows]), y[rows]).backward()
        optimizer.step()
    return net.eval()


@dataclasses.dataclass(frozen=True)
class Guess:
    """Logits whose softmax is the prediction, and the disagreement of what was averaged."""

    logits: Tensor
    disagreement: Tensor | None = None


def guesses(nets: dict[str, list[nn.Module]], x: Tensor, seed: int) -> dict[str, Guess]:
    """Predict in every way that needs no further data."""
    with torch.no_grad():
        found = {
            "plain": Guess(nets["dropout"][0](x)),
            "trained without dropout": Guess(nets["none"][0](x)),
        }
    for count in SAMPLES:
        drawn = mc_predict(nets["dropout"][0], x, max(2, count), seed=seed, keep_samples=count == 1)
        name = f"MC, T={count}"
        if drawn.samples is not None:
            found[name] = Guess(drawn.samples[0])
        else:
            found[name] = Guess(drawn.output, drawn.mutual_information)
    together = ensemble_predict(nets["dropout"], x)
    found[f"ensemble of {MEMBERS}"] = Guess(together.output, together.mutual_information)
    return found


def scores(task: Task, every: dict[str, dict[str, Guess]]) -> dict[str, Row]:
    """Score each arm; temperature and conformal threshold come from the validation rows."""
    found: dict[str, Row] = {}
    for arm in ARMS:
        base, _, tempered = arm.partition(", temperature")
        base, tempered = (base, True) if arm.endswith(", temperature") else (arm, False)
        by = {part: guess[base] for part, guess in every.items()}
        tau = _temperature(by["val"].logits, task.val[1]) if tempered else 1.0
        p = {part: (guess.logits / tau).softmax(1) for part, guess in by.items()}
        row: Row = {"tau": tau}
        for test, (_, y) in task.tests.items():
            row |= {f"{test} {key}": value for key, value in _of_classes(p[test], y).items()}
        at = conformal_threshold(p["val"], task.val[1], ALPHA)
        for test, (_, y) in task.tests.items():
            held = conformal_sets(p[test], at)
            row[f"{test} coverage"] = float(held.gather(1, y[:, None]).float().mean())
            row[f"{test} size"] = float(held.sum(1).float().mean())
        for name in task.elsewhere:
            row[f"{name} entropy"] = float(
                metrics.ood_auroc(_entropy(p["clear"]), _entropy(p[name]))
            )
            inside, outside = by["clear"].disagreement, by[name].disagreement
            if inside is not None and outside is not None:
                row[f"{name} disagreement"] = float(metrics.ood_auroc(inside, outside))
        found[arm] = row
    return found


def _temperature(logits: Tensor, target: Tensor) -> float:
    """Fit it; 1 where validation has no error, so that no temperature is the best."""
    try:
        return fit_temperature(logits, target)
    except ValueError:
        return 1.0


def _of_classes(p: Tensor, y: Tensor) -> Row:
    wrong = (p.argmax(1) != y).float()
    ece = multiclass_calibration_error(p, y, num_classes=p.shape[1], n_bins=15, norm="l1")
    return {
        "error": float(wrong.mean()),
        "nll": float(metrics.nll(p, y)),
        "ece": float(ece),
        "brier": float(metrics.brier(p, y)),
        "aurc": float(metrics.aurc(_entropy(p), wrong)),
    }


def _entropy(p: Tensor) -> Tensor:
    return torch.special.entr(p.double()).sum(1)


@functools.cache
def run(name: str, seed: int, size: Size) -> dict[str, Row]:
    """Train and score all arms of one seed."""
    task = TASKS[name](seed, size)
    steps = size.steps(500)
    nets = {
        "dropout": [trained(task, RATE, 100 * seed + i, steps) for i in range(MEMBERS)],
        "none": [trained(task, 0.0, 100 * seed, steps)],
    }
    parts = {"val": task.val[0]} | {test: x for test, (x, _) in task.tests.items()} | task.elsewhere
    return scores(task, {part: guesses(nets, x, seed) for part, x in parts.items()})
