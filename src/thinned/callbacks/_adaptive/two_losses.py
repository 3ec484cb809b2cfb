"""The two losses that a training has anyway: its own, dropout on, and that of validation."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from thinned._errors import ThinnedWarning
from thinned._log import logger
from thinned.callbacks._lightning.ranks import gathered
from thinned.callbacks._lightning.trainer import is_stopped_by_error
from thinned.callbacks._monitor.keys import watched
from thinned.callbacks._probe.lightning import (
    validation_logged,
    validation_will_run,
    validations,
)
from thinned.callbacks._probe.probe import merged

FEW = 10  # validations, below which a rate can hardly be found
_FOLD = 256  # losses kept on their device before they are read, which waits for it


class TwoLosses:
    """The mean training loss since the last validation, and the validation loss, over all ranks.

    Args:
        monitor: key of the validation loss; None chooses one.
        name: the entry of what ``training_step`` returns; ``"loss"`` is also a returned tensor.
        whose: the callback that asks.

    Attributes:
        monitor: key of the validation loss, once it is known.
    """

    def __init__(self, monitor: str | None, name: str, whose: str) -> None:
        self.monitor, self.name, self.whose = monitor, name, whose
        self._asked = monitor
        self._waiting: list[Tensor] = []
        self._sum, self._count = 0.0, 0
        self._first: float | None = None
        self._known = False
        self._told: set[str] = set()

    def begin(self) -> None:
        """Begin another fit, in which the validation loss has to be found anew."""
        self._known, self._told = False, set()

    def expect(self, trainer: Any, planned_batches: int | None) -> None:
        """Expect validations in a training, some tens of them.

        Raises:
            ValueError: if none will run.
        """
        if not validation_will_run(trainer, planned_batches):
            msg = (
                "Expected validations to adapt the rate by, found that none will run. Give fit a "
                "validation loader and the model a validation_step that logs a loss; and let the "
                "first one (check_val_every_n_epoch, val_check_interval) come before max_epochs or "
                "max_steps end the training."
            )
            raise ValueError(msg)
        count = validations(trainer, planned_batches)
        if count is not None and count < FEW:
            logger.warning(
                "dropout adapts at %d validations only, in large steps: it wants some tens of them "
                "(Trainer's val_check_interval)",
                count,
            )

    def forget(self) -> None:
        """Forget the training so far."""
        self.monitor = self._asked
        self.restore([[0.0, 0, None]], 0, 1)

    def add(self, trainer: Any, outputs: Any) -> None:
        """Take a training batch's loss, as it was before Lightning divided it for accumulation.

        Raises:
            ValueError: if ``training_step`` does not return it.
        """
        found = outputs.get(self.name) if isinstance(outputs, Mapping) else outputs
        automatic = trainer.lightning_module.automatic_optimization
        if found is None:
            if automatic and (not outputs or outputs.get("loss") is None):
                return  # a step that the user skipped
            raise ValueError(self._missing(outputs, automatic))
        loss = torch.as_tensor(found).detach().mean()
        divided = automatic and self.name == "loss"
        self._waiting.append(loss * trainer.accumulate_grad_batches if divided else loss)
        if len(self._waiting) >= _FOLD:
            self._fold()

    def at_validation(self, trainer: Any) -> dict[str, Any] | None:
        """Return the losses when a validation ends; None where there is nothing to compare.

        Beside the two there is the validation loss of the untrained network, if a sanity check ran.

        Raises:
            ValueError: at the first one, if it logs no such loss.
        """
        validation = merged(validation_logged(trainer), trainer.world_size)
        if not self._known and (validation or not trainer.sanity_checking):
            self._known = True
            self._choose(trainer, validation)
        value = validation.get(self.monitor or "", math.nan)
        if trainer.sanity_checking:
            if trainer.global_step == 0 and math.isfinite(value):
                self._first = value
            return None
        every = self.of_all_ranks(trainer)
        self._sum, self._count = 0.0, 0
        count = sum(each[1] for each in every)
        if not count:  # no batch since the last one
            return None
        found = {
            "train_loss": sum(each[0] for each in every) / count,
            "val_loss": value,
        }
        if self._first is not None:
            found["first_loss"] = self._first
        self._tell_of_bad("the training loss", found["train_loss"])
        self._tell_of_bad(repr(self.monitor), found["val_loss"])
        return found

    def state(self) -> list[Any]:
        """Return this rank's sum and count, and the untrained network's validation loss."""
        self._fold()
        return [self._sum, self._count, self._first]

    def of_all_ranks(self, trainer: Any) -> list[list[Any]]:
        """Return the state of each rank; of this one only, where others may be gone."""
        own = self.state()
        if not is_stopped_by_error(trainer):
            return gathered(own, trainer.world_size)
        every: list[list[Any]] = [[0.0, 0, None] for _ in range(trainer.world_size)]
        every[trainer.global_rank] = own
        return every

    def restore(self, states: Sequence[Sequence[Any]], rank: int, ranks: int) -> None:
        """Go on from the states of all ranks; of another number, the first takes all."""
        self._waiting.clear()
        if len(states) == ranks:
            self._sum, self._count, self._first = states[rank]
            return
        own = states if rank == 0 else []
        self._sum, self._count = sum(each[0] for each in own), sum(each[1] for each in own)
        self._first = next((each[2] for each in states if each[2] is not None), None)

    def _choose(self, trainer: Any, validation: Mapping[str, float]) -> None:
        found = watched(trainer, self._asked, "min", validation, whose=self.whose, loss=True)
        if found is None:
            msg = "Expected validation to log a loss to adapt the rate by, found that it logs "
            raise ValueError(msg + "nothing. Log one: self.log('val_loss', ...).")
        self.monitor = found[0]
        logger.info(
            "dropout adapts to %r: what that split says is not clean any more, report on another",
            self.monitor,
        )

    def _tell_of_bad(self, name: str, value: float) -> None:
        if not math.isfinite(value) and name not in self._told:
            self._told.add(name)
            warnings.warn(
                f"{name} is {value:g} or missing: {self.whose} leaves the rate as it is until "
                "there is a number again.",
                ThinnedWarning,
                stacklevel=2,
            )

    def _fold(self) -> None:
        if self._waiting:
            losses = torch.stack(self._waiting).cpu().double().tolist()
            self._waiting.clear()
            self._count += len(losses)
            for loss in losses:  # one by one: the sum is the same wherever a checkpoint cuts it
                self._sum += loss

    def _missing(self, outputs: Any, automatic: bool) -> str:
        held = ", ".join(map(repr, outputs)) if outputs else "nothing"
        msg = f"Expected training_step to return its loss under {self.name!r}, got {held}. "
        if automatic:
            return msg + f"Return {{'loss': loss, {self.name!r}: value}}."
        msg += "With manual optimization Lightning knows no loss: end training_step with "
        return msg + f"`return {{{self.name!r}: loss.detach()}}`, which nothing else reads."
