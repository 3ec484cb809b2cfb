"""The probe's evaluation loop, built over the trainer's own, and what is read from its results."""

import functools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Logged:
    """What one key holds after an evaluation loop, on this process.

    Attributes:
        total: sum, minimum, maximum or finished value.
        weight: samples behind a mean; 0 for the other kinds.
        kind: ``"mean"``, ``"sum"``, ``"min"``, ``"max"`` or ``"metric"`` (a torchmetrics object,
            which has synchronized itself).
        value: the finished value of this process.
    """

    total: float
    weight: float
    kind: str
    value: float


@functools.cache
def loop_class(real: type) -> type:
    """Build the probe's loop over the trainer's own evaluation loop."""

    class ProbeLoop(real):  # type: ignore[misc]  # the base is known at run time only
        dataloader_idx: int | None = None
        batches: float = 0.0
        max_batches = property(lambda self: [self.batches])  # `_max_batches` is for users' hooks
        part = 0
        prepare: Callable[[], None] | None = None

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.early: dict[str, Logged] = {}
            self.harvest: dict[str, Logged] = {}

        def _verify_dataloader_idx_requirement(self) -> None:
            """Nothing to check: the real loop has, and we pass what it passes."""

        def _build_kwargs(self, batch: Any, batch_idx: int, _: int | None) -> OrderedDict[str, Any]:
            kwargs: OrderedDict[str, Any]
            kwargs = super()._build_kwargs(batch, batch_idx, self.dataloader_idx)
            return kwargs

        def _on_evaluation_model_eval(self) -> None:
            super()._on_evaluation_model_eval()
            if self.prepare is not None:
                self.prepare()

        def _evaluation_step(self, batch: Any, batch_idx: int, *rest: Any) -> None:
            super()._evaluation_step(batch, batch_idx, *rest)
            if batch_idx + 1 == self.part:
                self.early = harvest(self._results, finish=False)

        def _on_evaluation_end(self, *_: Any, **__: Any) -> None:
            self.harvest = harvest(self._results)
            for callback in self.trainer.callbacks:
                callback.on_validation_end(self.trainer, self.trainer.lightning_module)
            self.trainer._logger_connector.reset_results()

    return ProbeLoop


@functools.cache
def results_class(real: type) -> type:
    """Build a result collection that leaves synchronizing to us.

    Lightning's own takes the mean of the processes' batch sizes as a whole number, and so is a
    little wrong where they differ.
    """

    class ProbeResults(real):  # type: ignore[misc]
        def log(self, *args: Any, **kwargs: Any) -> None:
            kwargs["sync_dist"] = False
            super().log(*args, **kwargs)

    return ProbeResults


def harvest(results: Any, *, finish: bool = True) -> dict[str, Logged]:
    """Read the epoch-level entries of a result collection, before synchronizing.

    Args:
        results: the collection.
        finish: also compute torchmetrics objects; without, they are left out, and tensors are
            read as they stand.
    """
    found: dict[str, Logged] = {}
    for item in results.values():
        if item.has_reset or not item.meta.on_epoch or not (finish or item.is_tensor):
            continue
        name = results._forked_name(item, on_step=False)[0]
        if not item.is_tensor:
            value = item._computed if item._computed is not None else item.compute()
            if isinstance(value, torch.Tensor) and value.numel() == 1:
                found[name] = Logged(float(value), 0.0, "metric", float(value))
            continue
        total, kind = item.value, item.meta.reduce_fx.__name__
        weight = item.cumulated_batch_size if item.meta.is_mean_reduction else torch.tensor(0.0)
        value = total / weight if item.meta.is_mean_reduction else total
        found[name] = Logged(float(total), float(weight), kind, float(value))
    return found
