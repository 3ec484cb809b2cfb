"""What the callbacks that set rates share: finding their sites, logging, and giving back."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl

from thinned._checks import check_number
from thinned._log import logger
from thinned.callbacks._edits.callback import undo_all, undo_later
from thinned.callbacks._lightning.log_values import publish, send
from thinned.callbacks._lightning.trainer import all_callbacks, log_step, renews_batch_norm
from thinned.callbacks._probe.lightning import validation_step_count
from thinned.surgery import SiteList, compile_safe

from .groups import Group


class RateCallback(pl.Callback):
    """A callback that sets rates; a site follows one of them only."""

    _logged = -1  # the step under which rates were logged last

    _groups: Sequence[Group] = ()

    @property
    def groups(self) -> dict[str, SiteList]:
        """Name of each group to its sites; empty before fit."""
        return {group.name: group.sites for group in self._groups}

    @property
    def rates(self) -> dict[str, float]:
        """Name of each group to its rate, read back from the modules; empty before fit."""
        return {group.name: group.rate for group in self._groups}

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Return the lowest and the highest rate that each site gets in a training, by its path."""
        return {path: span for group in self._groups for path, span in group.ranges().items()}

    def _find(self, model: pl.LightningModule) -> None:
        """Find the sites."""
        raise NotImplementedError

    def _move(self, trainer: pl.Trainer) -> None:
        """Set the rates of the batch that starts."""
        raise NotImplementedError

    def _verified(self) -> dict[str, float]:
        """Return the rates, and say so if a site does not hold what it was given."""
        return {group.name: group.verify() for group in self._groups}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the sites, after all set-up and edits, whatever the order of the callbacks."""
        self._find(pl_module)
        found = [site for sites in self.groups.values() for site in sites]
        frozen = [site.path for site in found if site.levels is not None]
        if frozen:
            edit = compile_safe(pl_module, frozen, compiled_only=True)
            undo_later(trainer, edit, type(self).__name__)
            logger.info("%s", edit)
            self._find(pl_module)
        self._refuse_shared(trainer)
        self._logged = -1

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the rates of this batch and log them, where it is one that trains."""
        if not renews_batch_norm(trainer):
            self._move(trainer)
            self._log(trainer, log_step(trainer))

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the rates that a validation is of, whether or not its step is one that is logged."""
        trained = trainer.state.fn == "fit" and not trainer.sanity_checking
        if trained and not renews_batch_norm(trainer):
            self._log(trainer, validation_step_count(trainer))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look whether the sites hold what they were given: few steps are logged in short runs."""
        self._verified()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give back the model's own layers where compiled code had to have ours."""
        if stage == "fit":
            undo_all(trainer)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Give them back after an error as well."""
        undo_all(trainer)

    def _log(self, trainer: pl.Trainer, step: int | None) -> None:
        """Log the rates once under a step; None if nothing is due."""
        if step is None or step == self._logged:
            return
        self._logged = step
        values = {f"dropout/{name}/rate": rate for name, rate in self._verified().items()}
        publish(trainer, values)
        send(trainer, values, step)

    def _no_length(self, trainer: pl.Trainer) -> ValueError:
        """Return the error for a schedule whose training has no known length."""
        return ValueError(
            "Expected the length of the training to be known, got a trainer without it: "
            f"max_epochs={trainer.max_epochs}, max_steps={trainer.max_steps}, "
            f"{trainer.num_training_batches} batches an epoch. "
            f"Give {type(self).__name__}(..., total_steps=N), or the Trainer max_steps=N."
        )

    def _refuse_shared(self, trainer: pl.Trainer) -> None:
        """Raise if two groups, of whichever callbacks, have a site in common."""
        seen: dict[tuple[int, str], str] = {}
        for callback in all_callbacks(trainer):
            if isinstance(callback, RateCallback):
                for name, sites in callback.groups.items():
                    group = f"{name!r} of {type(callback).__name__}"
                    for site in sites:
                        if site.key in seen:
                            msg = (
                                f"Expected each site to be set by one callback, got {site.path!r} "
                                f"in the groups {seen[site.key]} and {group}. Exclude it from one."
                            )
                            raise ValueError(msg)
                        seen[site.key] = group


def as_length(total_steps: Any) -> int | None:
    """Return the length of a training in batches, or None: the trainer is to be asked."""
    if total_steps is None:
        return None
    hint = "It is the length of the whole training in batches, or None to ask the trainer."
    return int(check_number("total_steps", total_steps, 1, 1e15, what="a length", hint=hint))
