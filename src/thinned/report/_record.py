"""Reads a run record back: what a run was, what it measured, and how it ended."""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from thinned.report._writer import FILE_NAME

Status = Literal["finished", "interrupted", "failed", "running", "crashed"]
Source = Literal["record", "csv", "tensorboard", "wandb"]


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
        source: who wrote it: ``record`` is our own, the others are logs of runs made without us.
        metrics: one row a validation, in order.
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
    end: dict[str, Any] | None = None
    skipped: int = 0

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def status(self) -> Status:
        """How the run ended; without an end it is running if its process still lives."""
        if self.end is not None:
            status: Status = self.end.get("status", "finished")
            return status
        if self.source != "record":
            return "finished"
        return "running" if process_lives(self.process) else "crashed"

    @property
    def error(self) -> str:
        """The error the run failed with, or an empty string."""
        return str((self.end or {}).get("error") or "")

    def metric_names(self) -> list[str]:
        """All metrics that some validation logged, in the order of their appearance."""
        return list(dict.fromkeys(key for row in self.metrics for key in row.values))

    def series(self, key: str) -> list[tuple[float, float]]:
        """The pairs (epoch, value) of one metric."""
        return [(row.epoch, row.values[key]) for row in self.metrics if key in row.values]


def read_record(path: str | Path, *, rates: bool = True) -> Record:
    """Read ``record.jsonl``.

    A line that is no row of ours is counted and skipped, so that the record of a killed, a
    crashed or a still running run reads like any other.

    Args:
        path: the file, or the folder that holds it.
        rates: whether to read the rates too; a comparison of many runs does not need them.

    Raises:
        FileNotFoundError: if there is no such file.

    Example:
        >>> import tempfile
        >>> from thinned.report import RecordWriter
        >>> writer = RecordWriter(tempfile.mkdtemp())
        >>> writer.write("header", name="first", seed=1)
        >>> writer.write("metrics", step=10, epoch=0, values={"val_loss": 0.5})
        >>> writer.write("end", status="finished")
        >>> record = read_record(writer.path)
        >>> record.name, record.status, record.series("val_loss")
        ('first', 'finished', [(0.0, 0.5)])
    """
    path = Path(path)
    file = path / FILE_NAME if path.is_dir() else path
    if not file.exists():
        msg = f"Expected a run record, found no {file}. Add `RunRecord()` to the callbacks."
        raise FileNotFoundError(msg)
    record = Record(path=file)
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if not rates and line.startswith('{"type": "rates"'):
                continue
            try:
                row = json.loads(line)
                _READERS[row["type"]](record, row)
            except (ValueError, KeyError, TypeError, AttributeError):
                record.skipped += bool(line.strip())
    record.metrics = _merged(record.metrics)
    record.name = record.name or record.folder.name
    return record


def process_lives(process: Mapping[str, Any]) -> bool:
    """Say whether a process is still there; one on another machine counts as gone."""
    pid = process.get("pid")
    if process.get("host") != host_mark() or not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is there, and belongs to somebody else
        return True
    return True


def host_mark() -> str:
    """Mark this machine without its name, since records are passed on."""
    return sha256(platform.node().encode()).hexdigest()[:12]


_HEADER = ("name", "started", "seed", "monitor", "mode", "planned_batches")


def _header(record: Record, row: dict[str, Any]) -> None:
    for name in _HEADER:
        if row.get(name) is not None:
            setattr(record, name, row[name])
    for name in ("config", "environment", "process"):
        getattr(record, name).update(row.get(name) or {})
    record.overrides = [str(each) for each in row.get("overrides") or record.overrides]
    record.end = None  # a resumed run writes a new header


def _sites(record: Record, row: dict[str, Any]) -> None:
    record.sites = [dict(site) for site in row["sites"]]


def _edit(record: Record, row: dict[str, Any]) -> None:
    _add_new(record.edits, row)


def _finding(record: Record, row: dict[str, Any]) -> None:
    _add_new(record.findings, row)


def _rates(record: Record, row: dict[str, Any]) -> None:
    rate = RateRow(
        step=int(row["step"]),
        epoch=float(row["epoch"]),
        progress=row.get("progress"),
        groups=_floats(row.get("groups") or {}),
        sites=_floats(row.get("sites") or {}),
    )
    record.rates.append(rate)


def _metrics(record: Record, row: dict[str, Any]) -> None:
    values = _floats(row["values"])
    record.metrics.append(MetricRow(int(row["step"]), float(row["epoch"]), values))


def _merged(rows: list[MetricRow]) -> list[MetricRow]:
    """Join the rows of one step: an epoch's end adds what was not known at its validation."""
    found: dict[int, MetricRow] = {}
    for row in rows:
        earlier = found.get(row.step)
        values = {**earlier.values, **row.values} if earlier else row.values
        found[row.step] = MetricRow(row.step, row.epoch, values)
    return sorted(found.values(), key=lambda row: row.step)


def _verdict(record: Record, row: dict[str, Any]) -> None:
    record.verdict = {key: value for key, value in row.items() if key != "type"}


def _end(record: Record, row: dict[str, Any]) -> None:
    record.end = {key: value for key, value in row.items() if key != "type"}


def _add_new(rows: list[dict[str, Any]], row: dict[str, Any]) -> None:
    row = {key: value for key, value in row.items() if key != "type"}
    if row not in rows:  # a resumed run writes them again
        rows.append(row)


def _floats(values: Mapping[str, Any]) -> dict[str, float]:
    return {str(key): float(value) for key, value in values.items()}


_READERS = {
    "header": _header,
    "sites": _sites,
    "edit": _edit,
    "finding": _finding,
    "rates": _rates,
    "metrics": _metrics,
    "verdict": _verdict,
    "end": _end,
}
