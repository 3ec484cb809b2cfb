"""Which process writes a record, and whether it is still there."""

import os
import platform
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any


def process_mark() -> dict[str, Any]:
    """Tell this process from all others: its number, its machine and, on Linux, when it began."""
    pid = os.getpid()
    return {"pid": pid, "host": _host(), "began": _began(pid)}


def process_lives(process: Mapping[str, Any]) -> bool:
    """Say whether a process is still there; one on another machine counts as gone.

    Its number alone does not say: a container that starts anew counts from 1 again.
    """
    pid = process.get("pid")
    if process.get("host") != _host() or not isinstance(pid, int) or not 0 < pid < 2**31:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is there, and belongs to somebody else
        pass
    began, found = process.get("began"), _began(pid)
    return began is None or found is None or began == found


def _host() -> str:
    """Mark this machine without its name, since records are passed on."""
    return sha256(platform.node().encode()).hexdigest()[:12]


def _began(pid: int) -> int | None:
    """When a process began, in ticks since the machine did; 0 of one that has ended (a zombie).

    None where it cannot be known: on other systems, or where the kernel hides others' processes.
    """
    try:
        told = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
        state, *rest = told.rpartition(")")[2].split()  # before that stands a name of any form
        return 0 if state == "Z" else int(rest[18])
    except (OSError, ValueError, IndexError):
        return None
