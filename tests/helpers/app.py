"""Finds what a run of the application left behind, and starts it in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def only(pattern: str) -> Path:
    """Return the one path below the present folder that matches."""
    found = sorted(Path.cwd().glob(pattern))
    assert len(found) == 1, f"{pattern}: {found}"
    return found[0]


def statuses() -> list[dict]:
    """Return the status of each job of the only sweep, in the order of their numbers."""
    paths = sorted(Path.cwd().glob("multirun/*/*/*/status.json"), key=lambda p: int(p.parent.name))
    return [json.loads(path.read_text()) for path in paths]


def python(*arguments: str, timeout: float = 120, **env: str) -> subprocess.CompletedProcess[str]:
    """Run this interpreter in the present folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | env,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def thinned(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return python("-m", "thinned.app.cli", *arguments, **options)
