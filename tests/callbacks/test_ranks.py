"""On two processes: the same rates, gap, verdict and weights, other masks, and no waiting."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from helpers import ranks

pytestmark = pytest.mark.multiprocess
SCRIPT = Path(ranks.__file__)


def run(folder, *scenarios, timeout=240):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), str(folder), *scenarios]
    return subprocess.run(
        command, timeout=timeout, cwd=folder, env=env, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Run what needs no process of its own in one, since starting two takes the longest."""
    path = tmp_path_factory.mktemp("ranks")
    done = run(path, "whole", "resumed", "alike", "blocks", "mask", "adaptive", "adapted")
    assert done.returncode == 0, done.stderr
    return path


def both(folder, name):
    return [json.loads((folder / f"{name}.{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("name", ["whole", "resumed", "alike", "skip", "mask"])
def test_ranks_agree_on_rates_gap_verdict_and_weights(folder, name):
    first, second = both(folder, name)
    assert len(first["rates"]) == (4 if name == "resumed" else 8)
    for key in ("rates", "history", "verdict", "weights", "keys"):
        assert first[key] == second[key]
    assert first["rates"][-1] in ({"all": 0.4}, {"all": 0.6})


@pytest.mark.parametrize("name", ["whole", "resumed", "skip", "mask"])
def test_masks_differ_by_rank_although_the_seed_is_the_same(folder, name):
    first, second = both(folder, name)
    assert first["masks"]
    assert all(a != b for a, b in zip(first["masks"], second["masks"], strict=True))


def test_without_decorrelation_they_are_the_same(folder):
    first, second = both(folder, "alike")
    assert first["masks"]
    assert first["masks"] == second["masks"]


def test_the_diagnosis_finds_masks_that_are_the_same_on_all_ranks(folder):
    rule = "identical-masks-on-ranks"
    assert [rule in found["findings"] for found in both(folder, "alike")] == [True, True]
    assert [rule in found["findings"] for found in both(folder, "whole")] == [False, False]


def test_resumed_from_an_epochs_end_the_weights_are_bitwise_equal(folder):
    whole, resumed = both(folder, "whole")[0], both(folder, "resumed")[0]
    assert resumed["weights"] == whole["weights"]
    assert resumed["masks"] == whole["masks"][4:]
    assert resumed["history"] == whole["history"]


@pytest.mark.parametrize("name", ["adaptive", "adapted"])
def test_ranks_agree_on_an_adaptive_rate_and_its_losses(folder, name):
    first, second = both(folder, name)
    assert len(first["history"]) == 8  # four of the controller, four of the monitor
    for key in ("rates", "history", "weights"):
        assert first[key] == second[key]
    assert {rates["all"] for rates in first["rates"]} != {first["history"][0]["rate"]}  # it moved
    assert all(a != b for a, b in zip(first["masks"], second["masks"], strict=True))


def test_the_temperature_is_that_of_the_whole_validation_set(folder):
    found = [row["log_temperature"] for row in both(folder, "adaptive")[0]["history"][:4]]
    for whole in both(folder, "adaptive.whole"):
        assert found == pytest.approx(whole, rel=1e-4)


def test_resumed_between_validations_an_adaptive_run_ends_as_it_would_have(folder):
    whole, resumed = both(folder, "adaptive")[0], both(folder, "adapted")[0]
    assert len(resumed["rates"]) == 5
    assert resumed["rates"] == whole["rates"][3:]
    for key in ("history", "weights"):
        assert resumed[key] == whole[key]


def test_edits_happen_before_wrapping_and_are_undone(folder):
    whole = both(folder, "whole")[0]
    assert "DropConnectLinear" in whole["layers"]
    assert "DropConnectLinear" not in whole["after"]
    assert whole["keys"] == list(ranks.tiny.TinyModule().state_dict())


def test_only_the_first_rank_writes_the_record(folder):
    assert (folder / "record" / "record.jsonl").exists()
    lines = (folder / "record" / "record.jsonl").read_text().splitlines()
    metrics = [json.loads(line) for line in lines if json.loads(line)["type"] == "metrics"]
    assert [row["epoch"] for row in metrics] == [0, 1]


def test_a_rank_that_dies_does_not_leave_the_other_waiting(tmp_path):
    began = time.monotonic()
    done = run(tmp_path, "dies", timeout=120)
    assert done.returncode != 0
    assert "the second rank dies" in done.stderr
    assert time.monotonic() - began < 120


def test_a_rank_that_is_killed_does_not_leave_the_other_waiting(tmp_path):
    began = time.monotonic()
    done = run(tmp_path, "killed", timeout=120)
    assert done.returncode != 0
    assert time.monotonic() - began < 120  # Lightning or gloo, whoever notices first, ends it


def test_spawned_processes_get_the_callbacks_by_pickle(tmp_path):
    done = run(tmp_path, "spawn")
    assert done.returncode == 0, done.stderr
    first, second = both(tmp_path, "spawn")
    assert len(first["rates"]) == 8
    assert first["weights"] == second["weights"]
    assert all(a != b for a, b in zip(first["masks"], second["masks"], strict=True))


def test_surgery_stands_under_fully_shard(tmp_path):
    torch.multiprocessing.spawn(ranks.sharded, (str(tmp_path),), nprocs=2)
    for found in both(tmp_path, "sharded"):
        assert found == {"refused": True, "keys": True, "rates": [0.2], "finite": True}
