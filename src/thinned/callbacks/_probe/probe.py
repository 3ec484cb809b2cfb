"""The probe: a fixed subset of the training set, evaluated as the validation set is."""

import contextlib
import math
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from thinned._checks import check_count, one_or_many
from thinned._errors import ThinnedWarning
from thinned._log import logger
from thinned.callbacks._generators.found import isolated
from thinned.callbacks._lightning.ranks import gathered

from . import data
from .asked import checked_callback, checked_probe
from .lightning import (
    averaging,
    evaluate,
    train_limit,
    train_loaders,
    val_batch_size,
    val_loaders,
)
from .loop import Logged
from .mark import compared, mark_of
from .noise import Noise
from .refused import why_not
from .snapshot import Snapshot, frozen_optimizers
from .units import Units

_PART = 8  # dropout's noise is measured on one batch in eight: a paired difference needs few
_RECORDED = 1024  # samples kept of a loader without length or index, where a fraction is asked


@dataclass
class Reading:
    """What one evaluation of the probe found, on all processes together."""

    probe: dict[str, float] = field(default_factory=dict)
    part: dict[str, float] = field(default_factory=dict)
    noisy: dict[str, float] = field(default_factory=dict)
    units: dict[str, float] = field(default_factory=dict)


class Probe:
    """A fixed subset of the training set, evaluated by the user's own `validation_step`.

    Args:
        wanted: a fraction of the training set (float), a number of samples (int), or a loader.
        seed: of the choice of samples, and of everything random inside the evaluation.
        keep: callbacks whose validation hooks run for the probe too.

    Attributes:
        seconds: what it has cost.
        mark: tells the samples of the last evaluation from others; None before the first one.
    """

    def __init__(self, wanted: Any, seed: int = 0, keep: Iterable[Any] = ()) -> None:
        self.wanted = checked_probe(wanted)
        self.seed = check_count("seed", seed, 0)
        self.keep = tuple(checked_callback(each) for each in one_or_many(keep))
        self.seconds = 0.0
        self.mark: int | None = None
        self._own: int | None = 0  # the mark of a loader of the user's own, which is not looked at
        self._source: Any = None
        self._indices: list[Any] = []
        self._recorder: data.Recorder | None = None
        self._snapshot: Snapshot | None = None
        self._weights: list[str] = []
        self._warned = False

    def start(self, trainer: Any, module: nn.Module) -> None:
        """Choose the samples, and rehearse with one batch so that a wrong format shows now.

        Raises:
            RuntimeError: if `validation_step` cannot read a training batch.
            ValueError: if there are several training loaders and none or several fit.
        """
        if isinstance(self.wanted, DataLoader):
            self._source = self.wanted
            self._rehearse(trainer, module)
            return
        loaders = train_loaders(trainer)
        fitting, errors = [], []
        for loader in loaders:
            self._choose(trainer, loader)
            try:
                self._rehearse(trainer, module)
                fitting.append(loader)
            except RuntimeError as error:
                errors.append(error)
        if len(fitting) > 1 or (not fitting and len(loaders) > 1):
            msg = (
                f"Expected one training loader, got {len(loaders)}, of which validation_step can "
                f"read {len(fitting)}. {data.CLEAN_LOADER}"
            )
            raise ValueError(msg)
        if errors and not fitting:
            raise errors[0]
        if fitting and self._source is not fitting[0]:
            self._choose(trainer, fitting[0])
        self._look_for_augmentation()

    def observe(self, batch: Any) -> None:
        """See a training batch: kept, where the loader cannot be indexed."""
        if self._recorder is not None:
            self._recorder.record(batch)

    def before_validation(self, module: nn.Module) -> None:
        """Take the state from which the probe will start: that from which validation starts."""
        self._snapshot = Snapshot(module)

    def during_validation(self, module: nn.Module) -> None:
        """Remember the weights that validation uses."""
        self._weights = _fingerprint(module)

    def measure(
        self, trainer: Any, module: nn.Module, *, noise: Noise | None, units: Units | None
    ) -> Reading:
        """Evaluate the probe, once with dropout off and, for a part of it, once with dropout on.

        Args:
            trainer: the trainer, at the end of a validation.
            module: its LightningModule.
            noise: the model's dropout, if its noise is to be measured.
            units: the sites whose units are watched, if any.
        """
        snapshot, self._snapshot = self._snapshot, None
        loader, batches = self._loader(trainer)
        if snapshot is None or not batches:
            return Reading()
        self._check_weights(trainer, module)
        found = self._compared(trainer)
        start = time.monotonic()
        part = 0
        if noise is not None and noise.is_on and batches < math.inf:
            part = max(1, int(batches) // _PART)
        noisy: dict[str, Logged] = {}
        with quiet(trainer, self.seed, self._source, self.wanted), snapshot.lent():
            again = Snapshot(module) if part else None
            with units.watched() if units is not None else contextlib.nullcontext():
                early, full = evaluate(trainer, loader, batches, keep=self.keep, part=part)
            if again is not None and noise is not None:
                with again.lent(), noise.restored(), isolated(self.seed + trainer.global_rank):
                    switch = noise.switch_on
                    _, noisy = evaluate(trainer, loader, part, keep=self.keep, prepare=switch)
        self.seconds += time.monotonic() - start
        whole = part == batches
        return Reading(
            merged(full, trainer.world_size),
            merged(full if whole else early, trainer.world_size),
            merged(noisy, trainer.world_size),
            found | (units.values() if units is not None else {}),
        )

    def _choose(self, trainer: Any, loader: Any) -> None:
        self._source, world = loader, trainer.world_size
        self._indices, self._recorder = [], None
        if data.is_indexable(loader):
            known, same = data.pool(loader, train_limit(trainer), self.seed)
            if not same and world > 1:
                known = data.in_order(i for part in gathered(known, world) for i in part)
            chosen = data.choose(known, self.wanted, self.seed, world)
            self._own, self._indices = mark_of(chosen), chosen[trainer.global_rank :: world]
            logger.debug("the probe has %d of %d samples", len(chosen), len(known))
            return
        wanted = self.wanted
        if not isinstance(wanted, int):
            batches, size = train_limit(trainer), getattr(loader, "batch_size", None) or 1
            wanted = _RECORDED if batches == math.inf else round(wanted * batches * size)
        self._recorder, self._own = data.Recorder(max(1, -(-wanted // world))), None

    def _loader(self, trainer: Any) -> tuple[Any, float]:
        """The loader of this process, built anew, and its number of batches."""
        if self._recorder is not None:
            loader: Any = self._recorder.freeze()
            batches: float = len(loader)
        elif self._source is self.wanted:
            loader = self.wanted
            batches = len(loader) if hasattr(loader.dataset, "__len__") else math.inf
        else:
            size = val_batch_size(trainer) or data.batch_size(self._source)
            loader = data.loader_over(self._source, self._indices, size, self.seed)
            batches = len(loader)
        if trainer.fast_dev_run:
            batches = min(batches, int(trainer.fast_dev_run))
        return loader, batches

    def _rehearse(self, trainer: Any, module: nn.Module) -> None:
        lazy = any(map(nn.parameter.is_lazy, (*module.parameters(), *module.buffers())))
        if self._recorder is not None or lazy:
            return  # no batch yet, or its first one initializes
        loader, batches = self._loader(trainer)

        def rehearse(loader: Any) -> None:
            snapshot = Snapshot(module)
            with quiet(trainer, self.seed, loader, self._source, self.wanted), snapshot.lent():
                evaluate(trainer, loader, min(1, batches), keep=self.keep, rehearsal=True)

        try:
            rehearse(loader)
        except Exception as error:
            which = "your probe's loader" if self._source is self.wanted else "the training loader"
            validation = [each for each, _ in val_loaders(trainer)]
            raise RuntimeError(why_not(error, which, validation, rehearse)) from error

    def _look_for_augmentation(self) -> None:
        if self._recorder is None and data.augments(self._source, self._indices, self.seed):
            warnings.warn(
                "The training set gives the same sample differently each time (augmentation). The "
                "probe is then harder than the validation set, and the gap is understated. "
                f"{data.CLEAN_LOADER}",
                ThinnedWarning,
                stacklevel=2,
            )

    def _compared(self, trainer: Any) -> dict[str, float]:
        """Return what is logged if a resumed run evaluates other samples than before."""
        if self._own is None and self._recorder is not None:
            own = mark_of(self._recorder.batches)
            self._own = mark_of(gathered(own, trainer.world_size))
        before, self.mark = self.mark, self._own
        return compared(before, self.mark, trainer.current_epoch)

    def _check_weights(self, trainer: Any, module: nn.Module) -> None:
        if self._warned or averaging(trainer, self.keep) or not self._weights:
            return
        if self._weights != _fingerprint(module):
            self._warned = True
            warnings.warn(
                "A callback lends the model other weights for validation (an average?), and took "
                "them back before the probe: the gap compares two models. Pass that callback: "
                "OverfittingMonitor(keep=[callback]).",
                ThinnedWarning,
                stacklevel=2,
            )


@contextlib.contextmanager
def quiet(trainer: Any, seed: int, *loaders: Any) -> Iterator[None]:
    """Leave generators, optimizers and schedulers as they are now, and warn of nothing.

    What a validation step warns of, it warns of in validation; a small subset adds its own.
    """
    clocks = [c.scheduler for c in trainer.lr_scheduler_configs]
    with (
        isolated(seed + trainer.global_rank, *loaders, *train_loaders(trainer)),
        frozen_optimizers(trainer.optimizers, clocks),
        warnings.catch_warnings(action="ignore"),
    ):
        yield


def merged(logged: dict[str, Logged], world: int) -> dict[str, float]:
    """Bring what each process logged together, exactly: means by their weights."""
    if world == 1:
        return {k: v.value for k, v in logged.items()}
    every = gathered(logged, world)
    keys = dict.fromkeys(key for one in every for key in one)
    return {key: _merge([one[key] for one in every if key in one]) for key in keys}


def _merge(parts: list[Logged]) -> float:
    kind, totals = parts[0].kind, [p.total for p in parts]
    if kind == "mean":
        return math.fsum(totals) / (math.fsum(p.weight for p in parts) or math.nan)
    if kind == "metric":
        return totals[0]
    if kind == "sum":
        return math.fsum(totals)
    return min(totals) if kind == "min" else max(totals)


def _fingerprint(module: nn.Module) -> list[str]:
    """A few sums that change when weights are exchanged, as text: NaN is equal to itself there."""
    with torch.no_grad():
        some = [p for p in module.parameters() if p.numel() and p.is_floating_point()]
        return [float(p.detach().sum()).hex() for p in (*some[:2], *some[-2:])]
