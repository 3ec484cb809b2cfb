"""Writes a run record: JSON lines, one after the other, and never an exception into training."""

import errno
import itertools
import json
import math
import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thinned._errors import ThinnedWarning

from .data import MAX_DEPTH, check_file, parse

FILE_NAME = "record.jsonl"


class RecordWriter:
    r"""Appends rows to ``record.jsonl``.

    Each row is one JSON object on one line whose first key is ``type``, so that a reader can
    skip rows by their first characters. The file is opened anew for every row: a run that is
    killed leaves whole lines only, and the writer can be copied and pickled.

    A full or read-only disk costs one warning; what follows is not written.

    Args:
        path: the file, or the folder that is to hold ``record.jsonl``.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> writer = RecordWriter(folder)
        >>> writer.write("metrics", step=10, epoch=0, values={"val_loss": 0.5})
        >>> writer.path.read_text()
        '{"type": "metrics", "step": 10, "epoch": 0, "values": {"val_loss": 0.5}}\n'
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        self.path = path if path.suffix == ".jsonl" else path / FILE_NAME
        self.broken = False

    def write(self, type: str, **fields: Any) -> None:  # noqa: A002 (the key's own name)
        """Append one row; never raises."""
        self._try(self._append, {"type": type, **fields})

    def truncate_after(self, step: int) -> None:
        """Drop the rows of later steps, and the end: what a resumed run will write again."""
        self._try(self._truncate, step)

    def move_aside(self) -> None:
        """Give an earlier record in the same place another name, so that none is lost."""
        self._try(self._move_aside)

    def copy_from(self, other: Path) -> None:
        """Begin with the rows of another record."""
        self._try(self._copy_from, other)

    def _append(self, row: dict[str, Any]) -> None:
        line = json.dumps(plain(row), allow_nan=False)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and not self.path.is_file():  # to open a pipe would wait for ever
            raise OSError(errno.EINVAL, "no ordinary file")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _move_aside(self) -> None:
        if not os.path.lexists(self.path):  # a link that leads nowhere is moved too
            return
        numbers = (self.path.with_name(f"record.{n}.jsonl") for n in itertools.count(1))
        self.path.rename(next(path for path in numbers if not os.path.lexists(path)))

    def _copy_from(self, other: Path) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(check_file(other, "a run record"), self.path)

    def _truncate(self, step: int) -> None:
        if not self.path.exists():
            return
        check_file(self.path, "a run record")
        with self.path.open(encoding="utf-8", errors="replace") as file:
            kept = [line for line in file if _is_before(line, step)]
        write_whole(self.path, "".join(kept))

    def _try(self, action: Any, *args: Any) -> None:
        if self.broken:
            return
        try:
            action(*args)
        except (OSError, ValueError) as error:
            self.broken = True
            why = error.strerror if isinstance(error, OSError) else None
            msg = (
                f"The run record {self.path} cannot be written ({why or error}); "
                f"training goes on without it. Give `RunRecord(dirpath=...)` a folder with room."
            )
            warnings.warn(msg, ThinnedWarning, stacklevel=3)


def write_whole(path: Path, text: str) -> None:
    """Write a file as a whole, so that nobody reads a half, and through no link."""
    spare = path.with_name(f"{path.name}.part")
    spare.unlink(missing_ok=True)
    with spare.open("x", encoding="utf-8", errors="replace") as file:
        file.write(text)
    spare.replace(path)


def _is_before(line: str, step: int) -> bool:
    try:
        row = parse(line)
    except ValueError:
        return False
    at = row.get("step", 0)
    return row.get("type") != "end" and isinstance(at, (int, float)) and at <= step


def plain(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Turn anything into what JSON holds; what has no form there becomes its text.

    Example:
        >>> plain({"a": (1, float("nan")), 2: Path("x")})
        {'a': [1, 'nan'], '2': 'x'}
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, Mapping) and depth:
        return {str(key): plain(each, depth - 1) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)) and depth:
        return [plain(each, depth - 1) for each in value]
    if hasattr(value, "item") and getattr(value, "size", 1) in (1, ()):
        return plain(value.item())  # a number of numpy's
    return str(value)
