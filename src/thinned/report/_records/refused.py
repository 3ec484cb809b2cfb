"""Reads what a job of ``thinned train`` says of itself: that it failed early, or was stopped."""

from pathlib import Path
from typing import Any

from thinned.report._records import data

from .record import Record

STATUS_NAME = "status.json"
_FIELDS: dict[str, data.Check] = {
    "status": data.one_of(("failed", "interrupted")),  # a job that goes on will have its record
    "overrides": data.texts,
    "error": data.text,
}


def refused(folder: Path) -> Record | None:
    """The record of a job that failed before its training, and so wrote none; else None."""
    said = _status(folder, _FIELDS, ["status", "overrides"])
    if said is None:
        return None
    end = {"status": said["status"], "error": said.get("error"), "seconds": None}
    seeds = [each.removeprefix("seed=") for each in said["overrides"] if each.startswith("seed=")]
    seed = int(seeds[-1]) if seeds and seeds[-1].isdecimal() and len(seeds[-1]) < 16 else None
    return Record(
        path=folder / STATUS_NAME,
        source="status",
        name=data.clean(folder.name),
        seed=seed,
        overrides=said["overrides"],
        end=end,
    )


def stopped_at(folder: Path) -> int | None:
    """The number of epochs after which its sweep stopped a job, None where it did not."""
    said = _status(folder, {"stopped_at": data.whole}, ["stopped_at"])
    return said["stopped_at"] if said else None


def _status(
    folder: Path, fields: dict[str, data.Check], needed: list[str]
) -> dict[str, Any] | None:
    try:
        text = data.check_file(folder / STATUS_NAME, "a job's status").read_text("utf-8")
        return data.take(data.parse(text), fields, needed)
    except (OSError, ValueError):
        return None
