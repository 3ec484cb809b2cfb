"""A comparison as a table in the terminal, as CSV and as JSON."""

import csv
import json
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from thinned.report._compare import Arm, Comparison
from thinned.report._format import p_value, plus_minus, signed
from thinned.report._statistics import Difference
from thinned.report._writer import plain

_LEFT_OUT = ("running", "failed", "crashed", "interrupted")


def table(found: Comparison) -> Table:
    """Draw the comparison: a row an arm, means ± standard errors, difference to the baseline."""
    told = "\n".join([found.conclusion, *found.evidence])
    drawn = Table(title=Text(told), caption=Text(found.action), title_justify="left")
    drawn.caption_justify, drawn.caption_style = "left", "bold"
    drawn.add_column(Text(" ".join(found.settings) or "arm"), overflow="fold")
    drawn.add_column("runs", justify="right")
    for column in found.columns:
        drawn.add_column(Text(f"{column.key}\n{column.at}"), justify="right")
    if found.baseline is not None:
        drawn.add_column(Text(f"{found.main.key} minus\n{found.baseline}"), justify="right")
        drawn.add_column("\np", justify="right")
    for arm in found.arms:
        drawn.add_row(*_cells(found, arm), style="bold" if arm.label == found.chosen else "")
    return drawn


def state(arm: Arm) -> str:
    """How many runs an arm has, and what became of those that are in no mean.

    Example:
        >>> state(Arm("rate=0.1", {}, []))
        '0'
    """
    others = {status: arm.count(status) for status in _LEFT_OUT}
    left_out = [f"{count} {status}" for status, count in others.items() if count]
    return ", ".join([str(arm.count("finished")), *left_out])


def _cells(found: Comparison, arm: Arm) -> list[Text]:
    mark = " ←" if arm.label == found.chosen else ""
    cells = [" ".join(arm.choice.values()) + mark, state(arm)]
    means = [arm.estimates.get(column.title) for column in found.columns]
    cells += [plus_minus(mean.mean, mean.se) if mean else "" for mean in means]
    if found.baseline is not None:
        change = arm.differences.get(found.main.title)
        cells += [difference(change), p_value(change.p).removeprefix("= ") if change else ""]
    return [Text(cell) for cell in cells]


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
    path = Path(path)
    titles = [column.title for column in found.columns]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        head = ["run", "arm", *found.settings, "seed", "status", "error", "best_epoch", *titles]
        writer.writerow(head)
        for arm in found.arms:
            for run in arm.runs:
                record = run.record
                row: list[Any] = [record.folder, arm.label, *run.choice.values(), record.seed]
                row += [record.status, record.error, run.best_epoch]
                writer.writerow([*row, *(run.values.get(title) for title in titles)])
    return path


def to_json(found: Comparison, path: str | Path) -> Path:
    """Write the whole comparison: conclusion, arms with their statistics, and runs."""
    path = Path(path)
    path.write_text(json.dumps(plain(as_dict(found)), indent=2, ensure_ascii=False) + "\n", "utf-8")
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
                "status": run.record.status,
                "error": run.record.error or None,
                "best_epoch": run.best_epoch,
                "values": run.values,
            }
            for run in arm.runs
        ],
    }
