"""What became of a job: ``status.json`` in its folder, under any launcher."""

import json
import os
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from thinned._errors import ThinnedWarning
from thinned._log import is_first_rank
from thinned.report._records.secrets import overrides_without_secrets

from ._errors import one_line

NAME = "status.json"


class JobStatus:
    """Keeps ``status.json`` up to date; every change replaces the file as a whole.

    A job that was killed leaves ``running`` behind, with the process that it was.

    Args:
        folder: the job's folder.
        overrides: what was asked on the command line.
    """

    def __init__(self, folder: str | Path, overrides: list[str]) -> None:
        self.path = Path(folder) / NAME
        self._content: dict[str, Any] = {
            "status": "running",
            "overrides": overrides_without_secrets(overrides),
            "started": time.time(),
            "pid": os.getpid(),
        }
        self._speaks = is_first_rank()  # the others may be this very program in the same folder
        self._write()

    def finished(self, metrics: dict[str, float], stopped_at: int | None = None) -> None:
        """Note that the job came to its end, what it measured, and whether the sweep stopped it."""
        self._end(status="finished", metrics=metrics, stopped_at=stopped_at)

    def failed(self, error: BaseException) -> None:
        """Note what stopped the job."""
        interrupted = isinstance(error, (KeyboardInterrupt, SystemExit))
        text = f"{type(error).__name__}: {one_line(str(error))}".rstrip(": ")
        trace = "".join(traceback.format_exception(error))
        self._end(status="interrupted" if interrupted else "failed", error=text, traceback=trace)

    def _end(self, **content: Any) -> None:
        started = float(self._content["started"])
        self._content |= content | {"seconds": round(time.time() - started, 3)}
        self._write()

    def _write(self) -> None:
        if not self._speaks:
            return
        draft = self.path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(self._content, indent=2) + "\n", encoding="utf-8")
            draft.replace(self.path)
        except OSError as error:  # a status is not worth the job
            self._speaks = False
            msg = f"{self.path} cannot be written ({error.strerror or error}); the job goes on."
            warnings.warn(msg, ThinnedWarning, stacklevel=3)


def read_status(folder: str | Path) -> dict[str, Any] | None:
    """Return the content of a folder's ``status.json``, or None where there is none to read."""
    try:
        content = json.loads((Path(folder) / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
