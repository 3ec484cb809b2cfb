"""Keeps the random generators in checkpoints, so that a resumed run ends where it would have."""

import warnings
from typing import Any

import pytorch_lightning as pl

from thinned._errors import ThinnedWarning

from ._generators.states import capture, of_data, restore
from ._lightning.ranks import decorrelate, gathered, mark_decorrelated
from ._lightning.resumption import begin_epoch_anew, resumption
from ._lightning.state import plain_state, read_state
from ._lightning.trainer import data_loaders, is_stopped_by_error


class RandomState(pl.Callback):
    """Keep the state of every random generator, of each rank, in checkpoints.

    Lightning's checkpoints hold none, so a resumed run draws other masks and another order of the
    data than the run would have. With this callback the final weights are bitwise those of the
    uninterrupted run, on the same machine and versions:

    - from a checkpoint of an epoch's end;
    - from inside an epoch with a loader that keeps its place (torchdata's ``StatefulDataLoader``).

    With an ordinary loader Lightning replays the first batches of the interrupted epoch, which no
    generator can mend; a warning says so. What is kept: Python's, NumPy's and torch's generators
    (those of all devices too), and those that data loaders, their samplers and their data sets own.
    What is not: what worker processes have drawn. They begin each epoch anew, unless they live on
    (``persistent_workers=True``) with a data set that owns a generator, which a warning tells.

    List it first, so that it has restored the generators before other callbacks draw.

    Args:
        decorrelate_ranks: fold the rank into torch's generators when training starts anew, so that
            ranks draw different masks; see :class:`DropoutScheduler`.

    Example:
        >>> import pytorch_lightning as pl
        >>> trainer = pl.Trainer(callbacks=[RandomState()], logger=False)
    """

    def __init__(self, *, decorrelate_ranks: bool = True) -> None:
        super().__init__()
        self.decorrelate_ranks = decorrelate_ranks
        self._loaded: dict[str, Any] | None = None
        self._at_epoch_start: dict[str, Any] | None = None

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the states of all ranks; of this one only, where others may be gone."""
        if "callbacks" not in checkpoint:  # weights only
            return
        states: list[Any] = [None] * trainer.world_size
        states[trainer.global_rank] = capture(data_loaders(trainer))
        if not is_stopped_by_error(trainer):
            states = gathered(states[trainer.global_rank], trainer.world_size)
        checkpoint["callbacks"][self.state_key] = plain_state(ranks=states)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the states; they are restored when training starts."""
        self._loaded = read_state(state_dict, type(self).__name__)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the generators, or fold the rank into them."""
        self._at_epoch_start = None
        loaded, self._loaded = self._loaded, None
        state = None if loaded is None else _of_rank(loaded["ranks"], trainer)
        if state is None:
            if self.decorrelate_ranks:
                decorrelate(trainer)
            return
        mark_decorrelated(trainer)
        restore(state, data_loaders(trainer))
        _tell_of_workers(data_loaders(trainer))
        where = resumption(trainer)
        if where.between_epochs:
            self._at_epoch_start = state
        elif where.end_skipped:
            warnings.warn(
                "Resumed from a checkpoint that the last batch of an epoch wrote: Lightning skips "
                "that epoch's validation and goes on with what its loader has left. This run will "
                "not end where the uninterrupted one would have. Resume from a checkpoint of an "
                "epoch's end, or of an earlier batch.",
                ThinnedWarning,
                stacklevel=2,
            )
        elif where.validation_skipped:
            warnings.warn(
                f"Resumed from a checkpoint that batch {where.batches_done} of an epoch wrote, "
                "before the validation after it: Lightning skips that validation. What is decided "
                "by validations will not be what it would have been. Resume from a checkpoint of "
                "another batch, or save when validation ends.",
                ThinnedWarning,
                stacklevel=2,
            )
        elif where.batches_done and not _keep_their_place(data_loaders(trainer)):
            warnings.warn(
                f"Resumed after {where.batches_done} batches of an epoch with a loader that cannot "
                "keep its place: Lightning takes the epoch's first batches once more, so this run "
                "will not end where the uninterrupted one would have. Use torchdata's "
                "StatefulDataLoader (extra `resume`), or resume from a checkpoint of an epoch's "
                "end.",
                ThinnedWarning,
                stacklevel=2,
            )

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Have the epoch's data drawn as the uninterrupted run would have drawn it."""
        state, self._at_epoch_start = self._at_epoch_start, None
        if state is not None:
            restore(state, data_loaders(trainer))
            begin_epoch_anew(trainer)


def _of_rank(states: list[Any], trainer: Any) -> dict[str, Any] | None:
    """Return this rank's state, if the checkpoint has one."""
    rank = trainer.global_rank
    if len(states) == trainer.world_size and states[rank] is not None:
        return dict(states[rank])
    held = sum(state is not None for state in states)
    warnings.warn(
        f"The checkpoint holds the random states of {held} of {len(states)} ranks, and there are "
        f"{trainer.world_size} now: rank {rank} goes on with its own. The run will not end where "
        "the uninterrupted one would have.",
        ThinnedWarning,
        stacklevel=3,
    )
    return None


def _tell_of_workers(loaders: dict[str, Any]) -> None:
    """Tell of generators that live in worker processes from epoch to epoch."""
    lost = [n for n, each in loaders.items() if getattr(each, "persistent_workers", False)]
    if any(of_data(loaders[name]) for name in lost):
        warnings.warn(
            f"The worker processes of {', '.join(lost)} live on from epoch to epoch with random "
            "generators that their data set owns, which no checkpoint holds: this run will not end "
            "where the uninterrupted one would have. Draw from torch's own generator, or leave "
            "persistent_workers=True away.",
            ThinnedWarning,
            stacklevel=3,
        )


def _keep_their_place(loaders: dict[str, Any]) -> bool:
    """Say whether all loaders of the training data can go on inside of an epoch."""
    train = [loader for name, loader in loaders.items() if name.startswith("train")]
    return all(hasattr(each, "state_dict") and hasattr(each, "load_state_dict") for each in train)
