"""Which run this is, and where its record goes: name, seed, configuration, environment."""

import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from thinned._checks import shown
from thinned.callbacks._record import collect
from thinned.report import RecordWriter, process_mark
from thinned.report._records.secrets import overrides_without_secrets, without_secrets

_PACKAGES = ("thinned", "torch", "lightning", "pytorch-lightning", "torchmetrics", "hydra-core")


def run_folder(trainer: pl.Trainer) -> Path:
    """Choose where a run's record goes when the user has not said."""
    log_dir = trainer.log_dir  # asked on every rank: Lightning broadcasts it
    hydra = _hydra()
    if hydra is not None:
        return Path(hydra.runtime.output_dir)
    if log_dir is not None and trainer.loggers and _is_of_this_run(trainer.loggers[0], log_dir):
        return Path(log_dir)
    runs = Path(trainer.default_root_dir) / "runs"
    taken = [path.name for path in runs.glob("run_*")]
    numbers = [int(name[4:]) for name in taken if name[4:].isdigit()]
    return runs / f"run_{max(numbers, default=-1) + 1}"


def checked_config(config: Any) -> Mapping[str, Any] | None:
    """Return a configuration, if it is one."""
    if isinstance(config, Mapping | None):
        return config
    msg = (
        f"Expected `config` to map names to settings, got {shown(config)}. "
        "Of an argparse.Namespace pass vars(args)."
    )
    raise TypeError(msg)


def of_state(state: Any) -> dict[str, Any] | None:
    """Return a checkpoint's word on the record, or None: then one of its own is begun."""
    if not isinstance(state, Mapping):
        return None
    known = isinstance(state.get("path"), str) and isinstance(state.get("step"), int)
    return dict(state) if known else None


def take_up(writer: RecordWriter, earlier: Path, step: int) -> None:
    """Go on with the record of the run that is resumed, up to the checkpoint's step."""
    if earlier != writer.path.absolute() and earlier.exists():
        writer.move_aside()
        writer.copy_from(earlier)
    writer.truncate_after(step)


def header(
    trainer: pl.Trainer, pl_module: pl.LightningModule, config: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Say which run this is: name, seed, configuration and environment."""
    hydra = _hydra()
    config = dict(config) if config is not None else _hyperparameters(trainer, pl_module)
    seed = str(config.get("seed", os.environ.get("PL_GLOBAL_SEED")))
    return {
        "version": 1,
        "name": str(config.get("name") or ""),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": int(seed) if seed.lstrip("-").isdigit() else None,
        "config": without_secrets(config),
        "overrides": [] if hydra is None else overrides_without_secrets(_typed(hydra)),
        "environment": _environment(trainer),
        "process": process_mark(),
    }


def _is_of_this_run(logger: Any, log_dir: str) -> bool:
    """Whether a logger's folder lies below the one it was given; a name may hold ``..``."""
    below = Path(log_dir).resolve()
    return Path(getattr(logger, "save_dir", None) or log_dir).resolve() in below.parents


def _hydra() -> Any:
    module = sys.modules.get("hydra.core.hydra_config")
    if module is None or not module.HydraConfig.initialized():
        return None
    return module.HydraConfig.get()


def _typed(hydra: Any) -> Any:
    """Return the overrides as they were typed; an interpolation holds in its own place only."""
    from omegaconf import OmegaConf

    return OmegaConf.to_container(hydra.overrides.task, resolve=False)


def _hyperparameters(trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
    data = getattr(getattr(trainer, "datamodule", None), "hparams", None)
    config = {
        "model": dict(pl_module.hparams),
        "data": dict(data or {}),
        "schedule": collect.schedules(trainer),
        "trainer": {"max_epochs": trainer.max_epochs, "max_steps": trainer.max_steps},
    }
    return {key: value for key, value in config.items() if value}


def _environment(trainer: pl.Trainer) -> dict[str, Any]:
    found = {"python": platform.python_version(), "system": platform.platform(terse=True)}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    found["device"] = str(trainer.strategy.root_device)
    found["processes"] = str(trainer.world_size)
    found["precision"] = str(trainer.precision)
    found["loggers"] = ", ".join(type(each).__name__ for each in trainer.loggers) or "none"
    return found
