"""Complaints about Weights & Biases and other loggers, as they were made."""

import os
import socketserver
import subprocess
import sys
import threading

import pytest
import pytorch_lightning as pl
import wandb

from helpers import tiny
from helpers.wandb_files import read_offline
from thinned import ThinnedWarning
from thinned.callbacks import (
    AdaptiveDropout,
    Diagnosis,
    DropoutScheduler,
    LayerInsert,
    LayerSwap,
    MCDropout,
    OverfittingMonitor,
    ProgressMetrics,
    RandomState,
    RunRecord,
    ScaleRates,
    WandbDashboard,
)
from thinned.schedules import Linear


@pytest.fixture
def offline(tmp_path):
    """Return what makes a WandbLogger, and leave no run open."""
    yield lambda: pl.loggers.WandbLogger(project="p", save_dir=tmp_path, offline=True)
    wandb.finish()


def ours():
    return [WandbDashboard(), OverfittingMonitor("val_loss"), DropoutScheduler(Linear(0.0, 0.4))]


class OwnStep(tiny.TinyModule):
    """Logs with a step of its own, which W&B drops where its count is ahead of it."""

    def on_train_epoch_end(self):
        step = self.trainer.global_step
        self.logger.experiment.log({"mine": step}, step=step)


def test_what_somebody_logs_with_a_step_of_their_own_is_not_dropped(tmp_path, offline):
    for callbacks in ([], ours()):
        logger = offline()
        options = {"train": tiny.loader(128), "max_epochs": 3, "log_every_n_steps": 8}
        tiny.fit(callbacks, module=OwnStep(), logger=logger, **options)
        wandb.finish()
    found = [run.values("mine") for run in read_offline(tmp_path)]
    assert found == [[16, 32, 48]] * 2


@pytest.mark.filterwarnings("ignore:There is a wandb run already in progress")
def test_a_new_logger_in_a_run_that_was_left_open_is_told(offline):
    tiny.fit(ours(), logger=offline())
    with pytest.warns(ThinnedWarning, match=r"already holds a training.*wandb.finish\(\)"):
        tiny.fit(ours(), logger=offline())


@pytest.mark.parametrize("reverse", [False, True])
def test_every_callback_takes_the_loggers_of_fast_dev_run(tmp_path, offline, reverse):
    callbacks = [
        *ours()[:2],
        RandomState(),
        LayerSwap({"Linear": "dropconnect"}, include="net.0", rate=0.1),
        LayerInsert("dropout", 0.1, after="Linear", include="net.3"),
        DropoutScheduler(Linear(0.0, 0.4), include="net.2"),
        ScaleRates(0.5, "net.5"),
        AdaptiveDropout("val_loss", "net.0", kinds="all"),
        Diagnosis(),
        ProgressMetrics(),
        RunRecord(tmp_path / "record", page=False, summary=False),
        MCDropout(),
    ]
    loggers = [offline(), pl.loggers.CSVLogger(tmp_path)]
    trainer = tiny.fit(callbacks[:: -1 if reverse else 1], logger=loggers, fast_dev_run=True)
    assert {type(each).__name__ for each in trainer.loggers} == {"DummyLogger"}
    assert trainer.state.status == "finished"
    assert not list(tmp_path.rglob("*.wandb"))  # nor is a run begun beside them


class _Listener(socketserver.ThreadingTCPServer):
    """Counts who comes, and closes the door."""

    came = 0

    def finish_request(self, request, client_address):
        self.came += 1


@pytest.mark.multiprocess
def test_the_main_job_with_wandb_asks_for_no_connection():
    arguments = [
        *("trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"),
        *("data.train_size=40", "data.val_size=50", "logger=wandb", "callbacks=full"),
    ]
    with _Listener(("127.0.0.1", 0), socketserver.BaseRequestHandler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{listener.server_address[1]}"
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WANDB_BASE_URL")
        env = {key: value for key, value in os.environ.items() if key != "WANDB_MODE"}
        env |= {n: here for name in names for n in (name, name.lower())} | {"no_proxy": ""}
        env |= {"NO_PROXY": "", "WANDB_API_KEY": "0" * 40, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "thinned.app.cli", "train", *arguments],
            env=env,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        listener.shutdown()
    assert done.returncode == 0, done.stderr
    assert listener.came == 0
