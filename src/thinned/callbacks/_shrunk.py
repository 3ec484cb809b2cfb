"""The validation loss of a network whose outputs are shrunk: lower, if it is surer than right."""

import contextlib
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from thinned._errors import ThinnedWarning
from thinned.surgery._places import places
from thinned.surgery._structure import WEIGHTED

from ._monitor_keys import SUFFIX
from ._probe import merged, quiet
from ._probe_lightning import evaluate, val_loaders
from ._probe_state import Snapshot


class Shrunk:
    """Runs a validation a second time, with the outputs of the last layer multiplied by a factor.

    It is the user's own ``validation_step``, and leaves no trace, as :class:`Probe` does not. Only
    what are class labels by their type (integers or booleans, last in the batch) has outputs that
    mean how sure the network is; for other batches there is nothing to run.

    Args:
        factor: what the outputs are multiplied by.
        whose: the callback that asks.
    """

    def __init__(self, factor: float, whose: str) -> None:
        self.factor, self.whose = factor, whose
        self._layer: nn.Module | None = None
        self._snapshot: Snapshot | None = None
        self._classes = False
        self._calls = 0

    def start(self, module: nn.Module) -> None:
        """Find the output layer; in compiled code a hook on it might not be seen."""
        trained = [
            place.module
            for place in places(module)
            if isinstance(place.module, WEIGHTED)
            and any(parameter.requires_grad for parameter in place.module.parameters())
        ]
        compiled = getattr(module, "_compiler_ctx", None) is not None or any(
            type(part).__name__ == "OptimizedModule" or part._compiled_call_impl is not None
            for part in module.modules()
        )
        self._layer = trained[-1] if trained and not compiled else None
        self._classes = False

    def before_validation(self, module: nn.Module) -> None:
        """Take the state from which validation starts."""
        self._snapshot = Snapshot(module) if self._layer is not None else None

    def during_validation(self, batch: Any) -> None:
        """See whether there are classes."""
        self._classes = _has_labels(batch)

    def loss(self, trainer: Any, module: nn.Module, monitor: str) -> float | None:
        """Return the validation loss with shrunk outputs; None where there is no such thing."""
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is None or not self._classes:
            return None
        name, _, number = monitor.partition(SUFFIX)
        index = int(number or 0)
        loader, batches = val_loaders(trainer)[index]
        if math.isinf(batches):
            return None
        try:
            with quiet(trainer, 0, loader), snapshot.lent(), self._shrinking():
                _, full = evaluate(trainer, loader, batches, index=index)
        except Exception as error:
            if trainer.world_size > 1:  # the other processes wait for this one
                raise
            self._layer = None
            warnings.warn(
                f"A second validation with shrunk outputs failed ({type(error).__name__}: {error}):"
                f" {self.whose} goes by training and validation loss from now on.",
                ThinnedWarning,
                stacklevel=2,
            )
            return None
        found = merged(full, trainer.world_size)
        return None if not self._calls else found.get(name, found.get(monitor))

    @contextlib.contextmanager
    def _shrinking(self) -> Iterator[None]:
        self._calls = 0
        layer: Any = self._layer
        handle = layer.register_forward_hook(self._shrink)
        try:
            yield
        finally:
            handle.remove()

    def _shrink(self, layer: nn.Module, inputs: Any, output: Any) -> Any:
        if not isinstance(output, Tensor):
            return output
        self._calls += 1
        return output * self.factor


def _has_labels(batch: Any) -> bool:
    """Say whether the last tensor of a batch holds classes, by its type."""
    tensors = list(_tensors(batch))
    return bool(tensors) and not (tensors[-1].is_floating_point() or tensors[-1].is_complex())


def _tensors(batch: Any) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        yield from _tensors(batch.values())
    elif isinstance(batch, Iterable) and not isinstance(batch, str | bytes):
        for part in batch:
            yield from _tensors(part)
