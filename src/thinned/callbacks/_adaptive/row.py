"""What `AdaptiveDropout` writes down of a decision, and logs."""

import math
from typing import Any

import pytorch_lightning as pl

from thinned.callbacks._lightning.log_values import publish, send
from thinned.callbacks._probe import lightning as inside

_LOGGED = ("train_loss", "val_loss", "log_temperature", "next_rate", "at_cap")


def seen_by(
    trainer: pl.Trainer, batches: int, monitor: str | None, losses: dict[str, Any]
) -> dict[str, Any]:
    """Return when a decision is made, and the losses that it is made by: the row's first part."""
    when = {"epoch": trainer.current_epoch, "step": trainer.global_step}
    return {**when, "batches": batches, "monitor": monitor, **losses}


def tell(trainer: pl.Trainer, row: dict[str, Any]) -> None:
    """Log the row's numbers."""
    numbers = {key: row[key] for key in _LOGGED if row[key] is not None}
    values = {f"adaptive/{key}": float(n) for key, n in numbers.items() if math.isfinite(n)}
    publish(trainer, values)
    send(trainer, values, inside.validation_step_count(trainer))
