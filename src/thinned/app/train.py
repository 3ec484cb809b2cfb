"""``thinned train``: Hydra composes the configuration, and each job of it is checked and run.

Nothing here imports torch before a job's configuration has been checked, so that ``--help``,
``--cfg job``, the Tab key and a typing error cost as much as in any Hydra application.
"""

import os
import shlex
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig

from . import _progress, _resolvers
from ._check import check_config, check_single
from ._conf import MAIN, conf_dir, groups
from ._errors import ConfigError, check_choices, explain
from ._status import NAME, JobStatus

OK, FAILED, WRONG_CONFIG, TERMINATED = 0, 1, 2, 128 + 15

# What was typed. Hydra is given a part of it, and Lightning's DDP repeats all of it.
_COMMAND = tuple(sys.argv)

_resolvers.register()

_failures: list[Exception] = []


def main(argv: Sequence[str]) -> int:
    """Run ``thinned train`` with Hydra's arguments and return the exit code.

    Args:
        argv: overrides and flags of Hydra: ``["-m", "seed=1,2"]``.

    Returns:
        0, or 1 where a job failed while it ran, or 2 where the configuration was wrong, or 143
        where SIGTERM ended it, as the shell has it.
    """
    import hydra

    full = os.environ.get("HYDRA_FULL_ERROR") == "1"
    entry = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=MAIN)(job)
    _failures.clear()
    ended: tuple[int, str] | None = None
    try:
        check_choices(argv, groups())
        with _hydra_raises(), _arguments(argv):
            entry()
    except Exception as error:  # every error ends here: one line, or its traceback
        _failures.append(_unwritable(error, argv) or error)
    except _progress.Stop as stop:
        if isinstance(stop.__cause__, ConfigError):
            _failures.append(stop.__cause__)
        else:
            ended = OK, str(stop.__cause__)
    except SystemExit as error:
        if type(error).__name__ != "SIGTERMException":  # Lightning's, whose code is 0
            raise
        ended = TERMINATED, "ended by SIGTERM"
    finally:
        sweep = _progress.stop()
    if sweep is not None:
        _summarize(sweep)
    if ended is not None:
        sys.stderr.write(f"thinned: {ended[1]}\n")
        return ended[0]
    if sweep is not None and sweep.count("failed"):  # each with its traceback in its status.json
        return WRONG_CONFIG if _failures and explain(_failures[-1]) else FAILED
    return _report(_failures[-1], argv, full=full) if _failures else OK


def job(cfg: DictConfig) -> Any:
    """Check, build and run one job; what Hydra's launchers call, in whatever process.

    Returns:
        What a sweeper minimizes: the value of ``objective``, or one for each of a list.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    sys.argv = list(_COMMAND)
    hydra_cfg = HydraConfig.get()
    # The user's own package, also in a launcher's process; last, so that it hides nothing.
    if hydra_cfg.runtime.cwd not in sys.path:
        sys.path.append(hydra_cfg.runtime.cwd)
    typed = _resolvers.typed(hydra_cfg)
    status = JobStatus(hydra_cfg.runtime.output_dir, typed)
    try:
        if hydra_cfg.mode is RunMode.RUN:
            check_single(typed)
        plain = check_config(cfg, typed)
        from ._job import run

        result = run(cfg, plain)
    except BaseException as error:
        status.failed(error)
        if hydra_cfg.mode is RunMode.MULTIRUN or not isinstance(error, Exception):
            raise
        _failures.append(error)  # raised, Hydra would add lines of its own
        return None
    status.finished(result.metrics, result.stopped_at)
    return result.objective


def _unwritable(error: Exception, argv: Sequence[str]) -> ConfigError | None:
    """Return what to say where Hydra could not make the folder of a run or sweep."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    found = error if isinstance(error, OSError) else error.__cause__  # of Hydra's own log file
    if not isinstance(found, OSError) or found.filename is None:  # Hydra's own are OSErrors too
        return None
    if any(frame.f_code is job.__code__ for frame in frames):
        return None
    key = "sweep" if {"-m", "--multirun"} & set(argv) else "run"
    what = f"{found.filename!r}: {found.strerror}"
    return ConfigError(f"Expected `hydra.{key}.dir` to be a folder to write into, got {what}.")


def _summarize(sweep: _progress.Follower) -> None:
    """Name the jobs of a multirun that failed, and what to do with the others."""
    failed = {folder: job for folder, job in sweep.jobs.items() if job["status"] == "failed"}
    for folder, status in sorted(failed.items()):
        sys.stderr.write(f"thinned: failed, see {folder}/{NAME}: {status['error']}\n")
    if len(sweep.jobs) > len(failed):
        folders = shlex.join([*sweep.earlier, str(sweep.folder)])
        sys.stderr.write(f"thinned: to compare them: thinned compare {folders}\n")


def _report(error: Exception, argv: Sequence[str], *, full: bool) -> int:
    """Print what went wrong, in one line where it was the configuration."""
    line = explain(error, argv)
    if full:
        traceback.print_exception(error)
    elif line is not None:
        sys.stderr.write(f"thinned: {line}\n")
    else:
        traceback.print_exception(error)
    return FAILED if line is None else WRONG_CONFIG


@contextmanager
def _hydra_raises() -> Iterator[None]:
    """Let errors out of ``hydra.main``, which else prints them in its own way and exits."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


@contextmanager
def _arguments(argv: Sequence[str]) -> Iterator[None]:
    """Give Hydra, which reads ``sys.argv``, the arguments that follow the subcommand."""
    before = sys.argv
    sys.argv = [before[0], *argv]
    try:
        yield
    finally:
        sys.argv = before
