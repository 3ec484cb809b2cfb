"""The first screen: what a run comes to, in one sentence, with its evidence and what to do."""

import math
from dataclasses import dataclass, field, replace

from thinned.metrics._verdict import VERDICTS, Verdict
from thinned.metrics._verdict_features import same_probe
from thinned.report._format import short, signed
from thinned.report._records.course import Course, course, diverged, main_metric
from thinned.report._records.record import BROKEN, Record

from .command import command
from .judge import judge

TONES = {
    "healthy": ("good", "✓"),
    "overfitting": ("bad", "↗"),
    "over-regularized": ("warn", "↘"),
    "underfitting": ("warn", "↘"),
    "not enough evidence": ("calm", "?"),
}

_GO_ON = (
    "It was still getting better when it was stopped, before the end of the training that was "
    "planned. Let it go on (EarlyStopping: a larger `patience`), then look again."
)


@dataclass(frozen=True, slots=True)
class Tile:
    """One key figure."""

    title: str
    value: str
    note: str = ""


@dataclass(slots=True)
class Answer:
    """What the first screen says."""

    headline: str
    word: str = ""
    confidence: str = ""
    evidence: list[str] = field(default_factory=list)
    action: str = ""
    command: str = ""
    tone: str = "calm"
    sign: str = ""
    tiles: list[Tile] = field(default_factory=list)


def answer(record: Record) -> Answer:
    """Say what a run comes to."""
    metric = main_metric(record)
    went = course(record, metric) if metric else None
    since = diverged(record, metric)
    said = judge(record)
    if said is not None and since is not None:
        found = _diverged(said, since)
    elif went is None:
        return _nothing_yet(record)
    else:
        found = _from_verdict(record, went, said) if said else _from_numbers(record, went)
    found.tiles = _tiles(record, went) if went else []
    if how := _ending(record):
        found.evidence.insert(0, how)
    if record.status in BROKEN and not record.pruned:
        found.headline = f"The run {record.status} before its end. Until then: {found.headline}"
    return found


def _ending(record: Record) -> str:
    """Say how it ended, where that was before its time."""
    if record.pruned:
        after = f" after {record.stopped_at} epochs" if record.stopped_at else ""
        return f"It was stopped{after}, since other runs of its sweep were better."
    if record.status == "interrupted":
        return "The run was interrupted. What follows is what it had."
    if record.status in BROKEN:
        told = record.error or "it stopped without a word"
        return f"The run {record.status}: {told}. What follows is what it had."
    if record.status == "running":
        return "The run is still going on: this is how it stands."
    return ""


def _nothing_yet(record: Record) -> Answer:
    if record.status in BROKEN:
        told = record.error or "it stopped without a word"
        return Answer(
            headline=f"The run {record.status} before its first validation",
            word=record.status,
            tone="bad",
            sign="✗",
            evidence=[told],
            action="Mend the error, and run again.",
        )
    if record.status == "finished" and record.rates and record.rates[-1].step == 0:
        return Answer(
            headline="The run ended before its first step, so there is nothing to judge",
            word=record.status,
            action="Let it train: give it batches, and a `max_epochs` or `max_steps` above 0.",
        )
    return Answer(
        headline="No validation has been logged, so there is nothing to judge",
        word=record.status,
        action="Log a validation loss with `self.log` in `validation_step`.",
    )


def _diverged(said: Verdict, since: float) -> Answer:
    return Answer(
        headline=f"The run diverged at epoch {short(since, 3)}: lower the learning rate",
        word="diverged",
        evidence=list(said.evidence),
        action=said.action,
        tone="bad",
        sign="✗",
    )


def _from_verdict(record: Record, went: Course, said: Verdict) -> Answer:
    tone, sign = TONES.get(said.word, ("calm", "?"))
    sure = said.confidence and said.word != VERDICTS[0]  # else it is that of another word
    if said.remedy == "train longer" and record.cut_short:
        said = replace(said, action=_GO_ON, remedy="")  # the same command would stop there again
    return Answer(
        headline=_headline(said.word, record, went),
        word=said.word,
        confidence=f"confidence {said.confidence:.0%}" if sure else "",
        evidence=list(said.evidence),
        action=said.action,
        command=command(record, said),
        tone=tone,
        sign=sign,
    )


def _from_numbers(record: Record, went: Course) -> Answer:
    """Without a verdict: the numbers, and no judgement by guessed thresholds."""
    evidence = [_gap_line(record, went)]
    return Answer(headline=_story(went), evidence=[line for line in evidence if line])


def _headline(word: str, record: Record, went: Course) -> str:
    since = onset(record)
    if word == "overfitting" and since is not None:
        return f"The run overfits since epoch {short(since, 3)}: {_story(went)}"
    lead = {
        "overfitting": "The run overfits",
        "healthy": "The run is healthy",
        "underfitting": "The run underfits",
        "over-regularized": "The run is over-regularized",
    }.get(word, "There is not enough evidence for a verdict")
    return f"{lead}: {_story(went)}"


def _story(went: Course) -> str:
    best = "lowest" if went.mode == "min" else "highest"
    if went.worse <= 0:
        return f"{went.metric} is at its best at the end, {short(went.last)}"
    change = "higher" if went.mode == "min" else "lower"
    return (
        f"{went.metric} was {best} at epoch {short(went.best_epoch, 3)} ({short(went.best)}), "
        f"and {short(went.worse, 3)} {change} by the end"
    )


def _gap_line(record: Record, went: Course) -> str:
    points = _gaps(record, went)
    if not points:
        return (
            "No fair gap was measured: add `OverfittingMonitor()` to the callbacks, and the page "
            "can tell overfitting from the dropout's own noise."
        )
    first, last = points[0][1], points[-1][1]
    return f"The fair gap (validation minus probe) went from {signed(first)} to {signed(last)}."


def _gaps(record: Record, went: Course) -> list[tuple[float, float]]:
    """The gap over epochs, as far back as the probe holds the same samples."""
    key = f"overfit/gap/{went.metric}"
    first = same_probe([row.values for row in record.metrics])
    return [(row.epoch, row.values[key]) for row in record.metrics[first:] if key in row.values]


def onset(record: Record) -> float | None:
    """The epoch after which the run overfits, as the monitor last put it."""
    points = [value for _, value in record.series("overfit/onset") if math.isfinite(value)]
    return points[-1] if points and points[-1] >= 0 else None


def _tiles(record: Record, went: Course) -> list[Tile]:
    tiles = [
        Tile(f"best {went.metric}", short(went.best), f"epoch {short(went.best_epoch, 3)}"),
        _last_tile(went),
    ]
    gaps = {epoch: gap for epoch, gap in _gaps(record, went) if math.isfinite(gap)}
    if went.diverged is not None:
        gaps = {}  # no gap is left at the end
    if gaps:
        best = gaps.get(went.best_epoch)
        last = list(gaps.values())[-1]
        note = "" if best is None else f"{signed(best)} at the best epoch"
        tiles.append(Tile("fair gap at the end", signed(last), note))
    if held := record.rates_at_end.values():
        peak = max([*held, *(max(rates.values()) for rates in record.rates_held())])
        value = " to ".join(short(rate, 3) for rate in sorted({min(held), max(held)}))
        tiles.append(Tile("rate at the end", value, f"highest {short(peak, 3)}"))
    return tiles


def _last_tile(went: Course) -> Tile:
    title = f"last {went.metric}"
    if went.diverged is not None:
        return Tile(title, "not finite", f"from epoch {short(went.diverged, 3)} on")
    return Tile(title, short(went.last), f"epoch {short(went.last_epoch, 3)}")
