"""Faults of disks, loggers and W&B cost a run nothing but a warning."""

import errno
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import pytorch_lightning as pl
import wandb

from helpers import tiny
from thinned import ThinnedWarning
from thinned.app._status import JobStatus
from thinned.callbacks import (
    AdaptiveDropout,
    DropoutScheduler,
    LayerInsert,
    LayerSwap,
    OverfittingMonitor,
    RandomState,
    RunRecord,
    ScaleRates,
    WandbDashboard,
)
from thinned.report import read_record
from thinned.schedules import Linear


def everything(folder="record"):
    return [
        RandomState(),
        LayerSwap({"Linear": "dropconnect"}, include="net.0", rate=0.1),
        LayerInsert("dropout", 0.1, after="ReLU"),
        DropoutScheduler(Linear(0.0, 0.4), exclude=["net.2", "net.5"], kinds="all"),
        ScaleRates(0.5, "net.2"),
        AdaptiveDropout("val_loss", "net.5"),
        OverfittingMonitor("val_loss"),
        RunRecord(folder, summary=False),
    ]


def ours(caught):
    return [str(each.message) for each in caught if issubclass(each.category, ThinnedWarning)]


FULL = """
import resource, sys, warnings
sys.path.insert(0, sys.argv[1])
from helpers import tiny
from thinned import ThinnedWarning
from thinned.callbacks import OverfittingMonitor, RunRecord
for name, room in (("record", 3000), ("page", 200_000)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    callbacks = [OverfittingMonitor("val_loss"), RunRecord(name, summary=False)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = tiny.fit(callbacks, max_epochs=3)
    assert made.state.status == "finished" and made.current_epoch == 3
    (told,) = [each.message for each in caught if issubclass(each.category, ThinnedWarning)]
    print(name, told)
"""


@pytest.mark.multiprocess
def test_a_disk_that_is_full_for_the_record_or_for_the_page(tmp_path):
    # The system itself refuses to write more than so many bytes into a file.
    command = [sys.executable, "-c", FULL, str(Path(tiny.__file__).parents[1])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("record The run record record/record.jsonl cannot be written (File too")
    assert second.startswith("page Of page/record.jsonl no report could be made")
    assert "File too large" in second
    for name in ("record", "page"):
        assert read_record(tmp_path / name).metrics
        assert not (tmp_path / name / "report.html").exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("after", [0, 5])
def test_a_disk_that_fails_at_once_or_later(tmp_path, monkeypatch, code, after):
    real, count = Path.open, iter(range(10**6))

    def failing(path, mode="r", *args, **options):
        if path.name == "record.jsonl" and "a" in mode and next(count) >= after:
            raise OSError(code, errno.errorcode[code])
        return real(path, mode, *args, **options)

    monkeypatch.setattr(Path, "open", failing)
    with pytest.warns(ThinnedWarning) as caught:
        made = tiny.fit([*everything(), tiny.saver(tmp_path / "saved")], max_epochs=2)
    assert made.state.status == "finished"
    (told,) = [text for text in ours(caught) if "record" in text]
    assert errno.errorcode[code] in told


def test_the_status_of_a_job_is_not_worth_the_job(tmp_path, monkeypatch, caplog):
    status = JobStatus(tmp_path, [])

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.warns(ThinnedWarning, match=r"status.json cannot be written \(No space left"):
        status.finished({})
    status.failed(ValueError("a"))  # and is not told again


class DeadLogger(pl.loggers.logger.DummyLogger):
    """Takes nothing: raises in what our callbacks call, not in what Lightning calls."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def log_metrics(self, metrics, step=None):
        if any(key.startswith(("dropout/", "overfit/")) for key in metrics):
            self.asked += 1
            raise ConnectionError("the logger is gone")


def test_a_logger_that_raises_costs_one_warning_a_callback():
    logger = DeadLogger()
    with pytest.warns(ThinnedWarning, match="the logger is gone") as caught:
        made = tiny.fit(everything(), logger=logger, max_epochs=2)
    assert made.state.status == "finished"
    assert logger.asked
    assert 1 <= len([text for text in ours(caught) if "is gone" in text]) <= 4
    assert read_record("record").status == "finished"


class Run:
    """A W&B run that fails in one of its methods, or is slow in all."""

    def __init__(self, fails):
        self.fails, self.calls = fails, []
        self.summary, self.config = Store(self, "summary"), Store(self, "config")

    def call(self, name):
        self.calls.append(name)
        if name == self.fails:
            raise ConnectionError(f"{name} is down")

    def __getattr__(self, name):
        return lambda *args, **options: self.call(name)


class Store(dict):
    """The summary or the configuration of such a run."""

    def __init__(self, run, name):
        self.run, self.name = run, name

    def update(self, *args, **options):
        self.run.call(self.name)


@pytest.fixture
def run(monkeypatch):
    """Return a function that puts a run in W&B's place."""

    def put(fails):
        made = Run(fails)
        monkeypatch.setattr(wandb, "run", made)
        return made

    return put


class Onset(pl.Callback):
    """Says that overfitting has begun."""

    def on_validation_end(self, trainer, pl_module):
        trainer.callback_metrics["overfit/onset"] = trainer.callback_metrics["val_loss"] * 0


@pytest.mark.parametrize("name", ["define_metric", "log", "alert", "summary", "config"])
def test_whatever_wandb_raises_costs_one_warning(run, name):
    made = run(name)
    with pytest.warns(ThinnedWarning, match=f"{name} is down") as caught:
        done = tiny.fit([*everything(), Onset(), WandbDashboard()], max_epochs=2)
    assert done.state.status == "finished"
    assert len([text for text in ours(caught) if "is down" in text]) == 1
    assert made.calls.count(name) == 1  # and is not asked again
    assert read_record("record").status == "finished"


def test_a_slow_wandb_is_asked_a_bounded_number_of_times(run):
    # Each call may wait for W&B: their number must not grow with the training's length.
    made = run("")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ThinnedWarning)
        train, val = tiny.loader(800, batch_size=1), tiny.loader(16, seed=1)
        tiny.fit([DropoutScheduler(Linear(0.0, 0.4)), WandbDashboard()], train=train, val=val)
    assert 190 < made.calls.count("log") <= 210


def test_a_page_that_fails_leaves_the_record(tmp_path, monkeypatch):
    import thinned.report._pages.render as rendering

    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(rendering, "write_whole", full)
    with pytest.warns(ThinnedWarning, match="no report could be made.*No space left"):
        tiny.fit([RunRecord(tmp_path, summary=False)])
    assert read_record(tmp_path).status == "finished"
