"""Tasks of `scripts/adaptive` whose labels are numbers; the loss is the squared error."""

import math
from collections.abc import Mapping

import numpy as np
from _adaptive_data import Drawn, drawn, source
from _adaptive_more_tasks import BATCH, DECAY, HIDDEN, LAYERS, LR, STEPS, VAL, VALIDATIONS
from _adaptive_tasks import Task

NUMBERS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("progression60", "progression", 60, test=300),
        Task("progression150", "progression", 150, test=200),
        Task("progression300", "progression", 300, val=40, test=100, lr=5e-4),
        Task("friedman1_60", drawn(make="friedman1", noise=1.0), 60),
        Task("friedman1_200", drawn(make="friedman1", noise=1.0), 200),
        Task("friedman1_noisy", drawn(make="friedman1", noise=5.0, n_features=20), 200),
        Task("friedman1_deep", drawn(make="friedman1", noise=2.0), 300, layers=3, hidden=64),
        Task("friedman2_100", drawn(make="friedman2", noise=100.0), 100),
        Task("friedman3_100", drawn(make="friedman3", noise=0.3), 100),
        Task(
            "linear100", drawn(make="regression", n_features=40, n_informative=20, noise=50.0), 100
        ),
        Task(
            "linear50_wide",
            drawn(make="regression", n_features=20, n_informative=10, noise=150.0),
            50,
            hidden=256,
        ),
        Task(
            "linear300_short",
            drawn(make="regression", n_features=60, n_informative=30, noise=100.0),
            300,
            steps=400,
        ),
    )
}
"""What the law does with numbers was chosen on these: its start, and that nothing holds it up."""

REAL = ("progression", "digit", "color", "concavity", "petal")
MADE = ("friedman1", "friedman2", "friedman3", "regression", "regression", "sparse_uncorrelated")


def at_random(number: int) -> Task:
    """Draw data, size, noise, network and training; the same for the same number."""
    draw = np.random.default_rng((78, number))
    name = str(draw.choice([*REAL, *MADE]))
    data = name if name in REAL else problem(name, draw)
    examples = len(source(data, 0)[1])
    size = int(math.exp(draw.uniform(math.log(30), math.log(min(800, examples * 0.6)))))
    val = min(int(draw.choice(VAL)), (examples - size) // 2)
    steps = int(draw.choice(STEPS))
    return Task(
        f"n{number:03d}_{name}{size}",
        data,
        size,
        val=val,
        test=min(600, examples - size - val),
        hidden=int(draw.choice(HIDDEN)),
        layers=int(draw.choice(LAYERS)),
        lr=float(draw.choice(LR)),
        weight_decay=float(draw.choice(DECAY)),
        steps=steps,
        batch=int(draw.choice(BATCH)),
        every=max(1, steps // int(draw.choice(VALIDATIONS))),
    )


def problem(make: str, draw: np.random.Generator) -> Drawn:
    """Draw the arguments of one of scikit-learn's makers."""
    if make == "sparse_uncorrelated":
        return drawn(make=make, n_features=int(draw.choice([10, 20, 40])))
    share = float(draw.choice([0.1, 0.3, 1.0]))  # noise, in standard deviations of the signal
    if make.startswith("friedman"):
        spread = {"friedman1": 5.0, "friedman2": 380.0, "friedman3": 0.3}[make]
        return drawn(make=make, noise=share * spread)
    features = int(draw.choice([10, 20, 40, 80]))
    informative = int(max(3, features * draw.uniform(0.1, 0.8)))
    noise = share * 58 * informative**0.5  # its coefficients come from U(0, 100)
    return drawn(make=make, n_features=features, n_informative=informative, noise=noise)


FRESH_NUMBERS: Mapping[str, Task] = {
    task.name: task for task in map(at_random, range(40)) if task.test >= 70
}
"""Nothing was chosen on these."""
