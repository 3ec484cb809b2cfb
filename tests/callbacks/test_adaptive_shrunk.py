"""The second validation, with shrunk outputs: what it finds, what it leaves, where none is."""

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanMetric

from helpers import tiny
from helpers.adaptive import Kept, fit
from thinned import ThinnedWarning
from thinned.callbacks import AdaptiveDropout, OverfittingMonitor
from thinned.callbacks._adaptive_law import SHRINK


class ByHand(pl.Callback):
    """Computes the loss of shrunk outputs when a validation ends."""

    def __init__(self):
        self.losses = []

    def on_validation_end(self, trainer, pl_module):
        if not trainer.sanity_checking:
            batches = [x for loader in [trainer.val_dataloaders] for x in loader]
            losses = [cross_entropy(SHRINK * pl_module.net(x), y) for x, y in batches]
            self.losses.append(torch.stack(losses).mean().item())


def shrunk(adaptive):
    return [row["shrunk_loss"] for row in adaptive.history]


@pytest.mark.parametrize("beside", [[], [OverfittingMonitor("val_loss")]], ids=["alone", "probed"])
def test_it_is_the_loss_of_shrunk_outputs(beside):
    adaptive, by_hand = AdaptiveDropout(), ByHand()
    module = fit(adaptive, by_hand, *beside)
    assert len(by_hand.losses) == 3
    assert shrunk(adaptive) == pytest.approx(by_hand.losses, rel=1e-6)
    assert all(row["shrunk_loss"] != row["val_loss"] for row in adaptive.history)
    assert not any(part._forward_hooks for part in module.modules())


class Remembers(Kept):
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
    monkeypatch.setattr("thinned.callbacks._shrunk._has_labels", lambda _: False)
    torch.manual_seed(1)
    second, without = run()
    assert None not in shrunk(with_it)
    assert shrunk(without) == [None] * 3
    assert first.seen == second.seen
    assert first.ends == second.ends == 4  # the sanity check, and three
    assert tiny.same_weights(tiny.weights(first), tiny.weights(second))
    found = first.trainer.callback_metrics["mean"], second.trainer.callback_metrics["mean"]
    assert found[0] == found[1]


class Regression(Kept):
    def loss(self, batch):
        return mse_loss(self(batch[0])[:, 0], batch[1])

    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss(batch))


def test_for_numbers_there_is_none():
    data = DataLoader(TensorDataset(torch.randn(32, 8), torch.randn(32)), batch_size=8)
    adaptive = AdaptiveDropout(highest=0.5)
    tiny.fit([adaptive], module=Regression(lr=0.01), train=data, val=data, max_epochs=2)
    assert shrunk(adaptive) == [None, None]


class Functional(Kept):
    """Ends in a layer that is never called."""

    def forward(self, x):
        for layer in self.net[:-1]:
            x = layer(x)
        return nn.functional.linear(x, self.net[-1].weight)


def test_an_output_layer_that_is_never_called():
    adaptive = AdaptiveDropout()
    fit(adaptive, module=Functional())
    assert shrunk(adaptive) == [None] * 3


def net_compiled():
    module = Kept()
    module.net = torch.compile(module.net, backend="eager")
    return module


def net_compiled_in_place():
    module = Kept()
    module.net.compile(backend="eager")
    return module


def marked_by_lightning():
    module = Kept()
    module._compiler_ctx = {}  # as Lightning marks what it unwraps from torch.compile(module)
    return module


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.parametrize("make", [net_compiled, net_compiled_in_place, marked_by_lightning])
def test_compiled_networks_have_none(make):
    torch._dynamo.reset()
    adaptive = AdaptiveDropout()
    fit(adaptive, module=make())
    torch._dynamo.reset()
    assert shrunk(adaptive) == [None] * 3


def test_a_frozen_network_behind_the_output_is_not_the_output():
    module = Kept()
    module.judge = nn.Linear(3, 1).requires_grad_(False)
    adaptive, by_hand = AdaptiveDropout(), ByHand()
    fit(adaptive, by_hand, module=module)
    assert shrunk(adaptive) == pytest.approx(by_hand.losses, rel=1e-6)


class Fails(Kept):
    """Fails where its outputs are not as they were."""

    def validation_step(self, batch, batch_idx):
        if self.net[-1]._forward_hooks:
            raise LookupError("a hook")
        super().validation_step(batch, batch_idx)


def test_a_second_validation_that_fails_is_told_once_and_given_up():
    adaptive = AdaptiveDropout()
    with pytest.warns(ThinnedWarning, match=r"failed \(LookupError: a hook\)") as told:
        module = fit(adaptive, module=Fails())
    assert len([each for each in told if "second validation" in str(each.message)]) == 1
    assert shrunk(adaptive) == [None] * 3
    assert not any(part._forward_hooks for part in module.modules())


def test_of_the_loader_that_is_watched():
    class Loaders(Kept):
        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            self.log("val_loss", cross_entropy(self(batch[0]), batch[1]) + 10 * dataloader_idx)

    adaptive = AdaptiveDropout("val_loss/dataloader_idx_1")
    loaders = [tiny.loader(16, seed=1), tiny.loader(24, seed=2)]
    tiny.trainer(callbacks=[adaptive]).fit(Loaders(), tiny.loader(), loaders)
    (row,) = adaptive.history
    assert 10 < row["shrunk_loss"] != row["val_loss"]
