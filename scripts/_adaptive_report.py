"""What `scripts/adaptive` prints, and the tables and pictures of docs/evidence/adaptive.md."""

import pathlib

import _adaptive_picture as picture
from _adaptive_methods import METHODS
from _adaptive_scores import SCALED, TaskScores, judge, load, summarize
from _adaptive_summary import summarized, with_table

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "evidence" / "adaptive.md"
OURS = "adaptive"
SWEEP = "grid by validation"
COMPUTED = {
    "p=0, temperature": "no dropout, temperature fitted on validation after the run",
    "p=0, temperature >= 1": "the same, not below 1: never surer than it is",
    SWEEP: "the {sweep} constants, chosen by validation for each seed",
}
SHOWN = ("p=0.00", "p=0.50", "p=0.70")  # constants that stand in the table of methods


def read(folder: pathlib.Path, names: list[str]) -> list[TaskScores]:
    """The tasks that the folder has runs of."""
    return [judge(folder, name) for name in names if list(folder.glob(f"{name}.*.npz"))]


def show(folder: pathlib.Path, names: list[str], sweep: int) -> None:
    """Print the tables; a sweep is of that many constants."""
    tasks = read(folder, names)
    print(of_tasks(tasks), of_methods(tasks, sweep), sep="\n\n")


def write(folder: pathlib.Path, names: list[str], kind: str, sweep: int) -> None:
    """Put the tables of a set of tasks into the page, and its summary; of the ten pictures too."""
    tasks = read(folder, names)
    text = PAGE.read_text()
    for name, table in ((f"{kind}, tasks", of_tasks(tasks)), (kind, of_methods(tasks, sweep))):
        text = with_table(text, name, table)
    PAGE.write_text(summarized(text))
    if kind == "ten":
        picture.regrets(tasks, OURS, PAGE.with_name("adaptive-regret.svg"))
        runs = {task.task: load(folder, task.task) for task in tasks}
        picture.rates(tasks, runs, OURS, PAGE.with_name("adaptive-rates.svg"))


def of_tasks(tasks: list[TaskScores]) -> str:
    """A row for each task: final test loss of ours and of what it has to beat."""
    rows = [
        (
            "| task | seeds | best rate | its loss | ours - best | within 1 SE | no dropout | 0.5 "
            "| temperature | not below 1 | grid by val. | worse than none | than 0.5 "
            "| best-epoch regret |"
        ),
        "|" + "---|" * 14,
    ]
    for task in tasks:
        ours = task.scores[OURS]
        best = task.rates[task.best]
        others = ("p=0.00", "p=0.50", *SCALED, SWEEP)
        cells = [
            task.task,
            str(task.seeds),
            f"{best:.2f}",
            f"{task.scores[f'p={best:.2f}'].final.mean():.3f}",
            f"{ours.to_best.mean:+.3f} ± {ours.to_best.error:.3f}",
            "yes" if ours.within else "no",
            *(_final(task, name) for name in others),
            "yes" if ours.to_zero.worse else "no",
            "yes" if ours.to_half.worse else "no",
            f"{ours.regret:+.1%}",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _final(task: TaskScores, name: str) -> str:
    return f"{task.scores[name].final.mean():.3f}" if name in task.scores else "-"


def of_methods(tasks: list[TaskScores], sweep: int) -> str:
    """A row for each method, over all tasks."""
    rows = [
        (
            "| method | cost | within 1 SE | mean regret, final | best epoch | its worst "
            "| worse than none | than 0.5 | better than 0.5 | accuracy | test - val. |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    held = set.intersection(*(set(task.scores) for task in tasks))
    for name in (*METHODS, *COMPUTED):
        if name not in held or (name.startswith("p=") and name not in (*SHOWN, *COMPUTED)):
            continue
        words = COMPUTED[name] if name in COMPUTED else METHODS[name].words
        s = summarize(tasks, name)
        accuracy = sum(task.scores[name].accuracy for task in tasks) / len(tasks)
        cells = [
            words.format(sweep=sweep),
            f"{sweep}x" if name == SWEEP else "1x",
            f"{s.within} of {len(tasks)}",
            f"{s.final_regret:+.1%}",
            f"{s.early_regret:+.1%}",
            f"{s.worst_early:+.1%}",
            *(str(n) for n in (s.worse_than_zero, s.worse_than_half, s.better_than_half)),
            f"{accuracy:.3f}",
            f"{s.leak:+.3f}",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)
