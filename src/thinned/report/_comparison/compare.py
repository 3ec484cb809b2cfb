"""Compares any set of runs: which choice really lowered the validation metric, and how sure."""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path

from thinned._checks import check_choice
from thinned.report._records.course import diverged, guess_mode
from thinned.report._records.find import find_records
from thinned.report._records.read import read_run
from thinned.report._records.record import BROKEN, Record

from .arms import Arm, Column, Comparison, Run
from .choices import NOTHING, choices, label
from .statistics import difference, estimate, holm, one_standard_error
from .words import conclusion

_LITTLE = 0.1  # the part of a run's whole change that its last third need not be waited for


def compare(
    paths: str | Path | Iterable[str | Path] | Sequence[Record],
    *,
    metric: str | None = None,
    mode: str | None = None,
    baseline: str | None = None,
    by: Sequence[str] = (),
    metrics: Sequence[str] | None = None,
) -> Comparison:
    """Compare runs over their seeds.

    Runs that differ in nothing but the seed form an arm. Each arm gets its mean and standard
    error, and its difference to the baseline over the seeds both have (paired, Student's t,
    Holm's correction over the arms). Runs that crashed, failed, diverged or still run are listed,
    and enter no mean; those of which only another logger's files are left count as finished.

    Args:
        paths: folders to search for records, or records.
        metric: what is decided by; without it what the runs monitored.
        mode: ``"min"`` or ``"max"``; without it what the runs say, else by the metric's name.
        baseline: the arm to compare with, by its label (``"schedule=none"``) or value
            (``"none"``); without it, of those that have finished runs, the one without dropout,
            else the smallest rate or the first.
        by: the settings that make the arms; without it those in which the runs differ.
        metrics: further metrics to show; without it those of the validation, and the gap.

    Raises:
        FileNotFoundError: if there are no runs.
        ValueError: if no run logged the metric, or no arm is called like the baseline.
    """
    records = _read(paths)
    columns = _columns(records, metric, mode, metrics)
    arms: dict[str, Arm] = {}
    for record, choice in zip(records, choices(records, by), strict=True):
        name = label(choice)
        arm = arms.setdefault(name, Arm(label=name, choice=choice, runs=[]))
        arm.runs.append(_run(record, choice, columns))
    ordered = list(arms.values())
    base = _baseline(ordered, baseline)
    ordered.sort(key=lambda arm: (arm is not base, _rank(arm)))
    found = Comparison(columns=columns, arms=ordered, baseline=base.label if base else None)
    _fill(found)
    told = conclusion(found)
    found.conclusion, found.evidence, found.action = told.headline, told.evidence, told.action
    return found


def _read(paths: str | Path | Iterable[str | Path] | Sequence[Record]) -> list[Record]:
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    records = [each for each in given if isinstance(each, Record)]
    rest = [each for each in given if not isinstance(each, Record)]
    if rest or not records:
        records += [_read_one(path) for path in find_records(rest)]
    return records


def _read_one(path: Path) -> Record:
    """Read a run; one that cannot be read is listed as failed, and hides no other."""
    try:
        return read_run(path, rates=False)
    except ValueError as error:
        end = {"status": "failed", "error": str(error)}
        return Record(path=path, name=path.name, end=end)


def _run(record: Record, choice: dict[str, str], columns: Sequence[Column]) -> Run:
    main = columns[0]
    rows = [row for row in record.metrics if math.isfinite(row.values.get(main.key, math.nan))]
    since = diverged(record, main.key)
    if not rows:
        return Run(record, choice, {}, None, since)
    pick = max if main.mode == "max" else min
    best = pick(rows, key=lambda row: row.values[main.key])
    moments = {"best": best.values, "last": rows[-1].values if since is None else {}}
    values = {
        column.title: moments[column.at][column.key]
        for column in columns
        if math.isfinite(moments[column.at].get(column.key, math.nan))
    }
    ended = [row.values[main.key] for row in rows]
    return Run(record, choice, values, best.epoch, since, best is rows[-1] and _moving(ended))


def _moving(values: Sequence[float]) -> bool:
    """Whether more than a little of all that a metric changed is of the last third.

    Example:
        >>> _moving([2.0, 1.9, 1.8]), _moving([2.0, 1.2, 1.01, 1.0]), _moving([2.0])
        (True, False, False)
    """
    before, last = values[-max(2, len(values) // 3 + 1) :][0], values[-1]
    return abs(last - before) > _LITTLE * (max(values) - min(values))


def _columns(
    records: Sequence[Record],
    metric: str | None,
    mode: str | None,
    metrics: Sequence[str] | None,
) -> list[Column]:
    keys = list(dict.fromkeys(key for record in records for key in record.metric_names()))
    watched = [record.monitor for record in records if record.monitor in keys]
    losses = [key for key in keys if "loss" in key and not key.startswith(("train", "overfit/"))]
    if metric is None:
        metric = next(iter([*watched, *losses]), None)
    if metric is None:
        raise ValueError(_no_metric(records, keys))
    check_choice("metric", metric, keys)
    for further in metrics or ():
        check_choice("metrics", further, keys)
    modes = [record.mode for record in records if record.monitor == metric]
    main = mode or next(iter(modes), None) or guess_mode(metric)
    if metrics is None:
        gap = f"overfit/gap/{metric}"
        ours = ("overfit/", "dropout/", "train", "lr")
        metrics = [key for key in keys if not key.startswith(ours) and key != metric][:4]
        metrics = [*metrics, gap] if gap in keys else metrics
    others = [
        Column(key, "best", None if key.startswith("overfit/") else guess_mode(key))
        for key in metrics
    ]
    return [Column(metric, "best", main), Column(metric, "last", main), *others]


def _no_metric(records: Sequence[Record], keys: Sequence[str]) -> str:
    """Say why there is nothing to decide by, and what to do about it."""
    lost = [record for record in records if record.status in BROKEN]
    if lost and not keys:
        errors = dict.fromkeys(record.error or "no error was written" for record in lost)
        first = next(iter(errors))
        others = len(errors) - 1
        more = f" (and {others} other error{'s' * (others > 1)})" if others else ""
        return (
            f"No run logged a validation loss: {len(lost)} of {len(records)} runs failed, with "
            f"{first}{more}"
        )
    if keys:
        return (
            "No run logged a validation loss. Name what decides with `metric=`, on the command "
            f"line --metric: one of {', '.join(keys)}."
        )
    return "No run logged a validation loss. Log one with `self.log` in `validation_step`."


def _baseline(arms: Sequence[Arm], asked: str | None) -> Arm | None:
    if asked is not None:
        by_name = {arm.label: arm for arm in arms}
        for arm in arms:
            by_name.setdefault(" ".join(arm.choice.values()), arm)
        return by_name[check_choice("baseline", asked, by_name)]
    if len(arms) < 2:
        return None
    measured = [arm for arm in arms if any(run.counts for run in arm.runs)]
    arms = measured if len(measured) > 1 else arms
    without = [arm for arm in arms if any(v.lower() in NOTHING for v in arm.choice.values())]
    if without:
        return without[0]
    return min(arms, key=_rank) if all(arm.number is not None for arm in arms) else arms[0]


def _rank(arm: Arm) -> float:
    return math.inf if arm.number is None else arm.number


def _fill(found: Comparison) -> None:
    base = found.arm(found.baseline)
    for column in found.columns:
        values: Mapping[str, dict[Hashable, float]] = {
            arm.label: arm.by_seed(column) for arm in found.arms
        }
        for arm in found.arms:
            mean = estimate(values[arm.label])
            if mean is not None:
                arm.estimates[column.title] = mean
        if base is None:
            continue
        others = [arm for arm in found.arms if arm is not base]
        raw = {arm.label: difference(values[arm.label], values[base.label]) for arm in others}
        adjusted = holm(raw)
        for arm in others:
            change = adjusted[arm.label]
            if change is not None:
                arm.differences[column.title] = change
    _choose(found)


def _choose(found: Comparison) -> None:
    if found.other_data:  # the lower of two losses on different data is no better choice
        return
    lower = found.main.mode != "max"
    values = [arm.by_seed(found.main) for arm in found.arms]
    for i in one_standard_error(values, lower_is_better=lower):
        found.arms[i].within_one_se = True
    sign = 1.0 if lower else -1.0
    measured = [arm for arm in found.arms if found.main.title in arm.estimates]
    if not measured:
        return

    def cost(arm: Arm) -> float:
        return sign * arm.estimates[found.main.title].mean

    found.best = min(measured, key=cost).label
    within = [arm for arm in measured if arm.within_one_se]

    def interference(arm: Arm) -> tuple[bool, float, float]:
        return arm.label != found.baseline, _rank(arm), cost(arm)

    found.chosen = min(within, key=interference).label
