"""How far an Ultralytics training is: it has no batch counter of its own to read."""

from typing import Any


class BatchClock:
    """Counts the batches of the running epoch, and takes the epoch from the trainer.

    An epoch that is repeated, after running out of memory or after a NaN, has the same number, so
    its rates are the same again; a resumed run begins with the number it left off at.
    """

    def __init__(self) -> None:
        self._batch = -1

    def start_epoch(self) -> None:
        """Begin an epoch, again or for the first time."""
        self._batch = -1

    def start_batch(self) -> None:
        """Begin a batch."""
        self._batch += 1

    def progress(self, trainer: Any, every: str) -> float:
        """Return progress in [0, 1]: batch or epoch k of N is k / (N - 1), the last one is 1."""
        batches = len(trainer.train_loader) if every == "step" else 1
        epoch = getattr(trainer, "epoch", trainer.start_epoch)  # not there before the first epoch
        done = epoch * batches + (max(self._batch, 0) if every == "step" else 0)
        return float(min(done / max(trainer.epochs * batches - 1, 1), 1.0))
