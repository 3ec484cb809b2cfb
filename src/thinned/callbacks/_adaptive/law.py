"""The control law of `AdaptiveDropout`: from losses to the next rate. Numbers only, no torch."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class AdaptiveState:
    """What the law remembers between two validations: numbers that JSON and checkpoints can hold.

    Args:
        rate: the rate to train with until the next validation.
        start: the first rate, to which a weak spring pulls.
        progress: share of the training done at the last step of the law.
        first: validation loss of the untrained network, or of guessing if lower; None if unknown.
        lately: mean validation loss of late, the latest counting most; None until one is known.
        learning: whether a loss has fallen since then, so that the law steers.
        signal: the last evidence: positive if the network is surer than it should be.
        steps: how many validations the law has used.
        numbers: whether the labels are numbers, not classes.
        below: the rate stays below, since training came apart above; 1 if it never did.
        reach: how far weights can move in this training, as a share of `far`; 1 at most.
    """

    rate: float
    start: float
    progress: float = 0.0
    first: float | None = None
    lately: float | None = None
    learning: bool = False
    signal: float = 0.0
    steps: int = 0
    numbers: bool = False
    below: float = 1.0
    reach: float = 1.0


@dataclasses.dataclass(frozen=True)
class AdaptiveLaw:
    r"""Start where such a training usually ends, then keep the network as sure as it should be.

    1. The start grows with the number of times that each example will be seen, and falls with the
       number of classes: :math:`a + b \log_{10}(\mathrm{epochs}) - c \ln(\mathrm{classes})`;
       numbers count as 30 classes. Where weights can move less than `far`, passes count for less.
    2. Until something is learned the rate falls fast, to a quarter of the start at the lowest: a
       rate at which nothing is learned is too high, whatever comes later. Where it had to fall, the
       rate at which learning began takes the place of the start in what follows. While training has
       learned little and validation nothing, the rate does not rise above that: outputs that look
       too sure are still noise then. Learned is what is below the loss of the untrained network and
       of chance.
    3. From then on what counts is the log-temperature: what the outputs would have to be divided by
       for the lowest validation loss (see `calibration`). While it is above a small target, the
       network is surer than it is right, and the share of units that are kept shrinks in
       proportion; while it is below, it grows, more slowly, and slower still early on, or if the
       rate is not high and validation loss still falls: a network that is not sure yet may just not
       have been trained for long. A spring that fades over the run pulls towards the start.
    4. The farther the training loss, dropout on, is below the validation loss, the nearer to the
       start the rate is kept: there is something to hold back. Not so for numbers, whose squared
       error gets close to zero in training wherever there is little noise.
    5. Where training loses more than it had to learn, it comes apart, as it may at high rates with
       momentum: the rate falls to a quarter of the start, and from then on keeps far below where
       that happened.

    Where there is no log-temperature, the training loss (dropout on) against the validation loss
    takes its place, and counts for less: a network that fits its training set in spite of dropout
    better than it does on new data is too sure. Their distance counts as a share of the untrained
    network's loss, of what there was to learn: where losses get close to zero, so does it.

    Args:
        base: the start for one epoch and one class.
        per_decade: what ten times the epochs add to it.
        per_class: what the natural logarithm of the number of classes takes off it.
        far: learning rate times steps from which on weights can move as far as they need to.
        lowest_start: the start is not below, where they can.
        highest_start: nor above.
        unknown_start: the start where no end is planned, and the highest where it is not certain.
        low: the lowest rate.
        high: the highest rate.
        fast: fall of the rate, over a whole training run, while nothing is learned.
        search: share of the start at which that fall ends.
        patience: share of the training before which it does not begin.
        up: how fast the share of kept units shrinks, per run and unit of log-temperature.
        down: how fast it grows.
        warm: share of the training after which it grows at full speed.
        most: the most that the logarithm of that share moves at one validation.
        enough: rate below which it grows the slower the more validation loss falls; times `reach`.
        falls: fall of validation loss, over about a tenth of the training, with which it does not.
        target: the log-temperature that is aimed at.
        spring: log-temperature that kept units e times as many as at the start count for.
        heart: share of validation loss by which training loss has to be lower for the rate not to
            fall below the start.
        regain: rise of a rate that is below that, over a whole training run.
        gap: distance of validation loss to training loss that is aimed at, where there is no
            log-temperature; as a share of the untrained network's validation loss.
        coarse: what a gap above it counts for.
        fallen: share of the untrained network's validation loss below which validation learns.
        fitted: the same for training.
        begun: share of it above which training has learned too little for the rate to rise above
            the start, as long as validation does not learn.
        unplanned: share of the training between two validations where no end is planned.
        apart: share of the untrained network's validation loss above which training comes apart.
        retreat: how many times as many units are kept from then on.

    Example:
        >>> law = AdaptiveLaw()
        >>> state = law.begin(epochs=100, classes=10)
        >>> round(state.rate, 2)
        0.59
        >>> state = law.step(state, train_loss=2.3, val_loss=2.3, first_loss=2.3, progress=0.06)
        >>> round(state.rate, 2), state.learning  # not a thing learned: lower, fast
        (0.23, False)
        >>> losses = {"train_loss": 0.3, "val_loss": 0.9}
        >>> state = law.step(state, **losses, log_temperature=0.6, progress=0.08)
        >>> round(state.rate, 2), state.learning  # surer than it is right: higher
        (0.41, True)
    """

    base: float = -0.2
    per_decade: float = 0.6
    per_class: float = 0.18
    far: float = 0.6
    lowest_start: float = 0.1
    highest_start: float = 0.9
    unknown_start: float = 0.5
    low: float = 0.0
    high: float = 0.95
    fast: float = 6.0
    search: float = 0.25
    patience: float = 0.05
    up: float = 30.0
    down: float = 12.0
    warm: float = 0.5
    most: float = 1.0
    enough: float = 0.4
    falls: float = 0.1
    target: float = 0.15
    spring: float = 0.2
    heart: float = 0.5
    regain: float = 1.0
    gap: float = 0.3
    coarse: float = 0.5
    fallen: float = 0.975
    fitted: float = 0.95
    begun: float = 0.85
    unplanned: float = 1 / 30
    apart: float = 2.0
    retreat: float = 4.0

    def begin(
        self,
        epochs: float | None = None,
        classes: int | None = None,
        *,
        numbers: bool = False,
        moves: float | None = None,
        certain: bool = True,
    ) -> AdaptiveState:
        """The state before the first validation.

        Args:
            epochs: times that each training example will be seen; None if no end is planned.
            classes: number of classes that the outputs tell apart; None if unknown.
            numbers: whether the labels are numbers.
            moves: how far a weight can move (learning rate times steps); None if unknown.
            certain: whether the training will be that long, and not stop early.
        """
        start = self.unknown_start
        reach = 1.0 if moves is None or numbers else max(_TINY, min(1.0, moves / self.far))
        if epochs is not None:
            count = _MOST_CLASSES if numbers else min(classes or _UNKNOWN, _MOST_CLASSES)
            planned = self.base + self.per_decade * math.log10(max(epochs, 1e-3))
            planned = max(self.lowest_start, planned - self.per_class * math.log(count))
            planned += self.per_decade * math.log10(reach)
            start = min(self.highest_start if certain else self.unknown_start, planned)
        start = max(self.low, min(self.high, start))
        return AdaptiveState(rate=start, start=start, numbers=numbers, reach=reach)

    def step(
        self,
        state: AdaptiveState,
        *,
        train_loss: float,
        val_loss: float,
        log_temperature: float | None = None,
        first_loss: float | None = None,
        chance_loss: float | None = None,
        progress: float | None = None,
        numbers: bool | None = None,
    ) -> AdaptiveState:
        """Return the state for the stretch of training up to the next validation.

        Args:
            state: what the last step returned, or `begin`.
            train_loss: mean of the training loss, dropout on, over the batches since the last
                validation: what ``training_step`` returned, before any scaling for accumulation.
            val_loss: validation loss, dropout off, of the same kind of loss.
            log_temperature: of the validation outputs, by `calibration`; None if unknown.
            first_loss: validation loss of the untrained network (that of Lightning's sanity check
                will do); None if unknown: then the first ``val_loss`` stands for it.
            chance_loss: loss of an output that does not look at its input; None if unknown. A new
                head on pretrained features starts far above, and comes down to it having learned
                nothing.
            progress: share of the planned training done, in [0, 1]; None if no end is planned.
            numbers: whether the labels are numbers; None if that is no better known than before.
        """
        numbers = state.numbers if numbers is None else numbers
        if not (math.isfinite(train_loss) and math.isfinite(val_loss)):
            return state
        known = (state.first, first_loss, val_loss)
        first = next(loss for loss in known if loss is not None and math.isfinite(loss))
        first = first if chance_loss is None else min(first, chance_loss)
        if log_temperature is None:
            log_temperature = self.evidence(train_loss, val_loss, first)
        if not math.isfinite(log_temperature):
            return state
        share = self.unplanned if progress is None else max(0.0, progress - state.progress)
        validates = _below(val_loss, self.fallen, first)
        fell = validates or _below(train_loss, self.fitted, first)
        learning = state.learning or fell
        if fell and not state.learning:  # if the rate had to fall for that, the spring ends there
            state = dataclasses.replace(state, start=min(state.start, state.rate))
        apart = state.learning and not _below(train_loss, self.apart, first)
        if apart:
            below = max(self.low, 1 - self.retreat * (1 - state.rate))
            state = dataclasses.replace(state, start=min(state.start, below), below=below)
        high = min(self.high, state.below)
        if apart:
            rate = low = max(self.low, self.search * state.start)
        elif learning:
            rate = self._steered(state, log_temperature, val_loss, share, progress)
            floor = 0.0 if numbers else self._floor(state, train_loss, val_loss, share)
            low = max(self.low, floor)
            if not (validates or _below(train_loss, self.begun, first)):
                high = min(high, max(state.rate, state.start))
        elif progress is not None and progress < self.patience:
            rate = low = state.rate
        else:
            rate = state.rate - self.fast * share
            low = min(max(self.low, self.search * state.start), state.rate)
        return dataclasses.replace(
            state,
            rate=max(low, min(high, rate)),
            progress=state.progress if progress is None else progress,
            first=first,
            lately=_mean_of_late(state.lately, val_loss, share),
            learning=learning,
            signal=log_temperature,
            steps=state.steps + 1,
            numbers=numbers,
        )

    def evidence(self, train_loss: float, val_loss: float, first: float) -> float:
        """What stands for the log-temperature where there is none."""
        gap = (val_loss - train_loss) / abs(first) if first else 0.0
        return self.target + self.coarse * (max(-2.0, min(2.0, gap)) - self.gap)

    def _steered(
        self,
        state: AdaptiveState,
        signal: float,
        val_loss: float,
        share: float,
        progress: float | None,
    ) -> float:
        left = 1.0 if progress is None else 1 - min(1.0, progress)
        kept = 1 - state.rate
        pull = math.log(kept + _TINY) - math.log(1 - state.start + _TINY)
        too_sure = signal - self.target + self.spring * left * pull
        speed = self.up
        if too_sure <= 0:
            speed = self.down * (1.0 if progress is None else min(1.0, progress / self.warm) ** 2)
            if state.rate < self.enough * state.reach and state.lately is not None and val_loss:
                fall = (state.lately - val_loss) / abs(val_loss)
                speed *= 1 - max(0.0, min(1.0, fall / self.falls))
        return 1 - kept * math.exp(max(-self.most, min(self.most, -speed * too_sure * share)))

    def _floor(
        self, state: AdaptiveState, train_loss: float, val_loss: float, share: float
    ) -> float:
        gap = (val_loss - train_loss) / abs(val_loss) if val_loss else 0.0
        floor = state.start * min(1.0, max(0.0, gap / self.heart))
        return min(floor, state.rate + self.regain * share)  # no jumps


def _below(loss: float, share: float, first: float) -> bool:
    """Say whether a loss has fallen below a share of the first, which may itself be below zero."""
    return loss < first - (1 - share) * abs(first)


def _mean_of_late(lately: float | None, val_loss: float, share: float) -> float:
    if lately is None:
        return val_loss
    return lately + (val_loss - lately) * (1 - math.exp(-share / _LATE))


_UNKNOWN = math.exp(1.2)  # classes that outputs count as where nothing is known of them
_MOST_CLASSES = 30  # what more count as, since no more were measured; and numbers
_TINY = 1e-3
_LATE = 0.1  # of the training: how far back validation losses count
