"""The verdict of a record: the monitor's own, else one by what the run logged anyway."""

import math
import re
from collections.abc import Sequence
from typing import Any

from thinned._checks import check_choice
from thinned.metrics._verdict import CONFIDENT, VERDICTS, Verdict, verdict
from thinned.report._arms import Comparison
from thinned.report._choices import flat
from thinned.report._course import Course, course, diverged, main_metric, train_key
from thinned.report._format import short, signed
from thinned.report._record import Record, ended

NAIVE = 0.8  # what a verdict by the naive gap is worth of one by the fair gap; not calibrated
_OF_RUN = (*VERDICTS[1:], "failed", "running")
_FAILED = ("failed", "crashed", "interrupted", "diverged")  # nothing to go by came of these
_OF_COMPARISON = ("no improvement", "failed", "running")
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
    if f"overfit/probe/{metric}" in record.metric_names():
        rate = _known_rate(record)
        rows = [{"epoch": int(row.epoch), "rate": rate, **row.values} for row in record.metrics]
        return verdict(rows, metric, went.mode)
    train = train_key(record, metric)
    if train is None:
        return None
    said = verdict(_naive_history(record, metric, train), metric, went.mode)
    confidence = NAIVE * said.confidence
    sure = confidence >= CONFIDENT
    remedy, rates = (said.remedy, said.rates) if sure else ("", ())
    epochs = _length(remedy, went)
    return Verdict(
        word=said.word if sure else VERDICTS[0],
        confidence=confidence,
        evidence=_naive_evidence(record, went, train),
        action=_naive_action(remedy, _rate_if_known(record), rates, epochs),
        remedy=remedy,
        rates=rates,
        epochs=epochs,
    )


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


def _naive_history(record: Record, metric: str, train: str) -> list[dict[str, Any]]:
    """Rows as the verdict reads them, with the logged training metric in the probe's place."""
    rate, probe = _known_rate(record), f"overfit/probe/{metric}"
    rows = [row.values for row in record.metrics if {metric, train} <= row.values.keys()]
    return [
        {"epoch": i, "rate": rate, metric: values[metric], probe: values[train]}
        for i, values in enumerate(rows)
    ]


def _known_rate(record: Record) -> float:
    return _rate_if_known(record) or 0.0


def _rate_if_known(record: Record) -> float | None:
    """The mean rate at the end, else what a hyperparameter of that name says, else None."""
    if last := record.rates_at_end:
        return math.fsum(last.values()) / len(last)
    named = [value for key, value in flat(record.config).items() if _RATE_KEY.search(key)]
    rates = [float(v) for v in named if isinstance(v, (int, float)) and 0.0 <= v <= 1.0]
    return rates[0] if rates else None


def _naive_evidence(record: Record, went: Course, train: str) -> tuple[str, ...]:
    last = next(row for row in reversed(record.metrics) if train in row.values)
    naive = last.values.get(went.metric, math.nan) - last.values[train]
    ended = f"{went.metric} ended at {short(went.last)}, best {short(went.best)}"
    why = (
        "That gap is the naive one: training was measured with dropout on, and while the model "
        "still changed, so the true gap is larger. The confidence is lowered for that."
    )
    return (
        f"{ended} at epoch {short(went.best_epoch, 3)}.",
        f"It is {signed(naive)} from {train} as logged at the end.",
        why,
    )


def _length(remedy: str, went: Course) -> int | None:
    longer, less = 2 * (int(went.last_epoch) + 1), int(went.best_epoch) + 1
    return {"train longer": longer, "train less": less}.get(remedy)


def _naive_action(
    remedy: str, rate: float | None, rates: Sequence[float], epochs: int | None
) -> str:
    verb = "Add dropout" if rate == 0.0 else "Raise the rate"
    if rate is None:
        verb = "Add dropout, or raise its rate"
    new = f"{rates[0]:.2g}" if rates else ""
    said = {
        "raise the rate": f"{verb}: thinned.regularize(dropout={new})",
        "lower the rate": f"Lower the rate: thinned.regularize(dropout={new})",
        "train longer": f"Train longer: Trainer(max_epochs={epochs}); then look again.",
        "train less": f"Stop earlier, Trainer(max_epochs={epochs}), or get more training data.",
        "keep": "Keep the rate.",
    }
    add = "Add `OverfittingMonitor()` and `RunRecord()` to the callbacks, and train again."
    return said.get(remedy, add)
