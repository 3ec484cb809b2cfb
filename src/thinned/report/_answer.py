"""The first screen: what a run comes to, in one sentence, with its evidence and what to do."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from thinned.report._choices import flat
from thinned.report._compare import guess_mode
from thinned.report._format import short, signed
from thinned.report._record import Record

TONES = {
    "healthy": ("good", "✓"),
    "overfitting": ("bad", "↗"),
    "over-regularized": ("warn", "↘"),
    "underfitting": ("warn", "↘"),
    "not enough evidence": ("calm", "?"),
}
_RATE_NAMES = ("rate", "end", "high", "start")


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


@dataclass(frozen=True, slots=True)
class Course:
    """How one metric went: where it was best, and where it ended."""

    metric: str
    mode: str
    best: float
    best_epoch: float
    last: float
    last_epoch: float

    @property
    def worse(self) -> float:
        """By how much the end is worse than the best, never negative."""
        return self.last - self.best if self.mode == "min" else self.best - self.last


def main_metric(record: Record) -> str | None:
    """The metric the page is about: the monitored one, else a validation loss."""
    keys = record.metric_names()
    if record.monitor in keys:
        return record.monitor
    ours = [key for key in keys if not key.startswith(("overfit/", "dropout/", "train"))]
    losses = [key for key in ours if "loss" in key]
    return next(iter([*losses, *ours]), None)


def course(record: Record, metric: str) -> Course | None:
    """Follow one metric through a run."""
    points = [(epoch, value) for epoch, value in record.series(metric) if math.isfinite(value)]
    if not points:
        return None
    mode = record.mode if metric == record.monitor else guess_mode(metric)
    pick = max if mode == "max" else min
    best_epoch, best = pick(points, key=lambda point: point[1])
    return Course(metric, mode, best, best_epoch, points[-1][1], points[-1][0])


def answer(record: Record) -> Answer:
    """Say what a run comes to."""
    metric = main_metric(record)
    went = course(record, metric) if metric else None
    if went is None:
        return _nothing_yet(record)
    found = _from_verdict(record, went) if record.verdict else _from_numbers(record, went)
    found.tiles = _tiles(record, went)
    if record.status in ("failed", "crashed"):
        told = record.error or "it stopped without a word"
        found.evidence.append(f"The run {record.status}: {told}. What follows is what it had.")
    elif record.status == "running":
        found.evidence.append("The run is still going on: this is how it stands.")
    return found


def _nothing_yet(record: Record) -> Answer:
    if record.status in ("failed", "crashed"):
        told = record.error or "it stopped without a word"
        return Answer(
            headline=f"The run {record.status} before its first validation",
            word=record.status,
            tone="bad",
            sign="✗",
            evidence=[told],
            action="Mend the error, and run again.",
        )
    return Answer(
        headline="No validation has been logged, so there is nothing to judge",
        word=record.status,
        action="Log a validation loss with `self.log` in `validation_step`.",
    )


def _from_verdict(record: Record, went: Course) -> Answer:
    verdict = record.verdict or {}
    word = str(verdict.get("word") or "not enough evidence")
    tone, sign = TONES.get(word, ("calm", "?"))
    return Answer(
        headline=_headline(word, record, went),
        word=word,
        confidence=_confidence(verdict.get("confidence")),
        evidence=[str(each) for each in verdict.get("evidence") or ()],
        action=str(verdict.get("action") or ""),
        command=override(record, word),
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
    change = signed(went.last - went.best)
    return (
        f"{went.metric} was {best} at epoch {short(went.best_epoch, 3)} ({short(went.best)}), "
        f"and {change} by the end"
    )


def _gap_line(record: Record, went: Course) -> str:
    points = record.series(f"overfit/gap/{went.metric}")
    if not points:
        return (
            "No fair gap was measured: add `OverfittingMonitor()` to the callbacks, and the page "
            "can tell overfitting from the dropout's own noise."
        )
    first, last = points[0][1], points[-1][1]
    return f"The fair gap (validation minus probe) went from {signed(first)} to {signed(last)}."


def onset(record: Record) -> float | None:
    """The epoch after which the run overfits, as the monitor last put it."""
    points = [value for _, value in record.series("overfit/onset") if math.isfinite(value)]
    return points[-1] if points and points[-1] >= 0 else None


def _tiles(record: Record, went: Course) -> list[Tile]:
    tiles = [
        Tile(f"best {went.metric}", short(went.best), f"epoch {short(went.best_epoch, 3)}"),
        Tile(f"last {went.metric}", short(went.last), f"epoch {short(went.last_epoch, 3)}"),
    ]
    gaps = dict(record.series(f"overfit/gap/{went.metric}"))
    if gaps:
        best = gaps.get(went.best_epoch)
        last = list(gaps.values())[-1]
        note = "" if best is None else f"{signed(best)} at the best epoch"
        tiles.append(Tile("fair gap at the end", signed(last), note))
    groups = [row.groups for row in record.rates if row.groups]
    if groups:
        last_rates = groups[-1]
        span = sorted(set(last_rates.values()))
        value = (
            short(span[0], 3) if len(span) == 1 else f"{short(span[0], 3)} to {short(span[-1], 3)}"
        )
        peak = max(max(each.values()) for each in groups)
        tiles.append(Tile("rate at the end", value, f"highest {short(peak, 3)}"))
    elif record.sites:
        live = sum(site.get("live") is not False for site in record.sites)
        tiles.append(Tile("dropout sites", str(len(record.sites)), f"{live} not known to be dead"))
    return tiles


def _confidence(value: Any) -> str:
    if isinstance(value, (int, float)):
        return f"confidence {value:.0%}"
    return f"{value} confidence" if value else ""


def override(record: Record, word: str) -> str:
    """The command that tries the next rate, for runs of the Hydra application.

    Example:
        >>> from pathlib import Path
        >>> config = {"schedule": {"_target_": "thinned.schedules.Constant", "rate": 0.1}}
        >>> override(Record(Path("r"), config=config, overrides=["seed=1"]), "overfitting")
        'thinned train seed=1 schedule.rate=0.2'
    """
    if "schedule" not in record.config or word not in ("overfitting", "over-regularized"):
        return ""
    settings = flat({"schedule": record.config["schedule"] or {}})
    names = [f"schedule.{name}" for name in _RATE_NAMES]
    name = next((n for n in names if isinstance(settings.get(n), (int, float))), None)
    if name is None:
        if word == "over-regularized" or not isinstance(
            record.config["schedule"], (Mapping, type(None))
        ):
            return ""
        change = ["schedule=constant", "schedule.rate=0.1"]
    else:
        now = float(settings[name])
        new = min(now + 0.1, 0.8) if word == "overfitting" else now / 2
        change = [f"{name}={short(new, 3)}"]
    changed = {each.partition("=")[0] for each in change}
    kept = [each for each in record.overrides if each.lstrip("+").partition("=")[0] not in changed]
    return " ".join(["thinned train", *kept, *change])
