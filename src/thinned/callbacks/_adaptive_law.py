"""The control law of `AdaptiveDropout`: from losses to the next rate. Numbers only, no torch."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class AdaptiveState:
    """What the law remembers between two validations: numbers that JSON and checkpoints can hold.

    Args:
        rate: the rate to train with until the next validation.
        progress: share of the training done at the last step of the law.
        first: validation loss of the untrained network; None until it is known.
        learning: whether validation loss has fallen since then, so that the law steers.
        signal: the last evidence: positive if the network is surer than it should be.
        steps: how many validations the law has used.
    """

    rate: float
    progress: float = 0.0
    first: float | None = None
    learning: bool = False
    signal: float = 0.0
    steps: int = 0


@dataclasses.dataclass(frozen=True)
class AdaptiveLaw:
    """Start high, come down until the network learns, then keep it as sure as it should be.

    1. From a high start the rate falls fast until validation loss is below that of the untrained
       network: a rate at which nothing is learned is too high, whatever comes later. It stops at a
       rate that lets most networks learn, for those that just need time.
    2. From then on the law asks after each validation whether the network is *too sure*: whether
       its outputs, shrunk by a quarter towards zero, have a lower validation loss. Then the rate
       rises, if the training loss (dropout on) is below the validation loss: where it is not,
       nothing has been learned by heart that more dropout could prevent, and labels may just be
       wrong. It rises more slowly in the last part of training, which is too late to undo much,
       and above 0.5.
    3. If shrunk outputs have a higher loss, the rate falls, slowly at first: a network that is
       not sure yet may just not have been trained for long. Below 0.5 it falls ever more slowly:
       a little dropout rarely hurts.

    Where the loss of shrunk outputs is not known, the training loss (dropout on) against the
    validation loss takes its place: a network that fits its training set in spite of dropout
    better than it does on new data is too sure.

    Args:
        start: the first rate.
        low: the lowest rate.
        high: the highest rate.
        fast: fall of the rate, over a whole training run, while nothing is learned.
        search: the rate at which that fall ends.
        down: the most that the rate falls over a whole training run afterwards.
        up: the most that it rises over a whole training run, did it not slow down.
        gain: share of that most that a relative difference of losses of one gives.
        coarse: what a gap between training and validation loss counts, where it has to stand in.
        warm: share of the training after which the rate falls at full speed.
        late: share of the training, the last, over which rises fade to nothing.
        fallen: share of the untrained network's validation loss below which the network learns.
        unplanned: share of the training between two validations where no end is planned.

    Example:
        >>> law = AdaptiveLaw()
        >>> state = law.begin()
        >>> state.rate
        0.9
        >>> state = law.step(state, train_loss=2.3, val_loss=2.3, first_loss=2.3, progress=0.05)
        >>> round(state.rate, 2), state.learning  # not a thing learned: lower, fast
        (0.45, False)
    """

    start: float = 0.9
    low: float = 0.0
    high: float = 0.95
    fast: float = 9.0
    search: float = 0.25
    down: float = 0.75
    up: float = 3.0
    gain: float = 20.0
    coarse: float = 0.1
    warm: float = 0.5
    late: float = 0.5
    fallen: float = 0.975
    unplanned: float = 1 / 30

    def begin(self) -> AdaptiveState:
        """The state before the first validation."""
        return AdaptiveState(rate=self.start)

    def step(
        self,
        state: AdaptiveState,
        *,
        train_loss: float,
        val_loss: float,
        shrunk_loss: float | None = None,
        first_loss: float | None = None,
        progress: float | None = None,
    ) -> AdaptiveState:
        """Return the state for the stretch of training up to the next validation.

        Args:
            state: what the last step returned, or `begin`.
            train_loss: mean of the training loss, dropout on, over the batches since the last
                validation: what ``training_step`` returned, before any scaling for accumulation.
            val_loss: validation loss, dropout off, of the same kind of loss.
            shrunk_loss: the same with the outputs (logits) times `SHRINK`; None if unknown.
            first_loss: validation loss of the untrained network (that of Lightning's sanity check
                will do); None if unknown: then the first ``val_loss`` stands for it.
            progress: share of the planned training done, in [0, 1]; None if no end is planned.
        """
        signal = self.evidence(train_loss, val_loss, shrunk_loss)
        if signal is None:
            return state
        share = self.unplanned if progress is None else max(0.0, progress - state.progress)
        known = (state.first, first_loss, val_loss)
        first = next(loss for loss in known if loss is not None and math.isfinite(loss))
        learning = state.learning or val_loss < first - (1 - self.fallen) * abs(first)
        low = self.low
        if not learning:
            speed, low = -self.fast, min(max(low, self.search), state.rate)
        elif signal > 0:
            speed = self.up * min(1.0, self.gain * signal) * (train_loss <= val_loss)
            speed *= 4 * state.rate * (1 - state.rate) if state.rate > 0.5 else 1.0
            if progress is not None:
                speed *= min(1.0, (1 - min(1.0, progress)) / self.late)
        else:
            speed = self.down * max(-1.0, self.gain * signal)
            speed *= 4 * state.rate * (1 - state.rate) * min(1.0, 4 * state.rate**2)
            if progress is not None:
                speed *= min(1.0, progress / self.warm)
        return AdaptiveState(
            rate=max(low, min(self.high, state.rate + speed * share)),
            progress=state.progress if progress is None else progress,
            first=first,
            learning=learning,
            signal=signal,
            steps=state.steps + 1,
        )

    def evidence(
        self, train_loss: float, val_loss: float, shrunk_loss: float | None
    ) -> float | None:
        """How much too sure the network is; None if a loss is not finite."""
        if shrunk_loss is None:
            gap = relative_gap(train_loss, val_loss)
            return None if gap is None else gap * self.coarse
        return relative_gap(shrunk_loss, val_loss)


SHRINK = 0.75
"""What the outputs are multiplied by for `AdaptiveLaw.step`'s ``shrunk_loss``."""


def relative_gap(less: float, more: float) -> float | None:
    """The second loss minus the first, over the mean of their sizes: in [-2, 2].

    For losses above zero that are near each other this is the logarithm of their ratio. It is
    defined for losses below zero too (a likelihood of a density): -1.5 and -1.0 give 0.4, as 1.0
    and 1.5 do. Where the two have different signs it is 2 or -2. None if a loss is not finite.

    Example:
        >>> relative_gap(1.0, 1.5)
        0.4
        >>> relative_gap(-1.5, -1.0)
        0.4
        >>> relative_gap(0.0, 0.0)
        0.0
    """
    if not (math.isfinite(less) and math.isfinite(more)):
        return None
    size = (abs(less) + abs(more)) / 2
    return (more - less) / size if size > 0 else 0.0
