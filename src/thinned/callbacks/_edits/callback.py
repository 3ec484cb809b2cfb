"""Edits that callbacks make: as soon as the model is built, undone in reverse when fit ends."""

import contextlib
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl

from thinned._errors import NoEffectError, ThinnedWarning
from thinned.surgery import Edit
from thinned.surgery._models.compiled import compiled_parts

from .late_build import after_build, builds_late
from .reached import Reached

# Trainer -> edits that stand in its model in the order in which they were made, and whose they are.
_STACKS: "weakref.WeakKeyDictionary[Any, list[tuple[str, Edit]]]" = weakref.WeakKeyDictionary()


class EditCallback(pl.Callback):
    """What the callbacks that edit a model share.

    Args:
        keep: leave the edit in the model when fit ends.

    Attributes:
        edits: what was done, one entry a fit.
    """

    edits: list[Edit]
    _standing: list[Edit]
    _call_off: Callable[[], None]
    _reached: Reached
    _kept_in: "weakref.WeakSet[Any]"

    def __init__(self, *, keep: bool) -> None:
        super().__init__()
        self.keep = keep
        vars(self).update(self._of_this_fit())

    def edit(self, trainer: pl.Trainer, model: pl.LightningModule) -> Edit | None:
        """Edit the model, or find that nothing need be done."""
        raise NotImplementedError

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Edit the model before it is wrapped and gets its optimizers."""
        if stage != "fit" or self._standing or pl_module in self._kept_in:
            return
        late = builds_late(pl_module)
        try:
            self._apply(trainer, pl_module)
        except NoEffectError:
            if not late:
                raise
        if late:
            before = set(pl_module.modules()) if self._standing else set()
            self._call_off = after_build(
                pl_module, lambda: self._apply_late(trainer, pl_module, before)
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Watch what was inserted, unless a hook more would compile the model anew."""
        edits = [] if compiled_parts(pl_module) else self._standing
        self._reached = Reached(edits, type(self).__name__)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Say so if training does not come to what was inserted."""
        self._reached.batch_ended()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say so now, where the epoch was short."""
        self._reached.end(warn=True)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give back the model as it was, trained."""
        if stage == "fit":
            self._end(trainer)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Give back the model as it was, as far as it was trained."""
        self._end(trainer)

    def _end(self, trainer: pl.Trainer) -> None:
        self._call_off()
        self._reached.end()
        self._standing = []
        undo_all(trainer)

    def _apply(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        edit = self.edit(trainer, pl_module)
        if edit is None:
            return
        self._standing.append(edit)
        self.edits.append(edit)
        if self.keep:
            self._kept_in.add(pl_module)
        else:
            undo_later(trainer, edit, type(self).__name__)

    def _apply_late(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, before: set[Any]
    ) -> None:
        """Edit what ``setup`` or ``configure_model`` of the module has built."""
        if not before:
            self._apply(trainer, pl_module)
        elif not set(pl_module.modules()) <= before:
            with contextlib.suppress(NoEffectError):  # the earlier edit had its effect
                self._apply(trainer, pl_module)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the model out of what is sent to another process."""
        left_out = {*self._of_this_fit(), "log", "log_dict"}  # the last two are Lightning's
        return {key: value for key, value in vars(self).items() if key not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin with no model."""
        vars(self).update(state, **self._of_this_fit())

    @staticmethod
    def _of_this_fit() -> dict[str, Any]:
        return {
            "edits": [],
            "_standing": [],
            "_call_off": _nothing,
            "_reached": Reached([], ""),
            "_kept_in": weakref.WeakSet(),
        }


def undo_later(trainer: Any, edit: Edit, whose: str) -> None:
    """Remember an edit, so that it is undone when fit ends."""
    _STACKS.setdefault(trainer, []).append((whose, edit))


def undo_all(trainer: Any) -> None:
    """Undo what callbacks did in this fit, the latest first, whoever is asked first.

    An edit that cannot be undone, since something stands on it, costs a warning: an error here
    would hide the one that ended the training, or come after it has ended well.
    """
    for whose, edit in reversed(_STACKS.pop(trainer, [])):
        try:
            edit.undo()
        except RuntimeError as error:
            warnings.warn(
                f"{whose} leaves its edit in the model: {error}", ThinnedWarning, stacklevel=3
            )


def _nothing() -> None:
    """Call off nothing."""
