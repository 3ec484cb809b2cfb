"""Callbacks that only measure leave the weights bitwise as they are, however the data are drawn."""

import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from helpers import tiny
from thinned import ThinnedWarning
from thinned.callbacks import (
    Diagnosis,
    OverfittingMonitor,
    ProgressMetrics,
    RandomState,
    RunRecord,
)


class Noisy(Dataset):
    """Augments by the generators of Python, NumPy and torch, its own or everybody's."""

    def __init__(self, own):
        self.data = tiny.dataset()
        self.python = random.Random(1) if own else random
        self.numpy = np.random.default_rng(2) if own else np.random
        self.torch = torch.Generator().manual_seed(3) if own else None

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        x, y = self.data[index]
        drawn = self.python.gauss(0, 1) + self.numpy.normal()
        return x + 0.1 * drawn + 0.1 * torch.randn(8, generator=self.torch), y


def measuring():
    return [
        RandomState(),
        Diagnosis(),
        OverfittingMonitor("val_loss", probe=0.4, units="*"),
        RunRecord("record", page=False, summary=False),
        ProgressMetrics(),
    ]


def final(callbacks, own, workers, sampler, **options):
    """Train with batch norm, shuffling and augmentation; return weights and the next draws."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    data = Noisy(own)
    order = {
        "shuffle": {"shuffle": True},
        "own": {"shuffle": True, "generator": torch.Generator().manual_seed(5)},
        "sampler": {"sampler": RandomSampler(data, replacement=True, num_samples=32)},
    }[sampler]
    net = tiny.mlp().insert(1, nn.BatchNorm1d(16))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ThinnedWarning)  # the augmentation is told
        trainer = tiny.fit(
            callbacks,
            module=tiny.TinyModule(net),
            train=DataLoader(data, batch_size=8, num_workers=workers, **order),
            **{"max_epochs": 2, **options},
        )
    drawn = random.random(), np.random.random(), torch.rand(()).item()
    return tiny.weights(trainer.lightning_module), drawn


WAYS = {
    "plain": {},
    "validation inside, accumulation": {"val_check_interval": 2, "accumulate_grad_batches": 3},
    "no sanity check, every other epoch": {
        "num_sanity_val_steps": 0,
        "check_val_every_n_epoch": 2,
        "max_epochs": 3,
    },
}


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("sampler", ["shuffle", "own", "sampler"])
@pytest.mark.parametrize("own", [False, True], ids=["global generators", "its own"])
def test_measuring_changes_nothing(own, sampler, options):
    without, drawn = final([], own, 0, sampler, **options)
    measured, after = final(measuring(), own, 0, sampler, **options)
    assert tiny.same_weights(without, measured)
    assert drawn == after


@pytest.mark.multiprocess
@pytest.mark.parametrize("options", list(WAYS.values())[:2], ids=list(WAYS)[:2])
@pytest.mark.parametrize("own", [False, True], ids=["global generators", "its own"])
def test_nor_with_worker_processes(own, options):
    without, drawn = final([], own, 2, "shuffle", **options)
    measured, after = final(measuring(), own, 2, "shuffle", **options)
    assert tiny.same_weights(without, measured)
    assert drawn == after


def test_one_draw_more_would_be_noticed():
    class Draws(ProgressMetrics):
        def on_validation_end(self, trainer, pl_module):
            np.random.random()

    assert not tiny.same_weights(
        final([], False, 0, "shuffle")[0], final([Draws()], False, 0, "shuffle")[0]
    )
