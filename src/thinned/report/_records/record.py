"""A run as it was read back: what it was, what it measured, and how it ended."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .process import process_lives

Status = Literal["finished", "interrupted", "failed", "running", "crashed", "unknown"]
STATUSES = ("finished", "interrupted", "failed")  # that a run itself writes at its end
Source = Literal["record", "csv", "tensorboard", "wandb", "status"]

BROKEN = ("failed", "crashed")  # how a run ends that an error ended, told or not


@dataclass(frozen=True, slots=True)
class RateRow:
    """The rates at one moment, read back from the modules; ``epoch`` counts the epochs done."""

    step: int
    epoch: float
    progress: float | None
    groups: dict[str, float]
    sites: dict[str, float]


@dataclass(frozen=True, slots=True)
class MetricRow:
    """What one validation measured, our own keys among it.

    ``epoch`` is Lightning's number of the epoch that it ends, as in a checkpoint's file name.
    """

    step: int
    epoch: float
    values: dict[str, float]


@dataclass(slots=True)
class Record:
    """One run, as far as it got.

    Attributes:
        path: the file or the folder that was read.
        source: who wrote it: ``record`` is our own, ``status`` that of a job which failed before
            its training; the others are logs of runs made without us.
        metrics: one row a validation, in order.
        stopped_at: epochs after which its sweep stopped the run, since others were better.
        skipped: lines that could not be read (a run that was killed while writing leaves one).
    """

    path: Path
    source: Source = "record"
    name: str = ""
    started: str | None = None
    seed: int | None = None
    monitor: str | None = None
    mode: str = "min"
    planned_batches: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)
    process: dict[str, Any] = field(default_factory=dict)
    sites: list[dict[str, Any]] = field(default_factory=list)
    edits: list[dict[str, Any]] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    rates: list[RateRow] = field(default_factory=list)
    metrics: list[MetricRow] = field(default_factory=list)
    verdict: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    end: dict[str, Any] | None = None
    stopped_at: int | None = None
    skipped: int = 0

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def status(self) -> Status:
        """How the run ended; without an end it is running if its process still lives.

        The logs of others do not say how their run ended: it is ``unknown``.
        """
        if self.end is not None:
            status: Status = self.end.get("status", "finished")
            return status
        if self.source != "record":
            return "unknown"
        return "running" if process_lives(self.process) else "crashed"

    @property
    def error(self) -> str:
        """The error the run failed with, or an empty string."""
        return str((self.end or {}).get("error") or "")

    @property
    def pruned(self) -> bool:
        """Whether others were better, so that it was stopped: by a sweep of ours, or by Optuna."""
        return self.stopped_at is not None or self.error.startswith("TrialPruned")

    @property
    def rates_at_end(self) -> dict[str, float]:
        """The rates that it ended with: of sites, else of groups; what all figures of it go by."""
        rows = reversed(self.rates)
        return next((held for row in rows if (held := row.sites or row.groups)), {})

    @property
    def cut_short(self) -> bool:
        """Whether it ended in good order, but before the training that was planned."""
        done = self.rates[-1].progress if self.rates else None
        return self.status == "finished" and done is not None and done < 1.0

    def rates_held(self) -> list[dict[str, float]]:
        """The rates at each moment at which some were set: of groups, else of sites."""
        return [rates for row in self.rates if (rates := row.groups or row.sites)]

    def metric_names(self) -> list[str]:
        """All metrics that some validation logged, in the order of their appearance."""
        return list(dict.fromkeys(key for row in self.metrics for key in row.values))

    def series(self, key: str) -> list[tuple[float, float]]:
        """The pairs (epoch, value) of one metric."""
        return [(row.epoch, row.values[key]) for row in self.metrics if key in row.values]


def ended(record: Record, diverged: float | None) -> str:
    """How a run ended, for people.

    One that came to its end without a finite metric diverged; one that was stopped since others
    were better has fewer epochs than these, and says so.
    """
    if diverged is not None and record.status in ("finished", "unknown"):
        return "diverged"
    return "stopped" if record.pruned else record.status
