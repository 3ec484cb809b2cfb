"""Reads a job of ``thinned train`` that failed before its training, and so has no record."""

from pathlib import Path

from thinned.report import _data as data
from thinned.report._record import Record

STATUS_NAME = "status.json"
_FIELDS: dict[str, data.Check] = {
    "status": data.one_of(("failed", "interrupted")),  # a job that goes on will have its record
    "overrides": data.texts,
    "error": data.text,
}


def refused(folder: Path) -> Record | None:
    """Return what ``status.json`` says of a job that failed, None where it says nothing such."""
    try:
        text = data.check_file(folder / STATUS_NAME, "a job's status").read_text("utf-8")
        said = data.take(data.parse(text), _FIELDS, ["status", "overrides"])
    except (OSError, ValueError):
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
