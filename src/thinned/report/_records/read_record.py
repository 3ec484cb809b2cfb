"""Reads our own record, row by row: what is no row of ours is counted and skipped."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from thinned.report._records import data

from .record import STATUSES, MetricRow, RateRow, Record
from .writer import FILE_NAME


def read_record(path: str | Path, *, rates: bool = True) -> Record:
    """Read ``record.jsonl``.

    A line that is no row of ours (also one with a field of a wrong type) is counted and skipped,
    so that the record of a killed, a crashed or a still running run reads like any other.

    Args:
        path: the file, or the folder that holds it.
        rates: whether to read the rates too; a comparison of many runs does not need them.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no ordinary file, or larger than a record can be.

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
    record = Record(path=data.check_file(file, "a run record"))
    known: set[str] = set()
    with file.open(encoding="utf-8-sig", errors="replace") as lines:
        for line in lines:
            if not rates and line.startswith('{"type": "rates"'):
                continue
            try:
                row = data.parse(line)
                kind = data.text(row.pop("type", None))
                read = data.one_of(tuple(_READERS))(kind)
                if kind in _ONCE:  # a resumed run writes them again
                    written = json.dumps(row, sort_keys=True)
                    if written in known:
                        continue
                    known.add(written)
                _READERS[read](record, row)
            except ValueError:
                record.skipped += bool(line.strip())
    record.metrics = _merged(record.metrics)
    record.name = record.name or data.clean(record.folder.name)
    return record


_HEADER: dict[str, data.Check] = {
    "name": data.text,
    "started": data.text,
    "seed": data.whole,
    "monitor": data.text,
    "mode": data.one_of(("min", "max")),
    "planned_batches": data.whole,
    "config": data.mapping,
    "overrides": data.texts,
    "environment": data.mapping,
    "process": data.mapping,
}
_SITE: dict[str, data.Check] = {
    "path": data.text,
    "kind": data.text,
    "class": data.text,
    "rate": data.number,
    "live": data.flag,
    "group": data.text,
}
_FINDING: dict[str, data.Check] = {
    "rule": data.text,
    "severity": data.text,
    "path": data.text,
    "message": data.text,
    "fix": data.text,
}
_MOMENT: dict[str, data.Check] = {"step": data.whole, "epoch": data.finite}
_RATES: dict[str, data.Check] = {
    **_MOMENT,
    "progress": data.finite,
    "groups": data.numbers,
    "sites": data.numbers,
}
_VERDICT: dict[str, data.Check] = {
    "word": data.text,
    "confidence": data.finite,
    "evidence": data.texts,
    "action": data.text,
    "remedy": data.text,
    "rates": data.finites,
    "epochs": data.whole,
}
_END: dict[str, data.Check] = {
    "status": data.one_of(STATUSES),
    "error": data.text,
    "seconds": data.finite,
}
_CALIBRATION: dict[str, data.Check] = {
    "stage": data.text,
    "samples": data.whole,
    "rows": data.whole,
    "plain": data.mapping,
    "sampled": data.mapping,
}
_SCORES: dict[str, data.Check] = {
    "ece": data.finite,
    "nll": data.number,
    "brier": data.finite,
    "aurc": data.finite,
    "bins": data.rows_of(3),
    "curve": data.rows_of(2),
}


def _header(record: Record, row: dict[str, Any]) -> None:
    for name, value in data.take(row, _HEADER).items():
        if isinstance(value, dict):
            getattr(record, name).update(value)
        else:
            setattr(record, name, value)
    record.end = None  # a resumed run writes a new header


def _sites(record: Record, row: dict[str, Any]) -> None:
    sites = data.take(row, {"sites": data.items}, ["sites"])["sites"]
    record.sites = [data.mapping(site) | data.take(site, _SITE, ["path"]) for site in sites]


def _edit(record: Record, row: dict[str, Any]) -> None:
    record.edits.append({**row, **data.take(row, {"text": data.text}, ["text"])})


def _finding(record: Record, row: dict[str, Any]) -> None:
    found = data.take(row, _FINDING, ["rule", "severity", "message"])
    record.findings.append({**row, "path": None, "fix": None, **found})


def _rates(record: Record, row: dict[str, Any]) -> None:
    found = data.take(row, _RATES, _MOMENT)
    optional: dict[str, Any] = {"progress": None, "groups": {}, "sites": {}}
    record.rates.append(RateRow(**optional | found))


def _metrics(record: Record, row: dict[str, Any]) -> None:
    found = data.take(row, {**_MOMENT, "values": data.numbers}, [*_MOMENT, "values"])
    record.metrics.append(MetricRow(**found))


def _verdict(record: Record, row: dict[str, Any]) -> None:
    record.verdict = {**row, **data.take(row, _VERDICT, ["word"])}


def _calibration(record: Record, row: dict[str, Any]) -> None:
    found = data.take(row, _CALIBRATION, _CALIBRATION)
    for name in ("plain", "sampled"):
        found[name] = data.take(found[name], _SCORES, _SCORES)
    record.calibration = found  # of the last test


def _end(record: Record, row: dict[str, Any]) -> None:
    found = data.take(row, _END, ["status"])
    record.end = {**row, **dict.fromkeys(_END), **found}


def _merged(rows: list[MetricRow]) -> list[MetricRow]:
    """Join the rows of one step: an epoch's end adds what was not known at its validation."""
    found: dict[int, MetricRow] = {}
    for row in rows:
        earlier = found.get(row.step)
        values = {**earlier.values, **row.values} if earlier else row.values
        found[row.step] = MetricRow(row.step, row.epoch, values)
    return sorted(found.values(), key=lambda row: row.step)


_READERS: dict[str, Callable[[Record, dict[str, Any]], None]] = {
    "header": _header,
    "sites": _sites,
    "edit": _edit,
    "finding": _finding,
    "rates": _rates,
    "metrics": _metrics,
    "verdict": _verdict,
    "calibration": _calibration,
    "end": _end,
}
_ONCE = ("edit", "finding")
