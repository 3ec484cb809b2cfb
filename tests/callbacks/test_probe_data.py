"""The probe is drawn from what training draws from, and no validation sample is in it."""

import math
import random
from collections import UserDict
from dataclasses import dataclass

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from helpers import probing
from thinned import ThinnedWarning
from thinned.callbacks import OverfittingMonitor
from thinned.callbacks._probe.data import Recorder, _equal, augments, choose, pool
from thinned.callbacks._probe.mark import mark_of

PL = probing.lightning()
Plain = probing.module_class(PL)


class Halves(Sampler):
    """A sampler of somebody's own, with a generator of its own; draws the even indices."""

    def __init__(self, dataset):
        self.dataset, self.random = dataset, random.Random(0)

    def __iter__(self):
        indices = list(range(0, len(self.dataset), 2))
        self.random.shuffle(indices)
        return iter(indices)

    def __len__(self):
        return len(self.dataset) // 2


class Batches:
    """A batch sampler of somebody's own: batches of unequal size, of the last 20 samples."""

    def __iter__(self):
        yield from ([60, 61, 62], list(range(63, 80)))

    def __len__(self):
        return 2


def loaders():
    data = probing.data()
    part = SubsetRandomSampler(range(10, 50))
    weights = torch.tensor([0.0] * 60 + [1.0] * 20)
    return {
        "in order": (DataLoader(data, 16), range(80)),
        "shuffled": (DataLoader(data, 16, shuffle=True), range(80)),
        "a part of a shared data set": (DataLoader(data, 16, sampler=part), range(10, 50)),
        "a subset": (DataLoader(Subset(data, range(30)), 16), range(30)),
        "zero weights": (
            DataLoader(data, 16, sampler=WeightedRandomSampler(weights, 80)),
            range(60, 80),
        ),
        "a batch sampler": (
            DataLoader(data, batch_sampler=BatchSampler(part, 16, drop_last=False)),
            range(10, 50),
        ),
        "a batch sampler in order": (
            DataLoader(data, batch_sampler=BatchSampler(SequentialSampler(data), 7, True)),
            range(80),
        ),
        "an own sampler": (DataLoader(data, 16, sampler=Halves(data)), range(0, 80, 2)),
        "an own batch sampler": (DataLoader(data, batch_sampler=Batches()), range(60, 80)),
        "with replacement": (
            DataLoader(data, 16, sampler=RandomSampler(data, replacement=True, num_samples=8)),
            range(80),
        ),
    }


@pytest.mark.parametrize("name", loaders())
def test_pool_is_what_the_sampler_draws(name):
    loader, expected = loaders()[name]
    found, _ = pool(loader, float(len(loader)), seed=0)
    assert sorted(found) == list(expected)


def test_pool_of_a_limited_epoch_in_order_is_what_is_seen():
    loader = DataLoader(probing.data(), 16)
    assert pool(loader, 2.0, seed=0)[0] == list(range(32))


def test_trying_a_sampler_does_not_move_it():
    sampler = Halves(probing.data())
    loader = DataLoader(sampler.dataset, 16, sampler=sampler)
    before = sampler.random.getstate()
    pool(loader, 3.0, seed=0)
    assert sampler.random.getstate() == before


def test_a_sampler_that_cannot_be_copied_asks_for_a_loader():
    class Stuck(Halves):
        def __init__(self, dataset):
            super().__init__(dataset)
            self.random = (i for i in range(3))

    data = probing.data()
    with pytest.raises(TypeError, match=r"Cannot copy the training sampler .*probe=DataLoader"):
        pool(DataLoader(data, 16, sampler=Stuck(data)), 3.0, seed=0)


@pytest.mark.parametrize(
    ("wanted", "world", "sizes"),
    [
        *((0.1, 1, [10]), (7, 1, [7]), (1000, 1, [100]), (0.001, 1, [1])),
        *((0.101, 2, [5, 5]), (1, 2, [1, 1]), (1, 4, [1, 1, 1, 1]), (99, 4, [24] * 4)),
    ],
)
def test_shares_are_equal_and_disjoint(wanted, world, sizes):
    shares = [choose(range(1000, 1100), wanted, 0, world)[rank::world] for rank in range(world)]
    assert [len(share) for share in shares] == sizes
    together = [i for share in shares for i in share]
    assert len(set(together)) == len(together)
    assert set(together) <= set(range(1000, 1100))


def test_fewer_samples_than_processes():
    with pytest.raises(
        ValueError, match="at least 4 training samples, one for each process, got 3"
    ):
        choose(range(3), 1.0, 0, 4)


def test_choice_is_fixed_by_its_seed():
    assert choose(range(100), 9, 0) == choose(range(100), 9, 0)
    assert choose(range(100), 9, 0) != choose(range(100), 9, 1)


@pytest.mark.parametrize("name", loaders())
def test_every_loader_trains_with_the_monitor(name):
    loader, _ = loaders()[name]
    monitor = OverfittingMonitor("val_loss", probe=5)
    model = probing.build(Plain)
    trainer = probing.fit(PL, model, [monitor], loaders=loader)
    subset = Subset(loader.dataset, monitor._probe._indices)
    [truth] = trainer.validate(model, DataLoader(subset, batch_size=16), verbose=False)
    assert len(subset) == 5
    assert monitor.history[-1]["overfit/probe/val_loss"] == truth["val_loss"]


class Stream(IterableDataset):
    def __init__(self):
        self.data = probing.data()

    def __iter__(self):
        return iter([self.data[i] for i in range(80)])


def batches_by_hand(data):
    """A data set whose items are batches: no index of samples either."""
    x, y = data[:]
    return DataLoader(
        [(x[i : i + 16], y[i : i + 16]) for i in range(0, 80, 16)], batch_size=None, shuffle=False
    )


@pytest.mark.parametrize("kind", ["iterable", "batches"])
def test_loaders_without_an_index_keep_their_first_batches(kind):
    def loader():
        return DataLoader(Stream(), 16) if kind == "iterable" else batches_by_hand(probing.data())

    monitor = OverfittingMonitor("val_loss", probe=32)
    model = probing.build(Plain)
    trainer = probing.fit(PL, model, [monitor], loaders=loader())
    seen = DataLoader(Subset(probing.data(), range(32)), 16)
    [truth] = trainer.validate(model, seen, verbose=False)
    assert monitor.history[-1]["overfit/probe/val_loss"] == truth["val_loss"]
    other = probing.build(Plain)
    probing.fit(PL, other, [], loaders=loader())
    assert probing.same(probing.weights(model), probing.weights(other))


def test_a_loader_of_the_users_own():
    clean = DataLoader(probing.data(30, seed=5), 10, shuffle=True)
    monitor = OverfittingMonitor("val_loss", probe=clean)
    model = probing.build(Plain)
    trainer = probing.fit(PL, model, [monitor])
    other = probing.build(Plain)
    probing.fit(PL, other, [])
    assert probing.same(probing.weights(model), probing.weights(other))
    [truth] = trainer.validate(model, DataLoader(clean.dataset, 30), verbose=False)
    assert monitor.history[-1]["overfit/probe/val_loss"] == pytest.approx(truth["val_loss"])


class TakesDict(Plain):
    """Trains on two loaders at once, of which only the labelled one can be validated on."""

    def training_step(self, batch, batch_idx):
        return self.loss(batch["labelled"])


def test_of_several_loaders_the_one_that_fits_is_probed():
    loader = probing.train_loader()
    unlabelled = DataLoader(TensorDataset(torch.randn(80, 6)), 16)
    monitor = OverfittingMonitor("val_loss", probe=1.0)
    model = probing.build(TakesDict)
    loaders = {"unlabelled": unlabelled, "labelled": loader}
    trainer = probing.fit(PL, model, [monitor], loaders=loaders)
    [truth] = trainer.validate(model, DataLoader(loader.dataset, 16), verbose=False)
    assert monitor.history[-1]["overfit/probe/val_loss"] == truth["val_loss"]


def test_several_loaders_that_fit_are_refused_before_training():
    loaders = {"labelled": probing.train_loader(), "more": probing.train_loader()}
    model = probing.build(TakesDict)
    with pytest.raises(ValueError, match=r"got 2, of which validation_step can read 2. Pass a loa"):
        probing.fit(PL, model, [OverfittingMonitor()], loaders=loaders)


def test_a_batch_that_validation_cannot_read_stops_before_training():
    class Odd(Plain):
        def training_step(self, batch, batch_idx):
            return self.loss((batch[0][0], batch[0][1]))

    class Wrapped(torch.utils.data.Dataset):
        def __len__(self):
            return 80

        def __getitem__(self, index):
            return (probing.data()[index],)

    model = probing.build(Odd)
    before = probing.weights(model)
    with pytest.raises(RuntimeError, match=r"validation_step cannot read .*probe=DataLoader"):
        probing.fit(PL, model, [OverfittingMonitor()], loaders=DataLoader(Wrapped(), 16))
    with pytest.raises(RuntimeError, match=r"cannot read a batch of your probe's loader: "):
        probing.fit(PL, model, [OverfittingMonitor(probe=DataLoader(Wrapped(), 16))])
    assert probing.same(before, probing.weights(model))


class Augmented(torch.utils.data.Dataset):
    def __init__(self, noise):
        self.noise, self.own = noise, torch.Generator().manual_seed(0)

    def __len__(self):
        return 80

    def __getitem__(self, index):
        x, y = probing.data()[index]
        generator = self.own if self.noise == "own" else None
        return {"x": (x + (self.noise != "") * torch.randn(6, generator=generator)), "y": y}


@pytest.mark.parametrize(("noise", "found"), [("", False), ("own", True), ("global", True)])
def test_augmentation_is_seen(noise, found):
    loader = DataLoader(Augmented(noise), 16)
    state = torch.get_rng_state(), loader.dataset.own.get_state()
    assert augments(loader, list(range(80)), 0) is found
    assert torch.equal(torch.get_rng_state(), state[0])
    assert torch.equal(loader.dataset.own.get_state(), state[1])


def test_augmentation_in_the_collation_is_seen():
    def mix(samples):
        return torch.stack([s[0] for s in samples]) * torch.rand(1)

    assert augments(DataLoader(probing.data(), 16, collate_fn=mix), [0, 1], 0)


def test_augmentation_is_warned_of_with_the_fix():
    class Takes(Plain):
        def loss(self, batch):
            return super().loss((batch["x"], batch["y"]) if isinstance(batch, dict) else batch)

    model = probing.build(Takes)
    with pytest.warns(UserWarning, match="the gap is understated. Pass a loader of your own"):
        probing.fit(PL, model, [OverfittingMonitor()], loaders=DataLoader(Augmented("own"), 16))


def several(pl, **options):
    class Several(probing.module_class(pl)):
        def validation_step(self, batch, batch_idx, dataloader_idx):
            self.log("val_loss", self.loss(batch), **options)

    return Several


@pytest.mark.parametrize("namespace", probing.NAMESPACES)
def test_several_validation_loaders(namespace):
    pl = probing.lightning(namespace)
    dataset = probing.data()
    monitor = OverfittingMonitor(probe=1.0, shifted={"fog": 1})
    model = probing.build(several(pl))
    clean, fog = DataLoader(dataset, 16), DataLoader(probing.data(30, seed=9), 16)
    loader = probing.train_loader(dataset)
    probing.fit(pl, model, [monitor], loaders=loader, val=[clean, fog])
    row = monitor.history[-1]
    assert monitor.monitor == "val_loss/dataloader_idx_0"
    assert row["overfit/gap/val_loss/dataloader_idx_0"] == 0.0
    own = row["val_loss/dataloader_idx_1"] - row["val_loss/dataloader_idx_0"]
    assert row["overfit/gap/val_loss/dataloader_idx_1"] == own
    assert row["overfit/robustness/fog/val_loss"] == own


def test_own_names_for_several_loaders_pair_where_they_can():
    class Named(Plain):
        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            self.log(f"loss_{dataloader_idx}", self.loss(batch), add_dataloader_idx=False)

    monitor = OverfittingMonitor("loss_0")
    loaders = [probing.val_loader(), probing.val_loader()]
    probing.fit(PL, probing.build(Named), [monitor], val=loaders)
    keys = [k for k in monitor.history[-1] if k.startswith("overfit/gap/")]
    assert keys == ["overfit/gap/loss_0"]


def test_a_key_that_a_callback_logs_is_measured_where_the_callback_is_kept():
    class Logs(PL.Callback):
        def on_validation_batch_end(self, trainer, module, outputs, batch, *_):
            module.log("its_loss", module.loss(batch))

    with pytest.warns(ThinnedWarning, match=r"in validation_step; or .*keep=\[callback\]"):
        probing.fit(PL, probing.build(Plain), [Logs(), OverfittingMonitor("its_loss")])
    logs = Logs()
    monitor = OverfittingMonitor("its_loss", keep=[logs])
    probing.fit(PL, probing.build(Plain), [logs, monitor])
    row = monitor.history[-1]
    assert row["overfit/gap/its_loss"] == row["overfit/gap/val_loss"]


def test_a_watched_key_that_the_probe_cannot_measure_is_told():
    class Named(Plain):
        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            self.log(f"loss_{dataloader_idx}", self.loss(batch), add_dataloader_idx=False)

    loaders = [probing.val_loader(), probing.val_loader()]
    with pytest.warns(
        ThinnedWarning, match="does not log 'loss_1', so there is no verdict"
    ) as all_:
        probing.fit(PL, probing.build(Named), [OverfittingMonitor("loss_1")], val=loaders)
    assert sum("no verdict" in str(each.message) for each in all_) == 1


@dataclass
class Pair:
    x: torch.Tensor
    y: torch.Tensor


def test_a_batch_that_is_a_dataclass_counts_its_samples_and_is_copied():
    recorder, batch = Recorder(6), Pair(torch.ones(4, 2), torch.zeros(4))
    for _ in range(3):
        recorder.record(batch)
    batch.x.mul_(0)
    kept = list(recorder.freeze())
    assert [len(each.x) for each in kept] == [4, 4]
    assert all(each.x.min() == 1.0 for each in kept)
    assert mark_of(kept) != mark_of([batch, batch])


def test_augmentation_is_seen_in_batches_that_are_dataclasses():
    def collated(samples):
        return Pair(*map(torch.stack, zip(*samples, strict=True)))

    class Noisy(TensorDataset):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return x + torch.randn(()), y

    plain = TensorDataset(torch.ones(4, 2), torch.zeros(4))
    for dataset, moves in ((plain, False), (Noisy(*plain.tensors), True)):
        loader = DataLoader(dataset, collate_fn=collated)
        assert augments(loader, range(4), 0) == moves


def test_a_mapping_that_is_no_dict_is_kept_as_one():
    recorder, batch = Recorder(4), UserDict(x=torch.ones(4, 2), y=torch.zeros(4))
    recorder.record(batch)
    recorder.record(batch)
    batch["x"].mul_(0)
    (kept,) = recorder.freeze()
    assert isinstance(kept, UserDict)
    assert kept["x"].sum() == 8


class Opaque:
    """Equal to nothing but itself."""


@pytest.mark.parametrize("sample", [lambda: torch.tensor([1.0, math.nan]), Opaque])
def test_no_number_and_no_comparison_are_no_augmentation(sample):
    assert _equal(sample(), sample())
