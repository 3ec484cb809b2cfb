"""The verdict of a record: the monitor's own, else one by what the run logged anyway."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace

from thinned._checks import check_choice
from thinned.metrics._verdict import CONFIDENT, VERDICTS, Verdict, verdict
from thinned.report._comparison.arms import Comparison
from thinned.report._comparison.choices import flat
from thinned.report._format import short
from thinned.report._records.course import Course, course, diverged, main_metric, train_key
from thinned.report._records.record import Record, ended

NAIVE = 0.8  # what a verdict by the naive gap is worth of one by the fair gap; not calibrated
_OF_RUN = (*VERDICTS[1:], "failed", "running")
_FAILED = ("failed", "crashed", "interrupted", "diverged")  # nothing to go by came of these
_OF_COMPARISON = ("no improvement", "failed", "running")
_MEASURE = "Add `OverfittingMonitor()` and `RunRecord()` to the callbacks, and train again."
_RATE_KEY = re.compile(r"(^|[._])(dropout|drop_rate|dropout_rate|rate|p)$")


def judge(record: Record) -> Verdict | None:
    """Say what a run comes to.

    The monitor's verdict counts, if the run has one. A run without the monitor has no fair gap:
    its training metric was measured with dropout on, and over an epoch in which the model still
    changed, both of which make the gap look smaller. It is judged by that all the same, with the
    confidence lowered, and the evidence says so. Of a run that diverged nothing can be judged.

    Returns:
        The verdict, or None where validation or training metrics are missing.
    """
    metric = main_metric(record)
    since = diverged(record, metric)
    if metric is not None and since is not None:
        return _diverged(record, metric, since)
    if record.verdict is not None:
        known = record.verdict
        return Verdict(
            word=str(known.get("word") or VERDICTS[0]),
            confidence=float(known.get("confidence") or 0.0),
            evidence=tuple(str(each) for each in known.get("evidence") or ()),
            action=str(known.get("action") or ""),
            remedy=str(known.get("remedy") or ""),
            rates=tuple(known.get("rates") or ()),
            epochs=known.get("epochs"),
        )
    went = course(record, metric) if metric else None
    if metric is None or went is None:
        return None
    rate, probe = _rate_if_known(record), f"overfit/probe/{metric}"
    rows = [{**row.values, "epoch": int(row.epoch), "rate": rate or 0.0} for row in record.metrics]
    if probe in record.metric_names():
        return verdict(rows, metric, went.mode)
    train = train_key(record, metric)
    if train is None:
        return None
    naive = [{**row, probe: row[train]} for row in rows if train in row]
    said = verdict(naive, metric, went.mode)
    evidence, confidence = _naive_evidence(record, went, train, rate), NAIVE * said.confidence
    if confidence < CONFIDENT:
        return Verdict(VERDICTS[0], confidence, evidence, _MEASURE)
    action = said.action
    if rate is None:
        action = action.replace("Add dropout:", "Add dropout, or raise its rate:")
    return replace(said, confidence=confidence, evidence=evidence, action=action)


def exit_code(found: Record | Comparison, fail_on: Sequence[str]) -> int:
    """Return 1 if something was found that a script is to fail on, else 0.

    Args:
        found: a run or a comparison.
        fail_on: of a run a verdict's word (``"overfitting"``), ``"failed"`` or ``"running"``; of a
            comparison ``"failed"``, ``"running"`` (any of its runs) or ``"no improvement"``.
            Failed is a run that came to no good end: one that crashed, was interrupted or diverged
            too. One that its sweep stopped, since others were better, is not.

    Raises:
        ValueError: if it is none of these.

    Example:
        >>> from pathlib import Path
        >>> exit_code(Record(Path("r"), verdict={"word": "overfitting"}), ["overfitting"])
        1
    """
    known = _OF_RUN if isinstance(found, Record) else _OF_COMPARISON
    wanted = {check_choice("fail_on", each, known) for each in fail_on}
    if isinstance(found, Record):
        states = [ended(found, diverged(found, main_metric(found)))]
    else:
        states = [run.state for run in found.runs]
    seen = {"failed" if state in _FAILED else state for state in states}
    if isinstance(found, Record):
        said = judge(found)
        seen |= {said.word} if said else set()
    elif not found.significant:
        seen.add("no improvement")
    return int(bool(wanted & seen))


def _diverged(record: Record, metric: str, since: float) -> Verdict:
    went = course(record, metric)
    best = (
        f"Its best was {short(went.best)} at epoch {short(went.best_epoch, 3)}."
        if went
        else "It never had a finite value."
    )
    return Verdict(
        word=VERDICTS[0],
        confidence=0.0,
        evidence=(f"{metric} is not finite from epoch {short(since, 3)} on.", best),
        action="Lower the learning rate, and train again.",
        remedy="",
    )


def _rate_if_known(record: Record) -> float | None:
    """The mean rate at the end, else what a hyperparameter of that name says, else None."""
    if last := record.rates_at_end:
        return math.fsum(last.values()) / len(last)
    named = [value for key, value in flat(record.config).items() if _RATE_KEY.search(key)]
    rates = [float(v) for v in named if isinstance(v, (int, float)) and 0.0 <= v <= 1.0]
    return rates[0] if rates else None


def _naive_evidence(
    record: Record, went: Course, train: str, rate: float | None
) -> tuple[str, ...]:
    last = next(row for row in reversed(record.metrics) if train in row.values)
    naive = last.values.get(went.metric, math.nan) - last.values[train]
    ended = f"{went.metric} ended at {short(went.last)}, best {short(went.best)}"
    how = (
        "while the model still changed"
        if rate == 0.0
        else "with dropout on, and while the model still changed"
    )
    why = (
        f"That gap is the naive one: training was measured {how}, so the true gap is larger. "
        "The confidence is lowered for that."
    )
    side = "below" if naive < 0.0 else "above"
    return (
        f"{ended} at epoch {short(went.best_epoch, 3)}.",
        f"At the end it was {short(abs(naive), 3)} {side} {train} as logged.",
        why,
    )
