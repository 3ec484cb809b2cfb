"""Runs the Python and console blocks of the documentation as tests, each page in its own folder."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser


def run_console(example: Example) -> str | None:
    """Run each line that begins with `$ `; a command that fails fails the test."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for line in str(example.parsed).splitlines():
        if line.startswith("$ "):
            done = subprocess.run(  # noqa: S602  what a reader is told to type is run as typed
                line[2:],
                shell=True,
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, "PATH": path},
            )
            if done.returncode:
                return f"{line}\nexit code {done.returncode}\n{done.stdout}{done.stderr}"
    return None


def enter_page(namespace: dict[str, Any]) -> None:
    """Give the page an empty folder to write in, and what a new process would find."""
    if (dynamo := sys.modules.get("torch._dynamo")) is not None:
        dynamo.reset()  # what earlier tests compiled counts towards torch's limits
        dynamo.utils.counters.clear()
    namespace["_before"] = Path.cwd()
    namespace["_folder"] = tempfile.TemporaryDirectory()
    os.chdir(namespace["_folder"].name)


def leave_page(namespace: dict[str, Any]) -> None:
    """Go back, and leave nothing behind."""
    os.chdir(namespace["_before"])
    namespace["_folder"].cleanup()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), CodeBlockParser("console", run_console)],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
    setup=enter_page,
    teardown=leave_page,
).pytest()
