"""Finds the runs below some folders."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from thinned.report._read import holds_run


def find_records(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """Find all runs in and below the given folders, in natural order (``run_10`` after ``run_9``).

    A run is a folder with our record, or with what CSVLogger or TensorBoardLogger wrote.

    Args:
        paths: folders, or files of runs; one or several.

    Raises:
        FileNotFoundError: if one of them does not exist, or if there is no run in any.
    """
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    found: dict[Path, None] = {}
    for each in map(Path, given):
        if not each.exists():
            msg = f"Expected a folder of runs, found no {each}."
            raise FileNotFoundError(msg)
        found.update(dict.fromkeys([each] if each.is_file() else _below(each)))
    if not found:
        named = ", ".join(str(each) for each in given)
        msg = f"Found no run below {named}. Add `RunRecord()` to the callbacks."
        raise FileNotFoundError(msg)
    return list(found)


def _below(folder: Path) -> list[Path]:
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if holds_run(files):
            found.append(Path(root))
    return sorted(found, key=_natural)


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    pieces = re.findall(r"\d+|\D+", str(path))
    return [(not p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in pieces]
