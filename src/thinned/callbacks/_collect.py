"""What a run record holds of a trainer, its model and the callbacks beside it.

Callbacks are read by their public attributes (``rates``, ``groups``, ``edits``, ``findings``,
``verdict``), so that a user's own callback with such an attribute is recorded too.
"""

import math
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from thinned.callbacks import _lightning
from thinned.report import RecordWriter, host_mark

_PACKAGES = ("thinned", "torch", "lightning", "pytorch-lightning", "torchmetrics", "hydra-core")
_SECRETS = ("key", "token", "password", "secret", "credential")


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
        "overrides": list(hydra.overrides.task) if hydra is not None else [],
        "environment": _environment(trainer),
        "process": {"pid": os.getpid(), "host": host_mark()},
    }


def planned_batches(trainer: pl.Trainer) -> int | None:
    """How many batches the run is to have, where that is known."""
    return None if _asks_all_ranks(trainer) else _lightning.progress(trainer).batches_planned


def watched(trainer: pl.Trainer) -> dict[str, Any]:
    """The metric that is watched: our monitor's word comes before that of other callbacks."""
    watching = [each for each in callbacks(trainer) if isinstance(_get(each, "monitor"), str)]
    first = min(watching, key=lambda each: not hasattr(each, "history"), default=None)
    return {"monitor": _get(first, "monitor"), "mode": _get(first, "mode")}


def last_gap(trainer: pl.Trainer) -> float | None:
    """The last fair gap of the watched metric, from the monitor's history."""
    for each in callbacks(trainer):
        history, key = _get(each, "history"), f"overfit/gap/{_get(each, 'monitor')}"
        for row in reversed(history or ()):
            if key in row:
                return float(row[key])
    return None


def callbacks(trainer: pl.Trainer) -> list[Any]:
    """The trainer's callbacks (an attribute that Lightning does not declare)."""
    return list(getattr(trainer, "callbacks", []))


def sites(pl_module: pl.LightningModule) -> Iterable[Any]:
    """All sites of the model, in its order."""
    from thinned.surgery import find_sites

    return find_sites(pl_module, kinds="all")


def site_row(site: Any, groups: Mapping[str, str]) -> dict[str, Any]:
    """Describe one site."""
    return {
        "path": site.path,
        "kind": site.kind,
        "class": site.cls,
        "rate": _rate(site),
        "live": site.live,
        "group": groups.get(site.path),
    }


def site_rates(sites: Iterable[Any]) -> dict[str, float]:
    """Every site's rate now; placeholders have none."""
    found = ((site.path, _rate(site)) for site in sites)
    return {path: rate for path, rate in found if rate is not None}


def group_of_sites(trainer: pl.Trainer) -> dict[str, str]:
    """Map each scheduled site's path to its group."""
    return {
        site.path: name
        for groups in _attributes(trainer, "groups")
        if isinstance(groups, Mapping)
        for name, members in groups.items()
        for site in members
    }


def rates(trainer: pl.Trainer) -> dict[str, float]:
    """Every group's rate, as its callback read it back."""
    return {
        str(name): float(rate)
        for each in _attributes(trainer, "rates")
        if isinstance(each, Mapping)
        for name, rate in each.items()
    }


def schedules(trainer: pl.Trainer) -> str:
    """What the rates follow, as text."""
    plans = [each for each in _attributes(trainer, "plan") if isinstance(each, Mapping)]
    return ", ".join(
        f"{pattern}: {schedule}" for plan in plans for pattern, schedule in plan.items()
    )


def edits(trainer: pl.Trainer) -> Iterator[dict[str, Any]]:
    """What was swapped and inserted."""
    for each in _attributes(trainer, "edits"):
        for edit in each:
            yield {"text": str(edit), "count": len(edit)}


def findings(trainer: pl.Trainer) -> Iterator[dict[str, Any]]:
    """What the diagnosis found."""
    names = ("rule", "severity", "path", "message", "fix")
    for each in _attributes(trainer, "findings"):
        for finding in each:
            yield {name: getattr(finding, name, None) for name in names}


def verdict(trainer: pl.Trainer) -> dict[str, Any] | None:
    """The verdict so far, of the first callback that has one."""
    for each in _attributes(trainer, "verdict"):
        if hasattr(each, "word"):
            names = ("word", "confidence", "evidence", "action", "remedy")
            return {name: getattr(each, name, None) for name in names}
    return None


def metrics(trainer: pl.Trainer) -> dict[str, float]:
    """Lightning's callback metrics that are single numbers; to be asked on all ranks alike.

    Lightning may reduce a metric over the ranks when it is first read.
    """
    found = trainer.callback_metrics.items()
    return {str(key): float(value) for key, value in found if value.numel() == 1}


def progress(trainer: pl.Trainer) -> float | None:
    """The share of the training that is done, where its length is known."""
    if _asks_all_ranks(trainer):
        return None
    share = _lightning.progress(trainer).fraction
    return None if share is None else round(share, 6)


def epochs_done(trainer: pl.Trainer) -> float:
    """The epochs that lie behind, with the share of the present one."""
    batches = trainer.num_training_batches
    if not batches or math.isinf(batches) or trainer.current_epoch == trainer.max_epochs:
        return float(trainer.current_epoch)
    done = trainer.fit_loop.epoch_loop.batch_progress.current.completed
    return round(trainer.current_epoch + min(done / batches, 1.0), 4)


def validation_epoch(trainer: pl.Trainer) -> float:
    """Lightning's number of the epoch that a validation ends, as in a checkpoint's file name.

    Validations within an epoch lie between that number and the one before.
    """
    batches = trainer.num_training_batches
    inside = batches and not math.isinf(batches)
    return round(epochs_done(trainer) - 1, 4) if inside else float(trainer.current_epoch)


def planned_steps(trainer: pl.Trainer) -> int | None:
    """How many optimizer steps the run is to have, where that can be known."""
    try:
        planned = trainer.estimated_stepping_batches
    except Exception:  # it depends on the user's loaders and on the accumulation plan
        return None
    return None if math.isinf(planned) else int(planned)


def without_secrets(value: Any) -> Any:
    """Hide what a page must not show: values under names such as ``api_key``.

    Example:
        >>> without_secrets({"wandb": {"api_key": "123", "project": "p"}, "key": 1})
        {'wandb': {'api_key': '(hidden)', 'project': 'p'}, 'key': 1}
    """
    if isinstance(value, Mapping):
        return {
            name: "(hidden)" if _is_secret(str(name), each) else without_secrets(each)
            for name, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [without_secrets(each) for each in value]
    return value


def _rate(site: Any) -> float | None:
    return None if site.rate is None else float(site.rate)


def _is_secret(name: str, value: Any) -> bool:
    return isinstance(value, str) and any(name.lower().endswith(word) for word in _SECRETS)


def _asks_all_ranks(trainer: pl.Trainer) -> bool:
    """Whether `progress` would wait for the other ranks, which do not ask."""
    return trainer.world_size > 1 and bool(_lightning.callbacks_of(trainer, "Timer"))


def _is_of_this_run(logger: Any, log_dir: str) -> bool:
    return Path(log_dir) != Path(getattr(logger, "save_dir", None) or log_dir)


def _hydra() -> Any:
    module = sys.modules.get("hydra.core.hydra_config")
    if module is None or not module.HydraConfig.initialized():
        return None
    return module.HydraConfig.get()


def _hyperparameters(trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
    data = getattr(getattr(trainer, "datamodule", None), "hparams", None)
    config = {
        "model": dict(pl_module.hparams),
        "data": dict(data or {}),
        "schedule": schedules(trainer),
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


def _attributes(trainer: pl.Trainer, name: str) -> Iterator[Any]:
    for callback in callbacks(trainer):
        found = _get(callback, name)
        if found is not None:
            yield found


def _get(callback: Any, name: str) -> Any:
    """Read an attribute of somebody's callback; one that is not ready yet counts as absent."""
    try:
        return getattr(callback, name, None)
    except Exception:
        return None
