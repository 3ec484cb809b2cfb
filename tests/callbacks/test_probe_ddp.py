"""On two processes the probe gives what one process gives, and every process the same."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from helpers import probe_ddp

SCRIPT = Path(probe_ddp.__file__)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ddp")
    command = [sys.executable, str(SCRIPT), str(folder), "25"]
    subprocess.run(command, check=True, timeout=240, cwd=folder, capture_output=True)
    return folder, [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.multiprocess
def test_processes_agree(outcome):
    first, second = outcome[1]
    assert len(first["history"]) == 2
    assert first["history"] == second["history"]


@pytest.mark.multiprocess
def test_shares_are_equal_and_disjoint(outcome):
    one, other = outcome[1][0]["chosen"]
    assert (len(one), len(other)) == (12, 12)
    assert not set(one) & set(other)


@pytest.mark.multiprocess
def test_figures_are_those_of_one_process(outcome):
    folder, (first, _) = outcome
    chosen = [i for share in first["chosen"] for i in share]
    truth = probe_ddp.truth(torch.load(folder / "weights.pt", weights_only=True), chosen)
    row = first["history"][-1]
    for key in ("val_loss", "local", "total", "val_acc"):
        assert row[f"overfit/probe/{key}"] == pytest.approx(truth[key], rel=1e-6)
    assert "overfit/probe/only_first" in row
    assert row["overfit/inflation/val_loss"] != 0.0
    assert row["overfit/co_adaptation/net.3"] > 0.0


@pytest.mark.multiprocess
def test_training_is_neutral_on_both(outcome):
    for each in outcome[1]:
        assert each["with"] == each["without"]
