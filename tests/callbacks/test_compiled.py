"""A new rate at every step of a fit costs compiled code nothing."""

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from helpers import tiny
from thinned import layers
from thinned.callbacks import (
    AdaptiveDropout,
    DropoutScheduler,
    LayerInsert,
    LayerSwap,
    OverfittingMonitor,
    RandomState,
    RunRecord,
)
from thinned.schedules import Linear, Warmup


class Counter:
    """A backend that counts its graphs, of training and of evaluation apart."""

    def __init__(self):
        self.graphs = []

    def __call__(self, graph, inputs):
        self.graphs.append(torch.is_grad_enabled())
        return graph.forward


class Dropped(pl.Callback):
    """Notes what share of a layer's outputs was really zero in each step, and the rate held."""

    def __init__(self, layer):
        self.layer = layer
        self.shares = []
        self.rates = []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.shares.append(pl_module.share)
        self.rates.append(self.layer(pl_module).p)


class Compiled(tiny.TinyModule):
    """Has a compiled net whose last layer is the dropout, so that its zeros can be counted."""

    def __init__(self, dropout, backend):
        super().__init__(nn.Sequential(nn.Linear(8, 512), dropout))
        self.head = nn.Linear(512, 3)
        self.net = torch.compile(self.net, backend=backend)
        self.share = None

    def forward(self, x):
        hidden = self.net(x)
        if self.training:
            self.share = (hidden == 0).float().mean().item()
        return self.head(hidden)


@pytest.fixture(autouse=True)
def _fresh_dynamo():
    torch._dynamo.reset()


@pytest.mark.parametrize("make", [nn.Dropout, layers.Dropout], ids=["torch", "ours"])
def test_no_recompilation_over_fifty_steps(make):
    counter = Counter()
    model = Compiled(make(0.5), counter)
    plain = model.net._orig_mod[1]
    seen = Dropped(lambda module: module.net._orig_mod[1])
    scheduler = DropoutScheduler(Linear(0.0, 0.9))
    tiny.fit([scheduler, seen], module=model, train=tiny.loader(400, 8), val=False)
    assert len(seen.rates) == 50
    assert len(set(seen.rates)) == 50
    assert counter.graphs == [True]
    assert seen.shares == pytest.approx([0.9 * k / 49 for k in range(50)], abs=0.05)
    assert model.net._orig_mod[1] is plain


def test_with_validation_between_there_is_one_graph_more():
    counter = Counter()
    tiny.fit(
        [DropoutScheduler(Linear(0.0, 0.9))],
        module=Compiled(nn.Dropout(0.5), counter),
        max_epochs=5,
    )
    assert sorted(counter.graphs) == [False, True]


def test_two_groups_and_a_profile_cost_nothing_either():
    counter = Counter()
    net = nn.Sequential(nn.Linear(8, 8), *(nn.Dropout(0.5) for _ in range(6)), nn.Linear(8, 3))
    model = tiny.TinyModule(torch.compile(net, backend=counter))
    scheduler = DropoutScheduler(
        {"net.1": Linear(0.0, 0.5), "*": Linear(0.0, 0.4)}, profile="linear_depth"
    )
    tiny.fit([scheduler], module=model, val=False, max_epochs=3)
    assert counter.graphs == [True]
    assert scheduler.rates == {"net.1": 0.5, "all": 0.4}


class Own(nn.Module):
    """A dropout of somebody's own: the rate is a float that its forward reads."""

    def __init__(self, p):
        super().__init__()
        self.dropout_rate = p

    @property
    def p(self):
        return self.dropout_rate

    def forward(self, x):
        return nn.functional.dropout(x, self.dropout_rate, self.training)


@pytest.mark.parametrize(
    ("schedule", "end"), [(Linear(0.0, 0.9), 0.9), (Warmup(Linear(0.8, 0.3), until=0.2), 0.3)]
)
def test_what_has_no_twin_moves_in_few_levels_and_never_falls_back_to_eager(schedule, end):
    counter = Counter()
    model = Compiled(Own(0.5), counter)
    seen = Dropped(lambda module: module.net._orig_mod[1])
    scheduler = DropoutScheduler(schedule, include="*")
    tiny.fit([scheduler, seen], module=model, train=tiny.loader(400, 8), val=False)
    assert len(counter.graphs) == 3
    assert len(set(seen.rates)) == 3
    assert seen.rates[-1] == end
    assert seen.shares == pytest.approx(seen.rates, abs=0.05)
    asked = [schedule(k / 49) for k in range(50)]
    assert max(abs(a - b) for a, b in zip(asked, seen.rates, strict=True)) < 0.25


def test_what_has_no_twin_stays_compiled_with_validation_and_a_probe_of_another_batch_size():
    model = Compiled(Own(0.5), Counter())
    callbacks = [DropoutScheduler(Linear(0.0, 0.9)), OverfittingMonitor("val_loss", probe=0.1)]
    train, val = tiny.loader(61), tiny.loader(30)
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        tiny.fit(callbacks, module=model, train=train, val=val, max_epochs=6)


def test_with_every_callback():
    counter = Counter()
    model = Compiled(nn.Dropout(0.5), counter)
    callbacks = [
        RandomState(),
        LayerSwap({"Linear": "dropconnect"}, include="net.0", rate=0.1),
        LayerInsert("dropout", after=nn.Linear, include="net.0"),
        DropoutScheduler(Linear(0.0, 0.9), include=["net.1", "*"]),
        OverfittingMonitor("val_loss"),
        RunRecord(),
    ]
    tiny.fit(callbacks, module=model, max_epochs=5)
    # One for training, one for validation, one for the probe, whose batches have another size.
    assert sorted(counter.graphs) == [False, False, True]
    assert type(model.net._orig_mod[0]) is nn.Linear
    assert type(model.net._orig_mod[1]) is nn.Dropout


class Chain(nn.Module):
    """Calls a module: torch traces no code of its own, such as ``Sequential``'s, in place."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


@pytest.mark.parametrize("noise", [True, False])
def test_the_noise_of_what_was_compiled_in_place_is_not_measured(noise):
    counter = Counter()
    model = Compiled(nn.Dropout(0.5), "eager")
    model.net = Chain(model.net._orig_mod)
    model.net.compile(backend=counter)
    monitor = OverfittingMonitor("val_loss", noise=noise)
    tiny.fit([monitor], module=model, max_epochs=2)
    assert sorted(counter.graphs) == [False, False, True]  # as in `test_with_every_callback`
    assert not any("inflation" in key for row in monitor.history for key in row)


def test_an_error_gives_the_layers_back_that_adaptive_dropout_exchanged():
    class Fails(pl.Callback):
        def on_train_batch_end(self, *_):
            raise LookupError

    model = Compiled(nn.Dropout(0.5), Counter())
    plain = model.net._orig_mod[1]
    adaptive = AdaptiveDropout("val_loss")
    with pytest.raises(LookupError):
        tiny.fit([adaptive, Fails()], module=model, max_epochs=12)
    assert model.net._orig_mod[1] is plain
