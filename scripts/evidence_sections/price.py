"""The price: steps and seconds to a given validation loss, and what skipped blocks give back."""

import dataclasses
import functools
import statistics
from collections.abc import Callable
from typing import Any

from thinned.schedules import Constant, Curriculum, Early, Late, Linear, Schedule

from . import _skip as skip
from ._arms import Arm, Group
from ._claim import Claim
from ._compare import Comparison, View
from ._mlp import dropped
from ._picture import figure, line
from ._results import Results, Row
from ._size import Size
from ._table import Measure, Rows
from ._tasks import FOUR
from ._train import Recipe

TITLE = "The price"
LENGTH, EVERY, SLACK = 800, 20, 1.2
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
FIRST = Measure("first", "steps", digits=0)
BEST = Measure("lowest", "lowest loss", quote="lowest")
END = Measure("val_loss", "loss at the end", quote="end")
TIME = Measure("ms", "ms a step")


def _arm(schedule: Schedule) -> Arm:
    build = dropped(128, 128)
    return Arm(
        lambda data, _: build(data, schedule(0.0)),
        (0.0,),
        lambda recipe, _: dataclasses.replace(
            recipe, schedule=schedule, checks=max(2, recipe.steps // EVERY)
        ),
        course=True,
    )


def curve(row: Row) -> dict[int, float]:
    """Validation loss by step."""
    return {int(key.split()[1]): value for key, value in row.items() if key.startswith("after ")}


def reached(row: Row, plain: Row) -> Row:
    """When validation loss is first within a fifth of the lowest that the plain network has.

    A run that never is counts with all of its steps, which makes its price look low.
    """
    target = SLACK * min(curve(plain).values())
    steps = [step for step, loss in curve(row).items() if loss <= target]
    return {"first": min(steps, default=max(curve(row))), "lowest": min(curve(row).values())}


class Price(Comparison):
    """Courses by step, and what skipping gives back."""

    def arms(self, size: Size) -> dict[str, Callable[[int], Row]]:
        """The courses, and one arm that holds all modes of stochastic depth."""
        return {**super().arms(size), skip.ARM: functools.partial(skip.run, size)}

    def members(self, results: Results, key: str, by: str = "val_loss") -> dict[str, Rows]:
        """Every course, with its price against the plain network of the same seed."""
        found = super().members(results, key, by)
        return {
            name: {seed: row | reached(row, found["none"][seed]) for seed, row in rows.items()}
            for name, rows in found.items()
        }

    def shown(self, results: Results) -> list[str]:  # noqa: ARG002 - as in the base
        """One picture."""
        return [""]

    def pictures(self, results: Results) -> dict[str, Any]:
        """Validation loss by step, and the time of a step."""
        keys = self.keys(results)
        made, axes = figure(len(keys) + 1, 1, wide=3.1 * (len(keys) + 1), high=3.0)
        for ax, (task, key) in zip(axes, keys.items(), strict=False):
            for name in ("none", "0.3", "0.5", "0.7", "late 0.5", "curriculum 0.5"):
                curves = [curve(row) for row in self.members(results, key)[name].values()]
                steps = sorted(curves[0])
                middle = [statistics.mean(each[step] for each in curves) for step in steps]
                ax.plot(steps, middle, lw=1.4, label=name)
                if name == "none":
                    low = min(middle)
            ax.set(title=task, xlabel="step", ylim=(0.7 * low, 3 * low))
        axes[0].set_ylabel("validation loss")
        axes[0].legend(fontsize=7)
        for mode in ("mask", "skip"):
            found = [skip.shares(results, f"{mode} {rate}") for rate in ("0.3", "0.5")]
            line(axes[-1], (0.3, 0.5), found, mode, mec="white")
        axes[-1].plot((0, 0.6), (1, 0.4), ":", color="#8a8a8a", label="1 - rate")
        axes[-1].set(title="time of a step", xlabel="rate of stochastic depth")
        axes[-1].set(ylim=(0.3, 1.3), xlim=(0, 0.6))
        axes[-1].legend(fontsize=7)
        return {"": made}


SECTION = Price(
    {
        task: Group(
            task,
            {name: _arm(each) for name, each in COURSES.items()},
            Recipe(steps=LENGTH, lr=2e-3),
        )
        for task in FOUR
    },
    base="none",
    claims=(
        *(
            Claim(
                f"{name}, steps",
                f"*{name}* takes more steps than none",
                name,
                measure=FIRST,
                lower=False,
            )
            for name in COURSES
            if name != "none"
        ),
        *(
            Claim(f"{name}, end", f"*{name}* ends at a lower loss than none", name, measure=END)
            for name in COURSES
            if name != "none"
        ),
        *(
            Claim(
                f"{name}, 0.5",
                f"*{name}* ends at a higher loss than a constant 0.5",
                name,
                base="0.5",
                measure=END,
                lower=False,
            )
            for name in ("late 0.5", "curriculum 0.5")
        ),
    ),
    views=(View("val_loss", (FIRST, BEST, END, TIME)),),
    name="rate or schedule",
    more=skip.block,
    also=skip.quotes,
)
