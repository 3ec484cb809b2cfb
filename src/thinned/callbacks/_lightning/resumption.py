"""Where a resumed training goes on, as Lightning's private counters say it."""

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Resumption:
    """Where in an epoch a resumed training goes on; to be asked when training starts.

    Attributes:
        batches_done: batches of the interrupted epoch that are done; 0 between epochs.
        between_epochs: whether the next batch is the first of a new epoch.
        end_skipped: whether the checkpoint was written by the last batch of an epoch, before that
            epoch's validation: then Lightning skips the end of that epoch.
        validation_skipped: whether it was written before a validation inside of an epoch: then
            Lightning skips that.
    """

    batches_done: int
    between_epochs: bool
    end_skipped: bool
    validation_skipped: bool = False


def resumption(trainer: Any) -> Resumption:
    """Say where in an epoch a resumed training goes on."""
    loop = trainer.fit_loop
    if not loop.restarted_mid_epoch:
        return Resumption(0, between_epochs=True, end_skipped=False)
    batches, by_batch = loop.epoch_loop.batch_progress, loop.epoch_loop.restarted_on_train_batch_end
    # A checkpoint of a batch's end was written before that batch was counted as completed.
    done = batches.current.completed + int(by_batch)
    if done >= loop.max_batches or batches.is_last_batch:
        return Resumption(0, between_epochs=False, end_skipped=bool(by_batch))
    skipped = bool(by_batch) and _validates_after(trainer, int(done))
    return Resumption(
        int(done), between_epochs=False, end_skipped=False, validation_skipped=skipped
    )


def _validates_after(trainer: Any, done: int) -> bool:
    """Say whether a validation is due after so many batches of this epoch."""
    each, epochs = trainer.val_check_batch, trainer.check_val_every_n_epoch
    if each in (None, 0, math.inf):
        return False
    if epochs is None:
        total = trainer.fit_loop.epoch_loop.batch_progress.total.ready
        return bool(total % each == 0)
    return bool(done % each == 0 and (trainer.current_epoch + 1) % epochs == 0)


def begin_epoch_anew(trainer: Any) -> None:
    """Make the first epoch after a resume draw its data as every other epoch does.

    Lightning takes the iterator that it made before training started, when the generators were
    not restored yet. To be called when the epoch starts.
    """
    trainer.fit_loop._resuming_from_checkpoint = False
