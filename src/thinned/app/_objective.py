"""What a sweeper minimizes: the value of a logged key, or of several."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl

from thinned._checks import nearest

from ._errors import ConfigError


class ObjectiveCheck(pl.Callback):
    """Refuse an objective that nothing logs after the first epoch with a validation.

    At the start of the next epoch, since what a training epoch logs as a mean is there only then.

    Args:
        keys: the key or keys of ``objective``.
    """

    def __init__(self, keys: str | list[str]) -> None:
        super().__init__()
        self.keys = keys
        self._validated = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002  # the hook's signature
        """Note that the keys are to be there soon."""
        self._validated = self._validated or not trainer.sanity_checking

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002  # the hook's signature
        """Look for the keys."""
        if self._validated:
            objective(self.keys, trainer.callback_metrics)


def objective(keys: str | list[str], metrics: Mapping[str, Any]) -> Any:
    """Return the value of one key, or the values of several, for a sweeper.

    Args:
        keys: the key or keys.
        metrics: what was logged; where it is nothing, the values are NaN.

    Raises:
        ConfigError: if a key is not among what was logged.

    Example:
        >>> objective("val_loss", {"val_loss": 0.5, "val_acc": 0.75})
        0.5
        >>> objective("val_los", {"val_loss": 0.5, "val_acc": 0.75})
        Traceback (most recent call last):
        ...
        thinned.app._errors.ConfigError: Expected `objective` to be a logged key, got 'val_los'. Did
        you mean 'val_loss'? Logged: val_acc, val_loss.
    """
    names = [keys] if isinstance(keys, str) else list(keys)
    for name in names:
        if metrics and name not in metrics:
            msg = f"Expected `objective` to be a logged key, got {name!r}.{nearest(name, metrics)}"
            raise ConfigError(f"{msg} Logged: {', '.join(sorted(metrics))}.")
    values = tuple(metrics.get(name, float("nan")) for name in names)
    return values[0] if isinstance(keys, str) else values
