"""OverfittingMonitor: what it logs, where it is seen, and what it says of wrong configurations."""

import logging
import sys

import pytest
import torch
import torchmetrics

import thinned
from helpers import probing, tiny
from thinned.callbacks import OverfittingMonitor, RunRecord
from thinned.metrics import VERDICTS, Onset, verdict
from thinned.report import read_record


@pytest.fixture(params=probing.NAMESPACES)
def pl(request):
    return probing.lightning(request.param)


@pytest.fixture
def plain():
    return probing.module_class(probing.lightning())


def orders(pl, monitor, path):
    stop = pl.callbacks.EarlyStopping(
        "overfit/gap/val_loss", patience=99, check_on_train_epoch_end=False
    )
    keep = pl.callbacks.ModelCheckpoint(
        path, "{epoch}-{overfit/gap/val_loss:.6f}", monitor="overfit/gap/val_loss", save_top_k=-1
    )
    return [[stop, keep, monitor], [monitor, keep, stop], [keep, monitor, stop]], stop


@pytest.mark.parametrize("order", range(3))
def test_gap_can_be_monitored_in_the_same_validation_in_any_order(pl, order, tmp_path):
    monitor = OverfittingMonitor()
    listed, stop = orders(pl, monitor, tmp_path / "kept")
    model = probing.build(probing.module_class(pl))
    trainer = probing.fit(pl, model, listed[order])
    gaps = [row["overfit/gap/val_loss"] for row in monitor.history]
    assert len(gaps) == 2
    assert monitor.monitor == "val_loss"
    assert stop.best_score.item() == pytest.approx(min(gaps))
    names = sorted(p.name for p in (tmp_path / "kept").rglob("*.ckpt"))
    assert [f"{gap:.6f}" in name for gap, name in zip(gaps, names, strict=True)] == [True, True]
    assert trainer.callbacks.index(monitor) < trainer.callbacks.index(stop)


def test_logged_keys_are_the_rows(plain):
    pl = probing.lightning()
    monitor = OverfittingMonitor("val_loss")
    trainer = probing.fit(pl, probing.build(plain), [monitor], max_epochs=5)
    row = monitor.history[-1]
    ours = {k: v.item() for k, v in trainer.callback_metrics.items() if k.startswith("overfit/")}
    assert set(ours) >= {
        *("overfit/gap/val_loss", "overfit/probe/val_loss", "overfit/ratio/val_loss"),
        *("overfit/inflation/val_loss", "overfit/gl", "overfit/pq", "overfit/verdict"),
    }
    assert ours == pytest.approx({k: v for k, v in row.items() if k.startswith("overfit/")})
    assert (row["epoch"], row["step"], row["rate"]) == (4, 25, 0.5)
    assert VERDICTS[int(row["overfit/verdict"])] == monitor.verdict.word
    assert all(type(v) in (int, float) for r in monitor.history for v in r.values())


def test_rate_is_read_back(plain):
    pl = probing.lightning()

    class Raises(pl.Callback):
        def on_train_epoch_start(self, trainer, module):
            thinned.set_rate(module, 0.1 * (1 + trainer.current_epoch))

    monitor = OverfittingMonitor("val_loss")
    probing.fit(pl, probing.build(plain), [Raises(), monitor], max_epochs=3)
    assert [r["rate"] for r in monitor.history] == pytest.approx([0.1, 0.2, 0.3])


def test_every_second_validation(plain):
    monitor = OverfittingMonitor("val_loss", every=2)
    probing.fit(probing.lightning(), probing.build(plain), [monitor], max_epochs=4)
    assert ["overfit/gap/val_loss" in r for r in monitor.history] == [True, False, True, False]
    assert all("val_loss" in r and "overfit/gl" in r for r in monitor.history)


def test_a_checkpoint_of_plain_types(plain, tmp_path):
    pl = probing.lightning()
    one = OverfittingMonitor("val_loss")
    keep = pl.callbacks.ModelCheckpoint(tmp_path)
    trainer = probing.fit(pl, probing.build(plain), [one, keep])
    assert trainer.current_epoch == 2
    loaded = torch.load(keep.best_model_path, weights_only=True)
    assert loaded["callbacks"][one.state_key]["history"] == one.history
    assert one.state_key != OverfittingMonitor().state_key
    resumed = OverfittingMonitor("val_loss")
    model = probing.build(plain)
    again = pl.Trainer(
        callbacks=[resumed],
        logger=False,
        enable_checkpointing=False,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        max_epochs=3,
    )
    with pytest.warns(UserWarning, match="callbacks used to create the checkpoint"):
        again.fit(
            *(model, probing.train_loader(), probing.val_loader()),
            ckpt_path=keep.best_model_path,
            weights_only=True,
        )
    assert resumed.history[:2] == one.history
    assert [r["epoch"] for r in resumed.history] == [0, 1, 2]


def test_a_second_monitor_is_refused_and_a_second_verdict_needs_none():
    both = [*thinned.regularize(0.1), OverfittingMonitor("val_acc", "max")]
    module = tiny.TinyModule()
    before = tiny.weights(module)
    with pytest.raises(ValueError, match=r"one OverfittingMonitor .*got 2: .*None.*'val_acc'"):
        tiny.fit(both, module=module)
    assert tiny.same_weights(before, tiny.weights(module)), "before the first step"
    one = OverfittingMonitor("val_loss")
    tiny.fit([one], max_epochs=4)
    assert verdict(one.history, "val_acc", "max") != one.verdict


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_history_and_verdict_are_the_same_after_a_resume(plain, tmp_path):
    """Without randomness in training the rows of a resumed run are the uninterrupted run's."""
    pl = probing.lightning()

    def go(epochs, monitor, path=None):
        model = probing.build(plain)
        model.net[3].p = 0.0
        keep = pl.callbacks.ModelCheckpoint(tmp_path / str(epochs), save_last=True)
        trainer = pl.Trainer(
            callbacks=[monitor, keep],
            logger=False,
            accelerator="cpu",
            max_epochs=epochs,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        loader = probing.train_loader(shuffle=False)
        trainer.fit(model, loader, probing.val_loader(), ckpt_path=path, weights_only=True)
        return keep.last_model_path

    whole, first, second = (OverfittingMonitor("val_loss") for _ in range(3))
    go(6, whole)
    go(5, first)
    (tmp_path / "6").rename(tmp_path / "whole")
    go(6, second, tmp_path / "5" / "last.ckpt")
    assert len(second.history) == 6
    assert second.history == whole.history
    assert second.verdict == whole.verdict
    restored = OverfittingMonitor("val_loss")
    restored.load_state_dict(whole.state_dict())
    assert (restored.history, restored.verdict) == (whole.history, whole.verdict)


def test_monitor_none_takes_the_mode_of_early_stopping(pl):
    stop = pl.callbacks.EarlyStopping("val_acc", mode="max", patience=9)
    monitor = OverfittingMonitor()
    probing.fit(pl, probing.build(probing.metrics_class(pl)), [monitor, stop])
    assert (monitor.monitor, monitor.mode) == ("val_acc", "max")


def test_a_name_that_is_not_logged_stops_at_the_sanity_check(plain):
    model = probing.build(plain)
    before = probing.weights(model)
    with pytest.raises(
        ValueError, match=r"got 'val_los'. Did you mean 'val_loss'\? Logged: 'val_l"
    ):
        probing.fit(probing.lightning(), model, [OverfittingMonitor("val_los")])
    assert probing.same(before, probing.weights(model))


def test_a_name_that_is_not_logged_stops_at_the_first_validation_without_sanity_check(plain):
    with pytest.raises(ValueError, match="Expected `monitor` to be a key that validation logs"):
        probing.fit(
            *(probing.lightning(), probing.build(plain), [OverfittingMonitor("nothing")]),
            num_sanity_val_steps=0,
        )


def test_no_key_with_loss_asks_for_a_name():
    pl = probing.lightning()

    class Scores(probing.module_class(pl)):
        def validation_step(self, batch, batch_idx):
            self.log_dict({"score": 1.0, "other": 2.0})

    with pytest.raises(ValueError, match=r"none contains 'loss'. .* or regularize\("):
        probing.fit(pl, probing.build(Scores), [OverfittingMonitor()])


def test_a_metric_that_vanishes_is_warned_of_once():
    pl = probing.lightning()

    class Stops(probing.module_class(pl)):
        def validation_step(self, batch, batch_idx):
            self.log("other", 1.0)
            if self.current_epoch < 1:
                super().validation_step(batch, batch_idx)

    monitor = OverfittingMonitor("val_loss")
    with pytest.warns(UserWarning, match="does not log 'val_loss' any more") as caught:
        probing.fit(pl, probing.build(Stops), [monitor], max_epochs=4)
    ours = [w for w in caught if "does not log 'val_loss' any more" in str(w.message)]
    assert len(ours) == 1
    assert len(monitor.history) == 4


def test_validation_that_logs_nothing_is_warned_of():
    pl = probing.lightning()

    class Mute(probing.module_class(pl)):
        def validation_step(self, batch, batch_idx):
            pass

    monitor = OverfittingMonitor()
    with pytest.warns(UserWarning, match="Validation logs nothing"):
        probing.fit(pl, probing.build(Mute), [monitor])
    assert monitor.summary() == "Nothing was measured yet."


def test_some_epochs_more_go_on_with_the_history_and_another_trainer_begins_anew(plain):
    pl, model, monitor = probing.lightning(), probing.build(plain), OverfittingMonitor("val_loss")
    trainer = probing.fit(pl, model, [monitor], max_epochs=2)
    trainer.fit_loop.max_epochs = 5
    trainer.fit(model, probing.train_loader(), probing.val_loader())
    assert [row["epoch"] for row in monitor.history] == [0, 1, 2, 3, 4]
    assert "at least 4 are needed" not in monitor.summary()
    probing.fit(pl, probing.build(plain), [monitor], max_epochs=1)
    assert [row["epoch"] for row in monitor.history] == [0]


@pytest.mark.parametrize("options", [{"val": None}, {"limit_val_batches": 0}])
def test_no_validation_is_warned_of(plain, options):
    monitor = OverfittingMonitor("val_loss")
    with pytest.warns(UserWarning, match="No validation will run"):
        probing.fit(probing.lightning(), probing.build(plain), [monitor], **options)
    assert monitor.history == []


@pytest.mark.parametrize("logger", [False, None, "csv", "two"])
def test_any_logger_or_none(plain, logger, tmp_path):
    pl = probing.lightning()
    csv = pl.loggers.CSVLogger(tmp_path)
    chosen = {"csv": csv, "two": [csv, pl.loggers.CSVLogger(tmp_path)]}.get(logger, logger)
    monitor = OverfittingMonitor("val_loss")
    options = {"default_root_dir": tmp_path, "log_every_n_steps": 1}
    probing.fit(pl, probing.build(plain), [monitor], logger=chosen, **options)
    assert len(monitor.history) == 2
    if logger == "csv":
        [path] = tmp_path.rglob("metrics.csv")
        header, *lines = path.read_text().splitlines()
        assert "overfit/gap/val_loss" in header.split(",")
        assert len(lines) == 2 * 2


def test_fast_dev_run(plain):
    monitor = OverfittingMonitor("val_loss")
    probing.fit(probing.lightning(), probing.build(plain), [monitor], fast_dev_run=True)
    assert "overfit/gap/val_loss" in monitor.history[0]


def test_a_dead_logger_does_not_stop_training(plain):
    pl = probing.lightning()

    class Dead(pl.loggers.logger.DummyLogger):
        def log_metrics(self, metrics, step=None):
            if any(k.startswith("overfit/") for k in metrics):
                raise OSError("disk full")

    monitor = OverfittingMonitor("val_loss")
    with pytest.warns(UserWarning, match="disk full"):
        probing.fit(pl, probing.build(plain), [monitor], logger=Dead())
    assert len(monitor.history) == 2


def test_verdict_as_text_in_tensorboard(plain, tmp_path):
    pl = probing.lightning()
    logger = pl.loggers.TensorBoardLogger(tmp_path)
    probing.fit(
        pl, probing.build(plain), [OverfittingMonitor("val_loss")], logger=logger, max_epochs=4
    )
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(logger.log_dir)
    events.Reload()
    assert "overfit/verdict/text_summary" in events.Tags()["tensors"]
    assert "overfit/gap/val_loss" in events.Tags()["scalars"]


def test_summary_and_plot(plain, caplog, monkeypatch):
    monitor = OverfittingMonitor("val_loss", probe=1.0)
    assert monitor.summary() == "Nothing was measured yet."
    with pytest.raises(ValueError, match="train with the monitor first"):
        monitor.plot()
    logging.getLogger("thinned").addHandler(caplog.handler)
    model = probing.build(plain)
    probing.fit(probing.lightning(), model, [monitor], max_epochs=6)
    logging.getLogger("thinned").removeHandler(caplog.handler)
    text = monitor.summary()
    assert f"{monitor.history[-1]['overfit/gap/val_loss']:.5g}" in text
    assert monitor.verdict.word in text
    assert monitor.verdict.word in caplog.text
    figure, ax = monitor.plot()
    lines = {line.get_label(): list(line.get_ydata()) for line in ax.get_lines()}
    assert lines["validation"] == [r["val_loss"] for r in monitor.history]
    assert figure is ax.figure
    assert monitor.plot(ax)[1] is ax
    assert monitor.seconds > 0.0
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'thinned\[plot\]'"):
        monitor.plot()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "lowest"}, "Expected `mode` to be one of 'min', 'max'"),
        ({"probe": 1.5}, r"Expected `probe` to be a fraction in \[0, 1\], got 1.5"),
        ({"probe": 0.0}, "Expected `probe` to be above 0"),
        ({"probe": 0}, r"Expected `probe` to be a number of samples from 1 on"),
        ({"every": 0}, "Expected `every`"),
        ({"monitor": ["val_loss"]}, "Expected `monitor` to be the name of a logged metric, or N"),
        ({"units": 3}, "Expected `units` to be a glob or a list of globs, got 3"),
        ({"seed": -1}, "Expected `seed` to be a whole number from 0 on, got -1"),
        ({"seed": "one"}, "Expected `seed` to be a whole number from 0 on, got 'one'"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        OverfittingMonitor(**options)


def test_units_at_the_sites(plain):
    pl = probing.lightning()
    monitor = OverfittingMonitor("val_loss", probe=1.0, units="net")
    model = probing.build(plain)
    dataset = probing.data()
    probing.fit(pl, model, [monitor], loaders=probing.train_loader(dataset))
    row = monitor.history[-1]
    model.eval()
    units = model.net[:3](dataset[:][0]).detach()
    expected = torch.corrcoef(units.double().T).abs()
    moving = units.std(0) > 0
    expected = expected[moving][:, moving]
    count = len(expected)
    mean = (expected.sum() - count) / (count * (count - 1))
    assert row["overfit/co_adaptation/net.3"] == pytest.approx(mean.item(), rel=1e-5)
    assert row["overfit/sparsity/net.3"] == pytest.approx((units == 0).float().mean().item())
    assert not model.net[3]._forward_pre_hooks


def test_units_that_are_not_there(plain):
    with pytest.raises(thinned.NoEffectError, match=r"got \('tail',\). The model has: net.3"):
        probing.fit(
            *(probing.lightning(), probing.build(plain)),
            [OverfittingMonitor("val_loss", units="tail")],
        )


def test_calibration_gap_is_the_gap_of_a_logged_calibration_error():
    pl = probing.lightning()

    class Calibrated(probing.module_class(pl)):
        def __init__(self):
            super().__init__()
            self.ece = torchmetrics.CalibrationError(task="multiclass", num_classes=3)

        def validation_step(self, batch, batch_idx):
            super().validation_step(batch, batch_idx)
            self.ece(self.net(batch[0]).softmax(1), batch[1])
            self.log("val_ece", self.ece)

    monitor = OverfittingMonitor("val_loss", probe=1.0)
    model, dataset = probing.build(Calibrated), probing.data()
    probing.fit(pl, model, [monitor], loaders=probing.train_loader(dataset))
    metric = torchmetrics.CalibrationError(task="multiclass", num_classes=3)
    model.eval()
    x, y = dataset[:]
    own = metric(model.net(x).softmax(1).detach(), y).item()
    row = monitor.history[-1]
    assert row["overfit/gap/val_ece"] == pytest.approx(row["val_ece"] - own, abs=1e-5)


def test_a_changed_inside_of_lightning_is_one_clear_error(plain, monkeypatch):
    from pytorch_lightning.loops.evaluation_loop import _EvaluationLoop

    monkeypatch.delattr(_EvaluationLoop, "_build_kwargs")
    with pytest.raises(
        RuntimeError, match=r"does not know the inside of Lightning 2\..*_build_kwar"
    ):
        probing.fit(
            *(probing.lightning(), probing.build(plain), [OverfittingMonitor("val_loss")]),
        )


def test_a_loss_that_is_not_finite_does_not_stop_training():
    pl = probing.lightning()

    class Diverges(probing.module_class(pl)):
        def validation_step(self, batch, batch_idx):
            scale = (1.0, float("nan"), float("inf"), 1.0, 1.0)[self.current_epoch]
            self.log("val_loss", self.loss(batch) * scale)

    monitor = OverfittingMonitor("val_loss")
    probing.fit(pl, probing.build(Diverges), [monitor], max_epochs=5)
    assert len(monitor.history) == 5
    assert monitor.verdict.evidence == (
        "val_loss is not finite in 2 of 5 validations: it diverged.",
    )
    assert ["overfit/gl" in r for r in monitor.history] == [True, False, False, True, True]


def test_a_training_set_that_augments_hides_a_part_of_the_gap():
    """The reason for the warning, and for a clean loader."""
    pl = probing.lightning()

    class Augmented(torch.utils.data.Dataset):
        inner = probing.data(32)

        def __len__(self):
            return 32

        def __getitem__(self, index):
            x, y = self.inner[index]
            return x + 0.5 * torch.randn(6), y

    clean = torch.utils.data.DataLoader(Augmented.inner, 16)

    def gap(probe):
        monitor = OverfittingMonitor(probe=probe)
        model = probing.build(probing.module_class(pl))
        model.net[3].p = 0.0
        loader = probing.train_loader(Augmented())
        probing.fit(pl, model, [monitor], loaders=loader, max_epochs=15)
        return monitor.history[-1]["overfit/gap/val_loss"]

    with pytest.warns(UserWarning, match="the gap is understated"):
        augmented = gap(1.0)
    assert augmented < gap(clean) - 0.02


def test_the_verdict_is_told_once(monkeypatch, tmp_path):
    told = []
    monkeypatch.setattr(
        "thinned.callbacks._monitor.show.logger.info", lambda *words: told.append(words)
    )
    tiny.fit([OverfittingMonitor(), RunRecord(tmp_path, page=False)])
    assert not told, "the record's summary holds it"
    tiny.fit([OverfittingMonitor()])
    assert len(told) == 1


def test_a_row_has_its_own_epoch_and_step_whatever_the_user_logs_so():
    class Logs(tiny.TinyModule):
        def validation_step(self, batch, batch_idx):
            super().validation_step(batch, batch_idx)
            self.log_dict({"epoch": 7.5, "step": 0.5, "rate": 0.9})

    monitor = OverfittingMonitor("val_loss")
    tiny.fit([monitor], module=Logs(), max_epochs=2)
    assert [(r["epoch"], r["step"], r["rate"]) for r in monitor.history] == [
        (0, 4, 0.5),
        (1, 8, 0.5),
    ]


def test_a_gap_that_is_not_finite_is_published_as_such(plain):
    pl = probing.lightning()

    class Diverges(plain):
        def validation_step(self, batch, batch_idx):
            bad = float("nan") if self.current_epoch > 0 and not self.trainer.sanity_checking else 1
            self.log("val_loss", self.loss(batch) * bad)

    trainer = probing.fit(pl, probing.build(Diverges), [OverfittingMonitor()], max_epochs=3)
    assert trainer.callback_metrics["overfit/gap/val_loss"].isnan()


@pytest.mark.parametrize("monitor", [None, "val_loss"])
def test_a_model_that_logs_nothing_in_the_sanity_check_is_watched(plain, monitor):
    pl = probing.lightning()

    class Guarded(plain):
        def validation_step(self, batch, batch_idx):
            loss = self.loss(batch)
            if not self.trainer.sanity_checking:
                self.log("val_loss", loss)

    monitor = OverfittingMonitor(monitor)
    probing.fit(pl, probing.build(Guarded), [monitor], max_epochs=2)
    assert monitor.monitor == "val_loss"
    assert "overfit/verdict" in monitor.history[-1]


@pytest.mark.parametrize(
    ("asked", "watched"),
    [
        ("val_loss_epoch/dataloader_idx_1", "val_loss/dataloader_idx_1"),
        ("val_loss/dataloader_idx_1", "val_loss/dataloader_idx_1"),
    ],
)
def test_the_key_of_a_loader_that_others_monitor(plain, asked, watched):
    pl = probing.lightning()

    class Several(plain):
        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            self.log("val_loss", self.loss(batch), on_step=True, on_epoch=True)

    both = [probing.val_loader(), probing.val_loader()]
    stop = pl.callbacks.EarlyStopping(asked, patience=99)
    monitor = OverfittingMonitor()
    probing.fit(pl, probing.build(Several), [monitor, stop], val=both)
    assert monitor.monitor == watched
    named = OverfittingMonitor(asked)
    probing.fit(pl, probing.build(Several), [named], val=both)
    assert named.monitor == watched


def test_what_cannot_come_is_told_before_the_first_step(plain):
    pl = probing.lightning()
    with pytest.raises(ValueError, match=r"shifted\['fog'\] .* from 0 to 0, got 1"):
        probing.fit(pl, probing.build(plain), [OverfittingMonitor(shifted={"fog": 1})])
    with pytest.raises(ValueError, match=r"barebones=True. logs nothing"):
        pl.Trainer(
            barebones=True, max_epochs=1, callbacks=[OverfittingMonitor()], accelerator="cpu"
        ).fit(probing.build(plain), probing.train_loader(), probing.val_loader())
    with pytest.warns(thinned.ThinnedWarning, match="No validation will run"):
        probing.fit(pl, probing.build(plain), [OverfittingMonitor()], max_steps=2)
    stop = pl.callbacks.EarlyStopping("overfit/probe/val_loss", patience=99)
    with pytest.warns(thinned.ThinnedWarning, match="measured at every 2th"):
        probing.fit(pl, probing.build(plain), [OverfittingMonitor(every=2), stop])


def test_weights_that_are_not_a_number_are_no_average(plain):
    pl = probing.lightning()

    class Breaks(plain):
        def on_train_epoch_start(self):
            with torch.no_grad():
                self.net[0].weight.fill_(float("nan"))

    probing.fit(pl, probing.build(Breaks), [OverfittingMonitor()])  # a warning is an error


def test_an_onset_that_is_taken_back_is_not_recorded_any_more(monkeypatch, tmp_path):
    found = iter([None, Onset(0, 0, 0, 0.5, 99.0), None])
    monkeypatch.setattr("thinned.callbacks._monitor.rows.onset", lambda *_: next(found))
    monitor, record = OverfittingMonitor(every=2), RunRecord(tmp_path, page=False, summary=False)
    trainer = tiny.fit([monitor, record], max_epochs=3)
    assert ["overfit/onset" in row for row in monitor.history] == [False, True, False]
    rows = [row.values for row in read_record(tmp_path).metrics]
    assert ["overfit/onset" in row for row in rows] == [False, True, False]
    assert "overfit/onset" not in trainer.callback_metrics
    assert all("overfit/gap/val_loss" in row for row in rows), "others stand until the next probe"
