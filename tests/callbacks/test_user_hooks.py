"""What users do in validation hooks goes on as it does without us."""

import copy
import threading

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from helpers import probing, tiny
from helpers.adaptive import Kept, fit
from thinned.callbacks import AdaptiveDropout, OverfittingMonitor
from thinned.callbacks._probe.snapshot import Snapshot

Plain = probing.module_class(pl)


def monitored(module, **options):
    monitor = OverfittingMonitor()
    probing.fit(pl, module, [monitor], **{"max_epochs": 3, **options})
    assert all("overfit/probe/val_loss" in row for row in monitor.history)
    return monitor


def test_a_copy_of_the_network_has_no_hook_of_ours():
    class Copies(Kept):
        def on_validation_start(self):
            self.began = [copy.deepcopy(self.net)]  # while the hook is in

        def on_validation_epoch_end(self):
            self.lock = threading.Lock()  # cannot be copied
            assert not any(part._forward_hooks for part in self.net.modules())
            self.kept = [copy.deepcopy(self.net)]

    module, adaptive = Copies(), AdaptiveDropout()
    fit(adaptive, module=module)
    assert all(row["log_temperature"] is not None for row in adaptive.history)
    (copied,) = module.began
    hooks = [hook for part in copied.modules() for hook in part._forward_hooks.values()]
    assert hooks
    assert all(vars(hook) == {"_temperature": None} for hook in hooks)
    copied(torch.ones(2, 8))


def test_a_hook_that_needs_training_is_rehearsed_as_a_sanity_check():
    class Reads(Plain):
        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            self.log("train_loss", loss, on_epoch=True)
            return loss

        def on_validation_epoch_end(self):
            if not self.trainer.sanity_checking:
                assert self.trainer.callback_metrics["train_loss"] > 0

    monitored(probing.build(Reads))


def test_a_hook_that_cannot_be_rehearsed_is_named():
    class Reads(Plain):
        def on_validation_epoch_end(self):
            torch.stack(self.losses)

    with pytest.raises(RuntimeError, match=r"on_validation_epoch_end cannot run.*sanity_checking"):
        monitored(probing.build(Reads), num_sanity_val_steps=0)


def test_a_step_that_reads_no_loader_at_all_is_none_of_the_monitors_fault():
    class Unfit(Plain):
        def validation_step(self, batch, batch_idx):
            raise ZeroDivisionError("mine")

    said = r"neither of the training loader nor of the validation loader: ZeroDivisionError: mine\."
    with pytest.raises(RuntimeError, match=said) as caught:
        monitored(probing.build(Unfit), num_sanity_val_steps=0)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_callbacks_and_loaders_are_where_they_are_without_the_probe():
    class Reads(Plain):
        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            assert isinstance(self.trainer.val_dataloaders, list)
            assert self.trainer.val_dataloaders[dataloader_idx].batch_size == 16
            assert self.trainer.num_val_batches[dataloader_idx] > batch_idx
            assert self.trainer.early_stopping_callback.patience == 99
            self.trainer.early_stopping_callback.seen = True
            self.log("val_loss", self.loss(batch))

    stop = pl.callbacks.EarlyStopping("val_loss/dataloader_idx_0", patience=99)
    monitor = OverfittingMonitor()
    both = [probing.val_loader(), probing.val_loader()]
    probing.fit(pl, probing.build(Reads), [monitor, stop], val=both, max_epochs=2)
    assert "overfit/probe/val_loss/dataloader_idx_0" in monitor.history[-1]


def test_the_probe_saves_no_checkpoint_of_the_best_so_far(tmp_path):
    class Saves(Plain):
        best, saved = float("inf"), 0

        def on_validation_epoch_end(self):
            value = self.trainer.callback_metrics.get("val_loss", torch.tensor(float("inf")))
            if self.trainer.sanity_checking or value >= self.best:
                return
            self.best = value
            self.trainer.save_checkpoint(tmp_path / f"{float(value):.6f}.ckpt")

    def saved(callbacks):
        for old in tmp_path.iterdir():
            old.unlink()
        probing.fit(pl, probing.build(Saves), callbacks, max_epochs=4)
        return sorted(path.name for path in tmp_path.iterdir())

    assert saved([OverfittingMonitor(probe=1.0)]) == saved([])


@pytest.mark.parametrize("layer", [nn.LazyLinear, nn.LazyBatchNorm1d])
def test_lazy_layers_are_initialized_as_without_the_probe(layer):
    def trained(callbacks):
        torch.manual_seed(0)
        first = nn.LazyLinear(12) if layer is nn.LazyLinear else nn.LazyBatchNorm1d()
        module = tiny.TinyModule(nn.Sequential(first, nn.ReLU(), nn.LazyLinear(3)))
        tiny.fit(callbacks, module=module, num_sanity_val_steps=0, max_epochs=2)
        return tiny.weights(module)

    assert tiny.same_weights(trained([OverfittingMonitor()]), trained([]))


def test_a_snapshot_shares_what_it_cannot_or_need_not_copy(tmp_path):
    class Node:
        def __init__(self, after):
            self.after = after

    module = Plain()
    module.chain = None
    for _ in range(3000):
        module.chain = Node(module.chain)
    module.shape = torch.Size([2, 3])
    module.mapped = np.memmap(tmp_path / "big", dtype="float32", mode="w+", shape=(4,))
    module.seen = [torch.ones(2)]
    snapshot = Snapshot(module)
    chain = module.chain
    with snapshot.lent():
        assert module.chain is chain
        assert module.shape.numel() == 6
        assert np.shares_memory(module.mapped, snapshot_of(module, "mapped"))
        module.seen[0].zero_()
        module.seen.append(1)
    assert len(module.seen) == 1
    assert module.seen[0].sum() == 2
    assert module.chain is chain


def snapshot_of(module, name):
    return vars(module)[name]
