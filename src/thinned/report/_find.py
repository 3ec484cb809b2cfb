"""Finds the runs below some folders."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from thinned.report._writer import FILE_NAME


def find_records(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """Find all run records in and below the given folders, in natural order.

    Args:
        paths: folders or ``record.jsonl`` files; one or several.

    Raises:
        FileNotFoundError: if one of them does not exist, or if none holds a record.
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
        msg = f"Found no {FILE_NAME} below {named}. Add `RunRecord()` to the callbacks."
        raise FileNotFoundError(msg)
    return list(found)


def _below(folder: Path) -> Sequence[Path]:
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if FILE_NAME in files:
            found.append(Path(root, FILE_NAME))
    return sorted(found, key=_natural)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Order ``run_10`` behind ``run_9``."""
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in _pieces(str(path))]


def _pieces(text: str) -> list[str]:
    return [piece for piece in re.split(r"(\d+)", text) if piece]
