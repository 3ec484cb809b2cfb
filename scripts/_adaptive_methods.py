"""Every way of setting the rate that `scripts/adaptive` compares."""

import dataclasses
import math
from collections.abc import Mapping

from _adaptive_nets import losses
from _adaptive_sim import Controller, Make, Seen
from _adaptive_stopping import StoppingTask
from _adaptive_tasks import Task

from thinned.callbacks._adaptive.label_sums import readings, squeezed
from thinned.callbacks._adaptive.law import AdaptiveLaw

GRID = tuple(f"p={i / 20:.2f}" for i in range(20))


@dataclasses.dataclass(frozen=True)
class Method:
    """A way of setting the rate, in one run."""

    make: Make
    words: str


class Shipped(Controller):
    """The law of `thinned.AdaptiveDropout`, called as the callback calls it.

    Args:
        losses_only: do not look at outputs and labels, as where the callback cannot.
        highest: the highest rate; None is what the callback takes.
        most: how many validation examples it is shown; None is all.
        by_plan: count on the planned end, as the callback does unless training may stop early.
        by_first: take the untrained network's loss for that of chance, whatever it is.
        by_passes: do not ask how far weights can move.
    """

    def __init__(
        self,
        task: Task,
        *,
        losses_only: bool = False,
        highest: float | None = None,
        most: int | None = None,
        by_plan: bool = False,
        by_first: bool = False,
        by_passes: bool = False,
    ) -> None:
        self.law = AdaptiveLaw(high=task.highest if highest is None else highest)
        self.losses_only, self.most, self.by_first = losses_only, most, by_first
        self.open = isinstance(task, StoppingTask) and not by_plan
        self.state = self.law.begin(
            epochs=task.epochs,
            classes=task.classes,
            numbers=task.classes is None,
            moves=None if by_passes else task.moves,
            certain=not self.open,
        )
        super().__init__(self.state.rate)

    def step(self, seen: Seen) -> None:
        """Hand over what the callback has."""
        if self.most is not None:
            seen = first_of(seen, self.most)
        read = {} if self.losses_only else reading(seen)
        if self.by_first:
            del read["chance_loss"]
        self.state = self.law.step(
            self.state,
            train_loss=seen.train,
            val_loss=seen.val,
            first_loss=seen.first,
            progress=None if self.open else seen.progress,
            **read,
        )
        self.rate = self.state.rate


def first_of(seen: Seen, most: int) -> Seen:
    """The same of fewer validation examples."""
    outputs, labels = seen.outputs[:most], seen.labels[:most]
    val = losses(outputs[None], labels[None]).item()
    return dataclasses.replace(seen, outputs=outputs, labels=labels, val=val)


def reading(seen: Seen) -> dict[str, float]:
    """What the callback reads off a validation."""
    _, sums = next(iter(readings(seen.outputs, [seen.labels]).values()))
    sums.add(squeezed(seen.outputs, seen.labels), seen.labels)
    state = sums.state()
    return {
        "log_temperature": sums.log_temperature(state),
        "chance_loss": sums.chance_loss(state),
    }


class Straight(Controller):
    """A straight line over the run."""

    def __init__(self, start: float, end: float) -> None:
        super().__init__(start)
        self.start, self.end = start, end

    def step(self, seen: Seen) -> None:
        """Look at the clock alone."""
        self.rate = self.start + (self.end - self.start) * seen.progress


class Drawn(Controller):
    """A new rate for every step."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__((low + high) / 2)
        self.jitter = (low, high)


class Match(Controller):
    """Dropout-on training loss meets validation loss: the feasibility study's best."""

    def __init__(self, start: float = 0.5, high: float = 0.9) -> None:
        super().__init__(start)
        self.high = high

    def step(self, seen: Seen) -> None:
        """Raise the rate if training is ahead."""
        size = max(-1.0, min(1.0, 2 * math.log(seen.val / seen.train)))
        self.rate = max(0.0, min(self.high, self.rate + 0.05 * size))


def _constant(rate: float) -> Make:
    return lambda _: Controller(rate)


METHODS: Mapping[str, Method] = {
    **{name: Method(_constant(float(name[2:])), f"constant {name[2:]}") for name in GRID},
    "adaptive": Method(Shipped, "`AdaptiveDropout()`"),
    "highest": Method(lambda task: Shipped(task, highest=0.5), "the same, `highest=0.5`"),
    "no bound": Method(lambda task: Shipped(task, highest=0.95), "the same, `highest=0.95`"),
    "of 50": Method(lambda task: Shipped(task, most=50), "the same, shown 50 of them"),
    "by plan": Method(lambda task: Shipped(task, by_plan=True), "the same, by the planned end"),
    "by first": Method(
        lambda task: Shipped(task, by_first=True), "the same, by the untrained network's loss"
    ),
    "by passes": Method(
        lambda task: Shipped(task, by_passes=True), "the same, however far weights can move"
    ),
    "its start": Method(lambda task: Controller(Shipped(task).rate), "its start, kept"),
    "losses only": Method(
        lambda task: Shipped(task, losses_only=True), "where it cannot see outputs and labels"
    ),
    "match": Method(lambda _: Match(), "match, from 0.5 (feasibility study)"),
    "match .7": Method(lambda _: Match(high=0.7), "match, from 0.5, at most 0.7"),
    "0.5 to 0": Method(lambda _: Straight(0.5, 0.0), "straight from 0.5 to 0"),
    "0.95 to 0.35": Method(lambda _: Straight(0.95, 0.35), "straight from 0.95 to 0.35"),
    "drawn": Method(lambda _: Drawn(0.0, 0.7), "drawn anew each step from U(0, 0.7)"),
}
_ELSEWHERE = ("highest", "no bound", "of 50", "by plan", "by first", "by passes")  # for some sets
OTHERS = tuple(name for name in METHODS if name not in (*GRID, *_ELSEWHERE))
