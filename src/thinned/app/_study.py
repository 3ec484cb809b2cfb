"""An Optuna study that can be killed and taken up again.

Hydra's Optuna sweeper goes on with a study of the same name and storage, but with four holes: a
killed trial stays ``RUNNING`` for ever and its point is lost; a sampler with a fixed seed proposes
the points of the first run again; ``n_trials`` counts from 0, and a grid that is done begins anew;
and trials of other data or another model go into the same study. They are closed here, before the
sweeper starts.
"""

import logging
import os
import socket
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from thinned._log import logger
from thinned.report._format import from_here, short
from thinned.report._records.process import process_lives, process_mark
from thinned.report._records.secrets import overrides_without_secrets

from ._errors import ConfigError
from ._study_space import check_space, is_grid, overrides, points_left

_SWEEPER = "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"
_OWNER = "thinned:process"
_FIXED = "thinned:overrides"
_FOLDERS = "thinned:folders"
_NO_MATTER = {"name", "group", "threads", "pages", "logger"}  # to what a trial measures


class StudyDone(Exception):  # noqa: N818  # no error: there is nothing left to do
    """All trials that were asked for are there; the message says how to get more."""


def is_optuna(config: DictConfig) -> bool:
    """Whether Optuna's sweeper runs the multirun."""
    return bool(config.hydra.sweeper.get("_target_") == _SWEEPER)


def prepare(config: DictConfig) -> list[str]:
    """Put a stored study in order and fit the sweeper's configuration to what it holds.

    Trials that a dead process left running are closed, and their points are the first to run.
    The sampler's seed moves on by the number of trials. ``n_trials`` becomes what is missing.

    Args:
        config: what Hydra composed for the multirun; the sweeper's part is changed in place.

    Returns:
        The folders that the study's earlier sweeps had, as far as they are there.

    Raises:
        ConfigError: if the study cannot be opened, or has trials of other overrides (those that are
            searched aside), of another search space or another direction.
        StudyDone: if no trial is missing.
    """
    sweeper = config.hydra.sweeper
    if not is_optuna(config) or not sweeper.get("storage"):
        return []
    if sweeper.n_trials < 1:
        msg = f"Expected `hydra.sweeper.n_trials` to be at least 1, got {sweeper.n_trials}."
        raise ConfigError(msg)
    study = _open(sweeper)
    _check_overrides(study, _fixed(config))
    check_space(study, config)
    closed = 0
    if not _alive(study.user_attrs.get(_OWNER)):
        running = [one for one in study.get_trials() if one.state.name == "RUNNING"]
        closed = sum(_close(study, trial) for trial in running)
    study.set_user_attr(_OWNER, {**process_mark(), "name": socket.gethostname()})

    points = points_left(study, config) if is_grid(config) else None
    trials = study.get_trials(deepcopy=False)
    done = sum(trial.state.is_finished() for trial in trials) - _closed_before(trials)
    asked = sweeper.n_trials
    sweeper.n_trials = max(0, asked - done)
    if points is not None:
        sweeper.n_trials = min(sweeper.n_trials, points)
    if not sweeper.n_trials:
        raise StudyDone(_nothing_left(study, done, asked, points))
    if "seed" in sweeper.sampler:
        sweeper.sampler.seed = (sweeper.sampler.seed or 0) + len(trials)
    if trials:
        logger.info(
            "study %s: %d trials are done, %d were killed and run again, %d to go",
            study.study_name,
            done,
            closed,
            sweeper.n_trials,
        )
    return _earlier(study, Path(config.hydra.sweep.dir))


def _earlier(study: Any, folder: Path) -> list[str]:
    """Note where this sweep is, and return where those before it are."""
    own = str(folder.absolute())
    before = [each for each in study.user_attrs.get(_FOLDERS, []) if each != own]
    study.set_user_attr(_FOLDERS, [*before, own])
    return [from_here(Path(each)) for each in before if Path(each).is_dir()]


def _open(sweeper: DictConfig) -> Any:
    """Make the study, or load it."""
    logging.getLogger("alembic").setLevel(logging.WARNING)  # before the import, which speaks
    import optuna

    optuna.logging.set_verbosity(logging.WARNING)
    name, storage = sweeper.study_name, str(sweeper.storage)
    asked = _directions(sweeper.direction)
    try:
        study = optuna.create_study(
            study_name=name, storage=storage, directions=asked, load_if_exists=True
        )
    except ValueError:  # it is there, with other directions
        began = optuna.load_study(study_name=name, storage=storage).directions
        was = ", ".join(each.name.lower() for each in began)
        msg = (
            f"Expected `hydra.sweeper.direction` as study {name} began, {was}, got "
            f"{', '.join(asked)}. For another study: hydra.sweeper.study_name=NAME."
        )
        raise ConfigError(msg) from None
    except Exception as error:  # of whatever database; the URL may hold a password
        reason = error if isinstance(error, ImportError) else getattr(error, "orig", "no URL")
        why = f"{type(error).__name__}: {reason}".rstrip(".")
        msg = (
            "Expected `hydra.sweeper.storage` to be the URL of a database that can be opened, like "
            f"sqlite:///multirun/rates.db, got {why}."
        )
        raise ConfigError(msg) from error
    return study


def _nothing_left(study: Any, done: int, asked: int, points: int | None) -> str:
    """Say why no trial is to run, how to get more, and what the study found."""
    if points == 0:
        why = f"study {study.study_name}: all points of the grid are done. For another grid: "
        told = f"{why}hydra.sweeper.study_name=NAME."
    else:
        why = f"study {study.study_name}: {done} trials are done, n_trials={asked} asks for no "
        told = f"{why}more. Raise it: hydra.sweeper.n_trials={done + asked}."
    completed = any(one.state.name == "COMPLETE" for one in study.get_trials(deepcopy=False))
    if len(study.directions) > 1 or not completed:
        return told
    best = " ".join(
        f"{key}={short(value) if isinstance(value, float) else value}"
        for key, value in study.best_params.items()
    )
    return f"{told} The best so far: {short(study.best_value)} with {best}."


def _fixed(config: DictConfig) -> list[str]:
    """Return what all trials have in common, of what was typed, without what does not matter."""
    lines = [
        one.input_line
        for one in overrides(config)
        if not one.is_sweep_override() and one.key_or_group.split(".")[0] not in _NO_MATTER
    ]
    return sorted(set(overrides_without_secrets(lines)))


def _check_overrides(study: Any, given: list[str]) -> None:
    """Refuse to mix what cannot be compared; a study of before this was noted goes on."""
    before = study.user_attrs.get(_FIXED)
    if before is None or not study.get_trials(deepcopy=False):
        study.set_user_attr(_FIXED, given)
    elif before != given:
        was = " ".join(sorted(set(before) - set(given))) or "the default"
        now = " ".join(sorted(set(given) - set(before))) or "the default"
        msg = (
            f"Expected the overrides that study {study.study_name} began with, {was}, got {now}: "
            "trials of both do not compare. For another study: hydra.sweeper.study_name=NAME."
        )
        raise ConfigError(msg)


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
    if not isinstance(owner, dict):
        return False
    if owner.get("host") != process_mark()["host"]:
        logger.warning(
            "the study was last run on %s; its running trials are left as they are, since it may "
            "still go on there",
            owner.get("name"),
        )
        return True
    return process_lives(owner) and owner.get("pid") != os.getpid()
