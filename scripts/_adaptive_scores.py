"""What `scripts/adaptive` reads off the runs: paired differences to the best constant rate."""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np

Runs = Mapping[str, np.ndarray]
SCALED = {"p=0, temperature": "test_scaled", "p=0, temperature >= 1": "test_softened"}
"""Methods that are the run without dropout, its logits divided by a number afterwards."""


def load(folder: pathlib.Path, task: str) -> tuple[list[str], dict[str, np.ndarray]]:
    """The methods' names, and the arrays [seeds, methods, ...] of all of the task's files."""
    blocks: dict[str, list[Runs]] = {}  # first seed -> files with different methods
    for path in sorted(folder.glob(f"{task}.*.npz")):
        blocks.setdefault(path.name.split(".")[1], []).append(np.load(path))
    each = [join(files) for files in blocks.values()]
    names = [name for name in each[0][0] if all(name in found for found, _ in each)]
    rows = [
        {key: value[:, [found.index(name) for name in names]] for key, value in runs.items()}
        for found, runs in each
    ]
    found = {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
    for key in {"val", "test"} & found.keys():  # a training that diverged is the worst there is
        found[key] = np.nan_to_num(found[key], nan=np.inf, posinf=np.inf)
    return names, found


def join(files: list[Runs]) -> tuple[list[str], dict[str, np.ndarray]]:
    """The methods of several files of the same seeds, side by side."""
    names = [str(name) for file in files for name in file["methods"]]
    keys = [key for key in files[0] if key != "methods"]
    return names, {key: np.concatenate([file[key] for file in files], 1) for key in keys}


@dataclasses.dataclass(frozen=True)
class Paired:
    """A paired difference of two methods over seeds."""

    mean: float
    error: float  # standard error

    @classmethod
    def of(cls, one: np.ndarray, other: np.ndarray) -> "Paired":
        """One minus the other."""
        apart = one - other
        return cls(float(apart.mean()), float(apart.std(ddof=1) / len(apart) ** 0.5))

    @property
    def worse(self) -> bool:
        """Whether the one's loss is higher by more than two standard errors."""
        return self.mean > 2 * self.error


@dataclasses.dataclass(frozen=True)
class Score:
    """How a method did on a task.

    Args:
        final: test loss after the last step, of each seed.
        early: test loss at the evaluation whose validation loss was lowest, of each seed.
        accuracy: mean test accuracy after the last step.
        leak: test minus validation loss at that evaluation, mean.
        to_best: final loss against the constant rate that was best in hindsight.
        regret: mean early loss over that of the constant rate with the lowest, less one.
        to_zero: final loss against no dropout.
        to_half: final loss against a constant 0.5.
    """

    final: np.ndarray
    early: np.ndarray
    accuracy: float
    leak: float
    to_best: Paired
    regret: float
    to_zero: Paired
    to_half: Paired

    @property
    def within(self) -> bool:
        """Whether the final loss is within one paired standard error of the hindsight best."""
        return self.to_best.mean <= self.to_best.error


@dataclasses.dataclass(frozen=True)
class TaskScores:
    """All methods on one task."""

    task: str
    rates: list[float]
    best: int  # which of the rates had the lowest final loss
    best_early: int
    scores: dict[str, Score]
    seeds: int


def at_best_validation(runs: Runs, key: str = "test") -> np.ndarray:
    """The values at the evaluation with the lowest validation loss: [seeds, methods]."""
    where = runs["val"].argmin(-1)[..., None]
    return np.take_along_axis(runs[key], where, -1)[..., 0]


@np.errstate(invalid="ignore")  # of trainings that diverged
def judge(folder: pathlib.Path, task: str) -> TaskScores:
    """Read the task's runs and score every method, and what can be computed from the grid."""
    names, runs = load(folder, task)
    grid = [i for i, name in enumerate(names) if name.startswith("p=")]
    rates = [float(names[i][2:]) for i in grid]
    final, early = runs["test"][..., -1], at_best_validation(runs)
    early_val = runs["val"].min(-1)
    accuracy = runs["accuracy"][..., -1]
    columns = {
        name: (final[:, i], early[:, i], accuracy[:, i], early_val[:, i])
        for i, name in enumerate(names)
    }
    seeds = np.arange(len(final))
    zero = names.index("p=0.00")
    for name, key in SCALED.items():
        if key not in runs:
            continue
        columns[name] = (
            runs[key][:, zero],
            early[:, zero],  # the temperature is fitted after the last step
            accuracy[:, zero],
            early_val[:, zero],
        )
    late_pick = runs["val"][:, grid, -1].argmin(1)
    early_pick = early_val[:, grid].argmin(1)
    columns["grid by validation"] = (
        final[:, grid][seeds, late_pick],
        early[:, grid][seeds, early_pick],
        accuracy[:, grid][seeds, late_pick],
        early_val[:, grid][seeds, early_pick],
    )
    best = int(final[:, grid].mean(0).argmin())
    best_early = int(early[:, grid].mean(0).argmin())
    floor = early[:, grid[best_early]].mean()
    half = names.index("p=0.50")
    scores = {
        name: Score(
            final=last,
            early=first,
            accuracy=float(right.mean()),
            leak=float((first - val).mean()),
            to_best=Paired.of(last, final[:, grid[best]]),
            regret=float(first.mean() / floor - 1),
            to_zero=Paired.of(last, final[:, zero]),
            to_half=Paired.of(last, final[:, half]),
        )
        for name, (last, first, right, val) in columns.items()
    }
    return TaskScores(task, rates, best, best_early, scores, len(final))


@dataclasses.dataclass(frozen=True)
class Summary:
    """A method over all tasks."""

    within: int
    final_regret: float  # mean over tasks of mean final loss over the hindsight best's, less one
    early_regret: float
    worst_early: float
    worse_than_zero: int
    worse_than_half: int
    better_than_half: int
    leak: float


def summarize(tasks: list[TaskScores], method: str) -> Summary:
    """Count and average one method's scores."""
    found = [task.scores[method] for task in tasks]
    best = [task.scores[f"p={task.rates[task.best]:.2f}"].final.mean() for task in tasks]
    final = [score.final.mean() / low - 1 for score, low in zip(found, best, strict=True)]
    return Summary(
        within=sum(score.within for score in found),
        final_regret=float(np.mean(final)),
        early_regret=float(np.mean([score.regret for score in found])),
        worst_early=max(score.regret for score in found),
        worse_than_zero=sum(score.to_zero.worse for score in found),
        worse_than_half=sum(score.to_half.worse for score in found),
        better_than_half=sum(score.to_half.mean < -2 * score.to_half.error for score in found),
        leak=float(np.mean([score.leak for score in found])),
    )
