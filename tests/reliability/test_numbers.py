"""Numbers, batches and models that go wrong half-way: rates stay right, and no run ends."""

import math
import warnings

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from helpers import tiny
from thinned import ThinnedWarning
from thinned.callbacks import (
    AdaptiveDropout,
    Diagnosis,
    DropoutScheduler,
    LayerInsert,
    LayerSwap,
    OverfittingMonitor,
    ProgressMetrics,
    RandomState,
    RunRecord,
    ScaleRates,
)
from thinned.report import judge, read_record, write_page
from thinned.schedules import Linear


def everything():
    return [
        RandomState(),
        LayerSwap({"Linear": "dropconnect"}, include="net.0", rate=0.1),
        LayerInsert("dropout", 0.1, after="ReLU"),
        DropoutScheduler(Linear(0.0, 0.4), exclude=["net.2", "net.5"], kinds="all"),
        ScaleRates(0.5, "net.2"),
        AdaptiveDropout("val_loss", "net.5"),
        OverfittingMonitor("val_loss"),
        RunRecord("record", page=False, summary=False),
    ]


def fit(module, callbacks=None, **options):
    """Train; return the trainer and our warnings, of which a few are right, and no errors."""
    callbacks = everything() if callbacks is None else callbacks
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer = tiny.fit(callbacks, module=module, **{"max_epochs": 3, **options})
    assert trainer.state.status == "finished"
    told = [str(each.message) for each in caught if issubclass(each.category, ThinnedWarning)]
    return trainer, told


def last_rates(trainer):
    found = [c.rates for c in trainer.callbacks if isinstance(c, DropoutScheduler)]
    return [rate for rates in found for rate in rates.values()]


class InProbe(tiny.TinyModule):
    """Has a loss that is no number in the probe alone, in one epoch or in all."""

    def __init__(self, value, epoch=None):
        super().__init__()
        self.value, self.epoch = value, epoch

    def validation_step(self, batch, batch_idx):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        loop = type(self.trainer.fit_loop.epoch_loop.val_loop).__name__
        if loop == "ProbeLoop" and self.epoch in (None, self.current_epoch):
            loss = loss * self.value
        self.log("val_loss", loss)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("epoch", [None, 1])
def test_a_probe_that_is_no_number(value, epoch):
    def weights(callbacks):
        torch.manual_seed(0)
        module = InProbe(value, epoch)
        fit(module, callbacks)
        return tiny.weights(module)

    monitor = OverfittingMonitor("val_loss")
    measured = weights([RandomState(), monitor, RunRecord("record", summary=False)])
    assert tiny.same_weights(measured, weights([]))
    gaps = [row["overfit/gap/val_loss"] for row in monitor.history]
    assert [math.isfinite(gap) for gap in gaps] == [epoch is not None and i != 1 for i in range(3)]
    assert all(math.isfinite(row["val_loss"]) for row in monitor.history)
    record = read_record("record")
    assert record.status == "finished"
    assert judge(record).word == "not enough evidence"
    assert write_page(record).exists()


class Vanishes(tiny.TinyModule):
    """Stops logging what everybody watches."""

    def validation_step(self, batch, batch_idx):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("val_loss" if self.current_epoch == 0 else "another", loss)


def test_a_metric_that_vanishes_half_way():
    trainer, told = fit(Vanishes())
    assert last_rates(trainer) == [0.4]
    assert 1 <= len([text for text in told if "val_loss" in text]) <= 3
    assert {row.epoch: len(row.values) > 0 for row in read_record("record").metrics}[2.0]


class Grows(Dataset):
    """Has another length in each epoch."""

    def __init__(self, module):
        self.module, self.data = module, tiny.dataset(64)

    def __len__(self):
        return (16, 48, 8, 64)[self.module.current_epoch % 4]

    def __getitem__(self, index):
        return self.data[index]


class Reloads(tiny.TinyModule):
    def train_dataloader(self):
        return DataLoader(Grows(self), batch_size=8)

    def val_dataloader(self):
        return tiny.loader(8 * (1 + self.current_epoch), seed=1)


def test_loaders_of_changing_length():
    module = Reloads()
    callbacks = everything()
    callbacks[3] = DropoutScheduler(
        Linear(0.0, 0.4), exclude=["net.2", "net.5"], kinds="all", total_steps=17
    )
    trainer = tiny.trainer(callbacks=callbacks, max_epochs=4, reload_dataloaders_every_n_epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's and ours tell of the length
        trainer.fit(module)
    assert trainer.state.status == "finished"
    assert trainer.global_step == 2 + 6 + 1 + 8
    assert last_rates(trainer) == [0.4]
    assert len(read_record("record").metrics) == 4


class Unequal(Dataset):
    """Has a last batch of a single sample."""

    def __len__(self):
        return 17

    def __getitem__(self, index):
        return tiny.dataset(17)[index]


@pytest.mark.parametrize("size", [1, 8])
def test_a_last_batch_of_one_sample_in_every_loader(size):
    loaders = {"train": DataLoader(Unequal(), batch_size=size), "val": DataLoader(Unequal(), 16)}
    trainer, _ = fit(tiny.TinyModule(), **loaders)
    assert last_rates(trainer) == [0.4]


@pytest.mark.parametrize("whole", [True, False])
def test_a_model_in_eval_when_training_starts_is_found(whole):
    module = tiny.TinyModule()
    (module if whole else module.net).eval()
    diagnosis = Diagnosis()
    trainer, _ = fit(module, [*everything(), diagnosis])
    # Lightning leaves modes as they are; so do we, and say what it means.
    assert not module.net.training
    assert last_rates(trainer) == [0.4]
    assert any("eval" in finding.message for finding in diagnosis.findings)
    assert any("eval" in finding["message"] for finding in read_record("record").findings)


class Diverges(tiny.TinyModule):
    """Has weights that overflow, from the second epoch on."""

    def on_train_epoch_start(self):
        if self.current_epoch == 1:
            with torch.no_grad():
                self.net[0].weight.fill_(math.inf)


def test_weights_that_are_no_numbers():
    trainer, _ = fit(Diverges(), [*everything(), ProgressMetrics()])
    assert last_rates(trainer) == [0.4]
    record = read_record("record")
    assert math.isnan(record.metrics[-1].values["val_loss"])
    assert write_page(record).exists()


class Counts(pl.LightningModule):
    """Logs whole numbers, numbers of numpy's and of other precision, and none of one value."""

    def __init__(self):
        super().__init__()
        self.net = tiny.mlp()

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]).double())
        self.log("count", torch.tensor(3, dtype=torch.int64))
        self.log("half", torch.tensor(0.5, dtype=torch.bfloat16))
        self.log("plain", 1)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_metrics_of_any_type():
    fit(Counts())
    values = read_record("record").metrics[-1].values
    assert (values["count"], values["half"], values["plain"]) == (3.0, 0.5, 1.0)
