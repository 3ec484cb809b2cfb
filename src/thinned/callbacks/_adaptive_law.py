"""The control law of `AdaptiveDropout`: from two losses to the next rate. Numbers only, no torch."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class AdaptiveState:
    """What the law remembers between two validations: numbers that JSON and checkpoints can hold.

    Args:
        rate: the rate to train with until the next validation.
        gap: the last smoothed gap (positive: the network is more certain than it is right).
        steps: how many validations the law has used.
    """

    rate: float
    gap: float = 0.0
    steps: int = 0


@dataclasses.dataclass(frozen=True)
class AdaptiveLaw:
    """Lower the rate from a high start until the training loss with dropout on meets validation's.

    Dropout handicaps training and not validation. While the training loss is above the validation
    loss, the handicap is larger than the overfitting that it prevents, and the rate comes down;
    when it is below, the network fits its training set in spite of the handicap, and the rate
    rises, but more slowly, for a rate raised late does not undo what was learned.

    Args:
        start: the first rate.
        low: the lowest rate.
        high: the highest rate.
        down: the most that the rate falls between two validations.
        up: the most that it rises.
        gain: share of that most which a gap of one gives.

    Example:
        >>> law = AdaptiveLaw()
        >>> state = law.begin()
        >>> state.rate
        0.9
        >>> state = law.step(state, train_loss=2.0, val_loss=1.0)
        >>> state.rate < 0.9
        True
    """

    start: float = 0.9
    low: float = 0.0
    high: float = 0.95
    down: float = 0.05
    up: float = 0.05
    gain: float = 2.0

    def begin(self) -> AdaptiveState:
        """The state before the first validation."""
        return AdaptiveState(rate=self.start)

    def step(
        self,
        state: AdaptiveState,
        *,
        train_loss: float,
        val_loss: float,
        progress: float | None = None,
    ) -> AdaptiveState:
        """Return the state for the stretch of training up to the next validation.

        Args:
            state: what the last step returned, or `begin`.
            train_loss: mean of the training loss, dropout on, over the batches since the last
                validation: what ``training_step`` returned, before any scaling for accumulation.
            val_loss: validation loss, dropout off, of the same kind of loss.
            progress: share of the planned training done, in [0, 1]; None if unknown.
        """
        gap = relative_gap(train_loss, val_loss)
        if gap is None:
            return state
        size = max(-1.0, min(1.0, self.gain * gap))
        rate = state.rate + size * (self.up if size > 0 else self.down)
        return AdaptiveState(max(self.low, min(self.high, rate)), gap, state.steps + 1)


def relative_gap(train_loss: float, val_loss: float) -> float | None:
    """Validation minus training loss, over the mean of their sizes: in [-2, 2].

    For losses above zero that are near each other this is the logarithm of their ratio. It is
    defined for losses below zero too (a likelihood of a density): -1.0 on validation and -1.5 in
    training give 0.4, as 1.5 and 1.0 do. Where the two have different signs it is 2 or -2. None if
    a loss is not finite.

    Example:
        >>> relative_gap(1.0, 1.5)
        0.4
        >>> relative_gap(-1.5, -1.0)
        0.4
        >>> relative_gap(0.0, 0.0)
        0.0
    """
    if not (math.isfinite(train_loss) and math.isfinite(val_loss)):
        return None
    size = (abs(train_loss) + abs(val_loss)) / 2
    return (val_loss - train_loss) / size if size > 0 else 0.0
