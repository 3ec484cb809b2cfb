"""The data axis: the tasks that a claim is tried on, and how much of each is taken."""

import dataclasses
import functools
from collections.abc import Callable

import torch

from . import _drawn as drawn
from ._data import Data, Part, draw, parted, standardized
from ._size import Size

Source = Callable[[int, int], Part]  # of a seed and a number of samples


@dataclasses.dataclass(frozen=True)
class Task:
    """A data set, and how much of it each part has.

    Attributes:
        told: what it is, for the page.
        source: a name that scikit-learn ships, or what draws samples.
        table: whether columns have scales of their own, and are standardized.
        wrong: share of the labels for training and validation that are drawn anew.
    """

    told: str
    source: str | Source
    train: int
    val: int
    test: int
    table: bool = False
    wrong: float = 0.0

    def data(self, seed: int, size: Size, train: int = 0) -> Data:
        """Return the parts that a seed has, with ``train`` samples to learn from."""
        train, test = train or self.train, size.test(self.test)
        if isinstance(self.source, str):
            return draw(self.source, seed, train, self.val, test, wrong=self.wrong)
        x, y = _drawn(self.source, seed, train + self.val + test)
        rows = torch.arange(len(x)).split([train, self.val, test])
        return parted(standardized(x, rows[0]) if self.table else x, y, y, rows)

    @property
    def predicts_number(self) -> bool:
        """Whether a number is predicted, so that there is no share of wrong answers."""
        return self.source == "diabetes"


@functools.lru_cache(32)  # all arms of a seed see the same
def _drawn(source: Source, seed: int, number: int) -> Part:
    return source(seed, number)


TASKS = {
    "digits": Task("digits of 8 x 8 pixels", "digits", 200, 200, 800),
    "noisy digits": Task(
        "digits, a fifth of the labels drawn anew, but not those of the test part",
        *("digits", 200, 200, 800),
        wrong=0.2,
    ),
    "cancer": Task("breast cancer, 30 columns, 2 classes", "breast_cancer", 100, 100, 369),
    "wine": Task("wine, 13 columns, 3 classes", "wine", 50, 64, 64),
    "diabetes": Task(
        "diabetes, 10 columns, a number is predicted, loss is squared error",
        *("diabetes", 100, 100, 242),
    ),
    "drawn": Task("a drawn table, 40 columns, 4 classes", drawn.table, 200, 200, 800, table=True),
    "signs": Task("drawn signs, 6 classes, 8 x 8 noisy pixels", drawn.signs, 200, 200, 800),
    "sequences": Task("drawn waves of 8 sensors, 6 classes", drawn.sequences, 200, 200, 800),
    "topics": Task("drawn texts, many words decide", drawn.topics, 300, 200, 800),
    "keys": Task("drawn texts, one word decides", drawn.keys, 300, 200, 800),
}
FOUR = ("digits", "cancer", "diabetes", "drawn")
"""What a network of dense layers is tried on: images, two tables of which one asks for a number,
and one that is drawn anew for every seed."""
FIVE = (*FOUR[:2], "wine", *FOUR[2:])


def described() -> str:
    """The table of all tasks."""
    lines = ["| name | what it is | training | validation | test |", "|---|---|---|---|---|"]
    for name, task in TASKS.items():
        cells = (name, task.told, str(task.train), str(task.val), str(task.test))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
