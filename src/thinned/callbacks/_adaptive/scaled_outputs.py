"""Two more validations, with smaller and with larger outputs: what a temperature would do."""

import contextlib
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from thinned._errors import ThinnedWarning
from thinned.callbacks._monitor.keys import loader_of
from thinned.callbacks._probe.lightning import evaluate, val_loaders
from thinned.callbacks._probe.probe import merged, quiet
from thinned.callbacks._probe.snapshot import Snapshot

from .calibration import SCALE
from .outputs import Seen


class Scaled:
    """Runs the user's own validation with the outputs of a layer times `SCALE`, and over it.

    Args:
        layer: whose outputs.
        about_mean: scale their deviations from a batch's mean (numbers), not them (logits).
        whose: the callback that asks.

    Attributes:
        failed: whether it was tried in vain, with a warning.
    """

    def __init__(self, layer: nn.Module, *, about_mean: bool, whose: str) -> None:
        self.layer, self.about_mean, self.whose = layer, about_mean, whose
        self.failed = False
        self._calls = 0

    def losses(
        self, trainer: Any, snapshots: Sequence[Snapshot], monitor: str
    ) -> tuple[float, float] | None:
        """Return the losses of smaller and of larger outputs; None where there are none.

        Args:
            trainer: the trainer, at the end of a validation.
            snapshots: two, of the state from which it started.
            monitor: key of the validation loss.
        """
        name, asked = loader_of(monitor)
        index = asked or 0
        loader, batches = val_loaders(trainer)[index]
        if math.isinf(batches):
            return None
        found = []
        try:
            for factor, snapshot in zip((SCALE, 1 / SCALE), snapshots, strict=True):
                with quiet(trainer, 0, loader), snapshot.lent(), self._scaling(factor):
                    _, full = evaluate(trainer, loader, batches, index=index)
                values = merged(full, trainer.world_size)
                found.append(values[name] if name in values else values[monitor])
        except Exception as error:
            if trainer.world_size > 1:  # the other processes wait for this one
                raise
            self.failed = True
            warnings.warn(
                f"A validation with scaled outputs failed ({type(error).__name__}: {error}): "
                f"{self.whose} goes by training and validation loss from now on.",
                ThinnedWarning,
                stacklevel=2,
            )
            return None
        smaller, larger = found
        known = self._calls and math.isfinite(smaller) and math.isfinite(larger)
        return (smaller, larger) if known else None

    @contextlib.contextmanager
    def _scaling(self, factor: float) -> Iterator[None]:
        def scale(_: nn.Module, __: Any, output: Any) -> Any:
            if not isinstance(output, Tensor):
                return output
            self._calls += 1
            middle = output.mean(0, keepdim=True) if self.about_mean else 0.0
            return middle + (output - middle) * factor

        handle = Seen(self.layer, scale)
        try:
            yield
        finally:
            handle.remove()
