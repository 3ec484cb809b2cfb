"""What ``${thinned...:}`` means in the configuration."""

import os
import re
from pathlib import Path
from typing import Any, cast

from omegaconf import ListConfig, OmegaConf


def register() -> None:
    """Make our resolvers known to OmegaConf; launchers' processes do it by importing ``train``."""
    # Cached, so that all jobs of a multirun see the pid of the process that began it.
    OmegaConf.register_new_resolver("thinned.pid", os.getpid, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("thinned.group", _group, replace=True)
    OmegaConf.register_new_resolver("thinned.rungs", _rungs, replace=True)
    OmegaConf.register_new_resolver("thinned.folder", _folder, replace=True)
    OmegaConf.register_new_resolver("thinned.single", lambda: not _in_sweep(), replace=True)
    OmegaConf.register_new_resolver("thinned.first", _first, replace=True)
    OmegaConf.register_new_resolver("thinned.trained", _trained, replace=True)
    OmegaConf.register_new_resolver("thinned.wandb_mode", _wandb_mode, replace=True)


def typed(hydra: Any) -> list[str]:
    """Return the overrides as they were typed: an interpolation means something in its place only.

    Args:
        hydra: Hydra's own configuration.
    """
    return cast("list[str]", OmegaConf.to_container(hydra.overrides.task, resolve=False))


def _first(keys: Any) -> Any:
    """Return the first of several keys, or the only one."""
    return keys[0] if isinstance(keys, ListConfig) and keys else keys


def _trained(key: Any) -> bool | None:
    """Say whether a key is one of training: its mean over an epoch is there at the epoch's end.

    Example:
        >>> [_trained(key) for key in ("train_loss", "loss/train", "val_loss", "constrained", None)]
        [True, True, None, None, None]
    """
    return True if re.search(r"(?<![a-z])train(ing)?(?![a-z])", str(key).lower()) else None


def _wandb_mode(offline: bool) -> str | None:
    """Return the mode for ``wandb.init``; None leaves it to WANDB_MODE and W&B's own default."""
    return os.environ.get("WANDB_MODE", "offline") if offline else None


def _group() -> str | None:
    """Name the sweep that a job belongs to by its folder; None for a single run."""
    from hydra.core.hydra_config import HydraConfig

    return "_".join(Path(HydraConfig.get().sweep.dir).parts[-2:]) if _in_sweep() else None


def _rungs() -> str | None:
    """Name the folder in which the jobs of a sweep compare themselves; None for a single run."""
    from hydra.core.hydra_config import HydraConfig

    return str(Path(HydraConfig.get().sweep.dir).absolute() / "rungs") if _in_sweep() else None


def _folder(name: str) -> str:
    """Make a folder, for what cannot make its own."""
    Path(name).mkdir(parents=True, exist_ok=True)
    return name


def _in_sweep() -> bool:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN
