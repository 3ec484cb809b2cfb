"""On two processes: the same masks over the pass, scores of all rows, written once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from helpers import mc_ddp, tiny
from thinned import metrics
from thinned.report import read_record


@pytest.mark.multiprocess
def test_two_ranks_share_masks_and_scores(tmp_path):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(mc_ddp.__file__)), str(tmp_path)]
    done = subprocess.run(
        command, timeout=240, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["calibration"] == second["calibration"]
    assert first["calibration"]["rows"] == 20  # 10 of each rank
    samples, others = torch.tensor(first["samples"]), torch.tensor(second["samples"])
    assert samples.shape == (8, 10, 3)
    assert torch.allclose(samples, others, atol=1e-6)  # twins, one on each rank: one mask for both
    assert float(samples.std(0).min()) > 0.0
    y = tiny.dataset(10).tensors[1]
    p = samples.softmax(2).mean(0)
    expected = metrics.reliability(p, y) * torch.tensor([2.0, 1.0, 1.0])
    sampled = first["calibration"]["sampled"]
    assert sampled["nll"] == pytest.approx(float(metrics.nll(p, y)), rel=1e-4)
    assert torch.allclose(torch.tensor(sampled["bins"]), expected, atol=1e-5)
    record = read_record(tmp_path / "run")
    assert record.skipped == 0
    assert record.calibration["sampled"]["nll"] == sampled["nll"]
    text = (tmp_path / "run" / "record.jsonl").read_text()
    assert text.count('"type": "calibration"') == 1
