"""The page of a comparison."""

from pathlib import Path
from typing import Any

from thinned.report._comparison.arms import Arm, Column, Comparison
from thinned.report._comparison.table import state
from thinned.report._format import p_value, plus_minus, signed
from thinned.report._pages import compare_figures as figures

from .answer import Answer, Tile
from .page import STEEP, made
from .render import render, write

PAGE_NAME = "compare.html"


def write_compare_page(found: Comparison, out: str | Path | None = None) -> Path:
    """Write the page of a comparison: a single HTML file that loads nothing.

    Args:
        found: what `compare` returned.
        out: the file to write; without it ``compare.html`` in the folder that holds the runs.
    """
    path = Path(out) if out else common_folder(found) / PAGE_NAME
    return write(compare_page(found, path.parent), path)


def compare_page(found: Comparison, folder: Path) -> str:
    """Make the page of a comparison, as text."""
    panels, steep = figures.curves(found)
    drawn: dict[str, Any] = {}
    if any(found.main.title in arm.estimates for arm in found.arms):
        drawn["means"] = figures.means(found)
    changes = [arm.differences.get(found.main.title) for arm in found.arms]
    if not found.other_data and any(each and each.low is not None for each in changes):
        drawn["differences"] = figures.differences(found)
    drawn.update({name: figure for name, (figure, _) in panels.items()})
    return render(
        "compare.html",
        drawn,
        title=f"{folder.resolve().name}: thinned comparison",
        folder=folder.resolve().name,
        comparison=found,
        found=_answer(found),
        drawn=drawn,
        steep=STEEP if steep else "",
        panels={name: label for name, (_, label) in panels.items()},
        arm_head=_arm_head(found),
        arm_rows=[_arm_row(found, arm) for arm in found.arms],
        run_head=_run_head(found),
        run_rows=_run_rows(found),
        left_out=max(0, len(found.arms) - figures.MAX_PANELS),
        **made(),
    )


def common_folder(found: Comparison) -> Path:
    """The folder that holds all runs."""
    folders = [run.record.folder.absolute() for run in found.runs]
    if len(folders) == 1:
        return folders[0]
    common = folders[0]
    while not all(folder.is_relative_to(common) for folder in folders):
        common = common.parent
    return common


def _answer(found: Comparison) -> Answer:
    told = Answer(headline=found.conclusion, evidence=found.evidence, action=found.action)
    chosen, base = found.arm(found.chosen), found.arm(found.baseline)
    if found.significant:
        told.word, told.tone, told.sign = "significantly better", "good", "✓"
    elif any(found.main.title in arm.differences for arm in found.arms) and not found.other_data:
        told.word, told.tone, told.sign = "no significant improvement", "warn", "≈"
    if found.significant and chosen is not None and chosen.choice:
        told.command = chosen.label
    left = [run for run in found.runs if not run.counts]
    told.tiles = [
        Tile("runs", str(len(found.runs)), f"{len(left)} not in the means" if left else "")
    ]
    for title, arm in (
        ("baseline", base),
        ("choice", chosen),
        ("best mean", found.arm(found.best)),
    ):
        if arm is not None:
            mean = arm.estimates.get(found.main.title)
            note = plus_minus(mean.mean, mean.se) if mean else "no finished run"
            told.tiles.append(Tile(title, " ".join(arm.choice.values()) or arm.label, note))
    return told


def _arm_head(found: Comparison) -> list[str]:
    main, *further = (_title(column) for column in found.columns)
    compared = ["difference", "95% interval", "p (Holm)", "within 1 SE"]
    return ["arm", "runs", main, *(compared if found.baseline is not None else []), *further]


def _arm_row(found: Comparison, arm: Arm) -> list[Any]:
    means = [arm.estimates.get(column.title) for column in found.columns]
    main, *further = (plus_minus(mean.mean, mean.se) if mean else "" for mean in means)
    compared: list[str] = []
    if found.baseline is not None:
        change = arm.differences.get(found.main.title)
        if change is None:
            compared = ["baseline" if arm.label == found.baseline else "", "", ""]
        else:
            known = change.low is not None
            interval = f"{signed(change.low)} to {signed(change.high)}" if known else ""
            compared = [signed(change.mean), interval, p_value(change.p).removeprefix("= ")]
        compared.append("yes" if arm.within_one_se else "no")
    return [arm.label, state(arm), main, *compared, *further]


def _title(column: Column) -> str:
    """Return a column's heading, the gap by the name that people say."""
    gap = "overfit/gap/"
    return column.title.replace(gap, "fair gap, ", 1)


def _run_head(found: Comparison) -> list[str]:
    titles = [_title(column) for column in found.columns]
    return ["run", *found.settings, "seed", "status", "best epoch", *titles]


def _run_rows(found: Comparison) -> list[list[Any]]:
    titles = [column.title for column in found.columns]
    rows = []
    for run in found.runs:
        record = run.record
        status = f"{run.state}: {record.error}" if record.error else run.state
        row: list[Any] = [record.name, *run.choice.values(), record.seed, status, run.best_epoch]
        rows.append([*row, *(run.values.get(title) for title in titles)])
    return rows
