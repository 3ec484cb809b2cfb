"""Finds the runs below some folders."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from .read import NO_READER, holds_run
from .refused import STATUS_NAME, refused
from .writer import FILE_NAME


def find_records(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """Find all runs in and below the given folders, in natural order (``run_10`` after ``run_9``).

    A run is a folder with our record, or with what CSVLogger or TensorBoardLogger wrote, or with
    the ``status.json`` of a job of ``thinned train`` that failed before its training. What loggers
    wrote below a folder with our record is the same run, and so is a folder given twice.

    Args:
        paths: folders, or files of runs; one or several.

    Raises:
        FileNotFoundError: if one of them does not exist, or if there is no run in any.
    """
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    found: dict[Path, Path] = {}
    for each in map(Path, given):
        if not each.exists():
            msg = f"Expected a folder of runs, found nothing at {each}."
            raise FileNotFoundError(msg)
        for run in [each] if each.is_file() else _below(each):
            found.setdefault(_identity(run), run)
    if not found:
        raise FileNotFoundError(_nothing([Path(each) for each in given]))
    return list(found.values())


def _identity(run: Path) -> Path:
    """What is the same for one run under all its spellings: its folder, or a file as it is."""
    real = run.resolve()
    named = real.name == FILE_NAME or real.suffix != ".jsonl"
    return real.parent if real.is_file() and named else real


def _below(folder: Path) -> list[Path]:
    found: list[Path] = []
    jobs: list[Path] = []
    recorded: set[Path] = set()  # folders below a record: what loggers wrote there is that run
    for name, folders, files in os.walk(folder):
        root = Path(name)
        folders[:] = [each for each in folders if not each.startswith(".")]
        if root in recorded or FILE_NAME in files:
            recorded.update(root / each for each in folders)
        if FILE_NAME in files or (root not in recorded and holds_run(files)):
            found.append(root)
        elif STATUS_NAME in files and root not in recorded:
            jobs.append(root)
    seen = {parent for run in found for parent in (run, *run.parents)}
    found += [job for job in jobs if job not in seen and refused(job)]
    return sorted(found, key=_natural)


def _nothing(given: list[Path]) -> str:
    offline = next((run for each in given for run in sorted(each.rglob("*.wandb"))), None)
    if offline is not None:
        return NO_READER.format(offline.parent)
    named = ", ".join(str(each) for each in given)
    return f"Found no run below {named}. Add `RunRecord()` to the callbacks."


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    pieces = re.findall(r"\d+|\D+", str(path))
    return [(not p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in pieces]
