"""A mark that gives the label away in training and not in test: who relies on it less?"""

import dataclasses

from thinned.app.data import marked

from ._applied import CASES, groups, techniques
from ._claim import crossed
from ._compare import Comparison, View
from ._data import Data
from ._results import Row
from ._table import Measure

TITLE = "Shortcut"
AGREE = 0.9
TRAINED = Measure("test_error", "error, mark as trained, %", 100.0, 1, "trained")
NONE = Measure("no mark", "no mark, %", 100.0, 1)
RANDOM = Measure("random mark", "random mark, %", 100.0, 1)
RELIANCE = Measure("reliance", "reliance", 100.0, 1)
HONEST = Measure("reliance", "reliance, honest rate", 100.0, 1, "honest reliance")
HONEST_RANDOM = Measure("random mark", "random mark, honest rate, %", 100.0, 1, "honest random")


def prepare(data: Data, seed: int) -> Data:
    """Mark all images, and add test and validation images with other marks or none."""
    train, val, test = (
        (marked(x, y, AGREE, 3 * seed + part), y)
        for part, (x, y) in enumerate((data.train, data.val, data.test))
    )
    others = {
        "no mark": data.test,
        "random mark": (marked(*data.test, 0.0, seed), data.test[1]),
        "honest validation": (marked(*data.val, 0.0, seed), data.val[1]),
    }
    return dataclasses.replace(data, train=train, val=val, test=test, others=others)


def derive(row: Row) -> Row:
    """What a mark without meaning costs."""
    return {"reliance": row["random mark"] - row["test_error"]}


SECTION = Comparison(
    groups(prepare),
    base="none",
    claims=crossed(
        techniques(),
        (
            ("reliance", "*{}* lowers reliance", RELIANCE),
            ("random", "and the error with a random mark", RANDOM),
            ("honest", "lowers reliance, its rate picked on random marks", HONEST),
        ),
    ),
    cases=CASES,
    views=(
        View(
            "val_loss",
            (TRAINED, RANDOM, RELIANCE, NONE),
            "Rate by validation images with the mark, as in training:",
        ),
        View(
            "honest validation loss",
            (HONEST_RANDOM, HONEST),
            "Rate by validation images with random marks, for those who know of it:",
        ),
    ),
    derive=derive,
)
