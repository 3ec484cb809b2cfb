"""Trainings killed by kill -9 and resumed end as if nobody had killed them: a short form."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import tiny


@pytest.mark.multiprocess
def test_eight_killed_trainings_end_as_if_they_had_not_been(tmp_path):
    script = str(Path(tiny.__file__).with_name("torture.py"))
    command = [sys.executable, script, "--count", "8", "--seed", "1"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=280, check=False, cwd=tmp_path, env=env
    )
    assert "8 of 8 equal, seed 1" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("killed at") == 8
