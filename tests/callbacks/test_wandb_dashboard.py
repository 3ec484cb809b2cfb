import importlib
import sys

import pytest
import wandb

from helpers import tiny
from helpers.wandb_files import read_offline
from thinned import ThinnedWarning
from thinned.callbacks import DropoutScheduler, OverfittingMonitor, WandbDashboard
from thinned.schedules import Linear


@pytest.fixture(autouse=True)
def _finished():
    """Leave no run open."""
    yield
    wandb.finish()


def wandb_logger(folder, namespace="pytorch_lightning"):
    loggers = importlib.import_module(f"{namespace}.loggers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_SILENT", "true")
        return loggers.WandbLogger(project="p", save_dir=folder, offline=True)


def ours():
    return [WandbDashboard(), OverfittingMonitor("val_loss"), DropoutScheduler(Linear(0.0, 0.4))]


@pytest.mark.parametrize("namespace", tiny.NAMESPACES)
def test_the_offline_file_holds_keys_and_axes(tmp_path, namespace):
    logger = wandb_logger(tmp_path, namespace)
    tiny.fit(ours(), logger=logger, max_epochs=3, namespace=namespace)
    wandb.finish()
    (found,) = read_offline(tmp_path)
    for pattern in ("dropout/*", "overfit/*"):
        assert found.metrics[pattern].step_metric == "trainer/global_step"
        assert found.metrics[pattern].summary.last
    rates = found.values("dropout/all/rate")
    assert rates[0] == 0.0
    assert rates[-1] == pytest.approx(0.4)
    assert len(found.values("overfit/gap/val_loss")) == 3
    assert all("trainer/global_step" in row for row in found.history if "dropout/all/rate" in row)
    assert found.summary["verdict/word"]
    assert found.config["verdict"]
    assert found.config["thinned"]["sites"] == 2


def test_sites_and_heat_map_are_there(tmp_path):
    tiny.fit(ours(), logger=wandb_logger(tmp_path), max_epochs=2)
    wandb.finish()
    (found,) = read_offline(tmp_path)
    (table,) = found.values("dropout/sites")
    assert (table["_type"], table["nrows"]) == ("table-file", 2)
    (heat,) = found.values("dropout/heat")
    assert heat["_type"] == "plotly-file"


def test_the_loggers_step_axis_is_not_moved(tmp_path):
    steps = []
    for callbacks in (ours()[1:], ours()):
        logger = wandb_logger(tmp_path)
        tiny.fit(callbacks, logger=logger, max_epochs=2)
        steps.append(logger.experiment.step)
        wandb.finish()
    assert steps[0] == steps[1]


def test_an_active_run_is_joined_and_left_open(tmp_path):
    run = wandb.init(project="p", dir=tmp_path, mode="offline")
    run.log({"mine": 1})
    before = run.step
    tiny.fit(ours(), max_epochs=2)
    assert run.step == before
    assert wandb.run is run
    run.log({"mine": 2})
    wandb.finish()
    (found,) = read_offline(tmp_path)
    assert found.values("mine") == [1, 2]
    assert found.values("dropout/all/rate")
    assert found.values("overfit/gap/val_loss")
    assert "val_loss" not in found.summary  # what is the user's own is not ours to log


def test_without_any_run_one_is_started_and_finished(tmp_path):
    tiny.fit(ours(), max_epochs=2, default_root_dir=tmp_path)
    assert wandb.run is None
    (found,) = read_offline(tmp_path)
    assert found.exit_code == 0
    assert len(found.values("val_loss")) == 2
    assert found.values("dropout/all/rate")[-1] == pytest.approx(0.4)


class BrokenError(Exception):
    """A user's error."""


class Fails(tiny.TinyModule):
    """A model that fails in its second epoch."""

    def training_step(self, batch, batch_idx):
        if self.current_epoch == 1:
            raise BrokenError
        return super().training_step(batch, batch_idx)


def test_jobs_of_one_process_get_a_run_each(tmp_path):
    options = {"default_root_dir": tmp_path, "max_epochs": 2}
    tiny.fit(ours(), **options)
    with pytest.raises(BrokenError):
        tiny.fit(ours(), module=Fails(), **options)
    tiny.fit(ours(), **options)
    found = read_offline(tmp_path)
    assert len({run.run_id for run in found}) == 3
    assert [run.exit_code for run in found] == [0, 1, 0]


def test_a_run_is_finished_though_wandb_has_raised(tmp_path, monkeypatch):
    def dead(*args, **kwargs):
        raise ConnectionError("W&B is down")

    monkeypatch.setattr(wandb.Run, "log", dead)
    with pytest.warns(ThinnedWarning, match="W&B is down"):
        tiny.fit(ours(), default_root_dir=tmp_path, max_epochs=2)
    assert wandb.run is None


def test_without_plotly_there_is_a_verdict_and_no_heat_map(tmp_path, monkeypatch, caplog):
    for name in ("plotly", "plotly.graph_objects"):
        monkeypatch.setitem(sys.modules, name, None)
    tiny.fit(ours(), default_root_dir=tmp_path, max_epochs=2)
    assert "no heat map, since plotly" in caplog.text
    (found,) = read_offline(tmp_path)
    assert found.exit_code == 0
    assert found.summary["verdict/word"] == "not enough evidence"


def test_a_second_training_in_one_run_is_told(tmp_path):
    logger = wandb_logger(tmp_path)
    tiny.fit(ours(), logger=logger)
    with pytest.warns(ThinnedWarning, match=r"wandb.finish\(\)"):
        tiny.fit(ours(), logger=logger)


class Onset(OverfittingMonitor):
    """A monitor that sees an onset from the second epoch on."""

    def on_validation_end(self, trainer, pl_module):
        super().on_validation_end(trainer, pl_module)
        if trainer.current_epoch >= 1:
            trainer.callback_metrics["overfit/onset"] = trainer.callback_metrics["val_loss"] * 0 + 1


def test_one_alert_at_the_onset(tmp_path):
    tiny.fit([WandbDashboard(), Onset("val_loss")], logger=wandb_logger(tmp_path), max_epochs=4)
    wandb.finish()
    silent = [WandbDashboard(alert=False), Onset("val_loss")]
    tiny.fit(silent, logger=wandb_logger(tmp_path), max_epochs=4)
    wandb.finish()
    assert [run.alerts for run in read_offline(tmp_path)] == [["Overfitting has begun"], []]


@pytest.mark.parametrize("name", ["init", "log", "define_metric", "finish"])
def test_what_wandb_raises_costs_one_warning(tmp_path, monkeypatch, name):
    def dead(*args, **kwargs):
        raise ConnectionError("W&B is down")

    owner = wandb if name == "init" else wandb.Run
    monkeypatch.setattr(owner, name, dead)
    with pytest.warns(ThinnedWarning, match="W&B is down") as caught:
        done = tiny.fit(ours(), max_epochs=2, default_root_dir=tmp_path)
    assert len([each for each in caught if issubclass(each.category, ThinnedWarning)]) == 1
    assert done.current_epoch == 2
    monkeypatch.undo()


def test_fast_dev_run_starts_nothing(tmp_path):
    tiny.fit([WandbDashboard()], fast_dev_run=True, default_root_dir=tmp_path)
    assert read_offline(tmp_path) == []
