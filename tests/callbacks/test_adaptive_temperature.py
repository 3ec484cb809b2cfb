"""The temperature of a validation: what is found, what is left as it was, where there is none."""

import math

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter
from torch.nn import functional as F  # noqa: N812 - PyTorch's own habit
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanMetric

from helpers import tiny
from helpers.adaptive import Kept, fit
from thinned import ThinnedWarning
from thinned.callbacks import AdaptiveDropout, OverfittingMonitor
from thinned.callbacks._adaptive import scaled_outputs
from thinned.callbacks._adaptive.calibration import SCALE, of_three
from thinned.callbacks._adaptive.label_sums import ClassSums, NumberSums
from thinned.callbacks._adaptive.law import AdaptiveLaw
from thinned.callbacks._adaptive.temperature import Temperature
from thinned.callbacks._adaptive.two_losses import TwoLosses


class ByHand(pl.Callback):
    """Computes the temperature when a validation ends, from outputs and labels."""

    def __init__(self, sums=lambda: ClassSums(1), forward=lambda module, x: module.net(x)):
        self.found, self.sums, self.forward = [], sums, forward

    def on_validation_end(self, trainer, pl_module):
        if not trainer.sanity_checking:
            sums = self.sums()
            for x, y in trainer.val_dataloaders:
                sums.add(self.forward(pl_module, x), y)
            self.found.append(sums.log_temperature(sums.state()))


def temperatures(adaptive):
    return [row["log_temperature"] for row in adaptive.history]


@pytest.fixture
def again(monkeypatch):
    """How often validations were run again."""
    calls = []
    evaluate = scaled_outputs.evaluate
    monkeypatch.setattr(
        scaled_outputs, "evaluate", lambda *a, **k: calls.append(1) or evaluate(*a, **k)
    )
    return calls


# Read off the validation.


@pytest.mark.parametrize("beside", [[], [OverfittingMonitor("val_loss")]], ids=["alone", "probed"])
def test_it_is_read_off_outputs_and_labels(beside, again):
    adaptive, by_hand = AdaptiveDropout(), ByHand()
    module = fit(adaptive, by_hand, *beside)
    assert len(by_hand.found) == 3
    assert temperatures(adaptive) == pytest.approx(by_hand.found, rel=1e-6)
    assert not again
    assert not any(part._forward_hooks for part in module.modules())


class OneNumber(Kept):
    """Ends in a number."""

    def __init__(self):
        super().__init__(lr=0.01)
        self.net[-1] = nn.Linear(self.net[-1].in_features, 1)

    def loss(self, batch):
        return mse_loss(self(batch[0])[:, 0], batch[1])

    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss(batch))


class OneLogit(OneNumber):
    def loss(self, batch):
        return F.binary_cross_entropy_with_logits(self(batch[0])[:, 0], batch[1])


def numbers(binary=False):
    x = torch.randn(32, 8, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).float() if binary else x[:, 0] * 5 + 3
    return DataLoader(TensorDataset(x, y), batch_size=8)


@pytest.mark.parametrize("binary", [False, True])
def test_one_output(binary, again):
    by_hand = ByHand(
        lambda: ClassSums(None) if binary else NumberSums(), lambda m, x: m.net(x)[:, 0]
    )
    adaptive = AdaptiveDropout()
    module, data = OneLogit() if binary else OneNumber(), numbers(binary)
    tiny.fit([adaptive, by_hand], module=module, train=data, val=data, max_epochs=3)
    assert temperatures(adaptive) == pytest.approx(by_hand.found, rel=1e-6)
    assert not again


class FirstTwo(Kept):
    """Is given more than it uses."""

    def training_step(self, batch, batch_idx):
        return super().training_step(batch[:2], batch_idx)

    def validation_step(self, batch, batch_idx):
        super().validation_step(batch[:2], batch_idx)


def at_the_end(module, batches):
    """The temperature of the weights as they are now, about."""
    sums = ClassSums(1)
    for x, y, *_ in batches:
        sums.add(module.net.eval()(x), y)
    return pytest.approx(sums.log_temperature(sums.state()), rel=1e-5)


def test_batches_may_be_dicts_with_much_else():
    class Dicts(Kept):
        def training_step(self, batch, batch_idx):
            return cross_entropy(self(batch["x"]), batch["y"])

        def validation_step(self, batch, batch_idx):
            loss = cross_entropy(self(batch["x"]), batch["y"])
            self.log("val_loss", loss, batch_size=len(batch["y"]))

    def collate(rows):
        x, y = (torch.stack(part) for part in zip(*rows, strict=True))
        other = torch.zeros(len(y), dtype=torch.long)
        return {"y": y, "x": x, "name": ["a"] * len(y), "weight": x[:, 0], "other": other}

    adaptive = AdaptiveDropout()
    data = DataLoader(tiny.dataset(32), batch_size=8, collate_fn=collate)
    module = Dicts()
    tiny.fit([adaptive], module=module, train=data, val=data, max_epochs=2)
    last = at_the_end(module, ((batch["x"], batch["y"]) for batch in data))
    assert temperatures(adaptive)[-1] == last  # "other" is ruled out by its loss


@pytest.mark.filterwarnings("ignore:Trying to infer the `batch_size`:UserWarning")
def test_a_tensor_whose_shape_fits_by_chance_breaks_nothing(again):
    def collate(rows):
        x, y = (torch.stack(part) for part in zip(*rows, strict=True))
        return x, y, torch.ones(8, dtype=torch.long)  # as long as a batch, but the last one

    data = DataLoader(tiny.dataset(20), batch_size=8, collate_fn=collate)
    adaptive, module = AdaptiveDropout(), FirstTwo()
    tiny.fit([adaptive], module=module, train=data, val=data, max_epochs=2)
    assert temperatures(adaptive)[-1] == at_the_end(module, data)
    assert not again


def test_labels_that_cannot_be_told_apart_at_first_are_later():
    """With all logits 0 every label has the same loss."""

    def collate(rows):
        x, y = (torch.stack(part) for part in zip(*rows, strict=True))
        return x, y, (y + 1) % 3

    data = DataLoader(tiny.dataset(32), batch_size=8, collate_fn=collate)
    adaptive, module = AdaptiveDropout(), FirstTwo()
    nn.init.zeros_(module.net[-1].weight)
    nn.init.zeros_(module.net[-1].bias)
    tiny.fit([adaptive], module=module, train=data, val=data, max_epochs=6)
    assert temperatures(adaptive)[-1] == at_the_end(module, data)


@pytest.mark.parametrize(
    ("make", "data", "known"),
    [
        (Kept, None, {"classes": 3}),
        (OneNumber, False, {"numbers": True}),
        (OneLogit, True, {"classes": 2}),
    ],
    ids=str,
)
@pytest.mark.parametrize("sanity", [True, False])
def test_the_start_goes_by_passes_and_by_classes_as_far_as_they_are_known(
    make, data, known, sanity
):
    adaptive = AdaptiveDropout()
    loaders = {} if data is None else {"train": numbers(data), "val": numbers(data)}
    options = {} if sanity else {"num_sanity_val_steps": 0}
    tiny.fit([adaptive], module=make(), max_epochs=60, **loaders, **options)
    known = known if sanity or make is Kept else {}  # one output may be either
    assert adaptive.history[0]["rate"] == AdaptiveLaw().begin(60, **known).rate > 0.1


class Behind(OneNumber):
    """Scales its numbers afterwards, so that the validation has to run again."""

    def loss(self, batch):
        return mse_loss(10 * self(batch[0])[:, 0], batch[1])


@pytest.mark.parametrize(
    ("make", "sanity", "told"),
    [
        (OneNumber, True, True),
        (OneNumber, False, True),  # the first validation says it
        (OneLogit, True, False),
        (OneLogit, False, False),
        (Behind, True, True),
        (Behind, False, False),  # its loss is of no kind that is known
    ],
)
def test_the_law_is_told_that_labels_are_numbers(make, sanity, told):
    adaptive, data = AdaptiveDropout(), numbers(binary=make is OneLogit)
    options = {} if sanity else {"num_sanity_val_steps": 0}
    tiny.fit([adaptive], module=make(), train=data, val=data, max_epochs=2, **options)
    assert adaptive.state_dict()["law"]["numbers"] == told
    assert len(adaptive.history) == 2


@pytest.mark.parametrize(
    ("make", "data", "chance"),
    [
        (Kept, None, math.log(3)),
        (OneLogit, True, math.log(2)),
        (OneNumber, False, torch.cat([y for _, y in numbers()]).var(correction=0).item()),
        (Behind, False, None),  # its loss is of no kind that is known
    ],
)
def test_the_law_is_told_the_loss_of_chance(make, data, chance):
    adaptive = AdaptiveDropout()
    loaders = {} if data is None else {"train": numbers(data), "val": numbers(data)}
    tiny.fit([adaptive], module=make(), max_epochs=2, **loaders)
    assert [row["chance_loss"] for row in adaptive.history] == [
        None if chance is None else pytest.approx(chance, rel=1e-5)
    ] * 2
    assert chance is None or adaptive.state_dict()["law"]["first"] <= chance * (1 + 1e-5)


# Where the loss is another: the validation runs again.


class Smoothed(Kept):
    def validation_step(self, batch, batch_idx):
        self.log("val_loss", cross_entropy(self(batch[0]), batch[1], label_smoothing=0.1))


def test_another_loss_is_tried_with_smaller_and_larger_outputs(again):
    class Three(pl.Callback):
        def __init__(self):
            self.found = []

        def on_validation_end(self, trainer, pl_module):
            if not trainer.sanity_checking:
                z, y = zip(
                    *((pl_module.net(x), y) for x, y in trainer.val_dataloaders), strict=True
                )
                z, y = torch.cat(z), torch.cat(y)
                losses = [
                    cross_entropy(z * scale, y, label_smoothing=0.1).item()
                    for scale in (SCALE, 1.0, 1 / SCALE)
                ]
                self.found.append(of_three(*losses, len(y)))

    adaptive, by_hand = AdaptiveDropout(), Three()
    fit(adaptive, by_hand, module=Smoothed())
    assert temperatures(adaptive) == pytest.approx(by_hand.found, rel=1e-3, abs=1e-5)
    assert len(again) == 2 * 3


def test_numbers_that_are_scaled_afterwards(again):
    adaptive = AdaptiveDropout()
    tiny.fit([adaptive], module=Behind(), train=numbers(), val=numbers(), max_epochs=2)
    assert all(map(math.isfinite, temperatures(adaptive)))
    assert len(again) == 4


class Remembers(Smoothed):
    """Keeps metrics and lists over its validations, and draws random numbers in them."""

    def __init__(self):
        super().__init__()
        self.mean, self.seen, self.ends = MeanMetric(), [], 0

    def validation_step(self, batch, batch_idx):
        super().validation_step(batch, batch_idx)
        self.mean.update(torch.rand(()))
        self.seen.append(batch_idx)
        self.log("mean", self.mean)

    def on_validation_epoch_end(self):
        self.ends += 1


def test_it_leaves_no_trace(monkeypatch):
    def run():
        module, adaptive = Remembers(), AdaptiveDropout(highest=0.0)  # whatever the law decides
        fit(adaptive, module=module)
        return module, adaptive

    torch.manual_seed(1)
    first, with_it = run()
    monkeypatch.setattr(scaled_outputs.Scaled, "losses", lambda *_: None)
    torch.manual_seed(1)
    second, without = run()
    assert None not in temperatures(with_it)
    assert temperatures(without) == [None] * 3
    assert first.seen == second.seen
    assert first.ends == second.ends == 4  # the sanity check, and three
    assert tiny.same_weights(tiny.weights(first), tiny.weights(second))
    found = first.trainer.callback_metrics["mean"], second.trainer.callback_metrics["mean"]
    assert found[0] == found[1]


# Where there is none.


class Complex(Kept):
    """Calls a complex layer last, after the loss."""

    def __init__(self):
        super().__init__()
        self.spectrum = nn.Linear(8, 8, dtype=torch.cfloat)

    def validation_step(self, batch, batch_idx):
        super().validation_step(batch, batch_idx)
        self.spectrum(batch[0].cfloat())


class Sparse(Kept):
    """Has labels of a kind that sums cannot be made of."""

    def training_step(self, batch, batch_idx):
        return super().training_step(self.dense(batch), batch_idx)

    def validation_step(self, batch, batch_idx):
        batch = self.dense(batch)
        self.log("val_loss", cross_entropy(self(batch[0]), batch[1]), batch_size=len(batch[1]))

    def dense(self, batch):
        return batch[0], batch[1].to_dense()


def test_outputs_and_labels_that_cannot_be_read_break_nothing():
    adaptive = AdaptiveDropout()
    fit(adaptive, module=Complex())
    assert len(adaptive.history) == 3

    def collate(rows):
        x, y = (torch.stack(part) for part in zip(*rows, strict=True))
        return x, y.to_sparse()

    data = DataLoader(tiny.dataset(32), batch_size=8, collate_fn=collate)
    adaptive = AdaptiveDropout()
    tiny.fit([adaptive], module=Sparse(), train=data, val=data, max_epochs=2)
    assert len(adaptive.history) == 2


class Functional(Kept):
    """Calls no trained layer."""

    def forward(self, x):
        for layer in self.net:
            trained = hasattr(layer, "weight")
            x = nn.functional.linear(x, layer.weight, layer.bias) if trained else layer(x)
        return x


def test_layers_that_are_never_called():
    adaptive = AdaptiveDropout()
    fit(adaptive, module=Functional())
    assert temperatures(adaptive) == [None] * 3


class Backwards(Kept):
    """Registers its output layer first."""

    def __init__(self):
        super().__init__()
        body = self.net
        del self.net
        self.head, self.net = body[-1], body[:-1]

    def forward(self, x):
        return self.head(self.net(x))


def test_the_sanity_check_shows_which_layer_is_called_last(again):
    adaptive, by_hand = AdaptiveDropout(), ByHand(forward=lambda module, x: module(x))
    fit(adaptive, by_hand, module=Backwards())
    assert temperatures(adaptive) == pytest.approx(by_hand.found, rel=1e-6)
    assert not again


def test_a_validation_that_breaks_off_leaves_no_hook():
    class Breaks(Kept):
        def validation_step(self, batch, batch_idx):
            super().validation_step(batch, batch_idx)
            if not self.trainer.sanity_checking:
                raise LookupError("broken")

    module = Breaks()
    with pytest.raises(LookupError, match="broken"):
        fit(AdaptiveDropout(), module=module)
    assert not any(part._forward_hooks for part in module.modules())


def test_a_validation_without_training_before_it_leaves_no_hook(monkeypatch):
    monkeypatch.setattr(TwoLosses, "at_validation", lambda *_: None)
    adaptive = AdaptiveDropout()
    module = fit(adaptive)
    assert adaptive.history == []
    assert not any(part._forward_hooks for part in module.modules())


# Compiled networks.


class Own(nn.Module):
    """A class of the user's: torch compiles its forward, and a Sequential's never."""

    def __init__(self, net, *, tupled=False):
        super().__init__()
        self.net, self.tupled = net, tupled

    def forward(self, x):
        return (x.sum(), self.net(x)) if self.tupled else self.net(x)


def wrapped(module, backend):
    module.net = torch.compile(Own(module.net), backend=backend)


def in_place(module, backend):
    module.net = Own(module.net)
    module.net.compile(backend=backend)


def itself(module, backend):
    module.compile(backend=backend)


def body_only(module, backend):
    module.net = nn.Sequential(torch.compile(module.net[:-1], backend=backend), module.net[-1])


@pytest.fixture
def compiles():
    """A backend that counts its graphs."""
    torch._dynamo.reset()
    yield CompileCounter()
    torch._dynamo.reset()


_compiled = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")


@_compiled
@pytest.mark.parametrize("sanity", [True, False])
@pytest.mark.parametrize("compiled", [wrapped, in_place, itself, body_only])
def test_compiled_networks_are_seen_from_outside(compiled, sanity, compiles, again, monkeypatch):
    options = {} if sanity else {"num_sanity_val_steps": 0}

    def run():
        torch._dynamo.reset()
        compiles.frame_count = 0
        adaptive, module = AdaptiveDropout(), Kept()
        by_hand = ByHand(forward=lambda module, x: module(x))
        compiled(module, compiles)
        fit(adaptive, by_hand, module=module, **options)
        assert not any(part._forward_hooks for part in module.modules())
        return adaptive, by_hand, compiles.frame_count

    adaptive, by_hand, graphs = run()
    assert temperatures(adaptive) == pytest.approx(by_hand.found, rel=1e-5)
    assert graphs
    assert not again
    monkeypatch.setattr(Temperature, "before_validation", lambda *_, **__: None)
    adaptive, _, without = run()
    assert temperatures(adaptive) == [None] * 3
    assert graphs == without


@_compiled
@pytest.mark.parametrize("compiled", [wrapped, in_place])
def test_of_compiled_networks_another_loss_is_tried_as_of_others(compiled, compiles):
    found = []
    for compile_ in (compiled, lambda *_: None):
        torch.manual_seed(1)
        adaptive, module = AdaptiveDropout(highest=0.0), Smoothed()
        compile_(module, compiles)
        fit(adaptive, module=module)
        found.append(temperatures(adaptive))
    assert found[0] == pytest.approx(found[1], rel=1e-3, abs=1e-5)


class Tupled(Kept):
    """Its compiled network gives several things; one of them is the outputs."""

    def forward(self, x):
        return self.net(x)[1]


@_compiled
def test_a_compiled_network_may_give_several_things(compiles):
    adaptive, module = AdaptiveDropout(), Tupled()
    by_hand = ByHand(forward=lambda module, x: module(x))
    module.net = torch.compile(Own(module.net, tupled=True), backend=compiles)
    fit(adaptive, by_hand, module=module)
    assert temperatures(adaptive) == pytest.approx(by_hand.found, rel=1e-5)


def marked_by_lightning(module):
    module._compiler_ctx = {}  # as Lightning marks what it unwraps from torch.compile(module)
    return module


@pytest.mark.parametrize(
    ("make", "data", "known"),
    [
        (Kept, None, {"classes": 3}),  # so wide is the last layer
        (OneNumber, False, {"numbers": True}),
        (OneNumber, True, {}),  # 0 and 1 may be either
    ],
    ids=["classes", "numbers", "two"],
)
def test_where_steps_are_compiled_as_much_is_known_as_data_and_layers_show(make, data, known):
    adaptive = AdaptiveDropout()
    loaders = {} if data is None else {"train": numbers(data), "val": numbers(data)}
    tiny.fit([adaptive], module=marked_by_lightning(make()), max_epochs=60, **loaders)
    assert temperatures(adaptive) == [None] * 60
    assert adaptive.history[0]["rate"] == AdaptiveLaw().begin(60, **known).rate > 0.1
    assert adaptive.state_dict()["law"]["numbers"] == ("numbers" in known)


def test_a_frozen_network_behind_the_output_is_not_the_output():
    module = Kept()
    module.judge = nn.Linear(3, 1).requires_grad_(False)
    adaptive, by_hand = AdaptiveDropout(), ByHand()
    fit(adaptive, by_hand, module=module)
    assert temperatures(adaptive) == pytest.approx(by_hand.found, rel=1e-6)


class Fails(Smoothed):
    """Fails where its outputs are not as they were."""

    def validation_step(self, batch, batch_idx):
        if any(
            getattr(hook, "__name__", "") == "scale"
            for hook in self.net[-1]._forward_hooks.values()
        ):
            raise LookupError("a hook")
        super().validation_step(batch, batch_idx)


def test_another_validation_that_fails_is_told_once_and_given_up():
    adaptive = AdaptiveDropout()
    with pytest.warns(ThinnedWarning, match=r"failed \(LookupError: a hook\)") as told:
        module = fit(adaptive, module=Fails())
    assert len([each for each in told if "scaled outputs" in str(each.message)]) == 1
    assert temperatures(adaptive) == [None] * 3
    assert not any(part._forward_hooks for part in module.modules())


def test_of_the_loader_that_is_watched():
    class Loaders(Kept):
        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            self.log("val_loss", cross_entropy(self(batch[0]), batch[1]) + 10 * dataloader_idx)

    adaptive = AdaptiveDropout("val_loss/dataloader_idx_1")
    loaders = [tiny.loader(16, seed=1), tiny.loader(24, seed=2)]
    tiny.trainer(callbacks=[adaptive]).fit(Loaders(), tiny.loader(), loaders)
    (row,) = adaptive.history
    assert row["log_temperature"] is not None


def test_of_a_loader_that_the_key_does_not_number():
    class Loaders(Kept):
        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            loss = cross_entropy(self(batch[0]), batch[1])
            self.log("val_loss_" + "ab"[dataloader_idx], loss, add_dataloader_idx=False)

    loaders = [tiny.loader(16, seed=1), tiny.loader(24, seed=2)]
    found = {}
    for key in ("val_loss_a", "val_loss_b"):
        torch.manual_seed(0)
        adaptive = AdaptiveDropout(key)
        tiny.trainer(callbacks=[adaptive]).fit(Loaders(), tiny.loader(), loaders)
        found[key] = adaptive.history[0]["log_temperature"]
    assert None not in found.values()
    assert found["val_loss_a"] != found["val_loss_b"]
