import argparse
import importlib
import json
import logging

import pytest
import pytorch_lightning as pl
import torch

from helpers import tiny
from thinned import ThinnedWarning, set_verbosity
from thinned.callbacks import DropoutScheduler, LayerSwap, OverfittingMonitor, RunRecord
from thinned.report import read_record
from thinned.report._pages.answer import answer
from thinned.schedules import Linear


def lean(folder, **options):
    return RunRecord(folder, page=False, summary=False, **options)


@pytest.mark.parametrize("namespace", tiny.NAMESPACES)
def test_records_a_run_of_either_namespace(tmp_path, namespace):
    callbacks = [
        lean(tmp_path),
        LayerSwap({"Dropout": "spatial"}, include="net.2"),
        OverfittingMonitor("val_loss"),
        DropoutScheduler(Linear(0.0, 0.4), kinds="all"),
    ]
    done = tiny.fit(callbacks, max_epochs=3, namespace=namespace)
    record = read_record(tmp_path)
    assert record.status == "finished"
    assert (record.monitor, record.mode, record.planned_batches) == ("val_loss", "min", 12)
    assert [site["path"] for site in record.sites] == ["net.2", "net.5"]
    assert record.sites[0]["class"] == "SpatialDropout"
    assert {site["group"] for site in record.sites} == {"all"}
    assert "net.2" in record.edits[0]["text"]
    assert [row.epoch for row in record.metrics] == [0, 1, 2]
    assert [row.step for row in record.metrics] == [4, 8, 12]
    last = record.metrics[-1].values
    assert last["val_loss"] == pytest.approx(float(done.callback_metrics["val_loss"]))
    assert {"train_loss", "overfit/gap/val_loss", "overfit/probe/val_loss"} <= set(last)
    assert record.verdict["word"]
    assert record.environment["torch"] == torch.__version__


@pytest.mark.parametrize(
    ("options", "epoch"),
    [
        ({"max_epochs": 3}, 3.0),
        ({"max_steps": 6}, 1.5),
        ({"max_steps": 8}, 2.0),
        ({"max_epochs": 9, "stop": 1}, 2.0),
    ],
    ids=str,
)
def test_the_last_rates_stand_where_training_ended(tmp_path, monkeypatch, options, epoch):
    monkeypatch.setattr("thinned.callbacks._run_record.RATE_ROWS", 1)
    monkeypatch.setattr("thinned.callbacks._run_record.SITE_ROWS", 1)
    options = dict(options)
    stop = options.pop("stop", None)

    class Stops(tiny.TinyModule):
        def on_train_epoch_end(self):
            self.trainer.should_stop = self.current_epoch == stop

    tiny.fit([lean(tmp_path), DropoutScheduler(0.4)], module=Stops(), **options)
    rows = read_record(tmp_path).rates
    assert [row.epoch for row in rows] == [0.0, epoch]
    assert [row.sites["net.2"] for row in rows] == [0.4, 0.4]


def test_the_recorded_rates_are_those_that_the_modules_held(tmp_path):
    held = []

    class Spy(tiny.TinyModule):
        def training_step(self, batch, batch_idx):
            held.append(self.net[2].p)
            return super().training_step(batch, batch_idx)

    tiny.fit([lean(tmp_path), DropoutScheduler(Linear(0.0, 0.4))], module=Spy(), max_epochs=3)
    record = read_record(tmp_path)
    assert len(held) == 12
    assert [row.groups["all"] for row in record.rates] == held
    assert [row.sites["net.2"] for row in record.rates if row.sites] == held
    assert held[-1] == pytest.approx(0.4)
    assert [row.progress for row in record.rates][-1] == 1.0


def test_without_any_other_callback_the_sites_are_recorded(tmp_path):
    tiny.fit([lean(tmp_path)])
    record = read_record(tmp_path)
    assert [site["rate"] for site in record.sites] == [0.5, 0.5]
    assert record.rates[-1].sites == {"net.2": 0.5, "net.5": 0.5}
    assert record.monitor is None


def test_the_order_of_callbacks_does_not_matter(tmp_path):
    rows = []
    for name in ("first", "last"):
        callbacks = [lean(tmp_path / name), OverfittingMonitor("val_loss")]
        torch.manual_seed(0)
        tiny.fit(callbacks[:: 1 if name == "first" else -1], max_epochs=2)
        rows.append([row.values for row in read_record(tmp_path / name).metrics])
    assert rows[0] == rows[1]
    assert "overfit/verdict" in rows[0][0]


def test_several_validations_an_epoch(tmp_path):
    tiny.fit([lean(tmp_path)], max_epochs=2, val_check_interval=0.5)
    record = read_record(tmp_path)
    assert [row.step for row in record.metrics] == [2, 4, 6, 8]
    assert [row.epoch for row in record.metrics] == [-0.5, 0.0, 0.5, 1.0]


def test_without_validation_the_rates_are_recorded(tmp_path):
    tiny.fit([lean(tmp_path), DropoutScheduler(0.1)], val=False)
    record = read_record(tmp_path)
    assert record.metrics == []
    assert record.rates[-1].groups == {"all": pytest.approx(0.1)}
    assert record.status == "finished"


def test_long_runs_have_a_few_hundred_rows(tmp_path):
    tiny.fit([lean(tmp_path)], train=tiny.loader(600, 1), val=False)
    record = read_record(tmp_path)
    assert 150 <= len(record.rates) <= 250
    assert 40 <= len([row for row in record.rates if row.sites]) <= 80
    assert record.rates[-1].step == 600


def test_a_run_of_unknown_length_has_ever_rarer_rows(tmp_path):
    class Stop(importlib.import_module("pytorch_lightning").Callback):
        def on_train_batch_end(self, trainer, *args):
            trainer.should_stop = trainer.global_step >= 400

    tiny.fit([lean(tmp_path), Stop()], max_epochs=-1, val=False, min_epochs=0)
    record = read_record(tmp_path)
    assert 20 <= len(record.rates) <= 250
    assert record.planned_batches is None


@pytest.mark.parametrize("logger", ["CSVLogger", "TensorBoardLogger", None])
def test_every_logger_has_its_folder(tmp_path, logger):
    loggers = importlib.import_module("pytorch_lightning.loggers")
    made = getattr(loggers, logger)(tmp_path) if logger else False
    callback = RunRecord(page=False, summary=False)
    tiny.fit([callback], logger=made, default_root_dir=tmp_path)
    folder = callback.path.parent
    assert str(folder) == (made.log_dir if made else str(tmp_path / "runs" / "run_0"))
    assert read_record(folder).status == "finished"


def test_two_runs_without_a_logger_get_a_folder_each(tmp_path):
    for _ in range(2):
        tiny.fit([RunRecord(page=False, summary=False)], default_root_dir=tmp_path)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["run_0", "run_1"]


def test_an_earlier_run_in_the_folder_is_kept(tmp_path):
    for epochs in (1, 2):
        tiny.fit([lean(tmp_path)], max_epochs=epochs)
    assert len(read_record(tmp_path).metrics) == 2
    assert len(read_record(tmp_path / "record.1.jsonl").metrics) == 1


def test_fitting_some_epochs_more_goes_on(tmp_path):
    callback, module = lean(tmp_path), tiny.TinyModule()
    trainer = tiny.trainer(callbacks=[callback], max_epochs=2)
    trainer.fit(module, tiny.loader(), tiny.loader(16, seed=1))
    trainer.fit_loop.max_epochs = 4
    trainer.fit(module, tiny.loader(), tiny.loader(16, seed=1))
    record = read_record(tmp_path)
    assert [row.step for row in record.metrics] == [4, 8, 12, 16]
    assert not (tmp_path / "record.1.jsonl").exists()


@pytest.mark.parametrize("same_folder", [True, False])
def test_a_resumed_run_goes_on_from_the_checkpoint(tmp_path, same_folder):
    first, second = tmp_path / "a", tmp_path / ("a" if same_folder else "b")
    checkpoint = importlib.import_module("pytorch_lightning.callbacks").ModelCheckpoint(
        tmp_path / "kept", save_top_k=-1, filename="{epoch}"
    )
    tiny.fit([lean(first), checkpoint], max_epochs=3)
    kept = tmp_path / "kept" / "epoch=1.ckpt"
    state = torch.load(kept, weights_only=True)["callbacks"]
    assert [value["step"] for key, value in state.items() if key.startswith("RunRecord")] == [8]
    records_so_far = read_record(first)
    again = type(checkpoint)(tmp_path / "kept", save_top_k=-1, filename="{epoch}")
    tiny.fit([lean(second), again], max_epochs=4, ckpt_path=kept)
    record = read_record(second)
    assert [row.step for row in record.metrics] == [4, 8, 12, 16]
    assert record.metrics[0] == records_so_far.metrics[0]
    assert record.status == "finished"
    steps = [row.step for row in record.rates]
    assert steps == sorted(set(steps))


class FailsError(Exception):
    """A user's error."""


class Fails(tiny.TinyModule):
    """A model that fails in its second epoch, or before that."""

    def __init__(self, error, where="step"):
        super().__init__()
        self.error, self.where = error, where

    def configure_optimizers(self):
        if self.where == "start":
            raise self.error
        return super().configure_optimizers()

    def training_step(self, batch, batch_idx):
        if self.current_epoch == 1:
            raise self.error
        return super().training_step(batch, batch_idx)


def test_a_failed_run_says_with_what(tmp_path):
    with pytest.raises(FailsError, match="gone"):
        tiny.fit([lean(tmp_path)], module=Fails(FailsError("gone")), max_epochs=3)
    record = read_record(tmp_path)
    assert (record.status, record.error) == ("failed", "FailsError: gone")
    assert len(record.metrics) == 1


def test_a_run_that_fails_before_it_trains_is_recorded(tmp_path):
    module = Fails(FailsError("early"), where="start")
    with pytest.raises(FailsError, match="early"):
        tiny.fit([lean(tmp_path)], module=module)
    assert read_record(tmp_path).error == "FailsError: early"


def test_an_interrupted_run_is_told_apart(tmp_path):
    with pytest.raises(SystemExit):  # Lightning's answer to the interrupt
        tiny.fit([lean(tmp_path)], module=Fails(KeyboardInterrupt()), max_epochs=3)
    assert read_record(tmp_path).status == "interrupted"


def test_a_full_disk_costs_one_warning_and_no_run(tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(ThinnedWarning, match="training goes on without it") as caught:
        done = tiny.fit([RunRecord(tmp_path / "file" / "below")], max_epochs=2)
    assert [each.category for each in caught].count(ThinnedWarning) == 1
    assert done.current_epoch == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("groups", {"all": [object()]}),
        ("groups", 3),
        ("rates", {"all": [0.1]}),
        ("edits", 3),
        ("findings", ["one"]),
        ("verdict", "good"),
        ("plan", 0.1),
        ("history", [0.5]),
        ("calibration", [0.5]),
    ],
)
def test_what_another_callback_calls_so_is_left_out(tmp_path, name, value):
    class Another(importlib.import_module("pytorch_lightning").Callback):
        monitor, mode = "train_loss", "min"

    setattr(Another, name, value)
    ours = [OverfittingMonitor("val_loss"), DropoutScheduler(0.2)]
    tiny.fit([lean(tmp_path), Another(), *ours], max_epochs=2)
    record = read_record(tmp_path)
    assert record.status == "finished"
    assert record.monitor == "val_loss"
    assert record.rates[-1].groups == {"all": pytest.approx(0.2)}
    assert {site["group"] for site in record.sites} == {"all"}
    assert record.verdict["word"]
    assert record.edits == record.findings == []


def test_a_page_that_fails_costs_one_warning(tmp_path, monkeypatch):
    import thinned.report

    def broken(path):
        raise RuntimeError("no page")

    monkeypatch.setattr(thinned.report, "write_page", broken)
    with pytest.warns(ThinnedWarning, match="no page"):
        tiny.fit([RunRecord(tmp_path, summary=False)])
    assert read_record(tmp_path).status == "finished"


def test_page_and_summary_at_the_end(tmp_path, capsys):
    callback = RunRecord(tmp_path)
    tiny.fit([callback, DropoutScheduler(0.3)], max_epochs=2)
    assert callback.report == tmp_path / "report.html"
    assert callback.report.exists()
    told = capsys.readouterr()
    assert "all 0.3" in told.err
    assert "report.html " in told.err  # from the present folder, which is this one
    assert told.out == ""


def test_quiet_means_no_summary(tmp_path, capsys):
    set_verbosity("warning")
    try:
        tiny.fit([RunRecord(tmp_path, page=False)])
    finally:
        set_verbosity("info")
    assert "best val_loss" not in capsys.readouterr().err


def test_a_missing_package_is_news_and_no_warning(tmp_path, monkeypatch, caplog):
    import thinned.report

    def without(path):
        raise ImportError("No module named 'plotly'", name="plotly")

    monkeypatch.setattr(thinned.report, "write_page", without)
    monkeypatch.setattr(logging.getLogger("thinned"), "propagate", True)
    tiny.fit([RunRecord(tmp_path, summary=False)])
    assert "pip install 'thinned[report]'" in caplog.text


def test_fast_dev_run_writes_nothing(tmp_path):
    tiny.fit([lean(tmp_path / "a")], fast_dev_run=True)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("config", [[1], "name", argparse.Namespace(lr=0.1)])
def test_a_configuration_that_is_none_is_refused_at_once(config):
    with pytest.raises(TypeError, match=r"Expected `config` to map names .*vars\(args\)"):
        RunRecord(config=config)


def test_secrets_and_seed_of_the_configuration(tmp_path):
    config = {"seed": 7, "name": "mine", "wandb": {"api_key": "abc"}, "net": object()}
    tiny.fit([lean(tmp_path, config=config)])
    text = (tmp_path / "record.jsonl").read_text()
    record = read_record(tmp_path)
    assert "abc" not in text
    assert record.config["wandb"]["api_key"] == "(hidden)"
    assert (record.seed, record.name) == (7, "mine")


def test_the_hyperparameters_are_the_configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")

    class Saves(tiny.TinyModule):
        def __init__(self, width=8):
            super().__init__()
            self.save_hyperparameters()

    callbacks = [lean(tmp_path), DropoutScheduler(Linear(0.0, 0.4))]
    tiny.fit(callbacks, module=Saves())
    record = read_record(tmp_path)
    assert record.config["model"] == {"width": 8}
    assert "Linear" in record.config["schedule"]
    assert record.seed == 5


def test_a_hydra_app_is_recognised(tmp_path):
    from hydra import compose, initialize_config_dir
    from hydra.core.hydra_config import HydraConfig

    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "main.yaml").write_text("part: {rate: 0.1, again: 0.1}\n")
    typed = ["part.rate=0.2", "part.again=${.rate}"]  # which holds in its own place only
    with initialize_config_dir(str(tmp_path / "conf"), version_base="1.3"):
        config = compose("main", overrides=typed, return_hydra_config=True)
        config.hydra.runtime.output_dir = str(tmp_path / "out")
        HydraConfig.instance().set_config(config)
        try:
            tiny.fit([RunRecord(page=False, summary=False)])
        finally:
            HydraConfig.instance().cfg = None
    assert read_record(tmp_path / "out").overrides == typed


def test_the_weights_are_those_without_it(tmp_path):
    weights = []
    for callbacks in ([], [RunRecord(tmp_path, summary=False)]):
        torch.manual_seed(0)
        done = tiny.fit(callbacks, max_epochs=2)
        weights.append(tiny.weights(done.lightning_module))
    assert tiny.same_weights(*weights)


def test_state_is_plain(tmp_path):
    callback = lean(tmp_path)
    tiny.fit([callback])
    assert json.loads(json.dumps(callback.state_dict())) == callback.state_dict()
    assert RunRecord("a").state_key == RunRecord("b").state_key  # resumed into another folder


def test_a_search_for_a_rate_does_not_make_the_next_fit_a_resumed_one(tmp_path):
    record = RunRecord(tmp_path, page=False, summary=False)
    finder = pl.callbacks.LearningRateFinder(num_training_steps=3)
    for _ in range(2):
        tiny.fit([record, finder], default_root_dir=tmp_path / "root")
    assert len(list(tmp_path.glob("record*.jsonl"))) == 2


@pytest.mark.parametrize("limits", [{"max_epochs": 0}, {"limit_train_batches": 0}], ids=str)
def test_a_run_without_a_step_is_not_told_to_log_what_it_logs(tmp_path, limits):
    tiny.fit([lean(tmp_path), OverfittingMonitor()], **limits)
    told = answer(read_record(tmp_path))
    assert told.headline == "The run ended before its first step, so there is nothing to judge"
    assert "max_epochs" in told.action


def test_a_plain_number_among_the_metrics_is_recorded(tmp_path):
    class Puts(pl.Callback):
        def on_validation_end(self, trainer, pl_module):
            trainer.callback_metrics["mine"] = 0.5

    tiny.fit([RunRecord(tmp_path, page=False, summary=False), Puts()])
    assert read_record(tmp_path).metrics[-1].values["mine"] == 0.5
