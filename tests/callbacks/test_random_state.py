"""A run resumed with its generators ends bitwise where the uninterrupted one does."""

import random
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from helpers import tiny
from thinned import ThinnedWarning
from thinned.callbacks import (
    DropoutScheduler,
    LayerInsert,
    LayerSwap,
    OverfittingMonitor,
    RandomState,
)
from thinned.callbacks._generators.states import capture, restore
from thinned.schedules import Linear

# torchdata 0.11 calls what torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")


class Noisy(torch.utils.data.Dataset):
    """Adds noise from all three generators to each sample."""

    def __init__(self, size=32):
        self.data = tiny.dataset(size)

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        x, y = self.data[index]
        noise = random.random() + np.random.rand() + torch.rand(())
        return x + 0.01 * noise, y


class Draws(tiny.TinyModule):
    """Draws in hooks of its own as well."""

    def on_train_epoch_start(self):
        self.log("draw", torch.rand(()))

    def on_validation_epoch_end(self):
        random.random()


def everything():
    return [
        RandomState(),
        LayerSwap({"Linear": "dropconnect"}, include="net.0", rate=0.1),
        LayerInsert("dropout", 0.1, after="ReLU"),
        DropoutScheduler(Linear(0.0, 0.4), include="net.0", kinds="all"),
        DropoutScheduler(Linear(0.4, 0.1), exclude="net.0"),
    ]


def train(folder, loader=DataLoader, callbacks=None, ckpt_path=None, workers=0, **options):
    torch.manual_seed(1 if ckpt_path else 0)  # a resumed process begins with another seed
    random.seed(5)
    saver = tiny.saver(folder, filename="{epoch}-{step}", **options.pop("save", {}))
    model = Draws()
    data = loader(Noisy(), batch_size=8, shuffle=True, num_workers=workers)
    tiny.fit(
        [*(everything() if callbacks is None else callbacks), saver],
        module=model,
        train=data,
        ckpt_path=ckpt_path,
        **{"max_epochs": 3, **options},
    )
    return tiny.weights(model)


CASES = {
    "epoch end": {},
    "after validation": {"save": {"save_on_train_epoch_end": False}},
    "best": {"save": {"monitor": "val_loss", "save_on_train_epoch_end": False}},
    "max_steps": {"max_steps": 12, "max_epochs": None},
    "max_steps and validation": {
        "max_steps": 12,
        "max_epochs": None,
        "save": {"save_on_train_epoch_end": False},
    },
    "accumulation": {"accumulate_grad_batches": 3},
    "every second epoch": {"check_val_every_n_epoch": 2, "max_epochs": 5},
    "no validation": {"limit_val_batches": 0},
}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_from_an_epochs_end(tmp_path, options):
    whole = train(tmp_path, **options)
    saved = sorted(tmp_path.glob("epoch=*.ckpt"))
    assert len(saved) >= 2
    for path in saved[:2]:
        again = train(tmp_path, ckpt_path=path, **options)
        assert tiny.same_weights(whole, again), path


MIDDLE = {
    "steps": {"save": {"every_n_train_steps": 3}},
    "max_steps": {"max_steps": 11, "max_epochs": None, "save": {"every_n_train_steps": 3}},
    "validation inside": {"val_check_interval": 2, "save": {"save_on_train_epoch_end": False}},
    "accumulation": {"accumulate_grad_batches": 2, "save": {"every_n_train_steps": 1}},
}


def batches_of(path, options):
    steps = int(path.stem.split("=")[-1])
    return steps * options.get("accumulate_grad_batches", 1)


@pytest.mark.parametrize("options", MIDDLE.values(), ids=MIDDLE)
def test_from_inside_an_epoch_with_a_loader_that_keeps_its_place(tmp_path, options):
    whole = train(tmp_path, StatefulDataLoader, **options)
    saved = sorted(tmp_path.glob("epoch=*.ckpt"))
    assert len(saved) >= 3
    inner = [path for path in saved if batches_of(path, options) % 4]
    assert len(inner) >= 2
    for path in inner:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*StatefulDataLoader.*state_dict", UserWarning)
            again = train(tmp_path, StatefulDataLoader, ckpt_path=path, **options)
        assert tiny.same_weights(whole, again), path


def test_with_workers(tmp_path):
    whole = train(tmp_path, workers=2)
    again = train(tmp_path, ckpt_path=tmp_path / "epoch=0-step=4.ckpt", workers=2)
    assert tiny.same_weights(whole, again)


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
def test_from_inside_an_epoch_with_an_ordinary_loader_it_says_so(tmp_path):
    save = {"every_n_train_steps": 3}
    whole = train(tmp_path, save=dict(save))
    with pytest.warns(
        ThinnedWarning, match=r"after 3 batches of an epoch with a loader that cannot"
    ):
        again = train(tmp_path, save=dict(save), ckpt_path=tmp_path / "epoch=0-step=3.ckpt")
    assert not tiny.same_weights(whole, again)


def test_from_the_last_batch_of_an_epoch_it_says_so(tmp_path):
    save = {"every_n_train_steps": 4}
    whole = train(tmp_path, save=dict(save))
    with pytest.warns(ThinnedWarning, match=r"that the last batch of an epoch wrote: Lightning sk"):
        again = train(tmp_path, save=dict(save), ckpt_path=tmp_path / "epoch=0-step=4.ckpt")
    assert not tiny.same_weights(whole, again)


def test_without_the_callback_a_resumed_run_ends_elsewhere(tmp_path):
    # The control: were this equal, the tests above would show nothing.
    callbacks = [DropoutScheduler(Linear(0.0, 0.4))]
    whole = train(tmp_path, callbacks=callbacks)
    path = tmp_path / "epoch=0-step=4.ckpt"
    assert not tiny.same_weights(whole, train(tmp_path, callbacks=callbacks, ckpt_path=path))


def test_the_state_is_plain(tmp_path):
    train(tmp_path, max_epochs=1)
    saved = torch.load(tmp_path / "epoch=0-step=4.ckpt", weights_only=True)
    state = saved["callbacks"]["RandomState"]
    assert state["version"] == 1
    assert len(state["ranks"]) == 1
    assert isinstance(state["ranks"][0]["torch"], list)
    assert isinstance(state["ranks"][0]["numpy"][1][0], int)


def test_capture_and_restore_all_generators():
    owned = torch.Generator().manual_seed(3)
    loader = DataLoader(tiny.dataset(), batch_size=4, shuffle=True, generator=owned)
    state = capture({"train.0": loader})

    def draw():
        first = random.random(), random.gauss(0, 1), float(np.random.randn()), torch.rand(()).item()
        return *first, torch.rand((), generator=owned).item(), next(iter(loader))[1].tolist()

    before = draw()
    restore(state, {"train.0": loader})
    assert draw() == before
    assert draw() != before


class Owner(torch.utils.data.Dataset):
    """Adds noise from generators of its own, of its transforms, and of a set that it wraps."""

    def __init__(self, inner=None):
        self.data = inner if inner is not None else tiny.dataset()
        self.python, self.torch = random.Random(1), torch.Generator().manual_seed(2)
        kinds = (np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64)
        self.transforms = [{"rng": np.random.Generator(kind(3))} for kind in kinds]
        self.old = np.random.RandomState(4)

    def __len__(self):
        return len(self.data)

    def noise(self):
        drawn = self.python.gauss(0, 1) + self.old.normal() + torch.rand((), generator=self.torch)
        return drawn + sum(each["rng"].normal() for each in self.transforms)

    def __getitem__(self, index):
        x, y = self.data[index]
        return x + 0.05 * self.noise(), y


def owners(folder, ckpt_path=None, **options):
    torch.manual_seed(1 if ckpt_path else 0)
    train = DataLoader(Owner(Owner()), batch_size=8, shuffle=True, **options)
    saver = tiny.saver(folder, filename="{epoch}")
    callbacks = [RandomState(), saver]
    fitted = tiny.fit(callbacks, train=train, ckpt_path=ckpt_path, max_epochs=3)
    return tiny.weights(fitted.lightning_module)


@pytest.mark.parametrize("workers", [0, 2])
def test_generators_that_data_sets_own_are_kept(tmp_path, workers):
    whole = owners(tmp_path, num_workers=workers)
    torch.load(tmp_path / "epoch=0.ckpt", weights_only=True)
    for path in (tmp_path / "epoch=0.ckpt", tmp_path / "epoch=1.ckpt"):
        assert tiny.same_weights(whole, owners(tmp_path, path, num_workers=workers))


def test_generators_in_workers_that_live_on_are_told(tmp_path):
    options = {"num_workers": 1, "persistent_workers": True}
    owners(tmp_path, **options)
    with pytest.warns(ThinnedWarning, match=r"processes of train.0 live on from epoch to epoch"):
        owners(tmp_path, tmp_path / "epoch=0.ckpt", **options)


def test_other_generators_than_in_the_checkpoint_are_told():
    state = capture({"train.0": DataLoader(Owner())})
    with pytest.warns(ThinnedWarning, match=r"data set of the loader train.0 keeps other random"):
        restore(state, {"train.0": DataLoader(tiny.dataset())})


@pytest.mark.filterwarnings("ignore:The training set gives the same sample differently")
def test_what_asks_the_machine_has_no_state_to_keep(tmp_path):
    class Asks(Owner):
        def __init__(self):
            super().__init__()
            self.machine = random.SystemRandom()

    module = tiny.TinyModule()
    module.machine = random.SystemRandom()
    callbacks = [RandomState(), OverfittingMonitor("val_loss"), tiny.saver(tmp_path)]
    done = tiny.fit(callbacks, module=module, train=DataLoader(Asks(), batch_size=8))
    assert "overfit/gap/val_loss" in done.callback_metrics


@pytest.mark.parametrize("version", [0, 2, None])
def test_a_state_of_another_version_is_refused(version):
    with pytest.raises(ValueError, match=r"state of RandomState in version 1, got version"):
        RandomState().load_state_dict({"version": version, "ranks": []})


def test_a_checkpoint_of_another_number_of_ranks_says_so(tmp_path):
    train(tmp_path, max_epochs=2)
    path = tmp_path / "epoch=0-step=4.ckpt"
    saved = torch.load(path, weights_only=True)
    saved["callbacks"]["RandomState"]["ranks"] *= 2
    torch.save(saved, path)
    with pytest.warns(
        ThinnedWarning, match=r"of 2 of 2 ranks, and there are 1 now: rank 0 goes on"
    ):
        train(tmp_path, max_epochs=2, ckpt_path=path)
