"""The private parts of Lightning that the probe needs: all of them here and in `loop`.

Classes are taken from the trainer's own objects, and so from the trainer's own namespace
(`lightning.pytorch` or `pytorch_lightning`).
"""

import contextlib
import importlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch.utils._pytree import tree_unflatten

from thinned.callbacks._lightning.trainer import namespace

from .loop import Logged, harvest, loop_class, results_class


def check_lightning(trainer: Any, whose: str = "OverfittingMonitor") -> None:
    """Raise one clear error if Lightning's inside is not as the probe knows it.

    Raises:
        ValueError: if the trainer logs nothing at all, or its callbacks mix up the weights.
        RuntimeError: naming what is missing and the versions that are known to work.
    """
    if getattr(trainer, "barebones", False):
        msg = f"{whose} reads what is logged, and Trainer(barebones=True) logs nothing. "
        raise ValueError(msg + "Take one of them out.")
    averages = [type(each).__name__ for each in averaging(trainer)]
    if len(averages) > 1:
        msg = (
            f"Expected one average of weights, got {' and '.join(averages)}. Lightning "
            "calls both in the same order as validation begins and ends, so each validation leaves "
            f"training with an average's weights, also without {whose}. Keep one of them."
        )
        raise ValueError(msg)
    missing = []
    for path in _PRIVATE:
        part = trainer
        for name in path.split("."):
            if not hasattr(part, name):
                missing.append(path)
                break
            part = getattr(part, name)
    loop = trainer.fit_loop.epoch_loop.val_loop if not missing else None
    if loop is not None:
        missing = [f"{type(loop).__name__}.{m}" for m in _LOOP_METHODS if not hasattr(loop, m)]
    if missing:
        version = importlib.import_module(namespace(trainer)).__version__
        msg = (
            f"{whose} does not know the inside of Lightning {version}: it lacks "
            f"{', '.join(missing)}. Use a Lightning that thinned supports (pytorch-lightning "
            f">=2.6,<2.7), or take {whose} out."
        )
        raise RuntimeError(msg)


_PRIVATE = (
    "fit_loop._combined_loader",
    "fit_loop.epoch_loop.val_loop._results._forked_name",
    "fit_loop.epoch_loop.val_loop._combined_loader",
    "fit_loop.epoch_loop.val_loop._max_batches",
    "fit_loop.epoch_loop.val_loop._last_val_dl_reload_epoch",
    "fit_loop.epoch_loop._batches_that_stepped",
    "_logger_connector._callback_metrics",
)
_LOOP_METHODS = (
    *("_evaluation_step", "_build_kwargs", "_on_evaluation_end", "_on_evaluation_model_eval"),
    *("_verify_dataloader_idx_requirement", "inference_mode", "_trainer_fn", "_stage"),
)


def train_loaders(trainer: Any) -> list[Any]:
    """The training loaders as Lightning uses them, with the samplers that it put in."""
    combined = trainer.fit_loop._combined_loader
    return [] if combined is None else list(combined.flattened)


def train_limit(trainer: Any) -> float:
    """The number of training batches in an epoch, possibly infinite."""
    return float(trainer.fit_loop.max_batches)


def val_batch_size(trainer: Any) -> int | None:
    """The batch size of the first validation loader, if it has one."""
    combined = trainer.fit_loop.epoch_loop.val_loop._combined_loader
    if combined is None or not combined.flattened:
        return None
    loader = combined.flattened[0]
    size = getattr(loader, "batch_size", None)
    return size or getattr(getattr(loader, "batch_sampler", None), "batch_size", None)


def val_loaders(trainer: Any) -> list[tuple[Any, float]]:
    """The validation loaders of this fit, each with its number of batches."""
    loop = trainer.fit_loop.epoch_loop.val_loop
    loaders = [] if loop._combined_loader is None else loop._combined_loader.flattened
    return list(zip(loaders, loop._max_batches, strict=False))


def validation_will_run(trainer: Any, planned_batches: int | None) -> bool:
    """Say whether this fit, of so many batches if that is known, has a validation."""
    every, epochs = trainer.check_val_every_n_epoch, trainer.max_epochs
    if every is not None and epochs not in (None, -1) and every > epochs:
        return False
    if validations(trainer, planned_batches) == 0:
        return False
    loop = trainer.fit_loop.epoch_loop.val_loop
    batches = loop._max_batches
    defined = trainer.fit_loop.epoch_loop.val_loop._data_source.is_defined()
    return bool(trainer.limit_val_batches) and defined and (not batches or sum(batches) > 0)


def validations(trainer: Any, planned_batches: int | None) -> int | None:
    """About how many validations so many batches have; None where that cannot be known."""
    each, epochs = trainer.val_check_batch, trainer.check_val_every_n_epoch
    length = trainer.num_training_batches
    if planned_batches is None or each is None or math.isinf(length):
        return None
    if epochs is None:
        return int(planned_batches // each)
    full, rest = divmod(planned_batches, length)
    in_epoch = 1 if math.isinf(each) else max(1, length // each)
    in_last = 0 if math.isinf(each) or (full + 1) % epochs else rest // each
    return int(full // epochs * in_epoch + in_last)


def validation_logged(trainer: Any) -> dict[str, Logged]:
    """What the validation that is just ending has logged, before Lightning resets it."""
    return harvest(trainer.fit_loop.epoch_loop.val_loop._results)


def validation_step_count(trainer: Any) -> int:
    """The step at which Lightning logs what validation logged."""
    return int(trainer.fit_loop.epoch_loop._batches_that_stepped)


def evaluate(
    trainer: Any,
    loader: Iterable[Any],
    batches: float,
    *,
    keep: Iterable[Any] = (),
    part: int = 0,
    prepare: Callable[[], None] | None = None,
    index: int = 0,
    rehearsal: bool = False,
) -> tuple[dict[str, Logged], dict[str, Logged]]:
    """Run a second validation loop over ``loader``, with nothing of it seen outside.

    Args:
        trainer: the trainer, in the middle of `fit`.
        loader: the batches, of the format of training's.
        batches: how many there are.
        keep: callbacks whose hooks run in this loop too (`WeightAveraging` always does).
        part: number of batches after which the first of the results is taken; 0 for none.
        prepare: called once the model is in evaluation mode.
        index: the number of the validation loader that it stands for, where there are several.
        rehearsal: whether nothing is trained yet, so that the user's code sees a sanity check.

    Returns:
        What was logged in the first ``part`` batches, and in all.
    """
    epoch_loop = trainer.fit_loop.epoch_loop
    real = epoch_loop.val_loop
    loop = loop_class(real.__class__)(trainer, real._trainer_fn, real._stage, verbose=False)
    loop.inference_mode = real.inference_mode
    loop._results = results_class(real._results.__class__)(training=False)
    loop._combined_loader = _combined(trainer, loader, real._combined_loader)
    loop.batches, loop._max_batches = batches, [batches] * max(1, len(real._max_batches))
    loop._last_val_dl_reload_epoch = float("inf")
    several = real._combined_loader is not None and len(real._combined_loader.flattened) > 1
    loop.dataloader_idx = index if several else None
    loop.part, loop.prepare = part, prepare
    with _stage_set(trainer, epoch_loop, loop, averaging(trainer, keep)), _buffers_synced(trainer):
        if rehearsal:
            trainer.sanity_checking = True
        else:
            trainer.validating = True
        try:
            loop.run()
        finally:
            if loop._data_fetcher is not None:
                loop._data_fetcher.teardown()
    return loop.early, loop.harvest


def averaging(trainer: Any, keep: Iterable[Any] = ()) -> list[Any]:
    """The callbacks that put other weights in for validation, with those of ``keep``."""
    callbacks = importlib.import_module(f"{namespace(trainer)}.callbacks")
    kinds = tuple(getattr(callbacks, n) for n in ("WeightAveraging",) if hasattr(callbacks, n))
    wanted = {id(k) for k in keep}
    return [c for c in trainer.callbacks if isinstance(c, kinds) or id(c) in wanted]


def _silent(trainer: Any, kept: list[Any]) -> list[Any]:
    """Stand-ins for the trainer's other callbacks, whose hooks do nothing.

    The user's hooks may read one, such as `trainer.checkpoint_callback`; and Rich's bar is drawn by
    a thread that looks for it among the trainer's callbacks, and that dies where it finds none.
    """
    callbacks = importlib.import_module(f"{namespace(trainer)}.callbacks")
    mute = {name: _nothing for name in dir(callbacks.Callback) if name.startswith("on_")}
    found = []
    for callback in trainer.callbacks:
        if not any(callback is each for each in kept):
            silent: Any = object.__new__(type(type(callback).__name__, (type(callback),), mute))
            bar = isinstance(callback, callbacks.ProgressBar)  # whose thread reads what it holds
            silent.__dict__ = vars(callback) if bar else dict(vars(callback))
            found.append(silent)
    return found


def _nothing(*_: Any, **__: Any) -> None:
    """Do nothing, as a hook."""


@contextlib.contextmanager
def _stage_set(trainer: Any, epoch_loop: Any, loop: Any, callbacks: list[Any]) -> Iterator[None]:
    """Let the trainer run ``loop`` as its validation, deaf to loggers, callbacks and profilers."""
    root = namespace(trainer)
    loggers = importlib.import_module(f"{root}.loggers.logger")
    profilers = importlib.import_module(f"{root}.profilers")
    module = trainer.lightning_module
    before = (epoch_loop.val_loop, trainer._logger_connector, trainer.callbacks)
    shown = (trainer.loggers, trainer.profiler, trainer.should_stop, trainer.state.stage)
    clock, hook = getattr(trainer, "_last_val_time", None), module._current_fx_name
    own_save = vars(trainer).get("save_checkpoint")
    stopped_at = time.monotonic()
    epoch_loop.val_loop = loop
    trainer._logger_connector = type(trainer._logger_connector)(trainer)
    trainer._logger_connector._callback_metrics.update(before[1]._callback_metrics)
    trainer.callbacks = [*callbacks, *_silent(trainer, callbacks)]
    trainer.loggers = [loggers.DummyLogger()]
    trainer.profiler = profilers.PassThroughProfiler()
    trainer.save_checkpoint = _nothing  # a best value so far would be saved of the wrong data
    try:
        yield
    finally:
        del trainer.save_checkpoint
        if own_save is not None:
            trainer.save_checkpoint = own_save
        epoch_loop.val_loop, trainer._logger_connector, trainer.callbacks = before
        trainer.loggers, trainer.profiler, trainer.should_stop, trainer.state.stage = shown
        module._current_fx_name = hook
        if clock is not None:  # time-based validation does not count the probe as training
            trainer._last_val_time = clock + (time.monotonic() - stopped_at)


@contextlib.contextmanager
def _buffers_synced(trainer: Any) -> Iterator[None]:
    """Let `DistributedDataParallel` share the first process's buffers again, as for validation.

    It does so at the first forward after training only, and the probe starts from the buffers as
    they were before that.
    """
    model = trainer.strategy.model
    before = getattr(model, "require_forward_param_sync", None)
    if before is not None:
        model.require_forward_param_sync = True
    try:
        yield
    finally:
        if before is not None:
            model.require_forward_param_sync = before


def _combined(trainer: Any, loader: Iterable[Any], real: Any) -> Any:
    """Return Lightning's wrapper of one loader, which `trainer.val_dataloaders` shows as usual."""
    combined_loader = importlib.import_module(f"{namespace(trainer)}.utilities.combined_loader")
    made = combined_loader.CombinedLoader(loader, "sequential")
    if real is not None:
        made._iterables = tree_unflatten([loader] * len(real.flattened), real._spec)
    return made
