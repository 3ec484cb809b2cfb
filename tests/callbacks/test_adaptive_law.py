"""The law of adaptive dropout: numbers in, numbers out."""

import dataclasses
import json
import math
import subprocess
import sys

import pytest

from thinned.callbacks._adaptive_law import AdaptiveLaw, AdaptiveState, relative_gap

LAW = AdaptiveLaw()
LEARNS = AdaptiveState(rate=0.5, progress=0.5, first=2.0, learning=True)
RISE = LAW.up * (1 - 0.6) / LAW.late  # at the progress that `step` gives


def step(state=LEARNS, law=LAW, **losses):
    given = {"train_loss": 1.0, "val_loss": 1.0, "shrunk_loss": 1.0, "progress": 0.6, **losses}
    return law.step(state, **given)


def test_it_starts_high():
    assert LAW.begin() == AdaptiveState(rate=0.9)


def test_while_nothing_is_learned_it_falls_fast_whatever_the_shrunk_outputs_say():
    state = LAW.begin()
    for progress in (0.03, 0.06):
        state = step(state, val_loss=2.3, shrunk_loss=1.0, first_loss=2.3, progress=progress)
    assert state.rate == pytest.approx(0.9 - 0.06 * LAW.fast)
    assert not state.learning


@pytest.mark.parametrize(
    ("high", "low", "end"), [(0.95, 0.0, 0.25), (0.2, 0.0, 0.2), (0.95, 0.4, 0.4)]
)
def test_that_fall_ends_where_most_networks_learn(high, low, end):
    law = dataclasses.replace(LAW, high=high, low=low, start=min(high, 0.9))
    state = law.begin()
    for index in range(20):
        state = step(state, law, val_loss=2.3, first_loss=2.3, progress=index / 20)
    assert state.rate == pytest.approx(end)


def test_from_the_first_clear_fall_on_it_steers():
    state = step(LAW.begin(), val_loss=2.29, shrunk_loss=2.3, first_loss=2.3, progress=0.05)
    assert not state.learning
    state = step(state, val_loss=2.0, shrunk_loss=1.0, progress=0.2)
    assert state.learning
    again = step(state, val_loss=3.0, shrunk_loss=2.0, progress=0.3)
    assert again.learning
    assert again.rate > state.rate


def test_too_sure_means_a_higher_rate_and_not_sure_enough_a_lower_one():
    assert step(val_loss=1.2, shrunk_loss=1.0).rate == pytest.approx(0.5 + 0.1 * RISE)
    assert step(val_loss=1.0, shrunk_loss=1.2).rate == pytest.approx(0.5 - 0.1 * LAW.down)
    assert step(val_loss=1.0, shrunk_loss=1.0).rate == 0.5


def test_a_small_difference_moves_it_by_less():
    small = 0.2 / LAW.gain
    moved = step(val_loss=1 + small / 2, shrunk_loss=1 - small / 2).rate - 0.5
    assert moved == pytest.approx(0.2 * 0.1 * RISE)


def test_it_does_not_rise_where_nothing_is_learned_by_heart():
    too_sure = {"val_loss": 1.2, "shrunk_loss": 1.0}
    assert step(**too_sure, train_loss=1.3).rate == 0.5
    assert step(**too_sure, train_loss=1.1).rate > 0.5
    assert step(val_loss=1.0, shrunk_loss=1.2, train_loss=1.3).rate < 0.5


def test_it_rises_ever_more_slowly_at_the_end_and_at_high_rates():
    def rise(rate, progress):
        state = dataclasses.replace(LEARNS, rate=rate, progress=progress - 0.1)
        return step(state, val_loss=1.2, shrunk_loss=1.0, progress=progress).rate - rate

    assert [rise(0.4, 0.2), rise(0.4, 0.5)] == pytest.approx([0.1 * LAW.up] * 2)
    assert rise(0.4, 0.75) == pytest.approx(0.05 * LAW.up)
    assert rise(0.4, 1.0) == 0.0
    assert rise(0.6, 0.3) == pytest.approx(0.096 * LAW.up)


def test_it_falls_slowly_early_and_near_zero():
    unsure = {"val_loss": 1.0, "shrunk_loss": 1.2}
    early = dataclasses.replace(LEARNS, progress=0.0)
    assert 0.5 - step(early, **unsure, progress=0.1).rate == pytest.approx(
        0.1 * LAW.down * 0.1 / LAW.warm
    )
    low = dataclasses.replace(LEARNS, rate=0.05)
    assert 0.05 - step(low, **unsure).rate == pytest.approx(0.1 * LAW.down * 0.19 * 0.01)


def test_without_shrunk_outputs_the_training_loss_stands_in():
    assert step(shrunk_loss=None, train_loss=0.5, val_loss=1.0).rate > 0.5
    assert step(shrunk_loss=None, train_loss=1.0, val_loss=0.5).rate < 0.5


def test_without_an_untrained_loss_the_first_validation_stands_for_it():
    state = step(LAW.begin(), val_loss=1.0, first_loss=None, progress=0.1)
    assert (state.first, state.learning) == (1.0, False)
    assert step(state, val_loss=0.9, first_loss=None, progress=0.2).learning


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_changes_nothing(bad):
    assert step(val_loss=bad) == LEARNS
    assert step(shrunk_loss=bad) == LEARNS
    assert step(shrunk_loss=None, train_loss=bad) == LEARNS
    assert step(LAW.begin(), first_loss=bad).first == 1.0


@pytest.mark.parametrize("high", [0.0, 0.3, 0.95, 1.0])
def test_it_stays_between_its_bounds(high):
    law = dataclasses.replace(LAW, high=high, start=min(0.9, high))
    for val_loss in (0.5, 2.0):
        state = law.begin()
        for index in range(60):
            state = step(state, law, val_loss=val_loss, first_loss=9.0, progress=index / 60)
            assert 0.0 <= state.rate <= high


def test_with_no_planned_end_each_validation_counts_the_same():
    state = step(val_loss=1.2, shrunk_loss=1.0, progress=None)
    assert state.rate == pytest.approx(0.5 + LAW.up * LAW.unplanned)
    assert state.progress == LEARNS.progress


def test_progress_that_goes_back_does_not_move_it():
    assert step(val_loss=1.2, shrunk_loss=1.0, progress=0.4).rate == 0.5


def test_losses_below_zero_are_compared_alike():
    assert relative_gap(-1.5, -1.0) == relative_gap(1.0, 1.5) == pytest.approx(0.4)
    assert relative_gap(-1.0, 1.0) == 2.0
    assert relative_gap(1.0, -1.0) == -2.0
    below = step(LAW.begin(), val_loss=-1.1, shrunk_loss=-1.0, first_loss=-1.0, progress=0.1)
    assert below.learning


def test_its_state_goes_through_json():
    state = step(val_loss=1.2)
    assert AdaptiveState(**json.loads(json.dumps(dataclasses.asdict(state)))) == state


def test_it_needs_neither_torch_nor_lightning():
    code = (
        "import sys; import thinned.callbacks._adaptive_law; "
        "print([name for name in ('torch', 'pytorch_lightning') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
