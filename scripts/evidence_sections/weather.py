"""Images in fog, rain, noise and other brightness, never seen in training: who is robust?"""

import dataclasses

from thinned.app.data import WEATHERS, in_weather

from ._applied import CASES, groups, techniques
from ._claim import crossed
from ._compare import Comparison, View
from ._data import Data
from ._results import Row
from ._table import Measure

TITLE = "Weather"
STRENGTH = 0.5
CLEAR = Measure("test_error", "error, clear, %", 100.0, 1, "clear")
BAD = Measure("weather", "error in weather, %", 100.0, 1)
GAP = Measure("gap", "gap", 100.0, 1)
EACH = tuple(Measure(name, f"{name}, %", 100.0, 1) for name in WEATHERS)


def prepare(data: Data, seed: int) -> Data:
    """Add the test images in each weather."""
    images, labels = data.test
    others = {name: (in_weather(images, name, STRENGTH, seed), labels) for name in WEATHERS}
    return dataclasses.replace(data, others=others)


def derive(row: Row) -> Row:
    """The mean over the four weathers, and what it is above the clear error."""
    weather = sum(row[name] for name in WEATHERS) / len(WEATHERS)
    return {"weather": weather, "gap": weather - row["test_error"]}


SECTION = Comparison(
    groups(prepare),
    base="none",
    claims=crossed(
        techniques(),
        (
            ("weather", "*{}* lowers the error in weather", BAD),
            ("gap", "and the gap to clear images", GAP),
        ),
    ),
    cases=CASES,
    views=(
        View("val_loss", (CLEAR, BAD, GAP), "Clear and in weather, rates by clear validation:"),
        View("val_loss", EACH, "In each weather:"),
    ),
    derive=derive,
)
