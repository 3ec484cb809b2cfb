"""Every way of setting the rate that `scripts/adaptive` compares."""

import dataclasses
import math
from collections.abc import Mapping

from _adaptive_sim import Controller, Make, Seen

from thinned.callbacks._adaptive_law import AdaptiveLaw

GRID = tuple(f"p={i / 20:.2f}" for i in range(20))


@dataclasses.dataclass(frozen=True)
class Method:
    """A way of setting the rate, and what it costs in runs."""

    make: Make
    words: str
    cost: float = 1.0


class Shipped(Controller):
    """The law of `thinned.AdaptiveDropout`, called as the callback calls it."""

    def __init__(self, **constants: float) -> None:
        self.law = AdaptiveLaw(**constants)
        self.state = self.law.begin()
        super().__init__(self.state.rate)

    def step(self, seen: Seen) -> None:
        """Hand over what the callback has."""
        self.state = self.law.step(
            self.state,
            train_loss=seen.train,
            shrunk_loss=seen.shrunk,
            val_loss=seen.val,
            first_loss=seen.first,
            progress=seen.progress,
        )
        self.rate = self.state.rate


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
    "adaptive": Method(lambda _: Shipped(), "`AdaptiveDropout()`"),
    "match": Method(lambda _: Match(), "match, from 0.5 (feasibility study)"),
    "match .7": Method(lambda _: Match(high=0.7), "match, from 0.5, at most 0.7"),
    "0.5 to 0": Method(lambda _: Straight(0.5, 0.0), "straight from 0.5 to 0"),
    "0.95 to 0.35": Method(lambda _: Straight(0.95, 0.35), "straight from 0.95 to 0.35"),
    "drawn": Method(lambda _: Drawn(0.0, 0.7), "drawn anew each step from U(0, 0.7)"),
}
OTHERS = tuple(name for name in METHODS if name not in GRID)
