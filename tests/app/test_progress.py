"""Progress over the jobs of a multirun, read off the status of each."""

import io
import json
import time

import pytest
from omegaconf import OmegaConf

from thinned.app import _progress
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


@pytest.mark.parametrize(
    "text",
    ["", '{"status": "finished"}', '{"status": "finished", "started": 1.0}'],
    ids=["half written", "of no time", "of an earlier sweep"],
)
def test_a_follower_takes_no_notice_of_other_files(tmp_path, text):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "status.json").write_text(text)
    follower = Follower(tmp_path, total=1)
    follower.look()
    assert follower.jobs == {}


def _followed(monkeypatch, total, **jobs):
    """A follower that began 90 seconds ago, by a clock that stands still."""
    monkeypatch.setattr(_progress.time, "time", lambda: 1000.0)
    follower = Follower(None, total)
    follower.jobs = {name: {"status": status} for name, status in jobs.items()}
    monkeypatch.setattr(_progress.time, "time", lambda: 1090.0)
    return follower


@pytest.mark.parametrize(
    ("total", "jobs", "line"),
    [
        (4, {"a": "finished"}, "1 of 4 jobs done, about 4:30 left"),
        (4, {"a": "finished", "b": "failed"}, "2 of 4 jobs done, 1 failed, about 1:30 left"),
        (3, {"a": "finished", "b": "interrupted"}, "2 of 3 jobs done, about 0:45 left"),
        (2, {"a": "running"}, "0 of 2 jobs done"),
        (1, {"a": "finished"}, "1 of 1 jobs done"),
        (1, {"a": "finished", "b": "finished"}, "2 of 1 jobs done"),
    ],
)
def test_the_time_left_is_that_of_the_jobs_so_far(monkeypatch, total, jobs, line):
    assert _followed(monkeypatch, total, **jobs).line() == line


def test_beside_a_terminal_each_job_that_is_over_gets_a_line(monkeypatch, capsys):
    follower = _followed(monkeypatch, 2, a="running", b="running")
    with _progress._display(2) as show:
        for name, status in (("a", "running"), ("a", "interrupted"), ("b", "running")):
            follower.jobs[name] = {"status": status}
            show(follower)
        follower.jobs["b"] = {"status": "failed"}
        show(follower)
    assert capsys.readouterr().err.splitlines() == [
        "thinned: 1 of 2 jobs done, about 1:30 left",
        "thinned: 2 of 2 jobs done, 1 failed",
    ]


def test_a_terminal_gets_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    with _progress._display(2) as show:
        show(_followed(monkeypatch, 2, a="finished", b="failed"))
    assert "2 of 2 jobs done, 1 failed" in terminal.getvalue()
    assert "━" * 40 in terminal.getvalue()  # full


def test_a_follower_looks_once_more_when_it_is_stopped(tmp_path, capsys):
    follower = Follower(tmp_path, total=1)
    follower.start()
    JobStatus(tmp_path / "0", []).finished({})
    follower.stop()
    assert not follower.is_alive()
    assert capsys.readouterr().err == "thinned: 1 of 1 jobs done\n"


def test_a_follower_that_nobody_stops_keeps_no_process_alive(tmp_path):
    assert Follower(tmp_path, total=1).daemon


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


@pytest.mark.parametrize(
    "ranks", [{"LOCAL_RANK": "1"}, {"RANK": "2", "LOCAL_RANK": "0"}, {"SLURM_PROCID": "1"}], ids=str
)
def test_other_ranks_are_silent(tmp_path, monkeypatch, ranks):
    for name, rank in ranks.items():
        monkeypatch.setenv(name, rank)
    JobStatus(tmp_path, []).finished({})
    assert list(tmp_path.iterdir()) == []
