"""How long a training is, and how far it can move weights: what the first rate follows."""

import dataclasses
import math

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from helpers import tiny
from helpers.adaptive import Kept
from thinned.callbacks import AdaptiveDropout
from thinned.callbacks._adaptive.law import AdaptiveLaw, AdaptiveState
from thinned.callbacks._lightning.length import Length, learning_rate

LAW = AdaptiveLaw()


# What the law makes of it.


def test_passes_count_in_proportion_to_how_far_weights_can_move():
    full = LAW.begin(100, 10)
    assert full == LAW.begin(100, 10, moves=LAW.far) == LAW.begin(100, 10, moves=50.0)
    assert LAW.begin(100, 10, moves=LAW.far / 4).rate == pytest.approx(LAW.begin(25, 10).rate)


@pytest.mark.parametrize("epochs", [5, 20, 100])
def test_where_they_cannot_it_begins_without_dropout(epochs):
    assert LAW.begin(epochs, 10).rate >= LAW.lowest_start
    assert LAW.begin(epochs, 10, moves=0.01).rate == 0.0
    assert LAW.begin(epochs, 10, moves=0.0).rate == 0.0  # as with a learning rate of 0


def test_the_lowest_start_goes_down_without_a_jump():
    starts = [LAW.begin(5, 10, moves=LAW.far * share).rate for share in (1.0, 0.99, 0.9, 0.6)]
    assert starts[0] == LAW.lowest_start
    assert starts[1] == pytest.approx(LAW.lowest_start, abs=0.01)
    assert starts[1] > starts[2] > starts[3] == 0.0


def test_of_numbers_nothing_is_asked():
    assert LAW.begin(100, numbers=True, moves=0.01) == LAW.begin(100, numbers=True)


def test_a_training_that_may_stop_early_begins_no_higher_than_one_without_an_end():
    assert LAW.begin(500, 3, certain=False).rate == LAW.begin().rate == LAW.unknown_start
    assert LAW.begin(15, 3, certain=False) == LAW.begin(15, 3)  # nor higher than its plan
    assert LAW.begin(500, 3, moves=0.01, certain=False).rate < 0.2


def test_a_rate_waits_for_validation_loss_below_a_lower_bound_then():
    """Else it would wait to the end: where weights move little, loss falls all the while."""
    far = AdaptiveState(0.3, 0.3, progress=0.5, first=2.0, lately=1.5, learning=True)
    near = dataclasses.replace(far, reach=0.5)
    losses = {"train_loss": 1.2, "val_loss": 1.0, "log_temperature": -0.5, "progress": 0.6}
    assert LAW.step(far, **losses).rate == pytest.approx(0.3)
    after = LAW.step(near, **losses)
    assert after.rate < 0.2
    assert after.reach == 0.5
    low = dataclasses.replace(near, rate=0.19, start=0.19)
    assert LAW.step(low, **losses).rate == pytest.approx(0.19)


# What it is told.


def optimizer(cls=torch.optim.AdamW, lr=1e-3, *, width=8, frozen=False):
    layer = nn.Linear(width, width, bias=False).requires_grad_(not frozen)
    return cls(layer.parameters(), lr=lr)


@pytest.mark.parametrize(
    ("cls", "known"),
    [
        (torch.optim.Adam, True),
        (torch.optim.AdamW, True),
        (torch.optim.NAdam, True),
        (torch.optim.SGD, False),
        (torch.optim.RMSprop, False),
    ],
)
def test_only_steps_like_adams_go_as_far_as_the_learning_rate_says(cls, known):
    assert learning_rate([optimizer(cls)]) == (1e-3 if known else None)
    assert learning_rate([optimizer(), optimizer(cls)]) == (1e-3 if known else None)


def test_the_learning_rate_of_most_trained_values_counts():
    body, head = {"lr": 1e-5, "width": 16}, {"lr": 1e-2, "width": 8}
    assert learning_rate([optimizer(**body), optimizer(**head)]) == 1e-5
    assert learning_rate([optimizer(**body, frozen=True), optimizer(**head)]) == 1e-2
    assert learning_rate([]) is None


def test_a_schedule_counts_with_its_peak():
    warm = optimizer(lr=2e-3)
    torch.optim.lr_scheduler.LambdaLR(warm, lambda step: min(1.0, step / 10))
    assert warm.param_groups[0]["lr"] == 0
    assert learning_rate([warm]) == 2e-3
    cycle = optimizer(lr=1e-5)
    torch.optim.lr_scheduler.OneCycleLR(cycle, max_lr=4e-3, total_steps=10)
    assert learning_rate([cycle]) == 4e-3


def test_what_is_no_number_yet_is_not_asked():
    one = optimizer(lr=torch.tensor(0.5))
    assert learning_rate([one]) == 0.5
    one.param_groups[0]["lr"] = None  # as of optimizers that find it themselves
    assert learning_rate([one]) is None
    lazy = nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 2))
    assert learning_rate([torch.optim.Adam(lazy.parameters(), 0.1)]) == 0.1


class Tuned(Kept):
    """Trained by Adam."""

    def __init__(self, lr, schedule=None):
        super().__init__()
        self.lr, self.schedule = lr, schedule

    def configure_optimizers(self):
        found = torch.optim.Adam(self.parameters(), self.lr)
        if self.schedule is None:
            return found
        told = {"scheduler": self.schedule(found), "monitor": "val_loss"}
        return {"optimizer": found, "lr_scheduler": told}


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(("lr", "reach"), [(1e-4, 0.04), (1.0, 1.0)])
def test_a_training_begins_with_what_its_learning_rate_and_length_allow(lr, reach, accumulate):
    adaptive = AdaptiveDropout()
    options = {"max_epochs": 60, "accumulate_grad_batches": accumulate, "limit_train_batches": 4}
    tiny.fit([adaptive], module=Tuned(lr), **options)
    expected = LAW.begin(60, 3, moves=lr * 240 / accumulate)
    assert expected.reach == pytest.approx(reach if reach == 1 else reach / accumulate)
    assert adaptive.history[0]["rate"] == expected.rate
    assert adaptive._state.reach == expected.reach


@pytest.mark.parametrize(
    ("schedule", "share"),
    [
        (lambda made: torch.optim.lr_scheduler.CosineAnnealingLR(made, 60), 0.5),
        (lambda made: torch.optim.lr_scheduler.LambdaLR(made, lambda epoch: epoch / 60), 0.5),
        (lambda made: torch.optim.lr_scheduler.ReduceLROnPlateau(made, patience=60), 1.0),
    ],
    ids=["cosine", "from 0", "of its own accord"],
)
def test_a_schedule_that_is_planned_halves_the_way(schedule, share):
    adaptive = AdaptiveDropout()
    tiny.fit([adaptive], module=Tuned(1e-3, schedule), max_epochs=60)
    assert adaptive._state.reach == pytest.approx(share * 0.24 / LAW.far)


def test_where_it_may_stop_early_its_plan_is_the_longest_that_it_can_be():
    adaptive = AdaptiveDropout()
    stop = pl.callbacks.EarlyStopping("val_loss", patience=2)
    tiny.fit([adaptive, stop], module=Tuned(1e-3), max_epochs=60)
    assert adaptive.history[0]["rate"] == LAW.begin(60, 3, moves=0.24).rate < 0.5


def test_it_is_told_in_words():
    assert Length(None, 0.1, certain=False).words == "no end is planned"
    assert Length(20, None, certain=True).words == "20 passes over the data"
    found = Length(20, 0.0123, certain=False).words
    assert found == "20 passes over the data at most, in which a weight moves by 0.012 at most"


def test_a_state_from_before_goes_on_as_it_was():
    held = dataclasses.asdict(LAW.begin(100, 10))
    held.pop("reach")
    assert AdaptiveState(**held).reach == 1.0
    assert math.isclose(AdaptiveState(**held).start, LAW.begin(100, 10).start)
