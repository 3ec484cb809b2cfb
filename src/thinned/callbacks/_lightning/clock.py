"""Progress at every batch, for less: what cannot change within an epoch is asked once an epoch."""

from typing import Any

from .plan import Progress, fraction
from .trainer import callbacks_of, progress


class Clock:
    """Says how far a training is, at the start of each batch.

    It is :func:`progress` to the bit. The number of batches planned changes only with the epoch or
    the trainer's limits, so it is asked anew when one of these does; always, where time or steps
    by hand decide.

    Args:
        total_steps: length of the training in batches; None asks the trainer.
        every: the unit that has one rate.
    """

    def __init__(self, total_steps: int | None, every: str | int) -> None:
        self._total_steps, self._every = total_steps, every
        self._key: tuple[Any, ...] | None = None
        self._planned: int | None = None

    def __call__(self, trainer: Any) -> Progress:
        """Return the progress of the batch that starts."""
        if self._every != "step":
            return progress(trainer, self._total_steps, self._every)
        loop = trainer.fit_loop
        epochs = loop.epoch_progress.current
        key = (
            trainer,
            epochs.started,
            epochs.processed,
            loop.max_batches,
            loop.max_epochs,
            loop.epoch_loop.max_steps,
            trainer.accumulate_grad_batches,
        )
        done = loop.epoch_loop.batch_progress.total.completed
        if key == self._key and self._planned is not None:
            return Progress(done, self._planned, fraction(done, self._planned))
        now = progress(trainer, self._total_steps)
        self._key = key if self._stays(trainer) else None
        self._planned = now.batches_planned
        return now

    def _stays(self, trainer: Any) -> bool:
        by_hand = not trainer.lightning_module.automatic_optimization
        limited = trainer.fit_loop.max_steps != -1
        return not (by_hand and limited) and not callbacks_of(trainer, "Timer")
