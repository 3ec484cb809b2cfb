"""The pictures of docs/evidence/adaptive.md."""

import pathlib

import matplotlib as mpl
import numpy as np
from _adaptive_scores import TaskScores

mpl.use("svg")
import matplotlib.pyplot as plt

plt.rcParams["svg.hashsalt"] = "adaptive"  # the same picture is the same file
COMPARED = {
    "p=0.00": "no dropout",
    "p=0.50": "constant 0.5",
    "p=0, temperature >= 1": "no dropout, temperature >= 1",
    "grid by validation": "grid, by validation (20x)",
}


def regrets(tasks: list[TaskScores], ours: str, path: pathlib.Path) -> None:
    """Final test loss over that of the hindsight best, of each task and method."""
    figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    place = np.arange(len(tasks))
    shown = {**COMPARED, ours: "AdaptiveDropout"}
    for i, (name, label) in enumerate(shown.items()):
        low = np.array([t.scores[f"p={t.rates[t.best]:.2f}"].final.mean() for t in tasks])
        mean = np.array([t.scores[name].to_best.mean for t in tasks]) / low
        error = np.array([t.scores[name].to_best.error for t in tasks]) / low
        at = place + (i - len(shown) / 2 + 0.5) * 0.14
        marker = "D" if name == ours else "o"
        axes.errorbar(at, 100 * mean, 100 * error, fmt=marker, ms=4, label=label)
    axes.axhline(0, color="0.5", lw=0.8)
    axes.set_yscale("symlog", linthresh=10)
    axes.set_yticks((-10, -5, 0, 5, 10, 20, 50, 100), minor=False)
    axes.set_yticks((), minor=True)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xticks(place, [t.task for t in tasks], rotation=30, ha="right")
    axes.set_ylabel("final test loss over the best constant rate's, %")
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    save(figure, path)


def rates(
    tasks: list[TaskScores],
    runs: dict[str, tuple[list[str], dict[str, np.ndarray]]],
    ours: str,
    path: pathlib.Path,
) -> None:
    """The rate over training, mean and spread over seeds, and the constant that was best."""
    columns = 5
    lines = -(-len(tasks) // columns)
    figure, grid = plt.subplots(
        lines,
        columns,
        figsize=(9, 2 * lines),
        sharex=True,
        sharey=True,
        layout="constrained",
        squeeze=False,
    )
    for task, axes in zip(tasks, grid.flat, strict=False):
        names, found = runs[task.task]
        rate = found["rate"][:, names.index(ours)]
        share = np.linspace(0, 1, rate.shape[-1])
        low, middle, high = np.quantile(rate, (0.1, 0.5, 0.9), axis=0)
        axes.fill_between(share, low, high, alpha=0.25, lw=0)
        axes.plot(share, middle)
        axes.axhline(task.rates[task.best], color="C3", ls="--", lw=1)
        axes.set_title(task.task, fontsize=9)
        axes.set_ylim(0, 1)
    figure.supxlabel("share of training", fontsize=9)
    figure.supylabel("rate", fontsize=9)
    save(figure, path)


def save(figure: plt.Figure, path: pathlib.Path) -> None:
    """Write the file without a date."""
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")
