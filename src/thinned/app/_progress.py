"""Progress over the jobs of a multirun, with the time left.

The jobs may run in this process, in others or on other machines, so their number is read off the
``status.json`` in each job's folder.
"""

import math
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from thinned._log import is_first_rank

from ._errors import ConfigError
from ._processes import check_processes
from ._status import NAME, read_status
from ._study import StudyDone, is_optuna, prepare
from ._study_pruned import stopped_are_pruned
from ._study_space import overrides

_EVERY = 0.5  # seconds between two looks


class Stop(BaseException):
    """Ends a multirun before its first job: of an ``Exception`` in a callback Hydra only warns."""


class SweepProgress(Callback):
    """Hydra's callback that follows a multirun until :func:`stop`."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002  # Hydra's signature
        """Put the study in order, and begin to follow."""
        stop()
        try:
            check_processes(config)
            earlier = prepare(config)
        except (ConfigError, StudyDone) as error:
            raise Stop from error
        if not is_first_rank():
            return  # the first process of DDP shows it, and the jobs' folders are below its own
        folder = Path(config.hydra.sweep.dir)
        # The name of a job's folder has the job's number, which is not known yet; its depth is.
        plain = cast("dict[str, Any]", OmegaConf.to_container(config.hydra.sweep, resolve=False))
        depth = len(Path(plain["subdir"]).parts)
        pattern = "/".join([*["*"] * depth, NAME])
        if is_optuna(config):
            _until_stopped.enter_context(stopped_are_pruned(folder, pattern))
        _running.append(Follower(folder, count_jobs(config), pattern, earlier))
        _running[0].start()


_running: list["Follower"] = []
_until_stopped = ExitStack()


def stop() -> "Follower | None":
    """End the display, if there is one, and return what it followed."""
    _until_stopped.close()
    if not _running:
        return None
    follower = _running.pop()
    follower.stop()
    return follower


def count_jobs(config: DictConfig) -> int:
    """Return how many jobs a multirun will have: its trials, or the product of its choices."""
    sweeper = config.hydra.sweeper
    if sweeper.get("n_trials") is not None:
        return int(sweeper.n_trials)
    sweeps = [one for one in overrides(config) if one.is_sweep_override()]
    return math.prod(sum(1 for _ in one.sweep_iterator()) for one in sweeps)


class Follower(threading.Thread):
    """Reads the status of the jobs of a sweep now and then, and shows how many are done.

    Args:
        folder: of the sweep.
        total: number of jobs.
        pattern: where a job's status lies below it.
        earlier: the folders that the same study had before.
    """

    def __init__(
        self, folder: Path, total: int, pattern: str = f"*/{NAME}", earlier: Iterable[str] = ()
    ) -> None:
        super().__init__(daemon=True, name="sweep progress")
        self.folder, self.total, self.earlier = folder, total, tuple(earlier)
        self.jobs: dict[str, dict[str, Any]] = {}
        self._pattern = pattern
        self._began = time.time()
        self._over = threading.Event()

    def run(self) -> None:
        """Look until told to stop, and once more then."""
        with _display(self.total) as show:
            while not self._over.wait(_EVERY):
                self.look()
                show(self)
            self.look()
            show(self)

    def stop(self) -> None:
        """Look a last time and end."""
        self._over.set()
        self.join()

    def look(self) -> None:
        """Read the status of the jobs that were not over before."""
        for path in self.folder.glob(self._pattern):
            folder = str(path.parent)
            if self.jobs.get(folder, {}).get("status", "running") == "running":
                status = read_status(folder)
                if status is not None and status.get("started", 0.0) >= self._began:
                    self.jobs[folder] = status

    def count(self, *words: str) -> int:
        """Return how many jobs have one of these states."""
        return sum(status["status"] in words for status in self.jobs.values())

    def line(self) -> str:
        """Say how far it is, and how long it takes."""
        done = self.count("finished", "failed", "interrupted")
        failed = self.count("failed")
        stopped = sum(status.get("stopped_at") is not None for status in self.jobs.values())
        told = [f"{failed} failed"] * bool(failed) + [f"{stopped} stopped early"] * bool(stopped)
        if 0 < done < self.total:
            seconds = (time.time() - self._began) / done * (self.total - done)
            minutes, rest = divmod(round(seconds), 60)
            told.append(f"about {minutes}:{rest:02} left")
        return ", ".join([f"{done} of {self.total} jobs done", *told])


@contextmanager
def _display(total: int) -> Iterator[Any]:
    """Show a bar in a terminal, and a line for each job elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(file=sys.stderr)
    if not console.is_terminal:
        last = [0]

        def write(follower: Follower) -> None:
            done = follower.count("finished", "failed", "interrupted")
            if done > last[0]:
                last[0] = done
                sys.stderr.write(f"thinned: {follower.line()}\n")

        yield write
        return
    columns: Iterable[Any] = (BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=total)

        def draw(follower: Follower) -> None:
            done = follower.count("finished", "failed", "interrupted")
            progress.update(task, completed=done, description=follower.line())

        yield draw
