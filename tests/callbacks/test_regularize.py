"""One line gives a model dropout, says where, and measures what it does."""

import logging

import pytest
import torch
from torch import nn

import thinned
from helpers import tiny
from thinned.callbacks import DropoutScheduler, LayerInsert, OverfittingMonitor
from thinned.schedules import Curriculum, Linear


@pytest.fixture
def lines(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("thinned"), "propagate", True)
    caplog.set_level(logging.INFO, "thinned")
    return lambda: [r.getMessage() for r in caplog.records if "regularize" in r.getMessage()]


def plain():
    return nn.Sequential(
        nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)
    )


def mixed():
    net = tiny.mlp(0.5)
    net[5].p = 0.0
    return net


class Noise(tiny.TinyModule):
    """Notes how often two training forwards differ: whether dropout is really on."""

    def __init__(self, net):
        super().__init__(net)
        self.noisy = []

    def on_train_batch_end(self, outputs, batch, batch_idx):
        with torch.no_grad():
            self.noisy.append(not torch.equal(self(batch[0]), self(batch[0])))


@pytest.mark.parametrize("name", tiny.NAMESPACES)
def test_layers_that_are_on_get_the_rate_and_no_others(lines, name):
    net = tiny.mlp(0.5).insert(1, nn.Dropout(0.0))
    module = tiny.module_of(name, net=net)
    callbacks = thinned.regularize(dropout=0.1)
    tiny.fit(callbacks, module=module, namespace=name)
    assert [layer.p for layer in net if isinstance(layer, nn.Dropout)] == [0.0, 0.1, 0.1]
    assert len(lines()) == 1
    assert lines()[0] == (
        "regularize: dropout set at 2 places (net.3, net.6), following Constant(rate=0.1); before, "
        "the rate was 0.5"
    )


def test_where_none_is_on_layers_are_inserted_and_taken_out_again(lines):
    module = Noise(plain())
    keys = list(module.state_dict())
    callbacks = thinned.regularize(dropout=0.1)
    tiny.fit(callbacks, module=module)
    assert module.noisy == [True] * 4
    assert len(lines()) == 1
    assert "dropout inserted at 2 places (net.1:" in lines()[0]
    assert list(module.state_dict()) == keys
    x = torch.randn(4, 8)
    assert torch.equal(module(x), module(x))


def test_dropout_at_rate_0_in_the_place_of_an_insert_gets_the_rate(lines):
    module = Noise(tiny.mlp(0.0))
    seen = []
    module.on_train_start = lambda: seen.extend(s.rate for s in thinned.find_sites(module))
    tiny.fit(thinned.regularize(0.2), module=module)
    assert seen == [0.2, 0.2]
    assert module.noisy == [True] * 4
    assert lines()[0].startswith("regularize: dropout set at 2 places (net.2, net.5)")


def test_dropout_at_rate_0_gets_the_rate_where_there_is_no_place_for_an_insert():
    class Layers(Noise):
        def forward(self, x):
            x = x.view(-1, 2, 4)
            return self.net[1](self.net[0](x, x, x)[0])[:, 0]

    layer = nn.MultiheadAttention(4, 2, dropout=0.0, batch_first=True)
    module = Layers(nn.Sequential(layer, nn.Linear(4, 3)))
    callbacks = thinned.regularize(0.2)
    tiny.fit(callbacks, module=module)
    assert module.noisy == [True] * 4
    assert {site.rate for site in thinned.find_sites(module)} == {0.2}


def test_some_are_inserted_and_some_are_there(lines):
    net = plain().insert(2, nn.Dropout(0.0))
    module, seen = Noise(net), []
    module.on_train_start = lambda: seen.append(thinned.find_sites(module).rates)
    tiny.fit(thinned.regularize(0.2), module=module)
    assert seen == [{"net.2": 0.2, "net.4:dropout": 0.2}]
    assert "dropout inserted or set at 2 places (net.2, net.4:dropout)" in lines()[0]


def test_fit_again_after_a_schedule_that_ended_at_0():
    callbacks, module = thinned.regularize(0.2, schedule="early"), Noise(tiny.mlp(0.5))
    for _ in range(2):
        module.noisy.clear()
        tiny.fit(callbacks, module=module)
        assert module.noisy[0]
        assert {site.rate for site in thinned.find_sites(module)} == {0.0}


def test_the_callbacks_measure_as_well():
    callbacks = thinned.regularize(0.2, monitor="val_acc", mode="max")
    trainer = tiny.fit(callbacks, max_epochs=2)
    scheduler = next(c for c in callbacks if isinstance(c, DropoutScheduler))
    monitor = next(c for c in callbacks if isinstance(c, OverfittingMonitor))
    assert scheduler.rates == {"all": 0.2}
    assert len(monitor.history) == 2
    assert "overfit/gap/val_acc" in trainer.callback_metrics


@pytest.mark.parametrize(
    ("schedule", "plan"),
    [
        (None, "Constant(rate=0.3)"),
        ("curriculum", repr(Curriculum(0.3))),
        (Linear(0.0, 0.5), repr(Linear(0.0, 0.5))),
    ],
)
def test_schedule(schedule, plan):
    scheduler = thinned.regularize(0.3, schedule=schedule)[1]
    assert repr(scheduler.plan["*"]) == plan


def test_a_schedule_moves_what_was_inserted():
    callbacks = thinned.regularize(0.3, schedule="linear")
    seen = []
    module = Noise(plain())
    module.on_train_batch_start = lambda *_: seen.append(callbacks[1].rates["all"])
    tiny.fit(callbacks, module=module)
    assert seen == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_a_rate_that_is_kept_is_not_said_to_have_been_another(lines):
    tiny.fit(thinned.regularize(dropout=0.5), module=Noise(tiny.mlp(0.5)))
    assert lines()[0].endswith("following Constant(rate=0.5)")


def test_many_places_are_named_by_patterns(lines):
    net = nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.2)) for _ in range(8)))
    tiny.fit(thinned.regularize(dropout=0.1), module=Noise(net.append(nn.Linear(8, 3))))
    assert "at 8 places (net.*.*), following" in lines()[0]


def test_zero_is_a_control_without_dropout():
    module = Noise(plain())
    tiny.fit(thinned.regularize(dropout=0.0), module=module)
    assert module.noisy == [False] * 4


def test_fit_twice():
    callbacks = thinned.regularize(0.2)
    for _ in range(2):
        module = Noise(plain())
        tiny.fit(callbacks, module=module)
        assert module.noisy == [True] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dropout": 1.5}, r"`dropout` to be a rate in \[0, 1\], got 1.5"),
        ({"schedule": "curiculum"}, r"Did you mean 'curriculum'\?"),
        ({"mode": "maximal"}, r"`mode` to be one of"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        thinned.regularize(**arguments)


def test_a_model_with_no_place_for_dropout_says_so():
    with pytest.raises(thinned.NoEffectError, match=r"The model holds[\s\S]*example_input_array"):
        tiny.fit(thinned.regularize(0.1), module=Noise(nn.Sequential(nn.Linear(8, 3))))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))

    def forward(self, x):
        return x + self.inner(x)


def test_residual_blocks_keep_the_linear_rule():
    module = tiny.TinyModule(nn.Sequential(*(Block() for _ in range(4)), nn.Linear(8, 3)))
    module.example_input_array = torch.randn(2, 8)
    seen = []
    callbacks = thinned.regularize(0.4)
    module.on_train_batch_start = lambda *_: seen.append(
        [s.rate for s in callbacks[1].groups["all"] if s.kind == "drop_path"]
    )
    tiny.fit(callbacks, module=module)
    assert seen == [pytest.approx([0.1, 0.2, 0.3, 0.4])] * 4


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x):
        return self.last(torch.relu(self.first(x)))


class NoForward(tiny.pl.LightningModule):
    """Runs its network in its steps only."""

    def __init__(self):
        super().__init__()
        self.net, self.seen = Functional(), []

    def training_step(self, batch, batch_idx):
        self.seen.append(batch[0].clone())
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize(
    "make", [lambda: tiny.TinyModule(Functional()), NoForward], ids=["forward", "no forward"]
)
def test_without_an_example_the_first_training_samples_show_the_places(lines, make):
    module = make()
    tiny.fit(thinned.regularize(0.1), module=module)
    assert "dropout inserted at 1 place (net.last:dropout)" in lines()[0]
    assert "forward" not in vars(module)


def test_a_forward_gets_as_many_of_a_batch_as_it_needs(lines):
    class Two(tiny.TinyModule):
        def forward(self, x, y):
            return nn.functional.cross_entropy(self.net(x), y)

        def training_step(self, batch, batch_idx):
            return self(*batch)

        def validation_step(self, batch, batch_idx):
            self.log("val_loss", self(*batch))

    tiny.fit(thinned.regularize(0.1), module=Two(Functional()))
    assert "inserted at 1 place (net.last:dropout)" in lines()[0]


@pytest.mark.parametrize("source", ["loader", "data module", "module"])
def test_looking_at_samples_leaves_what_training_sees_as_it_was(source):
    def seen(callbacks):
        torch.manual_seed(1)
        module, loader = NoForward(), tiny.loader(shuffle=True)
        if source == "module":
            module.train_dataloader = lambda: loader
            tiny.trainer(callbacks=callbacks).fit(module)
        elif source == "loader":
            tiny.fit(callbacks, module=module, train=loader, val=False)
        else:
            data = tiny.pl.LightningDataModule()
            data.train_dataloader = lambda: tiny.loader(shuffle=True)
            tiny.trainer(callbacks=callbacks).fit(module, datamodule=data)
        return torch.stack(module.seen)

    insert = LayerInsert(rate=0.1)
    assert torch.equal(seen([insert]), seen([]))
    assert "net.last: before Linear" in str(insert.edits[0])


def test_samples_that_have_no_index_leave_what_structure_shows(lines):
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(tiny.dataset())

    loader = torch.utils.data.DataLoader(Stream(), batch_size=8)
    tiny.fit(thinned.regularize(0.1), module=Noise(plain()), train=loader)
    assert "inserted at 2 places" in lines()[0]
    with pytest.raises(thinned.NoEffectError, match="example_input_array"):
        tiny.fit(thinned.regularize(0.1), module=Noise(Functional()), train=loader)


@pytest.mark.parametrize("once", [True, False], ids=["the same callbacks", "new ones"])
@pytest.mark.parametrize(
    "make",
    [lambda: tiny.mlp(0.5), plain, lambda: plain().insert(4, nn.Dropout(0.0)), mixed],
    ids=["on", "none", "off", "on and off"],
)
@pytest.mark.parametrize("schedule", [Linear(0.4, 0.0), Linear(0.0, 0.4), None], ids=str)
def test_a_second_fit_takes_the_same_places(lines, make, schedule, once):
    module = Noise(make())
    callbacks = thinned.regularize(0.2, schedule=schedule)
    tiny.fit(callbacks, module=module)
    tiny.fit(callbacks if once else thinned.regularize(0.2, schedule=schedule), module=module)
    first, second = lines()
    assert first.partition("; before")[0] == second  # of the second the rate is what was left


def test_a_rate_that_was_set_by_hand_between_two_fits_counts(lines):
    module = Noise(mixed())
    tiny.fit(thinned.regularize(schedule=Linear(0.4, 0.0)), module=module)
    assert "set at 1 place (net.2)" in lines()[0]
    thinned.set_rate(module, 0.3)
    tiny.fit(thinned.regularize(), module=module)
    assert "set at 2 places (net.2, net.5)" in lines()[1]
    assert lines()[1].endswith("; before, the rate was 0.3")


def test_a_fit_that_fails_does_not_move_the_places(lines):
    class Fails(Noise):
        def on_train_epoch_end(self):
            raise RuntimeError("broken")

    module = Fails(tiny.mlp(0.5))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            tiny.fit(thinned.regularize(schedule=Linear(0.4, 0.0)), module=module)
    first, second = lines()
    assert first.partition("; before")[0] == second  # of the second the rate is what was left
