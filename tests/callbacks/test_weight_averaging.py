"""Stochastic weight averaging adds an epoch that trains nothing: it is no part of the schedule.

Two averages at once are refused: Lightning mixes up their weights.
"""

import importlib

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from helpers import tiny
from thinned.callbacks import (
    AdaptiveDropout,
    DropoutScheduler,
    OverfittingMonitor,
    RunRecord,
    ScaleRates,
)
from thinned.report import read_record
from thinned.schedules import Linear

RISES = [k / 11 / 2 for k in range(12)]  # to 0.5 at the twelfth batch
SETTERS = {
    "scheduler": (lambda: DropoutScheduler(Linear(0.0, 0.5)), RISES),
    "epochs": (lambda: DropoutScheduler(Linear(0.0, 0.5), every="epoch"), [0.0] * 4 + [0.25] * 4),
    "total_steps": (lambda: DropoutScheduler(Linear(0.0, 0.5), total_steps=12), RISES),
    "too many": (lambda: DropoutScheduler(Linear(0.0, 1.0), total_steps=23), RISES),
    "factor": (lambda: ScaleRates(Linear(0.0, 1.0)), RISES),
    "adaptive": (lambda: AdaptiveDropout("val_loss"), []),
}


class Rates(pl.loggers.logger.DummyLogger):
    def __init__(self):
        super().__init__()
        self.steps = []

    def log_metrics(self, metrics, step=None):
        if any(key.startswith("dropout/") for key in metrics):
            self.steps.append(step)


class Seen(pl.Callback):
    """Notes at each batch whether something is trained, and the rates."""

    def __init__(self):
        self.trains, self.rates = [], []

    def on_train_batch_end(self, trainer, module, *_):
        self.trains.append(trainer.current_epoch < 3)
        self.rates.append(module.net[3].p)


def fit(setter, *others, namespace="pytorch_lightning", norm=True):
    net = tiny.mlp(0.5)
    net.insert(1, nn.BatchNorm1d(16) if norm else nn.Identity())
    callbacks = importlib.import_module(namespace).callbacks
    averaging = callbacks.StochasticWeightAveraging(0.05, swa_epoch_start=2, annealing_epochs=1)
    seen, logger = Seen(), Rates()
    tiny.fit(
        [averaging, *others, setter, seen],
        module=tiny.module_of(namespace, net=net),
        namespace=namespace,
        max_epochs=3,
        logger=logger,
    )
    return seen, logger


@pytest.mark.parametrize("namespace", tiny.NAMESPACES)
@pytest.mark.parametrize(("setter", "rates"), SETTERS.values(), ids=SETTERS)
def test_the_rates_end_with_training_and_then_stay(setter, rates, namespace):
    made = setter()
    seen, logger = fit(made, namespace=namespace)
    assert seen.trains == [True] * 12 + [False] * 4
    assert seen.rates[: len(rates)] == pytest.approx(rates)
    assert len(set(seen.rates[11:])) == 1, "they move while nothing is trained"
    assert logger.steps == list(range(12)), "one value for each step of training"


def test_without_batch_norm_there_is_no_such_epoch():
    seen, logger = fit(DropoutScheduler(Linear(0.0, 0.5)), norm=False)
    assert seen.rates == pytest.approx(RISES)
    assert logger.steps == list(range(12))


def test_nothing_is_decided_after_training():
    adaptive = AdaptiveDropout("val_loss")
    fit(adaptive)
    assert [row["batches"] for row in adaptive.history] == [4, 8, 12]
    assert len(adaptive.as_schedule().at) == 2, "the last decision has no batch to come"


def test_the_averaged_model_has_a_row_of_its_own(tmp_path):
    monitor, record = OverfittingMonitor("val_loss"), RunRecord(tmp_path, page=False, summary=False)
    fit(DropoutScheduler(Linear(0.0, 0.5)), monitor, record)
    assert [row["epoch"] for row in monitor.history] == [0, 1, 2, 3]
    assert all("overfit/gap/val_loss" in row for row in monitor.history)
    assert monitor.history[-1]["rate"] == 0.5
    written = read_record(tmp_path)
    assert written.planned_batches == 12
    assert [row.epoch for row in written.metrics] == [0, 1, 2, 3]
    assert {row.groups["all"] for row in written.rates if row.epoch > 2.5} == {0.5}


class Weights(pl.Callback):
    """Notes the weights as a validation begins and has ended."""

    def __init__(self):
        self.before, self.after = [], []

    def on_validation_start(self, trainer, module):
        self.before.append(module.net[0].weight.detach().clone())

    def on_validation_end(self, trainer, module):
        self.after.append(module.net[0].weight.detach().clone())


def averages(namespace):
    callbacks = importlib.import_module(namespace).callbacks
    return [callbacks.WeightAveraging(), callbacks.EMAWeightAveraging()]


def test_two_averages_leave_other_weights_after_a_validation_by_themselves():
    """Where this fails Lightning has mended it, and they need not be refused any more."""
    kept = Weights()
    options = {"module": tiny.module_of("pytorch_lightning", net=tiny.mlp(0.5)), "max_epochs": 3}
    tiny.fit([*averages("pytorch_lightning"), kept], **options)
    pairs = list(zip(kept.before, kept.after, strict=True))
    assert len(pairs) == 4, "the sanity check is one"
    assert not all(torch.equal(before, after) for before, after in pairs)


@pytest.mark.parametrize("namespace", tiny.NAMESPACES)
@pytest.mark.parametrize("make", [OverfittingMonitor, AdaptiveDropout])
def test_two_averages_are_refused(make, namespace):
    module = tiny.module_of(namespace, net=tiny.mlp(0.5))
    with pytest.raises(ValueError, match=r"WeightAveraging and EMAWeightAveraging. .* Keep one"):
        tiny.fit([*averages(namespace), make("val_loss")], module=module, namespace=namespace)
