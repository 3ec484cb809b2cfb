"""Measures overfitting while a Lightning model trains, and disturbs nothing."""

import math
import warnings
from typing import Any

import pytorch_lightning as pl
from typing_extensions import override

from thinned._checks import check_choice, check_number
from thinned._errors import ThinnedWarning
from thinned.metrics._gap import gap, inflation, ratio
from thinned.metrics._prechelt import as_errors, generalization_loss, progress_quotient

from ._monitor_keys import in_front, pairs, watched
from ._probe import Probe, merged
from ._probe_lightning import log_metrics, validation_logged

Row = dict[str, Any]


class OverfittingMonitor(pl.Callback):
    """Measures the fair gap at each validation.

    Args:
        monitor: the validation metric to judge by.
        mode: ``"min"`` or ``"max"``.
        probe: the part of the training set that is evaluated.
    """

    def __init__(
        self,
        monitor: str | None = None,
        mode: str = "min",
        probe: Any = 0.1,
        *,
        every: int = 1,
        noise: bool = True,
        keep: Any = (),
        seed: int = 0,
    ) -> None:
        self.monitor = monitor
        self.mode = check_choice("mode", mode, ("min", "max"))
        self.every = int(check_number("every", every, 1))
        self.noise = noise
        self.probe = Probe(probe, seed, keep)
        self.history: list[Row] = []
        self._watched: tuple[str, str] | None = None
        self._asked = (monitor, mode)
        self._validations = 0
        self._lost = False

    @property
    @override
    def state_key(self) -> str:
        """A key of its own for each monitor of a trainer."""
        return f"OverfittingMonitor[monitor={self._asked[0]!r}, mode={self._asked[1]!r}]"

    @override
    def state_dict(self) -> dict[str, Any]:
        """Return the history, in plain types."""
        return {"history": [dict(r) for r in self.history], "validations": self._validations}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's history."""
        self.history = [dict(r) for r in state_dict["history"]]
        self._validations = state_dict["validations"]

    @override
    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Stand before the callbacks that read metrics when a validation ends."""
        if stage == "fit":
            trainer.callbacks = in_front(trainer, self)
            self.history, self._watched, self._validations = [], None, 0

    @override
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Choose the probe's samples and rehearse with one batch."""
        self.probe.start(trainer, pl_module)

    @override
    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Let the probe see the batch: it may have to keep the first ones."""
        self.probe.observe(batch)

    @override
    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Take the state from which the probe will start."""
        if self._due(trainer):
            self.probe.before_validation(pl_module)

    @override
    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, *rest: Any
    ) -> None:
        """Remember with which weights validation runs."""
        if self._due(trainer) and not rest[0]:
            self.probe.during_validation(pl_module)

    @override
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Measure, log and keep a row."""
        if trainer.state.fn != "fit":
            return
        validation = merged(validation_logged(trainer), trainer.world_size)
        if self._watched is None:
            self._watched = watched(trainer, *self._asked, validation)
        if trainer.sanity_checking:
            return
        due = self._due(trainer)
        self._validations += 1
        row: Row = {"epoch": trainer.current_epoch, "step": trainer.global_step, **validation}
        if due:
            row |= self._measured(trainer, pl_module, validation)
        self.history.append(row)
        row |= self._judged(validation)
        log_metrics(trainer, {k: v for k, v in row.items() if k.startswith("overfit/")})

    def _due(self, trainer: Any) -> bool:
        fitting = trainer.state.fn == "fit" and not trainer.sanity_checking
        return bool(fitting and self._validations % self.every == 0)

    def _measured(self, trainer: Any, module: Any, validation: dict[str, float]) -> Row:
        reading = self.probe.measure(trainer, module)
        row: Row = {}
        for key, own in pairs(validation, reading.probe):
            value, probe = validation[key], reading.probe[own]
            row[f"overfit/probe/{key}"] = probe
            row[f"overfit/gap/{key}"] = gap(value, probe)
            row[f"overfit/ratio/{key}"] = ratio(value, probe)
            if own in reading.noisy and own in reading.part:
                row[f"overfit/inflation/{key}"] = inflation(reading.noisy[own], reading.part[own])
        return row

    def _judged(self, validation: dict[str, float]) -> Row:
        if self._watched is None:
            return {}
        key, mode = self._watched
        if key not in validation:
            if not self._lost:
                self._lost = True
                msg = f"Validation no longer logs {key!r}; its verdict stands still."
                warnings.warn(msg, ThinnedWarning, stacklevel=2)
            return {}
        values = [r[key] for r in self.history if key in r]
        probes = [r[f"overfit/probe/{key}"] for r in self.history if f"overfit/probe/{key}" in r]
        found = {"overfit/gl": generalization_loss(as_errors(values, mode))}
        if probes:
            found["overfit/pq"] = progress_quotient(
                as_errors(values, mode), as_errors(probes, mode)
            )
        return {k: v for k, v in found.items() if math.isfinite(v)}
