"""To Optuna a trial that the sweep stopped early is pruned, like one that Optuna itself stops.

Hydra's sweeper calls every trial complete that did not fail. Then the best one could be a trial
that was stopped before it got worse, as the others did, and a sampler would take its last value for
that of a whole training.
"""

import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ._status import read_status


@contextmanager
def stopped_are_pruned(folder: Path, pattern: str) -> Iterator[None]:
    """For the time of a sweep, tell Optuna of the trials whose jobs were stopped.

    Args:
        folder: of the sweep.
        pattern: where a job's status lies below it.
    """
    from optuna.study import Study
    from optuna.trial import TrialState

    plain = Study.tell

    @functools.wraps(plain)
    def tell(study: Study, trial: Any, values: Any = None, state: Any = TrialState.COMPLETE) -> Any:
        if state is TrialState.COMPLETE and len(study.directions) == 1:  # Optuna prunes no other
            epochs = _stopped_at(trial.params, folder.glob(pattern))
            if epochs is not None:
                trial.report(values[0], epochs)
                values, state = None, TrialState.PRUNED
        return plain(study, trial, values, state)

    setattr(Study, "tell", tell)  # noqa: B010  # mypy refuses the assignment
    try:
        yield
    finally:
        setattr(Study, "tell", plain)  # noqa: B010


def _stopped_at(params: dict[str, Any], statuses: Iterable[Path]) -> int | None:
    """Return after how many epochs the latest job with these parameters was stopped, or None."""
    words = {f"{name}={value}" for name, value in params.items()}  # as Hydra's sweeper writes them
    found = [read_status(path.parent) or {} for path in statuses]
    its = [one for one in found if words <= set(one.get("overrides", ()))]
    latest = max(its, key=lambda one: one["started"], default={})
    stopped: int | None = latest.get("stopped_at")
    return stopped
