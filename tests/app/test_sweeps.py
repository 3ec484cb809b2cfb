"""Sweeps: grid and search, in this process and in others; failures, kills and resumption."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from helpers.app import only, statuses, thinned

FAST = [
    "trainer.max_epochs=1",
    "data=wine",
    "data.train_size=30",
    "data.val_size=40",
    "model.widths=[8,8]",
    "logger=none",
]

# Optuna 2.10 on SQLAlchemy 1.4, which are the versions that work together.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Deprecated API features detected"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning"),
]


def _study(name="rates"):
    import optuna

    return optuna.load_study(study_name=name, storage=f"sqlite:///multirun/{name}.db")


@pytest.mark.parametrize("choice", ["1.5", "abc"])
def test_a_wrong_job_is_recorded_and_the_others_run(choice, train):
    code, err = train("-m", *FAST, f"schedule.end=0.1,{choice},0.3")
    assert code == 2
    found = statuses()
    assert [status["status"] for status in found] == ["finished", "failed", "finished"]
    assert f"got {choice}" in found[1]["error"].replace("'", "")
    assert "3 of 3 jobs done, 1 failed" in err
    assert "thinned compare multirun/" in err


def test_of_the_processes_of_ddp_one_shows_the_progress(train, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    code, err = train("-m", *FAST, "seed=1,2")
    assert code == 0
    assert "jobs done" not in err
    assert "thinned compare" not in err


def test_a_typing_error_stops_a_sweep_before_its_first_job(train):
    code, err = train("-m", *FAST, "schedule.ennd=0.1,0.2")
    assert code == 2
    assert "Did you mean 'end'?" in err


def test_a_search_proposes_runs_and_keeps_them(train):
    code, err = train("-m", *FAST, "search=rates", "hydra.sweeper.n_trials=3")
    assert code == 0, err
    trials = _study().trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 3
    values = [status["metrics"]["val_loss"] for status in statuses()]
    assert [trial.value for trial in trials] == values
    # The same command once more has nothing left to do, and says so.
    code, err = train("-m", *FAST, "search=rates", "hydra.sweeper.n_trials=3")
    assert code == 0
    assert "thinned: study rates: 3 trials are done, n_trials=3 asks for no more. Raise it" in err
    assert len(_study().trials) == 3
    # What does not matter to a trial may differ, what is searched too.
    same = ["name=other", "schedule.head=interval(0,0.5)"]
    code, err = train("-m", *FAST, "search=rates", "hydra.sweeper.n_trials=4", *same)
    assert code == 0, err
    assert len(_study().trials) == 4
    # Another optimizer would be compared with these.
    code, err = train("-m", *FAST, "search=rates", "hydra.sweeper.n_trials=6", "optimizer=sgd")
    assert code == 2
    assert "that study rates began with, the default, got optimizer=sgd: " in err
    assert "hydra.sweeper.study_name=NAME" in err
    assert err.count("\n") == 1
    assert len(_study().trials) == 4


def test_a_failing_trial_is_recorded_and_the_search_goes_on(train):
    code, _ = train(
        "-m",
        *FAST,
        "search=rates",
        "hydra.sweeper.n_trials=4",
        "schedule.head=choice(0.5,7)",
        "hydra/sweeper/sampler=random",
    )
    assert code == 1
    assert {trial.state.name for trial in _study().trials} == {"COMPLETE", "FAIL"}


def test_two_objectives(train):
    code, err = train("-m", *FAST, "search=pareto", "hydra.sweeper.n_trials=2")
    assert code == 0, err
    for trial, status in zip(_study("pareto").trials, statuses(), strict=True):
        assert trial.values == [
            status["metrics"][key] for key in ("val_loss", "overfit/gap/val_loss")
        ]


def test_halving_stops_the_worse_jobs_of_a_grid(train):
    code, err = train(
        "-m",
        *FAST,
        "trainer.max_epochs=6",
        "callbacks=[dropout,halving]",
        "callbacks.halving.first=2",
        "callbacks.halving.reduction=2",
        "optimizer.lr=0.01,1e-9,1e-9",
    )
    assert code == 0, err
    assert [status.get("stopped_at") for status in statuses()] == [None, 2, 2]
    assert "3 of 3 jobs done, 2 stopped early" in err


def test_a_trial_that_halving_stops_is_pruned_to_optuna(train):
    import optuna

    before = optuna.study.Study.tell
    code, err = train(
        "-m",
        *FAST,
        "search=rates",
        "hydra.sweeper.sampler.seed=1",  # 1e-9, 0.01, 1e-8: the last is stopped
        "trainer.max_epochs=6",
        "callbacks=[dropout,halving]",
        "callbacks.halving.first=2",
        "callbacks.halving.reduction=2",
        "schedule.body=0.1",
        "schedule.head=0.2",
        "optimizer.lr=0.01,1e-9,1e-8",
        "hydra.sweeper.n_trials=3",
    )
    assert code == 0, err
    assert optuna.study.Study.tell is before
    stopped = [status["stopped_at"] for status in statuses()]
    assert sum(epochs is not None for epochs in stopped) > 0
    for trial, epochs, status in zip(_study().trials, stopped, statuses(), strict=True):
        assert trial.state.name == ("COMPLETE" if epochs is None else "PRUNED")
        value = status["metrics"]["val_loss"]
        assert trial.value == value
        assert trial.intermediate_values == ({} if epochs is None else {epochs: value})


@pytest.mark.multiprocess
def test_joblib_gives_each_job_a_folder_and_a_wandb_run_of_its_own():
    from helpers.wandb_files import read_offline

    done = thinned(
        "train",
        "-m",
        *FAST[:-1],
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        "schedule.end=0.1,1.5,0.3",
    )
    assert done.returncode == 2, done.stderr
    assert [status["status"] for status in statuses()] == ["finished", "failed", "finished"]
    runs = read_offline(only("multirun/*/*"))
    assert len({run.run_id for run in runs}) == 2
    groups = {str(status["pid"]) for status in statuses()}
    assert len(groups) == 2  # two processes, and one of them had two jobs


@pytest.mark.multiprocess
def test_a_killed_search_goes_on_without_repeating_a_point():
    command = [
        sys.executable,
        "-m",
        "thinned.app.cli",
        "train",
        "-m",
        *FAST,
        "search=rates",
        "hydra.sweeper.n_trials=6",
    ]
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not _second_trial_runs() and started.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    before = _study().trials
    killed = [trial for trial in before if trial.state.name == "RUNNING"]
    assert len(killed) == 1

    done = thinned("train", "-m", *FAST, "search=rates", "hydra.sweeper.n_trials=6")
    assert done.returncode == 0, done.stderr
    after = _study().trials
    states = [trial.state.name for trial in after]
    assert (states.count("COMPLETE"), states.count("RUNNING")) == (6, 0)
    points = [tuple(sorted(t.params.items())) for t in after if t.state.name == "COMPLETE"]
    assert len(set(points)) == 6
    assert tuple(sorted(killed[0].params.items())) in points  # its point was not lost
    assert f"{len(before) - 1} trials are done, 1 were killed" in done.stderr


def _second_trial_runs():
    """Say whether the second trial runs and has both of its rates.

    Optuna itself would make the tables that are not there yet, under the hands of who is killed.
    """
    asked = """SELECT COUNT(*) FROM trials JOIN trial_params USING (trial_id)
        WHERE trials.number = 1 AND trials.state = 'RUNNING'"""
    try:
        with contextlib.closing(sqlite3.connect("file:multirun/rates.db?mode=ro", uri=True)) as db:
            return db.execute(asked).fetchone() == (2,)
    except sqlite3.OperationalError:  # no file yet, or no tables
        return False
