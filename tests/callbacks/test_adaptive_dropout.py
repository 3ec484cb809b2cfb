"""The rate that is found while training: when it moves, by which losses, and what stops it."""

import json
import math
import warnings
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from helpers import tiny
from helpers.adaptive import Kept, fit
from thinned import NoEffectError, ThinnedWarning
from thinned.callbacks import (
    AdaptiveDropout,
    DropoutScheduler,
    LayerInsert,
    LayerSwap,
    OverfittingMonitor,
    RunRecord,
    ScaleRates,
)
from thinned.callbacks._adaptive.law import AdaptiveLaw


class Look(pl.Callback):
    """Notes, at each batch, the rate in the model and the loss as training_step returned it."""

    def __init__(self):
        self.rates, self.losses, self.vals, self.untrained = [], [], [], None

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.rates.append(pl_module.net[2].p)
        self.losses.append(pl_module.last)

    def on_validation_end(self, trainer, pl_module):
        value = trainer.callback_metrics["val_loss"].item()
        if trainer.sanity_checking:
            self.untrained = value
        else:
            self.vals.append(value)


SEEN = ("train_loss", "val_loss", "log_temperature", "first_loss")


def mean(values):
    return sum(values) / len(values)


# When it moves, and by what.


@pytest.mark.parametrize("namespace", tiny.NAMESPACES)
def test_the_rate_follows_the_law_from_validation_to_validation(namespace):
    adaptive, look = AdaptiveDropout(), Look()
    module = tiny.module_of(namespace)
    module.last = math.nan
    fit(adaptive, look, module=module, namespace=namespace)
    law = AdaptiveLaw()
    state = law.begin(epochs=3, classes=3)
    assert len(adaptive.history) == 3
    for index, row in enumerate(adaptive.history):
        assert row["rate"] == state.rate
        assert look.rates[4 * index : 4 * index + 4] == [state.rate] * 4
        losses = {key: row[key] for key in SEEN if key in row}
        state = law.step(state, **losses, progress=min(1.0, 4 * (index + 1) / 11))
        assert row["next_rate"] == state.rate
        assert (row["epoch"], row["step"], row["batches"]) == (index, 4 * index + 4, 4 * index + 4)
        assert row["monitor"] == "val_loss"
        assert row["at_cap"] == (state.rate >= law.high)
    assert adaptive.rate != state.start
    assert adaptive.rate == adaptive.history[-1]["next_rate"]
    assert adaptive.rates == {"all": adaptive.history[-1]["rate"]}  # what it was trained with


@pytest.mark.parametrize(
    "options",
    [{}, {"accumulate_grad_batches": 3}, {"precision": "bf16-mixed"}, {"gradient_clip_val": 0.1}],
    ids=str,
)
def test_both_losses_are_those_of_the_model(options):
    adaptive, look = AdaptiveDropout(), Look()
    fit(adaptive, look, **options)
    assert len(adaptive.history) == 3
    for index, row in enumerate(adaptive.history):
        assert row["train_loss"] == pytest.approx(mean(look.losses[4 * index :][:4]), rel=1e-6)
        assert row["val_loss"] == pytest.approx(look.vals[index], rel=1e-6)
        assert row["first_loss"] == pytest.approx(look.untrained)


def test_accumulation_that_changes():
    adaptive, look = AdaptiveDropout(), Look()
    scheduler = pl.callbacks.GradientAccumulationScheduler({0: 1, 1: 2, 2: 4})
    fit(adaptive, look, scheduler)
    found = [row["train_loss"] for row in adaptive.history]
    assert found == pytest.approx([mean(look.losses[i : i + 4]) for i in (0, 4, 8)], rel=1e-6)


@pytest.mark.parametrize(
    ("options", "batches"),
    [
        ({"val_check_interval": 2}, [2, 4, 6, 8, 10, 12]),
        ({"val_check_interval": 0.25}, list(range(1, 13))),
        ({"val_check_interval": 5, "check_val_every_n_epoch": None}, [5, 10]),
        ({"check_val_every_n_epoch": 2}, [8]),
        ({"max_steps": 7, "max_epochs": None, "val_check_interval": 3}, [3, 7]),
        ({"fast_dev_run": True}, [1]),
    ],
    ids=str,
)
def test_each_validation_decides_and_the_sanity_check_does_not(options, batches):
    adaptive, look = AdaptiveDropout(), Look()
    fit(adaptive, look, **options)
    assert [row["batches"] for row in adaptive.history] == batches
    start = 0
    for row in adaptive.history:
        assert row["train_loss"] == pytest.approx(mean(look.losses[start : row["batches"]]))
        start = row["batches"]


def test_a_control_split_is_another_loader():
    class Three(Kept):
        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
            self.log("val_loss", loss + dataloader_idx)

    adaptive = AdaptiveDropout("val_loss/dataloader_idx_1")
    trainer = tiny.trainer(callbacks=[adaptive])
    trainer.fit(Three(), tiny.loader(), [tiny.loader(16, seed=1), tiny.loader(16, seed=1)])
    (row,) = adaptive.history
    assert row["monitor"] == "val_loss/dataloader_idx_1"
    assert row["val_loss"] == trainer.callback_metrics["val_loss/dataloader_idx_1"].item() > 1.0


class Manual(Kept):
    """Optimizes by hand, and returns what it is told to."""

    automatic_optimization = False

    def __init__(self, returns):
        super().__init__()
        self.returns = returns

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        loss = super().training_step(batch, batch_idx)
        self.manual_backward(loss)
        optimizer.step()
        return self.returns(loss)


@pytest.mark.parametrize("returns", [lambda x: x.detach(), lambda x: {"loss": x}])
def test_manual_optimization_that_returns_its_loss(returns):
    adaptive, look = AdaptiveDropout(), Look()
    fit(adaptive, look, module=Manual(returns))
    assert adaptive.history[0]["train_loss"] == pytest.approx(mean(look.losses[:4]))


@pytest.mark.parametrize("returns", [lambda _: None, lambda x: {"nll": x.detach()}])
def test_manual_optimization_that_does_not_is_refused(returns):
    with pytest.raises(ValueError, match="Lightning knows no loss: end training_step with"):
        fit(AdaptiveDropout(), module=Manual(returns))


class Smoothed(Kept):
    """Trains by another loss than it validates by, and returns both."""

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        return {"loss": loss + 5.0, "nll": loss.detach()}


def test_another_entry_than_the_loss():
    adaptive, look = AdaptiveDropout(loss="nll"), Look()
    fit(adaptive, look, module=Smoothed(), accumulate_grad_batches=2)
    assert adaptive.history[0]["train_loss"] == pytest.approx(mean(look.losses[:4]))
    with pytest.raises(ValueError, match=r"under 'nnl', got 'loss', 'nll'\. Return"):
        fit(AdaptiveDropout(loss="nnl"), module=Smoothed())


class Skips(Kept):
    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        return loss if batch_idx else None


@pytest.mark.filterwarnings("ignore:.*returned `None`:UserWarning")
def test_steps_that_are_skipped_do_not_count():
    adaptive, look = AdaptiveDropout(), Look()
    fit(adaptive, look, module=Skips())
    assert adaptive.history[0]["train_loss"] == pytest.approx(mean(look.losses[1:4]))


def test_more_batches_than_are_kept_at_a_time():
    adaptive, look = AdaptiveDropout(), Look()
    fit(adaptive, look, train=tiny.loader(600, batch_size=1), max_epochs=1)
    assert adaptive.history[0]["train_loss"] == pytest.approx(mean(look.losses))


# What it sets.


def test_groups_kinds_profile_and_the_highest_rate():
    adaptive = AdaptiveDropout(
        include=["first=net.2", "net.5"], highest=0.4, profile="linear_depth"
    )
    fit(adaptive, max_epochs=60, limit_train_batches=1)
    assert list(adaptive.groups) == ["first", "net.5"]
    assert all(row["rate"] <= 0.4 for row in adaptive.history)
    assert adaptive.history[0]["rate"] == 0.4
    whole = AdaptiveDropout(highest=0.4, profile="linear_depth")
    module = fit(whole)
    assert module.net[2].p == module.net[5].p / 2 == whole.rates["all"] / 2


@pytest.mark.parametrize("order", [1, -1])
def test_it_drives_what_others_put_in_whatever_the_order(order):
    adaptive = AdaptiveDropout(kinds="all")
    callbacks = [
        LayerInsert("dropout", 0.1, after="ReLU"),
        LayerSwap({"Dropout": "gaussian"}),
        adaptive,
        OverfittingMonitor("val_loss"),
    ]
    seen = []

    class Sees(pl.Callback):
        def on_train_batch_end(self, *_):
            seen.append({site.rate for sites in adaptive.groups.values() for site in sites})
            self.count = sum(map(len, adaptive.groups.values()))

    sees = Sees()
    fit(*callbacks[::order], sees)
    assert sees.count == 4
    expected = [{row["rate"]} for row in adaptive.history for _ in range(4)]
    assert seen == expected


def test_rates_and_losses_are_logged_and_recorded():
    class Rows(pl.loggers.logger.DummyLogger):
        def __init__(self):
            super().__init__()
            self.rows = []

        def log_metrics(self, metrics, step=None):
            self.rows.append((step, dict(metrics)))

    adaptive, logger = AdaptiveDropout(), Rows()
    fit(adaptive, RunRecord("record", page=False), logger=logger)
    rates = [row["dropout/all/rate"] for _, row in logger.rows if "dropout/all/rate" in row]
    assert rates == pytest.approx([row["rate"] for row in adaptive.history for _ in range(4)])
    decided = [(step, row) for step, row in logger.rows if "adaptive/next_rate" in row]
    assert [step for step, _ in decided] == [3, 7, 11]  # as Lightning's own
    keys = ("train_loss", "val_loss", "log_temperature", "next_rate", "at_cap")
    for (_, logged), row in zip(decided, adaptive.history, strict=True):
        assert logged == {f"adaptive/{key}": float(row[key]) for key in keys}
    lines = [json.loads(line) for line in Path("record/record.jsonl").read_text().splitlines()]
    metrics = [line["values"] for line in lines if line["type"] == "metrics"]
    assert [each["adaptive/next_rate"] for each in metrics] == pytest.approx(
        [row["next_rate"] for row in adaptive.history]
    )
    groups = [line["groups"]["all"] for line in lines if line["type"] == "rates"]
    assert sorted(set(groups)) == sorted({row["rate"] for row in adaptive.history})
    headers = [line for line in lines if line["type"] == "header"]
    assert "adaptive, by" in json.dumps(headers)


# What stops it, and what does not.


@pytest.mark.parametrize(
    "options", [{"val": False}, {"limit_val_batches": 0}, {"check_val_every_n_epoch": 4}], ids=str
)
def test_without_validation_it_stops_before_the_first_step(options):
    module = Kept()
    start = tiny.weights(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's, about a validation_step without a loader
        with pytest.raises(ValueError, match="found that none will run"):
            fit(AdaptiveDropout(), module=module, **options)
    assert tiny.same_weights(start, tiny.weights(module))


class Logs(Kept):
    """Logs what it is told to in validation."""

    def __init__(self, *keys):
        super().__init__()
        self.keys = keys

    def validation_step(self, batch, batch_idx):
        for key in self.keys:
            self.log(key, nn.functional.cross_entropy(self(batch[0]), batch[1]))


@pytest.mark.parametrize(
    ("monitor", "keys", "match"),
    [
        ("val_los", ["val_loss"], "Did you mean 'val_loss'"),
        (None, ["a_loss", "b_loss"], r"2 contain 'loss'. Name one: AdaptiveDropout\("),
        (None, ["val_acc"], "none contains 'loss'"),
    ],
)
def test_a_loss_that_cannot_be_found_stops_it_in_the_sanity_check(monitor, keys, match):
    module = Logs(*keys)
    start = tiny.weights(module)
    with pytest.raises(ValueError, match=match):
        fit(AdaptiveDropout(monitor), module=module)
    assert tiny.same_weights(start, tiny.weights(module))


class Guarded(Logs):
    """Logs nothing in the sanity check, as some do."""

    def validation_step(self, batch, batch_idx):
        if not self.trainer.sanity_checking:
            super().validation_step(batch, batch_idx)


def test_what_logs_nothing_is_told_so_at_the_first_validation_that_counts():
    with pytest.raises(ValueError, match="it logs nothing"):
        fit(AdaptiveDropout(), module=Logs())
    for monitor in ("val_loss", None):
        adaptive = AdaptiveDropout(monitor)
        fit(adaptive, module=Guarded("val_loss"))
        assert adaptive.monitor == "val_loss"
        assert len(adaptive.history) == 3


def test_it_follows_what_others_minimize_if_that_is_a_loss():
    stop = pl.callbacks.EarlyStopping("b_loss")
    adaptive = AdaptiveDropout()
    fit(adaptive, stop, module=Logs("a_loss", "b_loss"))
    assert adaptive.monitor == "b_loss"
    stop = pl.callbacks.EarlyStopping("val_error")
    fit(adaptive, stop, module=Logs("val_error", "a_loss"))
    assert adaptive.monitor == "a_loss"


def test_no_site():
    with pytest.raises(NoEffectError, match="head"):
        fit(AdaptiveDropout(include="head"))


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("other", [DropoutScheduler(0.1, "net.2"), ScaleRates(0.5), None])
def test_a_site_that_another_callback_sets_is_refused(other, order):
    both = [AdaptiveDropout(), other or AdaptiveDropout(include="net.5")]
    with pytest.raises(ValueError, match=r"one callback, got 'net\.[25]' in the groups"):
        fit(*both[::order])


def test_a_monitor_is_a_name():
    with pytest.raises(TypeError, match="`monitor` to be the name of a logged metric, or None"):
        AdaptiveDropout(3)


@pytest.mark.parametrize("highest", [-0.1, 1.5])
def test_a_wrong_highest(highest):
    with pytest.raises(ValueError, match="`highest` to be a rate in"):
        AdaptiveDropout(highest=highest)


class Spoilt(Kept):
    """Has a loss that is no number in an epoch, in a stage."""

    def __init__(self, stage, value):
        super().__init__()
        self.stage, self.value = stage, value

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        bad = self.stage == "train" and self.current_epoch in (1, 2)
        return loss * 0 + self.value if bad else loss

    def validation_step(self, batch, batch_idx):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        bad = self.stage == "val" and self.current_epoch in (1, 2)
        if not (bad and self.value is None):
            self.log("val_loss", torch.tensor(self.value) if bad else loss)
        self.log("other", 0.0)


@pytest.mark.parametrize(
    ("stage", "value"),
    [(s, v) for s in ("train", "val") for v in (math.nan, math.inf)] + [("val", None)],
)
def test_a_loss_that_is_no_number_changes_nothing_and_is_told_once(stage, value):
    adaptive = AdaptiveDropout("val_loss")
    with pytest.warns(ThinnedWarning, match="leaves the rate as it is") as told:
        fit(adaptive, module=Spoilt(stage, value), max_epochs=5)
    assert len([w for w in told if "leaves the rate" in str(w.message)]) == 1
    first, *bad, last, _ = adaptive.history
    assert len(bad) == 2
    assert {row["next_rate"] for row in bad} == {first["next_rate"]}
    assert last["rate"] == first["next_rate"]


@pytest.mark.parametrize(
    ("options", "few"),
    [
        ({"max_epochs": 9}, 9),
        ({"max_epochs": 10}, None),
        ({"max_epochs": 2, "val_check_interval": 1}, 8),
        ({"max_epochs": 12, "check_val_every_n_epoch": 3}, 4),
        ({"max_epochs": 3, "check_val_every_n_epoch": None, "val_check_interval": 6}, 2),
    ],
    ids=str,
)
def test_few_validations_are_told(options, few, caplog):
    adaptive = AdaptiveDropout()
    fit(adaptive, **options)
    said = [r.getMessage() for r in caplog.records if "wants some tens" in r.getMessage()]
    assert len(said) == (few is not None)
    if few is not None:
        assert f"at {few} validations only" in said[0]
        assert len(adaptive.history) == few
