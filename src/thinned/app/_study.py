"""An Optuna study that can be killed and taken up again.

Hydra's Optuna sweeper goes on with a study of the same name and storage, but with three holes: a
killed trial stays ``RUNNING`` for ever and its point is lost; a sampler with a fixed seed proposes
the points of the first run again; and ``n_trials`` counts from 0. They are closed here, before
the sweeper starts.
"""

import logging
import os
import socket
from typing import Any

from omegaconf import DictConfig

from thinned._log import logger

_SWEEPER = "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"
_OWNER = "thinned:process"


def prepare(config: DictConfig) -> None:
    """Put a stored study in order and fit the sweeper's configuration to what it holds.

    Trials that a dead process left running are closed, and their points are the first to run.
    The sampler's seed moves on by the number of trials. ``n_trials`` becomes what is missing.

    Args:
        config: what Hydra composed for the multirun; the sweeper's part is changed in place.
    """
    sweeper = config.hydra.sweeper
    if sweeper.get("_target_") != _SWEEPER or not sweeper.get("storage"):
        return
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    study = optuna.create_study(
        study_name=sweeper.study_name,
        storage=str(sweeper.storage),
        directions=_directions(sweeper.direction),
        load_if_exists=True,
    )
    closed = 0
    if not _alive(study.user_attrs.get(_OWNER)):
        closed = sum(
            _close(study, trial) for trial in study.get_trials(states=(TrialState.RUNNING,))
        )
    study.set_user_attr(_OWNER, f"{socket.gethostname()}:{os.getpid()}")

    trials = study.get_trials(deepcopy=False)
    done = sum(trial.state.is_finished() for trial in trials) - _closed_before(trials)
    if trials:
        sweeper.n_trials = max(0, sweeper.n_trials - done)
        if sweeper.sampler.get("seed") is not None:
            sweeper.sampler.seed += len(trials)
        logger.info(
            "study %s: %d trials are done, %d were killed and run again, %d to go",
            study.study_name,
            done,
            closed,
            sweeper.n_trials,
        )


def _close(study: Any, trial: Any) -> bool:
    """End a killed trial, and let its point run first."""
    from optuna.trial import Trial, TrialState

    open_trial = Trial(study, trial._trial_id)
    open_trial.set_user_attr(_OWNER, "killed")
    if "grid_id" in trial.system_attrs:
        open_trial.set_system_attr("grid_id", -1)  # else the grid takes the point for visited
    elif trial.params:
        study.enqueue_trial(trial.params)
    study.tell(trial.number, state=TrialState.FAIL)
    return True


def _closed_before(trials: list[Any]) -> int:
    return sum(trial.user_attrs.get(_OWNER) == "killed" for trial in trials)


def _directions(direction: Any) -> list[str]:
    found = [direction] if not hasattr(direction, "__iter__") else list(direction)
    if isinstance(direction, str):
        found = [direction]
    return [getattr(one, "name", one) for one in found]


def _alive(owner: Any) -> bool:
    """Say whether the process that last ran the study still does; unknown where it is another's."""
    if not isinstance(owner, str):
        return False
    host, _, pid = owner.rpartition(":")
    if host != socket.gethostname():
        logger.warning(
            "the study was last run on %s; its running trials are left as they are, since it may "
            "still go on there",
            host,
        )
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return int(pid) != os.getpid()
