"""Values on their way to the loggers, and to whoever monitors them."""

import warnings
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from thinned._errors import ThinnedWarning

_FAILED: "weakref.WeakSet[Any]" = weakref.WeakSet()


def send(trainer: Any, values: Mapping[str, float], step: int) -> None:
    """Give values to all loggers; one that fails costs a warning, once, and not the run."""
    if not trainer.is_global_zero:
        return
    for logger in trainer.loggers:
        try:
            logger.log_metrics(dict(values), step=step)
        except Exception as error:  # a report must not kill a run
            if logger not in _FAILED:
                _FAILED.add(logger)
                warnings.warn(
                    f"The logger {type(logger).__name__} failed ({type(error).__name__}: {error}); "
                    f"{', '.join(values)} are not logged there. Training goes on.",
                    ThinnedWarning,
                    stacklevel=2,
                )


def publish(trainer: Any, values: Mapping[str, float], passing: Iterable[str] = ()) -> None:
    """Put values where ``monitor=`` and file names of checkpoints look for them.

    Args:
        trainer: the trainer.
        values: what holds now.
        passing: keys that hold only while they are among the values; others stand until the next.
    """
    for key in passing:
        trainer.callback_metrics.pop(key, None)
    device = trainer.strategy.root_device
    tensors = {key: torch.tensor(value, device=device) for key, value in values.items()}
    trainer.callback_metrics.update(tensors)
