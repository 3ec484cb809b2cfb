"""On two processes the first one writes, and nobody waits for the other."""

import subprocess
import sys
from pathlib import Path

import pytest

from helpers import record_ddp
from helpers.wandb_files import read_offline
from thinned.report import read_record


@pytest.mark.multiprocess
def test_the_first_rank_writes_for_all(tmp_path):
    command = [sys.executable, str(Path(record_ddp.__file__)), str(tmp_path)]
    done = subprocess.run(command, timeout=240, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = read_record(tmp_path / "run")
    assert record.status == "finished"
    assert record.skipped == 0
    assert len(record.metrics) == 2
    assert {"train_acc", "val_loss", "overfit/gap/val_loss"} <= set(record.metrics[-1].values)
    assert record.environment["processes"] == "2"
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["record.jsonl"]
    assert done.stderr.count("best val_loss") == 1
    (run,) = read_offline(tmp_path)
    assert len(run.values("val_loss")) == 2
