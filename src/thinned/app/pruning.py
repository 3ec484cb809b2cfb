"""Stops the worse runs of a sweep early."""

import json
import math
import uuid
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from thinned._checks import check_choice, check_count
from thinned._log import logger


class SuccessiveHalving(pl.Callback):
    r"""Stop a run that is not among the best at its rung: asynchronous successive halving.

    At the rungs :math:`r_k = first \cdot reduction^k` (in epochs) a run leaves its metric in a
    folder that all jobs of the sweep share, and goes on only if it is among the best
    :math:`1 / reduction` of those that came there before it or with it. The first ones at a rung
    go on, since there is nothing to compare them with. It needs no sampler, server or lock: any
    launcher will do whose jobs see the same folder.

    Runs that were stopped have fewer epochs, so means over their last validations compare
    unequal lengths; compare what was not stopped.

    Args:
        folder: shared by the jobs; None stops nothing, as in a single run.
        monitor: the logged key that is compared.
        mode: ``"min"`` or ``"max"``.
        first: epochs before the first rung, at least 1.
        reduction: at each rung one of this many goes on, at least 2.

    Attributes:
        stopped_at: epochs done when the run was stopped, or None.

    References:
        Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht, Talwalkar, "A System for
        Massively Parallel Hyperparameter Tuning" (2020), algorithm 2, in its stopping variant,
        https://arxiv.org/abs/1810.05934.
    """

    def __init__(
        self,
        folder: str | None,
        monitor: str = "val_loss",
        mode: str = "min",
        first: int = 5,
        reduction: int = 3,
    ) -> None:
        super().__init__()
        self.folder = None if folder is None else Path(folder)
        self.monitor = monitor
        self.mode = check_choice("mode", mode, ("min", "max"))
        self.first = check_count("first", first)
        self.reduction = check_count("reduction", reduction, 2)
        self.stopped_at: int | None = None
        self._validated = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002  # the hook's signature
        """Note that this epoch has a metric."""
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002  # the hook's signature
        """Leave the metric at a rung, and stop where it is not among the best.

        Once an epoch, whatever the number of validations in it: each run counts once.
        """
        epochs = trainer.current_epoch + 1
        rung = self._rung(epochs) if self._validated else None
        self._validated = False
        if self.folder is None or rung is None:
            return
        stop = False
        if trainer.is_global_zero:
            stop = not self._passes(self.folder / f"rung-{rung}", self._value(trainer))
        if trainer.strategy.broadcast(stop):
            trainer.should_stop = True
            self.stopped_at = epochs
            logger.info("stopped after %d epochs: not among the best at its rung", epochs)

    def _rung(self, epochs: int) -> int | None:
        """Return the number of the rung that lies at these epochs, if one does.

        Example:
            >>> halving = SuccessiveHalving(None, first=2, reduction=3)
            >>> [halving._rung(epochs) for epochs in (1, 2, 3, 6, 18)]
            [None, 0, None, 1, 2]
        """
        rung = round(math.log(epochs / self.first, self.reduction)) if epochs >= self.first else -1
        return rung if rung >= 0 and self.first * self.reduction**rung == epochs else None

    def _value(self, trainer: pl.Trainer) -> float:
        if self.monitor not in trainer.callback_metrics:
            known = ", ".join(repr(key) for key in trainer.callback_metrics)
            msg = f"Expected `monitor` to be a logged key, got {self.monitor!r}. Logged: {known}."
            raise ValueError(msg)
        value = float(trainer.callback_metrics[self.monitor])
        return value if self.mode == "min" else -value

    def _passes(self, rung: Path, value: float) -> bool:
        rung.mkdir(parents=True, exist_ok=True)
        # One file a job, written under another name first: no lock, and never half a number.
        name = uuid.uuid4().hex
        draft = rung / f".{name}"
        draft.write_text(json.dumps(value), encoding="utf-8")
        draft.replace(rung / f"{name}.json")
        values = sorted(_read(path) for path in rung.glob("*.json"))
        if len(values) < self.reduction:
            return True
        return value <= values[max(len(values) // self.reduction, 1) - 1]

    def state_dict(self) -> dict[str, Any]:
        """Whether the run was stopped."""
        return {"stopped_at": self.stopped_at}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where the checkpoint was."""
        self.stopped_at = state_dict["stopped_at"]


def _read(path: Path) -> float:
    value = float(json.loads(path.read_text(encoding="utf-8")))
    return math.inf if math.isnan(value) else value
