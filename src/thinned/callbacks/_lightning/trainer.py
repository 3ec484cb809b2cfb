"""What we need to know of Lightning's inside: its two names, and its fit loop's counters.

All private names that concern the clock stand in this file, and what a resumed training's clock
shows in `resumption`.
"""

import functools
import importlib
import math
from typing import Any

from thinned._checks import check_count

from .plan import Counters, Progress, fraction, planned_batches, planned_epochs

NAMESPACES = ("lightning.pytorch", "pytorch_lightning")


def namespace(trainer: Any) -> str:
    """Return the package that a trainer comes from: ``lightning.pytorch`` or its other name.

    The two hold the same code twice, so a class of one is none of the other's: ``isinstance`` must
    ask for the class of the trainer's own package.

    Raises:
        TypeError: if it is a trainer of neither.
    """
    return _namespace(type(trainer))  # type: ignore[arg-type]  # a class is hashable


@functools.cache
def _namespace(cls: Any) -> str:
    for base in cls.__mro__:
        for name in NAMESPACES:
            if base.__module__ == name or base.__module__.startswith(f"{name}."):
                return name
    msg = f"Expected a Trainer of lightning.pytorch or pytorch_lightning, got {cls!r}."
    raise TypeError(msg)


def lightning_class(trainer: Any, name: str) -> type:
    """Return the class ``callbacks.<name>`` of the trainer's own package."""
    return _class(namespace(trainer), name)


@functools.cache
def _class(package: str, name: str) -> type:
    found = getattr(importlib.import_module(f"{package}.callbacks"), name)
    if not isinstance(found, type):
        msg = f"Expected `name` to be that of a class in callbacks, got {name!r}."
        raise TypeError(msg)
    return found


def callbacks_of(trainer: Any, name: str) -> list[Any]:
    """Return the trainer's callbacks of that Lightning class, such as ``EarlyStopping``."""
    cls = lightning_class(trainer, name)
    return [callback for callback in trainer.callbacks if isinstance(callback, cls)]


def all_callbacks(trainer: Any) -> list[Any]:
    """Return the trainer's callbacks (an attribute that Lightning does not declare)."""
    return list(trainer.callbacks)


def progress(trainer: Any, total_steps: int | None = None, every: str | int = "step") -> Progress:
    """Say how far a training is, from the fit loop's own counters.

    It is right at the start of each training batch, with several optimizers, manual optimization,
    accumulation that changes, ``max_epochs``, ``max_steps``, and after a resume, since nothing is
    counted here. With ``max_time`` the larger of the share of batches and the share of time.

    Where optimization is manual and only ``max_steps`` limits the training, the number of batches
    is estimated from the steps that a batch took so far; give ``total_steps`` to be exact.

    Args:
        trainer: a Trainer that is fitting.
        total_steps: length of the training in batches, where the limits do not say it or to
            overrule them.
        every: the unit that has one rate: ``"step"`` (a batch), ``"epoch"`` or a number of
            batches. Unit k of N is at k / (N - 1).
    """
    counters = _counters(trainer)
    planned = planned_batches(counters) if total_steps is None else total_steps
    if every == "step":
        share = fraction(counters.batches_done, planned)
    elif every == "epoch":
        epochs = planned_epochs(counters)
        if total_steps is not None:
            epochs = math.ceil(total_steps / counters.batches_per_epoch) or math.inf  # no length
        share = fraction(counters.epoch, epochs)
    else:
        size = check_count("every", every)
        blocks = planned if planned == math.inf else math.ceil(planned / size)
        share = fraction(counters.batches_done // size, blocks)
    if (timed := _time_share(trainer)) is not None:
        share = timed if share is None else max(share, timed)
    known = None if planned == math.inf else int(planned)
    return Progress(counters.batches_done, known, share)


def may_stop_early(trainer: Any, validations: int | None) -> bool:
    """Say whether EarlyStopping may end a training before its limits do.

    Args:
        trainer: a Trainer that is fitting.
        validations: how many are planned; one with as much patience never stops.
    """
    return any(
        validations is None or each.patience < validations or each.stopping_threshold is not None
        for each in callbacks_of(trainer, "EarlyStopping")
    )


def planned_passes(trainer: Any) -> float | None:
    """Say how often each training example will be seen, by the limits; None where none says it."""
    counters = _counters(trainer)
    planned = planned_batches(counters)
    if math.isfinite(planned) and math.isfinite(counters.batches_per_epoch):
        return planned / counters.batches_per_epoch
    return counters.max_epochs if math.isfinite(counters.max_epochs) else None


def _counters(trainer: Any) -> Counters:
    loop = trainer.fit_loop
    epochs, batches = loop.epoch_progress.current, loop.epoch_loop.batch_progress
    # Between epochs the batch counter is still that of the epoch before. The epoch counters alone
    # do not say so: after some resumes Lightning counts an epoch as processed when it begins.
    now = batches.current
    over = now.ready == now.processed and (batches.is_last_batch or now.ready >= loop.max_batches)
    inside = epochs.started > epochs.processed or not over
    limited = loop.max_steps != -1  # else nothing depends on how often the optimizer steps
    in_epoch = now.processed if inside else 0
    accumulation, last_change = _accumulation(trainer, in_epoch > 0) if limited else (None, 0)
    return Counters(
        batches_done=batches.total.completed,
        # Processed, and not completed: at a batch's end the step count has moved on as well.
        batches_in_epoch=in_epoch,
        epoch=trainer.current_epoch,
        epochs_done=epochs.processed,
        batches_per_epoch=loop.max_batches,
        steps_done=trainer.global_step if limited else 0,
        max_epochs=_max_epochs(trainer),
        max_steps=loop.max_steps if limited else math.inf,
        accumulation=accumulation or _one,
        last_change=last_change,
        steps_per_batch=_steps_per_batch(trainer, batches.total.processed) if limited else None,
    )


def renews_batch_norm(trainer: Any) -> bool:
    """Say whether this epoch trains nothing: ``StochasticWeightAveraging`` adds one at the end.

    It passes over the training data once more, for the statistics of batch norm.
    """
    return bool(trainer.fit_loop._skip_backward)


def _max_epochs(trainer: Any) -> float:
    """Return the limit, without an epoch that trains nothing; infinite where there is none."""
    limit = trainer.fit_loop.max_epochs
    if limit in (None, -1):
        return math.inf
    averaging = callbacks_of(trainer, "StochasticWeightAveraging")
    added = any(getattr(each, "_max_epochs", limit) == limit - 1 for each in averaging)
    return float(limit - added)


def _one(_: int) -> int:
    return 1


def _steps_per_batch(trainer: Any, processed: int) -> float | None:
    if trainer.lightning_module is None or trainer.lightning_module.automatic_optimization:
        return None
    if processed and trainer.global_step:
        return float(trainer.global_step / processed)
    return float(max(1, len(trainer.optimizers)))


def _accumulation(trainer: Any, inside: bool) -> tuple[Any, int]:
    """Return batches a step by epoch, and the epoch of the last change.

    Inside of an epoch it is the trainer's own word: resumed there, it is not what was scheduled.
    """
    now, epoch = trainer.accumulate_grad_batches, trainer.current_epoch
    callback = next(iter(callbacks_of(trainer, "GradientAccumulationScheduler")), None)
    if callback is None:
        return (lambda _: now), 0
    planned = callback.get_accumulate_grad_batches
    each = (lambda e: now if e == epoch else planned(e)) if inside else planned
    return each, max(epoch, *callback.epochs)


def _time_share(trainer: Any) -> float | None:
    """Return the larger share of a time limit (``max_time``) that is used, the same on all ranks.

    Each rank has its own clock, and ranks must agree on the rates.
    """
    shares = [
        timer.time_elapsed() / timer._duration
        for timer in callbacks_of(trainer, "Timer")
        if timer._duration
    ]
    if not shares:
        return None
    share = min(1.0, max(shares))
    return float(trainer.strategy.broadcast(share)) if trainer.world_size > 1 else share


def log_step(trainer: Any) -> int | None:
    """Return the step under which loggers expect values now, None where none are due."""
    if not trainer._logger_connector.should_update_logs:
        return None
    return int(trainer.fit_loop.epoch_loop._batches_that_stepped)


def data_loaders(trainer: Any) -> dict[str, Any]:
    """Return the loaders of a fit by name: ``train.0``, ``val.0``, ..."""
    loops = {"train": trainer.fit_loop, "val": trainer.fit_loop.epoch_loop.val_loop}
    return {
        f"{name}.{index}": loader
        for name, loop in loops.items()
        if loop._combined_loader is not None
        for index, loader in enumerate(loop._combined_loader.flattened)
    }


def is_stopped_by_error(trainer: Any) -> bool:
    """Say whether this fit is ending by an error, and other ranks may be gone."""
    return bool(trainer.state.status == "interrupted")
