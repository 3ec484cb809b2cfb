"""The runs that the verdict is calibrated and judged on: two populations, each with two halves.

The plain one is the first that there was: MLPs, Adam, learning rates up to 0.001, mostly thirty
validations. The wide one also has what beginners use: other optimizers, higher learning rates, a
small CNN, few validations. Both stay, so that figures of one compare with earlier ones.
"""

import dataclasses
import math
import random
from typing import Any

SIZES = {
    "digits": (60, 100, 200, 500),
    "breast_cancer": (40, 100, 200),
    "wine": (30, 60, 90),
    "diabetes": (50, 100, 200),
}
RATES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.85)
WIDTHS = (16, 64, 128, 256)
NOISES = (0.0, 0.0, 0.2)
ADAM_RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
LEARNING_RATES = {"adam": ADAM_RATES, "adamw": ADAM_RATES, "sgd": (3e-3, 1e-2, 3e-2)}
BATCH = 32
LEAST_EPOCHS = 4  # below, no verdict is given


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
    net: str = "mlp"
    optimizer: str = "adam"
    validations: int = 30
    wide: bool = False


def settings(count: int, seed: int) -> list[Setting]:
    """Draw ``count`` plain settings; another seed gives other settings and other splits."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        data = draw.choice(list(SIZES))
        found.append(
            Setting(
                **_common(draw, data),
                steps=draw.choice((60, 200, 600)),
                lr=draw.choice((1e-3, 1e-3, 3e-4)),
                split=seed * 100_000 + number,
            )
        )
    return found


def wide_settings(count: int, seed: int) -> list[Setting]:
    """Draw ``count`` wide settings; none shares its split with a plain one."""
    draw = random.Random(1000 + seed)
    found = []
    for number in range(count):
        net = draw.choice(("mlp", "mlp", "cnn"))
        data = "digits" if net == "cnn" else draw.choice(list(SIZES))
        optimizer = draw.choice(list(LEARNING_RATES))
        found.append(
            Setting(
                **_common(draw, data),
                steps=draw.choice((40, 100, 250, 600)),
                lr=draw.choice(LEARNING_RATES[optimizer]),
                split=seed * 100_000 + 50_000 + number,
                net=net,
                optimizer=optimizer,
                validations=draw.choice((4, 5, 7, 10, 15, 30)),
                wide=True,
            )
        )
    return found


def _common(draw: random.Random, data: str) -> dict[str, Any]:
    """What is drawn alike for both, in this order: the settings of a seed depend on it."""
    return {
        "data": data,
        "size": draw.choice(SIZES[data]),
        "hidden": draw.choice(WIDTHS),
        "rate": draw.choice(RATES),
        "noise": draw.choice(NOISES),
    }


def epochs(setting: Setting) -> tuple[int, int]:
    """Epochs of a run, and epochs from one validation to the next."""
    total = max(LEAST_EPOCHS, round(setting.steps / math.ceil(setting.size / BATCH)))
    return total, max(1, total // setting.validations)
