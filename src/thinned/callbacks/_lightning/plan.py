"""How far a training is: batches done over batches planned, in plain numbers."""

import math
from collections.abc import Callable
from typing import NamedTuple


class Progress(NamedTuple):
    """How far a training is.

    Attributes:
        batches_done: training batches that are finished, over all epochs.
        batches_planned: batches when training ends, None where that is not known.
        fraction: progress in [0, 1]: 0 at the first batch and 1 at the last one and past it; None
            where the length is not known.
    """

    batches_done: int
    batches_planned: int | None
    fraction: float | None


class Counters(NamedTuple):
    """What the fit loop has counted, at the start of a batch, and what limits it.

    Attributes:
        batches_done: finished batches, over all epochs.
        batches_in_epoch: those of them in this epoch; 0 between epochs.
        epoch: number of this epoch, from 0.
        epochs_done: finished epochs, which is what ``max_epochs`` limits.
        batches_per_epoch: of this epoch; infinite where the loader has no length.
        steps_done: optimizer steps, which is what ``max_steps`` limits.
        max_epochs: limit, infinite where there is none.
        max_steps: limit, infinite where there is none.
        accumulation: batches a step in a given epoch.
        last_change: the epoch from which on that no longer changes.
        steps_per_batch: where steps do not follow from batches (manual optimization): how many
            steps a batch takes; None where they do.
    """

    batches_done: int
    batches_in_epoch: int
    epoch: int
    epochs_done: int
    batches_per_epoch: float
    steps_done: int
    max_epochs: float
    max_steps: float
    accumulation: Callable[[int], int] = lambda _: 1
    last_change: int = 0
    steps_per_batch: float | None = None


def planned_batches(counters: Counters) -> float:
    """Return how many batches will be done when training ends; infinite if nothing limits it.

    What is done counts as it was, and what is to come by the limits as they are now. So the
    number follows a loader that changes its length, and a resumed run with another limit.
    """
    return min(_by_epochs(counters), _by_steps(counters))


def planned_epochs(counters: Counters) -> float:
    """Return how many epochs will have begun when training ends."""
    if counters.max_steps == math.inf:
        return counters.epoch + max(0, counters.max_epochs - counters.epochs_done)
    if counters.batches_per_epoch == math.inf:
        return math.inf
    left = planned_batches(counters) - _before_epoch(counters)
    return counters.epoch + math.ceil(left / counters.batches_per_epoch)


def fraction(done: int, planned: float) -> float | None:
    """Return the progress of unit ``done`` (counted from 0): the last of ``planned`` is at 1."""
    if planned == math.inf:
        return None
    return 1.0 if done >= planned - 1 else done / (planned - 1)


def _before_epoch(counters: Counters) -> int:
    return counters.batches_done - counters.batches_in_epoch


def _by_epochs(counters: Counters) -> float:
    if counters.max_epochs == math.inf or counters.batches_per_epoch == math.inf:
        return math.inf
    epochs = max(0, counters.max_epochs - counters.epochs_done)
    return _before_epoch(counters) + epochs * counters.batches_per_epoch


def _by_steps(counters: Counters) -> float:
    steps = counters.max_steps - counters.steps_done
    if steps == math.inf:
        return math.inf
    if counters.steps_per_batch is not None:
        return math.ceil(counters.max_steps / counters.steps_per_batch)
    if steps <= 0:
        return counters.batches_done
    return _before_epoch(counters) + _batches_until(counters, int(steps))


def _batches_until(counters: Counters, steps: int) -> float:
    """Return the batches from the start of this epoch to the end of the last of ``steps`` steps.

    Lightning steps after each full accumulation and after the last batch of an epoch.
    """
    length, epoch = counters.batches_per_epoch, counters.epoch
    passed, start = 0.0, counters.batches_in_epoch
    while True:
        each = counters.accumulation(epoch)
        stepped = start // each
        if length == math.inf:
            return passed + (stepped + steps) * each
        left = math.ceil(length / each) - stepped if start < length else 0
        if steps <= left:
            return passed + min((stepped + steps) * each, length)
        if epoch > counters.last_change and start == 0:
            whole = (steps - 1) // left  # all further epochs are alike
            passed, steps = passed + whole * length, steps - whole * left
            return passed + min(steps * each, length)
        steps -= left
        passed += length
        start, epoch = 0, epoch + 1
