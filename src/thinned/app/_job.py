"""One job of ``thinned train``: build what the configuration names, fit, test, and clean up."""

import functools
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from pytorch_lightning.utilities.model_helpers import is_overridden

from thinned._log import logger
from thinned.callbacks import RunRecord
from thinned.callbacks._lightning.trainer import all_callbacks
from thinned.callbacks._monitor.keys import IN_CODE
from thinned.report._format import from_here
from thinned.report._records.secrets import without_secrets

from ._build import build, build_all
from ._errors import ConfigError
from ._objective import ObjectiveCheck, objective
from .models import Task
from .pruning import SuccessiveHalving

_TYPED = {  # what a message says in Python, as it is typed
    IN_CODE: "objective=KEY",
    "`thinned.insert(model)` puts dropout in": "callbacks=[default,insert] puts dropout in",
}
_OURS = ("overfit/", "dropout/", "adaptive/")
_OF_TRAINING = (
    "What training logs as a mean over the epoch is there only at its end: if it is such a key, "
    "checkpoint.save_on_train_epoch_end=true."
)


@dataclass(frozen=True)
class Result:
    """What a job measured: its last validation, its test, and what a sweeper minimizes.

    ``stopped_at`` is the number of epochs after which the sweep stopped it, or None.
    """

    metrics: dict[str, float]
    objective: Any
    stopped_at: int | None


def run(cfg: DictConfig, plain: Mapping[str, Any]) -> Result:
    """Run the job that ``cfg`` describes.

    Args:
        cfg: the composed configuration, with its interpolations.
        plain: the same as resolved plain values, for the loggers.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    with _quiet(), _loggers_closed():
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        data = build(cfg, "data")
        model = _model(cfg, data)
        trainer = _trainer(cfg, plain, folder)
        for one in trainer.loggers:
            one.log_hyperparams(without_secrets(dict(plain)))
        asked = functools.partial(_objective, plain, trainer)
        with _refusals(cfg.ckpt_path, asked), _told_of_data(trainer, model, data):
            trainer.fit(model, datamodule=data, ckpt_path=cfg.ckpt_path)
        metrics, value = _numbers(trainer), asked()
        if cfg.test and not cfg.trainer.fast_dev_run and not trainer.interrupted:
            if is_overridden("test_step", model) and is_overridden("test_dataloader", data):
                metrics |= _test(trainer, model, data)
            else:
                logger.info("no test: `test_step` of the model or `test_dataloader` is missing")
        logger.info("%s: %s", from_here(folder), _line(metrics))
        halvings = [c for c in all_callbacks(trainer) if isinstance(c, SuccessiveHalving)]
    return Result(metrics, value, halvings[0].stopped_at if halvings else None)


def _model(cfg: DictConfig, data: Any) -> pl.LightningModule:
    """Build the model; a network gets its task from the data, a LightningModule is left as is."""
    net = build(cfg, "model")
    if isinstance(net, functools.partial):
        net = _call("model", functools.partial(_given_shape, net, data))
    if isinstance(net, pl.LightningModule):
        return net
    return Task(net, build(cfg, "optimizer"), data.task)


def _given_shape(build_net: Any, data: Any) -> Any:
    """Build a network for the shape of the data; say what to do where its class takes none."""
    module = isinstance(build_net.func, type) and issubclass(build_net.func, pl.LightningModule)
    hint = " A LightningModule is used as it is with model._partial_=false." if module else ""
    missing = [name for name in ("shape", "outputs") if not hasattr(data, name)]
    if missing:
        msg = (
            f"Expected `data` to have `shape` and `outputs`, it has no {' and no '.join(missing)}."
        )
        raise TypeError(msg + hint)
    try:
        return build_net(data.shape, data.outputs)
    except (TypeError, ValueError) as error:
        msg = f"{error}. It was given shape and outputs of the data first.{hint}"
        raise TypeError(msg) from error


def _objective(plain: Mapping[str, Any], trainer: pl.Trainer) -> Any:
    return objective(plain["objective"], _numbers(trainer))


@contextmanager
def _told_of_data(trainer: pl.Trainer, model: pl.LightningModule, data: Any) -> Iterator[None]:
    """Where somebody's own module fails before its first step on our data, say what those are."""
    try:
        yield
    except Exception as error:
        own, ours = (type(each).__module__.partition(".")[0] for each in (model, data))
        if own != "thinned" and ours == "thinned" and trainer.global_step == 0:
            error.add_note(
                f"The data are {type(data).__name__}, samples of shape {data.shape}. For data of "
                "your own: ~data '+data={_target_: package.Class}'."
            )
        raise


@contextmanager
def _refusals(ckpt_path: str | None, check_objective: Callable[[], Any]) -> Iterator[None]:
    """Tell what callbacks, optimizers and Lightning refuse from what breaks in training."""
    try:
        yield
    except MisconfigurationException as error:
        try:
            check_objective()  # the checkpoint goes by it, and does not know the nearest name
        except ConfigError as why:
            hint = "" if "Did you mean" in str(why) else f" {_OF_TRAINING}"
            raise ConfigError(f"{why}{hint}") from error
        raise ConfigError(str(error)) from error
    except Exception as error:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        if ckpt_path is not None and any(map(_resumes, frames)):
            first = str(error).strip().split("\n", maxsplit=1)[0]
            msg = f"`ckpt_path`: cannot resume from {ckpt_path!r}: {type(error).__name__}: {first}"
            raise ConfigError(msg) from error
        if not isinstance(error, (TypeError, ValueError)):
            raise
        raised_in = _module(frames[-1])
        if raised_in.startswith("torch.optim."):
            msg = f"`optimizer`: {error}"
            raise ConfigError(msg) from error
        if raised_in.startswith("thinned.") and not raised_in.startswith("thinned.app."):
            message = str(error)
            for in_code, typed in _TYPED.items():
                message = message.replace(in_code, typed)
            raise ConfigError(message) from error
        raise


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


def _resumes(frame: FrameType) -> bool:
    """Say whether a frame is Lightning's loading of a checkpoint, and not its saving of one."""
    loads = ("resume", "restore", "_restore", "_parse_ckpt", "_select_ckpt")
    return _module(frame).endswith(".checkpoint_connector") and frame.f_code.co_name.startswith(
        loads
    )


def _call(key: str, function: Any) -> Any:
    try:
        return function()
    except (TypeError, ValueError) as error:
        msg = f"`{key}`: {error}"
        raise ConfigError(msg) from error


def _trainer(cfg: DictConfig, plain: Mapping[str, Any], folder: Path) -> pl.Trainer:
    loggers = build_all(cfg, "logger")
    if any(isinstance(one, pl.loggers.WandbLogger) for one in loggers):
        import wandb

        if any(node.get("mode") == "offline" for node in cfg.logger.values()):
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # offline it calls home too
        wandb.setup()  # reads WANDB_SILENT, before Lightning's logger calls forth a first warning
        left_out: tuple[str, ...] = ()
    else:
        left_out = ("thinned.callbacks.WandbDashboard",)  # would start a run that nobody asked for
    callbacks = build_all(cfg, "callbacks", left_out)
    for callback in callbacks:
        if isinstance(callback, RunRecord):
            # Which folder is Hydra's a spawned process cannot know.
            callback.dirpath = callback.dirpath or folder
            callback.config = plain if callback.config is None else callback.config
    callbacks.append(ObjectiveCheck(plain["objective"]))
    if cfg.checkpoint is not None and cfg.trainer.enable_checkpointing:
        callbacks.append(build(cfg, "checkpoint"))
    trainer: pl.Trainer = build(
        cfg,
        "trainer",
        logger=loggers or False,
        callbacks=callbacks,
        default_root_dir=str(folder),
    )
    return trainer


def _test(trainer: pl.Trainer, model: pl.LightningModule, data: Any) -> dict[str, float]:
    """Evaluate the test split with the best checkpoint, or the last weights where there is none."""
    best = getattr(trainer.checkpoint_callback, "best_model_path", "") or None
    if best is not None:
        model.load_state_dict(torch.load(best, weights_only=True)["state_dict"])
    trainer.test(model, datamodule=data, verbose=False)
    return _numbers(trainer)


def _numbers(trainer: pl.Trainer) -> dict[str, float]:
    return {key: float(value) for key, value in trainer.callback_metrics.items()}


@contextmanager
def _loggers_closed() -> Iterator[None]:
    """End the W&B run with the job, or the next job in this process would write into it."""
    code = 1
    # Lightning's logger sets the first and leaves it set; `_trainer` does so with the second.
    before = {name: os.environ.get(name) for name in ("WANDB_MODE", "WANDB_ERROR_REPORTING")}
    try:
        yield
        code = 0
    finally:
        if wandb := sys.modules.get("wandb"):
            wandb.finish(exit_code=code)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what Lightning says of every small run."""
    voices = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch")]
    if HydraConfig.get().mode is RunMode.MULTIRUN:  # the bar over all jobs speaks instead
        voices.append(logger)
    levels = [one.level for one in voices]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers")
        warnings.filterwarnings("ignore", message="The number of training batches")
        warnings.filterwarnings("ignore", message=".*LeafSpec")
        # A resumed run has a folder of its own.
        warnings.filterwarnings("ignore", message="The dirpath has changed")
        for one in voices:
            one.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for one, level in zip(voices, levels, strict=True):
                one.setLevel(level)


def _line(metrics: Mapping[str, float]) -> str:
    shown = [f"{key} {metrics[key]:.4g}" for key in sorted(metrics) if not key.startswith(_OURS)]
    return ", ".join(shown) or "nothing was logged"
