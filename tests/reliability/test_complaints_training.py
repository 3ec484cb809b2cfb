"""Complaints about trainings, as they were made: the framework, the order and the model of each."""

import copy

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Subset

import thinned
from helpers import probing, tiny
from helpers.sampling import DropPath
from thinned import NoEffectError, ThinnedWarning
from thinned.callbacks import (
    AdaptiveDropout,
    Diagnosis,
    DropoutScheduler,
    LayerInsert,
    LayerSwap,
    MCDropout,
    OverfittingMonitor,
    RandomState,
)
from thinned.schedules import Early, Linear


class Block(nn.Module):
    def __init__(self, rate):
        super().__init__()
        self.fc, self.drop_path = nn.Linear(8, 8), DropPath(rate)

    def forward(self, x):
        return x + self.drop_path(self.fc(x))


class Rates(pl.Callback):
    """Notes what the sites hold at the end of each epoch."""

    def __init__(self, kinds="all"):
        self.kinds, self.seen = kinds, []

    def on_train_epoch_end(self, trainer, pl_module):
        self.seen.append([site.rate for site in thinned.find_sites(pl_module, kinds=self.kinds)])


def test_early_dropout_in_a_loop_of_somebody_s_own():
    model, schedule, held, noisy = tiny.mlp(0.1), Early(0.3, until=0.5), [], []
    optimizer, (x, y) = torch.optim.SGD(model.parameters(), lr=0.1), tiny.dataset().tensors
    for step in range(5):
        thinned.set_rate(model, schedule(step / 4))
        held.append(model[2].p)
        noisy.append(not torch.equal(model(x), model(x)))
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert held == [0.3, 0.3, 0.0, 0.0, 0.0]
    assert noisy == [True, True, False, False, False]


def test_drop_path_decays_over_epochs_in_a_model_that_knows_nothing_of_it():
    net = nn.Sequential(Block(0.1), Block(0.2), nn.Dropout(0.5), nn.Linear(8, 3))
    schedule, seen = Linear(0.4, 0.0, until=0.5), Rates()
    scheduler = DropoutScheduler(schedule, kinds="drop_path", every="epoch", profile="linear_depth")
    tiny.fit([scheduler, seen], module=tiny.TinyModule(net), max_epochs=5)
    decay = [[0.2, 0.4], [0.1, 0.2], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    assert seen.seen == [pytest.approx([*rates, 0.5]) for rates in decay]


class Unlogged(tiny.TinyModule):
    """Logs outside of its graph: torch 2.13 cannot compile Lightning's `log`, also without us."""

    @torch.compiler.disable
    def log(self, *args, **options):
        super().log(*args, **options)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("dynamic", [None, True])
def test_a_compiled_lightning_module_is_compiled_once_up_to_rate_1_and_keeps_its_last_rate(dynamic):
    torch._dynamo.reset()
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    module = Unlogged(nn.Sequential(nn.Linear(8, 64), nn.Dropout(0.5), nn.Linear(64, 3)))
    given = torch.compile(module, backend=backend, dynamic=dynamic)
    scheduler = DropoutScheduler(Linear(0.0, 1.0))
    tiny.fit([scheduler], module=given, train=tiny.loader(400), val=False)
    assert len(graphs) == 1
    assert type(module.net[1]) is nn.Dropout
    assert (scheduler.rates, module.net[1].p) == ({"all": 1.0}, 1.0)


def test_probed_accuracy_is_that_of_the_saved_model_on_the_training_set(tmp_path):
    data, monitor = probing.data(), OverfittingMonitor("val_loss", probe=0.5)
    kind = probing.metrics_class(pl)
    edits = [
        LayerSwap({"Linear": "dropconnect"}, include="net.0", rate=0.3),
        LayerInsert("dropout", 0.3, after="BatchNorm1d"),
    ]
    saver = tiny.saver(tmp_path, filename="end")
    callbacks = [*edits, monitor, saver]
    loader = probing.train_loader(data)
    trainer = probing.fit(pl, probing.build(kind), callbacks, loaders=loader)
    trained_on = float(trainer.callback_metrics["train_acc"])
    subset = DataLoader(Subset(data, monitor._probe._indices), batch_size=16)
    plain = probing.build(kind, seed=1)
    plain.load_state_dict(torch.load(tmp_path / "end.ckpt", weights_only=True)["state_dict"])
    (found,) = tiny.trainer().validate(plain, subset, verbose=False)
    probed = monitor.history[-1]
    assert probed["overfit/probe/val_acc"] == found["val_acc"] != trained_on
    assert probed["overfit/probe/val_loss"] == pytest.approx(found["val_loss"], rel=1e-6)


@pytest.mark.filterwarnings("ignore:Found 1 module.* in eval mode at the start of training")
@pytest.mark.filterwarnings("ignore::thinned.ThinnedWarning")
def test_a_frozen_batch_norm_keeps_its_statistics_and_its_mode():
    net = tiny.mlp().insert(1, nn.BatchNorm1d(16))
    net[1].requires_grad_(False).eval()
    before = copy.deepcopy(net[1].state_dict())
    callbacks = [
        RandomState(),
        Diagnosis(),
        LayerInsert("dropout", 0.1, after="Linear", include="net.0"),
        DropoutScheduler(Linear(0.0, 0.4), include="net.3"),
        AdaptiveDropout("val_loss", "net.6"),
        OverfittingMonitor("val_loss"),
    ]
    tiny.fit(callbacks, module=tiny.TinyModule(net), max_epochs=3)
    assert [layer.training for layer in net] == [index != 1 for index in range(len(net))]
    assert all(torch.equal(before[key], value) for key, value in net[1].state_dict().items())


def test_in_place_dropout_under_a_schedule_from_0_stops_before_the_first_step():
    # Else the second step fails, in the middle of torch's backward.
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(inplace=True), nn.Linear(16, 3))
    callbacks = [Diagnosis(raise_on="error"), DropoutScheduler(Linear(0.0, 0.4))]
    with pytest.raises(ValueError, match=r"inplace-dropout at net.2"):
        tiny.fit(callbacks, module=tiny.TinyModule(net))


@pytest.mark.filterwarnings("ignore:dropout option adds dropout after all but last")
def test_scheduling_the_dropout_of_one_recurrent_layer_stops_before_the_first_step():
    class Sequences(tiny.TinyModule):
        def forward(self, x):
            return self.net[1](self.net[0](x[:, None])[0][:, -1])

        def training_step(self, batch, batch_idx):
            raise AssertionError

    module = Sequences(
        nn.Sequential(nn.LSTM(8, 16, dropout=0.3, batch_first=True), nn.Linear(16, 3))
    )
    with pytest.raises(NoEffectError, match=r"All that match are dead: net.0:dropout \(one layer"):
        tiny.fit([DropoutScheduler(Linear(0.0, 0.5))], module=module)


@pytest.mark.parametrize("callbacks", [(), (0.3,)], ids=["model", "schedule"])
def test_a_resumed_run_takes_the_new_dropout(tmp_path, callbacks):
    first = [DropoutScheduler(0.1)] if callbacks else []
    tiny.fit([*first, tiny.saver(tmp_path, filename="{epoch}")], module=tiny.TinyModule())
    again, seen = [DropoutScheduler(rate) for rate in callbacks], Rates()
    module = tiny.TinyModule(tiny.mlp(0.3 if not callbacks else 0.5))
    options = {"max_epochs": 2, "ckpt_path": tmp_path / "epoch=0.ckpt"}
    saver = tiny.saver(tmp_path, filename="{epoch}")
    if callbacks:
        with pytest.warns(ThinnedWarning, match="another length of training: 8 batches, 4 before"):
            tiny.fit([*again, seen, saver], module=module, **options)
    else:
        tiny.fit([seen, saver], module=module, **options)
    assert seen.seen == [[0.3, 0.3]]


def test_mc_dropout_in_predict_leaves_the_norms_alone():
    class Predicts(tiny.TinyModule):
        def predict_step(self, batch, batch_idx):
            self.on = [name for name, module in self.named_modules() if module.training]
            return torch.stack([self(batch[0]) for _ in range(4)])

    module = Predicts(tiny.mlp().insert(1, nn.BatchNorm1d(16)))
    module.train()  # as people do before predict, in vain
    before = copy.deepcopy(module.state_dict())
    trainer = tiny.trainer(callbacks=[MCDropout(samples=1)])
    outputs = trainer.predict(module, tiny.loader(16))
    assert all(float(each.std(0).min()) > 0 for each in outputs)
    assert module.on == ["net.3", "net.6"]
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
