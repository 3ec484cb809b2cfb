"""Training is bitwise the same with the monitor as without. Each way of breaking that is a case."""

import random
from collections import deque
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torchmetrics
from torch.utils.data import Dataset

from helpers import probing
from thinned.callbacks import OverfittingMonitor

PL = probing.lightning()
Plain, Metrics = probing.module_class(PL), probing.metrics_class(PL)


class Noisy(Dataset):
    """A data set that augments, from the generators of Python, numpy and torch or its own."""

    def __init__(self, own):
        self.inner = probing.data()
        self.py = random.Random(0) if own else random
        self.np = np.random.default_rng(0) if own else np.random
        self.old = np.random.RandomState(0)
        self.torch = torch.Generator().manual_seed(0) if own else None
        self.transform = [{"rng": np.random.default_rng(3)}]

    def __len__(self):
        return len(self.inner)

    def __getitem__(self, index):
        x, y = self.inner[index]
        noise = self.py.random() + self.np.normal() + self.old.normal()
        noise += self.transform[0]["rng"].normal() if self.torch is not None else 0.0
        return x + 0.1 * noise + 0.1 * torch.randn(6, generator=self.torch), y


class StepsInValidation(Plain):
    """Manual optimization; a scheduler stepped, and a rate edited, when validation ends."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.loss(batch))
        optimizer.step()

    def on_validation_epoch_end(self):
        self.lr_schedulers().step()
        self.optimizers().param_groups[0]["weight_decay"] += 0.01

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]


class Meter:
    def __init__(self):
        self.values = []
        self.total = 0.0

    def add(self, value):
        self.values.append(value)
        self.total += value


class Hoarder(Plain):
    """Keeps state in all the places where people keep it; training reads some of it."""

    def __init__(self):
        super().__init__()
        self.meter = Meter()
        self.in_list = [torchmetrics.MeanMetric()]
        self.history = {"val": [], "nested": ({"n": 0},)}
        self.best = torchmetrics.MinMetric()
        self.kept = torch.zeros(2)
        self.array = np.zeros(2)
        self.rng = np.random.default_rng(0)
        self.register_buffer("count", torch.zeros(1))
        self.register_buffer("seen", torch.zeros(1))

    def training_step(self, batch, batch_idx):
        scale = (
            1.0
            + 0.01 * self.meter.total
            + 0.1 * self.rng.normal()
            + 0.001 * len(self.history["val"])
        )
        return self.loss(batch) * float(scale + self.count + self.kept.sum())

    def validation_step(self, batch, batch_idx):
        loss = self.loss(batch)
        self.log("val_loss", loss)
        self.meter.add(loss.item())
        self.in_list[0].update(loss)
        self.history["val"].append(loss.item())
        self.history["nested"][0]["n"] += 1
        self.kept += 0.001 * self.rng.normal()
        self.array += 1
        self.count = self.count + 0.01  # bound anew
        self.seen += 1.0  # in place
        self.fresh = [self.rng.normal()]

    def on_validation_epoch_end(self):
        self.best.update(self.meter.total)
        self.log("best", self.best.compute())

    def trace(self):
        held = (self.meter.values, self.meter.total, self.history, self.kept.tolist(), self.fresh)
        lists = (self.array.tolist(), self.seen.item(), self.in_list[0].compute().item())
        return repr((held, lists, self.best.compute().item(), self.rng.normal()))


def own_generator():
    return probing.train_loader(generator=torch.Generator().manual_seed(3))


CASES = {
    "plain": (Plain, {}),
    "metrics": (Metrics, {}),
    "validation within the epoch": (Metrics, {"val_check_interval": 0.4}),
    "every other epoch": (Metrics, {"check_val_every_n_epoch": 2, "max_epochs": 4}),
    "no sanity check": (Metrics, {"num_sanity_val_steps": 0}),
    "accumulated gradients": (Plain, {"accumulate_grad_batches": 3, "val_check_interval": 0.4}),
    "limited validation": (Metrics, {"limit_val_batches": 2}),
    "loaders made anew": (Metrics, {"reload_dataloaders_every_n_epochs": 1}),
    "bf16": (Plain, {"precision": "bf16-mixed"}),
    "global generators": (Plain, {"loaders": lambda: probing.train_loader(Noisy(own=False))}),
    "own generators": (Plain, {"loaders": lambda: probing.train_loader(Noisy(own=True))}),
    "the loader's generator": (Plain, {"loaders": own_generator}),
    "schedulers in validation": (StepsInValidation, {"max_epochs": 4, "num_sanity_val_steps": 0}),
    "state everywhere": (Hoarder, {"max_epochs": 3, "val_check_interval": 0.5}),
}


def run(kind, options, callbacks):
    options = dict(options)
    loaders = options.pop("loaders", probing.train_loader)
    model = probing.build(kind)
    trainer = probing.fit(PL, model, callbacks, loaders=loaders(), **options)
    shown = {k: v.item() for k, v in trainer.callback_metrics.items() if "overfit/" not in k}
    drawn = (random.random(), np.random.random(), torch.rand(1).item())
    optimizer = trainer.optimizers[0].state_dict()["param_groups"]
    clocks = [c.scheduler.state_dict() for c in trainer.lr_scheduler_configs]
    counted = trainer.fit_loop.state_dict()
    trace = model.trace() if hasattr(model, "trace") else ""
    loose = (shown, drawn, repr(optimizer), repr(clocks), repr(counted), trace, model.training)
    return probing.weights(model), loose


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:The training set gives the same sample differently")
def test_nothing_changes(case):
    kind, options = CASES[case]
    monitor = OverfittingMonitor("val_loss", probe=0.3, units="*")
    with_it, traces = run(kind, options, [monitor])
    without, expected = run(kind, options, [])
    assert monitor.history
    assert "overfit/gap/val_loss" in monitor.history[-1]
    assert probing.same(with_it, without)
    assert traces == expected


class Frozen(dict):
    """As diffusers keeps the configuration of a model."""

    def __setitem__(self, key, value):
        raise TypeError("read only")


class FrozenList(list):
    def __setitem__(self, index, value):
        raise TypeError("read only")


class Point(NamedTuple):
    x: list


@pytest.mark.parametrize(
    "thing", [Frozen(a=1), FrozenList([torch.zeros(2)]), Point([1]), deque([[1]])], ids=repr
)
def test_collections_that_refuse_to_change_are_none_of_the_probes_business(thing):
    class Keeps(Plain):
        def __init__(self):
            super().__init__()
            self.thing = thing

    monitor = OverfittingMonitor("val_loss")
    model = probing.build(Keeps)
    probing.fit(PL, model, [monitor])
    assert "overfit/gap/val_loss" in monitor.history[-1]
    assert model.thing is thing


def test_a_model_that_does_change_is_noticed():
    """The comparison above can fail: one draw from torch's generator is enough."""

    class Draws(PL.Callback):
        def on_validation_end(self, trainer, module):
            torch.rand(1)

    assert not probing.same(run(Plain, {}, [Draws()])[0], run(Plain, {}, [])[0])


def test_loggers_see_validation_once():
    """What a validation step gives to its logger itself is not given again by the probe."""
    rows = []

    class Log(PL.loggers.logger.DummyLogger):
        def log_metrics(self, metrics, step=None):
            rows.append((step, set(metrics)))

    class Talks(Plain):
        def validation_step(self, batch, batch_idx):
            super().validation_step(batch, batch_idx)
            self.logger.log_metrics({"own": 1.0}, step=self.global_step)

    monitor = OverfittingMonitor("val_loss")
    probing.fit(PL, probing.build(Talks), [monitor], logger=Log(), num_sanity_val_steps=0)
    assert sum("own" in keys for _, keys in rows) == 2 * 3
    steps = [s for s, keys in rows if "overfit/gap/val_loss" in keys]
    assert steps == [s for s, keys in rows if "val_loss" in keys] == [4, 9]


def test_an_error_in_the_probe_costs_its_figures_and_nothing_else():
    class Fails(Plain):
        def validation_step(self, batch, batch_idx):
            loop = type(self.trainer.fit_loop.epoch_loop.val_loop).__name__
            if loop == "ProbeLoop" and self.current_epoch == 1:
                self.seen = True
                raise ZeroDivisionError("in the probe")
            super().validation_step(batch, batch_idx)

    model, monitor = probing.build(Fails), OverfittingMonitor("val_loss")
    with pytest.warns(UserWarning, match="failed in epoch 1 .ZeroDivisionError: in the probe."):
        trainer = probing.fit(PL, model, [monitor], max_epochs=3)
    assert ["overfit/gap/val_loss" in row for row in monitor.history] == [True, False, True]
    assert type(trainer.fit_loop.epoch_loop.val_loop).__name__ == "_EvaluationLoop"
    assert monitor in trainer.callbacks
    assert not trainer.loggers
    assert not hasattr(model, "seen")
    other = probing.build(Plain)
    probing.fit(PL, other, [], max_epochs=3)
    assert probing.same(probing.weights(model), probing.weights(other))


def test_compiled_submodules_are_not_compiled_again():
    def count(callbacks):
        compiled = []

        def backend(graph, _):
            compiled.append(graph)
            return graph.forward

        torch._dynamo.reset()
        model = probing.build(Plain)
        model.net = torch.compile(model.net, backend=backend)
        probing.fit(PL, model, callbacks, max_epochs=2)
        return len(compiled)

    monitor = OverfittingMonitor("val_loss", probe=16)
    assert count([monitor]) == count([]) > 0
    assert monitor.history


@pytest.mark.multiprocess
def test_workers_that_live_on():
    def loader():
        data = Noisy(own=True)
        return probing.train_loader(data, num_workers=1, persistent_workers=True)

    with pytest.warns(UserWarning, match="same sample differently"):
        with_it = run(Plain, {"loaders": loader}, [OverfittingMonitor("val_loss")])
    assert probing.same(with_it[0], run(Plain, {"loaders": loader}, [])[0])
