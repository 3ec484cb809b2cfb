"""A comparison as a table in the terminal, as CSV and as JSON."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from thinned.report._format import p_value, plus_minus, signed
from thinned.report._records.writer import plain

from .arms import Arm, Column, Comparison
from .statistics import Difference

LEFT_OUT = ("running", "failed", "crashed", "interrupted", "stopped", "diverged", "unmeasured")


def table(found: Comparison, width: int = 120) -> Table:
    """Draw the comparison: a row an arm, means ± standard errors, difference to the baseline.

    Where it does not fit into ``width`` the errors go below the means; then columns are left out,
    the less important ones first.
    """
    columns = _columns(found)
    if _width(columns) > width:
        columns = [[cell.replace(" ± ", "\n± ") for cell in column] for column in columns]
    while len(columns) > 3 and _width(columns) > width:
        columns.pop()
    told = "\n".join([found.conclusion, *found.evidence])
    drawn = Table(title=Text(told), caption=Text(found.action), box=SIMPLE_HEAD, padding=(0, 1))
    drawn.title_justify = drawn.caption_justify = "left"
    drawn.title_style = drawn.caption_style = "bold"
    drawn.collapse_padding = True
    for i, (head, *_) in enumerate(columns):
        drawn.add_column(Text(head), justify="right" if i else "left", no_wrap=True)
    for i, arm in enumerate(found.arms):
        style = "bold" if arm.label == found.chosen else ""
        drawn.add_row(*(Text(column[i + 1]) for column in columns), style=style)
    return drawn


def _width(columns: list[list[str]]) -> int:
    """How wide the table is: its columns, the space around each, and its edges."""
    lines = ([line for cell in column for line in cell.split("\n")] for column in columns)
    return sum(max(map(len, each)) + 2 for each in lines) + 2


def _columns(found: Comparison) -> list[list[str]]:
    """The columns as text, heading first, the most important ones first."""
    arms = found.arms
    marks = {found.chosen: " ←"}
    names = [
        (" ".join(arm.choice.values()) or arm.label) + marks.get(arm.label, "") for arm in arms
    ]
    columns = [[" ".join(found.settings) or "arm", *names]]
    columns.append(["runs", *(state(arm) for arm in arms)])
    main, last, *further = (
        [f"{_name(column.key)}\n{column.at}", *_means(arms, column)] for column in found.columns
    )
    columns.append(main)
    if found.baseline is not None:
        changes = [arm.differences.get(found.main.title) for arm in arms]
        columns.append([f"minus\n{found.baseline}", *(difference(change) for change in changes)])
        values = [p_value(change.p).removeprefix("= ") if change else "" for change in changes]
        columns.append(["p", *values])
    return [*columns, *further, last]


def _name(key: str) -> str:
    """A metric's name as people say it."""
    gap = "overfit/gap/"
    return f"fair gap\n{key.removeprefix(gap)}" if key.startswith(gap) else key


def _means(arms: Sequence[Arm], column: Column) -> list[str]:
    means = [arm.estimates.get(column.title) for arm in arms]
    return [plus_minus(mean.mean, mean.se) if mean else "" for mean in means]


def state(arm: Arm) -> str:
    """How many runs an arm has, and what became of those that are in no mean.

    Example:
        >>> state(Arm("rate=0.1", {}, []))
        '0'
    """
    others = {status: arm.count(status) for status in LEFT_OUT}
    left_out = [f"{count} {status}" for status, count in others.items() if count]
    return ", ".join([str(arm.count("finished", "unknown")), *left_out])


def difference(change: Difference | None) -> str:
    """A difference with its standard error.

    Example:
        >>> difference(Difference(mean=-0.0944, se=0.0031, n=5))
        '\u22120.0944 ± 0.0031'
    """
    if change is None:
        return ""
    if change.se is None:
        return signed(change.mean)
    sign = "\u2212" if change.mean < 0 else "+"
    return sign + plus_minus(abs(change.mean), change.se)


def to_csv(found: Comparison, path: str | Path) -> Path:
    """Write one row a run, for further work elsewhere."""
    path = _room_for(path)
    titles = [column.title for column in found.columns]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        head = ["run", "arm", *found.settings, "seed", "status", "error", "best_epoch", *titles]
        writer.writerow(head)
        for arm in found.arms:
            for run in arm.runs:
                record = run.record
                row: list[Any] = [record.folder, arm.label, *run.choice.values(), record.seed]
                row += [run.state, record.error, run.best_epoch]
                writer.writerow([*row, *(run.values.get(title) for title in titles)])
    return path


def to_json(found: Comparison, path: str | Path) -> Path:
    """Write the whole comparison: conclusion, arms with their statistics, and runs."""
    path = _room_for(path)
    path.write_text(json.dumps(plain(as_dict(found)), indent=2, ensure_ascii=False) + "\n", "utf-8")
    return path


def _room_for(path: str | Path) -> Path:
    """The path, in a folder that is there."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def as_dict(found: Comparison) -> dict[str, Any]:
    """The comparison in plain types."""
    return {
        "metric": found.main.key,
        "mode": found.main.mode,
        "baseline": found.baseline,
        "best": found.best,
        "chosen": found.chosen,
        "significant": found.significant,
        "conclusion": found.conclusion,
        "evidence": found.evidence,
        "action": found.action,
        "arms": [_arm(arm) for arm in found.arms],
    }


def _arm(arm: Arm) -> dict[str, Any]:
    return {
        "label": arm.label,
        "choice": arm.choice,
        "within_one_standard_error": arm.within_one_se,
        "means": {
            title: {"mean": e.mean, "se": e.se, "n": e.n} for title, e in arm.estimates.items()
        },
        "differences": {
            title: {
                **{name: getattr(d, name) for name in ("mean", "se", "n", "low", "high", "p")},
                "paired": d.paired,
                "significant": d.significant,
            }
            for title, d in arm.differences.items()
        },
        "runs": [
            {
                "path": str(run.record.folder),
                "seed": run.record.seed,
                "status": run.state,
                "error": run.record.error or None,
                "best_epoch": run.best_epoch,
                "values": run.values,
            }
            for run in arm.runs
        ],
    }
