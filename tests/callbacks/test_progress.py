"""Progress is right at every batch, whatever limits a training and however it steps."""

import math

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import tiny
from thinned.callbacks._lightning.clock import Clock
from thinned.callbacks._lightning.plan import Counters, fraction, planned_batches, planned_epochs
from thinned.callbacks._lightning.trainer import callbacks_of, lightning_class, namespace, progress


class Watch(pl.Callback):
    """Notes the progress at the start of each batch, in several units."""

    def __init__(self, **options):
        self.options = options
        self.seen = []
        self.units = {"epoch": [], 3: []}
        self.clock, self.ticks = Clock(options.get("total_steps"), "step"), []

    def on_train_batch_start(self, trainer, *_):
        self.seen.append(progress(trainer, **self.options))
        self.ticks.append(self.clock(trainer))
        for unit, seen in self.units.items():
            seen.append(progress(trainer, every=unit, **self.options).fraction)


class Skips(tiny.TinyModule):
    """Leaves each epoch after two batches."""

    def on_train_batch_start(self, batch, batch_idx):
        return -1 if batch_idx == 2 else None


class Lengths(torch.utils.data.IterableDataset):
    """A stream, with no length."""

    def __iter__(self):
        return iter(tiny.dataset(32))


# Each row: what the Trainer is given, and how many batches of 4 an epoch it then really does.
LIMITS = {
    "epochs": ({"max_epochs": 3}, 12),
    "one batch": ({"max_epochs": 1, "limit_train_batches": 1}, 1),
    "steps": ({"max_steps": 10, "max_epochs": -1}, 10),
    "steps before epochs": ({"max_steps": 7, "max_epochs": 3}, 7),
    "epochs before steps": ({"max_steps": 70, "max_epochs": 3}, 12),
    "accumulation": ({"max_epochs": 3, "accumulate_grad_batches": 3}, 12),
    "accumulation and steps": ({"max_steps": 5, "accumulate_grad_batches": 3}, 11),
    "accumulation divides": ({"max_steps": 4, "accumulate_grad_batches": 2}, 8),
    "changing accumulation": ({"max_epochs": 5, "scheduling": {0: 1, 1: 3, 3: 2}}, 20),
    # Steps an epoch: 4, 2, 2, 2, 2, 2, ...; so the 11th ends the second batch of epoch 4.
    "changing accumulation, steps": ({"max_steps": 11, "scheduling": {0: 1, 1: 3, 3: 2}}, 18),
    "changing accumulation, many": ({"max_steps": 16, "scheduling": {0: 1, 1: 3, 3: 2}}, 28),
    "limit_train_batches": ({"max_epochs": 3, "limit_train_batches": 0.5}, 6),
    "fast_dev_run": ({"fast_dev_run": True}, 1),
    "overfit_batches": ({"max_epochs": 2, "overfit_batches": 2}, 4),
    "validation inside": ({"max_epochs": 2, "val_check_interval": 0.5}, 8),
}


def run(options, module=None, train=None, **watch_options):
    options = dict(options)
    watch = Watch(**watch_options)
    callbacks = [watch]
    if "scheduling" in options:
        callbacks.append(pl.callbacks.GradientAccumulationScheduler(options.pop("scheduling")))
    tiny.fit(callbacks, module=module, train=train, **options)
    assert "max_time" in options or watch.ticks == watch.seen  # the cheaper way says the same
    return watch


@pytest.mark.parametrize(("options", "batches"), LIMITS.values(), ids=LIMITS)
def test_every_batch_of_a_training(options, batches):
    watch = run(options)
    assert [p.batches_done for p in watch.seen] == list(range(batches))
    assert {p.batches_planned for p in watch.seen} == {batches}
    expected = [k / (batches - 1) for k in range(batches)] if batches > 1 else [1.0]
    assert [p.fraction for p in watch.seen] == expected
    assert watch.seen[-1].fraction == 1.0


def test_epochs_and_blocks_have_both_ends():
    watch = run({"max_epochs": 3})
    assert watch.units["epoch"] == [0.0] * 4 + [0.5] * 4 + [1.0] * 4
    assert watch.units[3] == [0.0] * 3 + [1 / 3] * 3 + [2 / 3] * 3 + [1.0] * 3


def test_epochs_under_max_steps():
    watch = run({"max_steps": 9, "max_epochs": -1})
    assert watch.units["epoch"] == [0.0] * 4 + [0.5] * 4 + [1.0]


@pytest.mark.parametrize(
    ("options", "batches"),
    [({"max_epochs": 3}, 12), ({"max_steps": 18, "max_epochs": -1}, 9), ({"max_steps": 17}, 9)],
    ids=str,
)
def test_two_optimizers_by_hand(options, batches):
    watch = run(options, module=tiny.TwoOptimizers())
    assert [p.batches_done for p in watch.seen] == list(range(batches))
    assert [p.fraction for p in watch.seen] == [k / (batches - 1) for k in range(batches)]


def test_a_module_that_leaves_its_epochs_early():
    # What is to come is planned in full, since nobody knows that it will be left.
    watch = run({"max_epochs": 3}, module=Skips())
    assert [p.batches_done for p in watch.seen] == [0, 1, 2, 2, 3, 4, 4, 5, 6]
    assert [p.batches_planned for p in watch.seen] == [12] * 3 + [10] * 3 + [8] * 3


def test_a_loader_that_changes_its_length():
    class Growing(tiny.TinyModule):
        def train_dataloader(self):
            return tiny.loader(16 if self.current_epoch == 0 else 32)

    watch = Watch()
    trainer = tiny.trainer(
        callbacks=[watch], max_epochs=3, reload_dataloaders_every_n_epochs=1, limit_val_batches=0
    )
    trainer.fit(Growing())
    assert [p.batches_planned for p in watch.seen] == [6] * 2 + [10] * 8
    assert watch.ticks == watch.seen
    assert [p.batches_done for p in watch.seen] == list(range(10))
    assert watch.seen[-1].fraction == 1.0


def test_a_stream_has_no_length_unless_steps_limit_it():
    stream = torch.utils.data.DataLoader(Lengths(), batch_size=8)
    watch = run({"max_epochs": 2}, train=stream)
    assert {(p.batches_planned, p.fraction) for p in watch.seen} == {(None, None)}
    assert watch.units["epoch"] == [0.0] * 4 + [1.0] * 4
    watch = run({"max_steps": 4, "max_epochs": -1}, train=stream)
    assert [p.fraction for p in watch.seen] == [0, 1 / 3, 2 / 3, 1]


def test_total_steps_overrules_the_limits_and_past_it_progress_stays():
    watch = run({"max_epochs": 2}, total_steps=5)
    assert [p.fraction for p in watch.seen] == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    assert watch.units["epoch"] == [0.0] * 4 + [1.0] * 4


def test_time_counts_where_it_is_ahead():
    watch = run({"max_epochs": 2, "max_time": {"hours": 1}})
    assert [p.fraction for p in watch.seen] == pytest.approx([k / 7 for k in range(8)], abs=1e-3)
    watch = run({"max_epochs": 1000, "max_steps": 3, "max_time": {"seconds": 0.2}})
    shares = [p.fraction for p in watch.seen]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 1


def test_fitting_further_goes_on_from_where_it_was():
    watch = Watch()
    trainer = tiny.fit([watch], max_epochs=2)
    trainer.fit_loop.max_epochs = 3
    trainer.fit(trainer.lightning_module, tiny.loader(), tiny.loader(16, seed=1))
    assert [p.batches_done for p in watch.seen] == list(range(12))
    assert [p.batches_planned for p in watch.seen] == [8] * 8 + [12] * 4


@pytest.mark.parametrize("name", tiny.NAMESPACES)
def test_classes_come_from_the_trainers_own_package(name):
    module = __import__(f"{name}.callbacks", fromlist=["EarlyStopping"])
    stopping = module.EarlyStopping("val_loss")
    trainer = tiny.trainer(name, callbacks=[stopping])
    assert namespace(trainer) == name
    assert lightning_class(trainer, "EarlyStopping") is module.EarlyStopping
    assert callbacks_of(trainer, "EarlyStopping") == [stopping]
    assert callbacks_of(trainer, "Timer") == []


def test_a_trainer_of_one_namespace_is_none_of_the_other():
    one, other = (lightning_class(tiny.trainer(n), "EarlyStopping") for n in tiny.NAMESPACES)
    assert not issubclass(one, other)
    assert not issubclass(other, one)


def test_something_that_is_no_trainer():
    with pytest.raises(TypeError, match=r"Expected a Trainer of lightning\.pytorch or"):
        namespace(object())


def test_a_name_that_is_no_class():
    with pytest.raises(TypeError, match="class in callbacks, got 'early_stopping'"):
        lightning_class(tiny.trainer(), "early_stopping")


@pytest.mark.parametrize(
    ("limits", "save", "name"),
    [
        ({"max_epochs": 3}, {}, "epoch=0-step=4"),
        ({"max_steps": 12}, {}, "epoch=0-step=4"),
        ({"max_steps": 12}, {}, "epoch=1-step=8"),
        ({"max_epochs": 3}, {"every_n_train_steps": 1}, "epoch=0-step=3"),
        ({"max_epochs": 3}, {"every_n_train_steps": 1}, "epoch=0-step=4"),
        ({"max_epochs": 3}, {"every_n_train_steps": 1}, "epoch=2-step=9"),
        ({"max_steps": 12}, {"every_n_train_steps": 1}, "epoch=1-step=7"),
        ({"max_steps": 12}, {"every_n_train_steps": 1}, "epoch=1-step=8"),
        ({"max_epochs": 3}, {"save_on_train_epoch_end": False}, "epoch=0-step=4"),
        ({"max_steps": 12}, {"save_on_train_epoch_end": False}, "epoch=1-step=8"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
def test_resumed_progress_is_that_of_the_uninterrupted_run(tmp_path, limits, save, name):
    whole, again = Watch(), Watch()
    tiny.fit([whole, tiny.saver(tmp_path, filename="{epoch}-{step}", **save)], **limits)
    saver = tiny.saver(tmp_path, filename="{epoch}-{step}", **save)
    tiny.fit([again, saver], ckpt_path=tmp_path / f"{name}.ckpt", **limits)
    done = int(name.split("=")[-1])
    assert again.seen == whole.seen[done:]
    assert again.ticks == again.seen
    assert again.units["epoch"] == whole.units["epoch"][done:]


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
def test_resumed_inside_an_epoch_lightning_accumulates_otherwise_until_its_end(tmp_path):
    def train(watch, **options):
        scheduling = pl.callbacks.GradientAccumulationScheduler({0: 1, 1: 3})
        saver = tiny.saver(tmp_path, filename="{step}", every_n_train_steps=1)
        tiny.fit([watch, scheduling, saver], train=tiny.loader(64), max_steps=13, **options)
        return [p.batches_planned for p in watch.seen]

    assert train(Watch()) == [22] * 22
    resumed = Watch()
    # After 11 batches and 9 steps: each batch is a step now, until the next epoch.
    assert train(resumed, ckpt_path=tmp_path / "step=9.ckpt") == [15] * 4
    assert [p.fraction for p in resumed.seen] == [11 / 14, 12 / 14, 13 / 14, 1.0]


def simulate(length, max_epochs, max_steps, accumulation):
    """Walk through a training as Lightning does: independent of the arithmetic under test."""
    rows, done, steps, epoch = [], 0, 0, 0
    while epoch < max_epochs and steps < max_steps:
        for batch in range(1, length + 1):
            rows.append((done, batch - 1, epoch, steps))
            done += 1
            if batch % accumulation(epoch) == 0 or batch == length:
                steps += 1
            if steps >= max_steps:
                return rows
        epoch += 1
    return rows


@given(
    st.integers(1, 7),
    st.integers(1, 9) | st.just(math.inf),
    st.integers(1, 40),
    st.dictionaries(st.integers(0, 6), st.integers(1, 5), max_size=3),
)
def test_the_plan_is_what_a_walk_through_the_training_finds(length, max_epochs, max_steps, changes):
    changes = {0: 1, **changes}

    def accumulation(epoch):
        return changes[max(start for start in changes if start <= epoch)]

    rows = simulate(length, max_epochs, max_steps, accumulation)
    assert rows
    for done, inside, epoch, steps in rows:
        counters = Counters(
            batches_done=done,
            batches_in_epoch=inside,
            epoch=epoch,
            epochs_done=epoch,
            batches_per_epoch=length,
            steps_done=steps,
            max_epochs=max_epochs,
            max_steps=max_steps,
            accumulation=accumulation,
            last_change=max(changes),
        )
        assert planned_batches(counters) == len(rows)
        assert planned_epochs(counters) == rows[-1][2] + 1


def test_a_plan_of_many_steps_is_no_long_loop():
    counters = Counters(0, 0, 0, 0, 3, 0, math.inf, 10**12)
    assert planned_batches(counters) == 10**12


@pytest.mark.parametrize(
    ("done", "planned", "expected"),
    [(0, 5, 0.0), (2, 5, 0.5), (4, 5, 1.0), (9, 5, 1.0), (0, 1, 1.0), (0, 0, 1.0)],
)
def test_fraction(done, planned, expected):
    assert fraction(done, planned) == expected
    assert fraction(done, math.inf) is None
