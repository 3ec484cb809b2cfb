"""Progress over the jobs of a multirun, read off the status of each."""

import json
import time

import pytest
from omegaconf import OmegaConf

from thinned.app._progress import Follower, count_jobs
from thinned.app._status import JobStatus, read_status


def _config(overrides, **sweeper):
    return OmegaConf.create({"hydra": {"sweeper": sweeper, "overrides": {"task": overrides}}})


@pytest.mark.parametrize(
    ("overrides", "sweeper", "jobs"),
    [
        ([], {}, 1),
        (["seed=1,2,3", "schedule=none,linear", "name=x"], {}, 6),
        (["seed=range(1,6)"], {}, 5),
        (["seed=1,2"], {"params": {"data": "wine,digits"}}, 4),
        (["schedule.end=interval(0,1)"], {"n_trials": 20}, 20),
    ],
)
def test_the_number_of_jobs(overrides, sweeper, jobs):
    assert count_jobs(_config(overrides, **sweeper)) == jobs


def test_a_follower_counts_what_ran_since_it_began(tmp_path):
    old = JobStatus(tmp_path / "0", [])
    old.finished({})
    time.sleep(0.01)
    follower = Follower(tmp_path, total=4)
    JobStatus(tmp_path / "1", []).finished({"val_loss": 0.5})
    JobStatus(tmp_path / "2", []).failed(ValueError("two\nlines"))
    running = JobStatus(tmp_path / "3", [])
    follower.look()
    assert follower.count("finished", "failed") == 2
    assert follower.line().startswith("2 of 4 jobs done, 1 failed, about 0:0")
    running.finished({})
    follower.look()
    assert follower.line().startswith("3 of 4 jobs done, 1 failed, about")


def test_the_status_of_a_job(tmp_path):
    status = JobStatus(tmp_path / "job", ["seed=1"])
    assert read_status(tmp_path / "job")["status"] == "running"
    status.failed(ValueError("two\nlines"))
    found = read_status(tmp_path / "job")
    assert (found["status"], found["error"]) == ("failed", "ValueError: two lines")
    assert found["overrides"] == ["seed=1"]
    status.failed(KeyboardInterrupt())
    assert read_status(tmp_path / "job")["status"] == "interrupted"
    assert [path.name for path in (tmp_path / "job").iterdir()] == ["status.json"]


@pytest.mark.parametrize("text", ["", "{", "[1]", json.dumps("a")])
def test_what_is_no_status_is_none(text, tmp_path):
    (tmp_path / "status.json").write_text(text)
    assert read_status(tmp_path) is None
    assert read_status(tmp_path / "nowhere") is None


def test_other_ranks_are_silent(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    JobStatus(tmp_path, []).finished({})
    assert list(tmp_path.iterdir()) == []
