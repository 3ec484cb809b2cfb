"""Refuses a multirun whose jobs Lightning would spread over processes that it starts itself.

For DDP Lightning repeats the whole command in each further process. A grid is the same everywhere,
and all processes go through it side by side. A sweeper that proposes points proposes others in each
of them, so that the ranks of one job would train with different rates; and what a launcher's
workers were started by is no command that could be repeated.
"""

import logging
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ._errors import ConfigError

_GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
_HERE = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
_STARTS_RANKS = ".SlurmLauncher"  # each rank is a task of SLURM's, with the job it is to run


def check_processes(config: DictConfig) -> None:
    """Look at the trainer of a multirun before its first job.

    Args:
        config: what Hydra composed for the multirun.

    Raises:
        ConfigError: if a job would have several processes, and the sweeper or launcher cannot.
    """
    sweeper, launcher = (str(config.hydra[key]._target_) for key in ("sweeper", "launcher"))
    if (sweeper, launcher) == (_GRID, _HERE) or launcher.endswith(_STARTS_RANKS):
        return
    if (processes := _processes(config.trainer)) > 1:
        if sweeper != _GRID:
            reason, other = "each would search by itself", "trainer.strategy=ddp_spawn"
        else:
            reason = f"what {launcher.rpartition('.')[2]} runs cannot start the others"
            other = "hydra/launcher=basic"
        msg = f"Expected one process a job, got {processes}: {reason}. Write trainer.devices=1 or"
        raise ConfigError(f"{msg} {other}.")


def _processes(node: DictConfig) -> int:
    """Return how many processes of one job would repeat the command; 1 where that is not known."""
    from pytorch_lightning import Trainer
    from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher

    plain: Any = OmegaConf.to_container(node, resolve=True)
    asked = {key: plain[key] for key in ("accelerator", "devices", "strategy", "num_nodes")}
    voices = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch")]
    levels = [one.level for one in voices]
    for one in voices:
        one.setLevel(logging.WARNING)
    try:
        trainer = Trainer(**asked, logger=False, enable_checkpointing=False)
    except Exception:  # whatever is wrong with it, the job says it with the key
        return 1
    finally:
        for one, level in zip(voices, levels, strict=True):
            one.setLevel(level)
    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        return 1  # those are started by the job itself
    return trainer.num_devices * trainer.num_nodes
