"""The law of adaptive dropout: numbers in, numbers out."""

import dataclasses
import json
import math
import subprocess
import sys

import pytest

from thinned.callbacks._adaptive.law import AdaptiveLaw, AdaptiveState

LAW = AdaptiveLaw()
STEERS = AdaptiveState(rate=0.5, start=0.5, progress=0.5, first=2.0, learning=True)
SURE = {"log_temperature": LAW.target + 0.2}
UNSURE = {"log_temperature": LAW.target - 0.2}


def step(state=STEERS, law=LAW, **losses):
    given = {"train_loss": 1.0, "val_loss": 1.0, "log_temperature": LAW.target, "progress": 0.6}
    return law.step(state, **{**given, **losses})


def kept(before, after):
    """The logarithm of the share of units that are kept, after less before."""
    return math.log((1 - after) / (1 - before))


# Where it starts.


def test_more_passes_start_higher_and_more_classes_lower():
    start = {
        (epochs, classes): LAW.begin(epochs, classes).rate
        for epochs in (20, 100, 500)
        for classes in (2, 10)
    }
    assert start[20, 2] < start[100, 2] < start[500, 2]
    assert all(start[epochs, 10] < start[epochs, 2] for epochs in (20, 100))
    assert start[20, 10] == pytest.approx(-0.2 + 0.6 * math.log10(20) - 0.18 * math.log(10))


@pytest.mark.parametrize(
    ("epochs", "classes", "rate"), [(0.5, 10, 0.1), (1e6, 2, 0.9), (None, 10, 0.5), (0.0, 2, 0.1)]
)
def test_the_start_stays_in_its_bounds(epochs, classes, rate):
    assert LAW.begin(epochs, classes) == AdaptiveState(rate=rate, start=rate)


def test_an_unknown_number_of_classes_counts_as_few_and_many_as_thirty():
    start = [LAW.begin(100, classes).rate for classes in (2, None, 10)]
    assert start == sorted(start, reverse=True)
    assert LAW.begin(100, 50_000) == LAW.begin(100, 30)  # nothing is known of more
    assert LAW.begin(100, numbers=True).rate == LAW.begin(100, 30).rate


@pytest.mark.parametrize("high", [0.0, 0.05, 0.3])
def test_the_start_is_not_above_the_highest(high):
    assert dataclasses.replace(LAW, high=high).begin(500, 2).rate == high


# Until something is learned.


def test_while_nothing_is_learned_it_falls_fast_whatever_the_temperature_says():
    state = LAW.begin(400, 2)
    start = state.rate
    for progress in (0.06, 0.09):
        state = step(state, val_loss=2.3, train_loss=2.3, **SURE, first_loss=2.3, progress=progress)
    assert state.rate == pytest.approx(start - 0.09 * LAW.fast)
    assert not state.learning


@pytest.mark.parametrize(
    ("high", "low", "end"), [(0.95, 0.0, 0.2), (0.2, 0.0, 0.05), (0.95, 0.6, 0.6)]
)
def test_that_fall_ends_at_a_quarter_of_the_start(high, low, end):
    law = dataclasses.replace(LAW, high=high, low=low, base=0.8, per_decade=0.0, per_class=0.0)
    state = law.begin(1, 1)
    for index in range(20):
        state = step(state, law, val_loss=2.3, train_loss=2.3, first_loss=2.3, progress=index / 20)
    assert state.rate == pytest.approx(end)


def test_that_fall_does_not_begin_at_once():
    nothing = {"val_loss": 2.3, "train_loss": 2.3, "first_loss": 2.3}
    start = LAW.begin(100, 2)
    state = step(start, **nothing, progress=LAW.patience / 2)
    assert state.rate == start.rate
    assert step(state, **nothing, progress=LAW.patience).rate < start.rate
    unplanned = step(start, **nothing, progress=None)
    assert unplanned.rate == pytest.approx(start.rate - LAW.fast * LAW.unplanned)


def test_where_the_rate_had_to_fall_the_spring_pulls_no_higher():
    state = dataclasses.replace(LAW.begin(400, 2), rate=0.3)
    state = step(state, val_loss=2.0, first_loss=2.3, progress=0.2)
    assert (state.learning, state.start) == (True, 0.3)
    assert step(state, val_loss=2.0, progress=0.3).start == 0.3


@pytest.mark.parametrize("losses", [{"val_loss": 2.2}, {"train_loss": 2.1}], ids=str)
def test_from_the_first_clear_fall_of_a_loss_on_it_steers(losses):
    nothing = {"val_loss": 2.29, "train_loss": 2.25, "first_loss": 2.3}
    state = step(LAW.begin(100, 10), **nothing, progress=0.05)
    assert not state.learning
    state = step(state, **{**nothing, **losses}, progress=0.1)
    assert state.learning
    again = step(state, **{**nothing, "val_loss": 3.0, "train_loss": 1.0}, **SURE, progress=0.15)
    assert again.learning
    assert again.rate > state.rate


@pytest.mark.parametrize(
    ("val_loss", "train_loss", "rises"),
    [(2.35, 2.1, False), (2.35, 1.9, True), (2.2, 2.1, True), (9.0, 2.1, False)],
)
def test_while_training_learned_little_and_validation_nothing_it_rises_no_higher(
    val_loss, train_loss, rises
):
    def after(rate):
        began = dataclasses.replace(STEERS, start=0.2, rate=rate, first=2.3)
        return step(began, val_loss=val_loss, train_loss=train_loss, log_temperature=1.0).rate

    assert (after(0.2) > 0.2) == rises
    assert after(0.3) >= 0.3  # it came there before: no jump down either
    assert after(0.1) == pytest.approx(0.2) or rises


# From then on.


def test_kept_units_shrink_and_grow_in_proportion_to_what_is_too_much():
    assert kept(0.5, step(**SURE).rate) == pytest.approx(-0.1 * LAW.up * 0.2)
    assert kept(0.5, step(**UNSURE).rate) == pytest.approx(0.1 * LAW.down * 0.2)
    assert step().rate == 0.5
    twice = step(log_temperature=LAW.target + 0.1).rate
    assert kept(0.5, twice) == pytest.approx(kept(0.5, step(**SURE).rate) / 2)
    high = dataclasses.replace(STEERS, rate=0.8, start=0.8)
    assert kept(0.8, step(high, **SURE).rate) == pytest.approx(kept(0.5, step(**SURE).rate))


def test_it_moves_by_a_factor_of_e_at_most():
    assert kept(0.5, step(log_temperature=2.0).rate) == pytest.approx(-1)
    assert kept(
        0.9, step(dataclasses.replace(STEERS, rate=0.9, start=0.9), log_temperature=-1.4).rate
    ) == (pytest.approx(1.0))


def test_it_grows_slowly_early():
    early = dataclasses.replace(STEERS, progress=0.0)
    moved = kept(0.5, step(early, **UNSURE, progress=0.06).rate)
    assert moved == pytest.approx(0.06 * LAW.down * 0.2 * (0.06 / LAW.warm) ** 2)


def test_a_rate_that_is_not_high_does_not_fall_while_validation_loss_does():
    low = dataclasses.replace(STEERS, rate=0.3, start=0.3, lately=1.05)
    free = dataclasses.replace(low, lately=1.0)
    full = kept(0.3, step(free, **UNSURE).rate)
    assert kept(0.3, step(low, **UNSURE).rate) == pytest.approx(full * (1 - 0.05 / LAW.falls))
    assert step(dataclasses.replace(low, lately=1.2), **UNSURE).rate == pytest.approx(0.3)
    rising = dataclasses.replace(low, lately=0.5)
    assert kept(0.3, step(rising, **UNSURE).rate) == pytest.approx(full)
    high = dataclasses.replace(STEERS, lately=1.2)
    assert step(high, **UNSURE).rate < high.rate


def test_late_validation_losses_count_most():
    state = step(LAW.begin(), val_loss=2.0, progress=0.1)
    assert state.lately == 2.0
    state = step(state, val_loss=1.0, progress=0.2)
    assert state.lately == pytest.approx(1 + math.exp(-1))
    assert step(state, val_loss=1.0, progress=None).lately < state.lately


def test_a_spring_pulls_to_the_start_and_fades():
    def moved(progress):
        high = dataclasses.replace(STEERS, rate=0.8, progress=progress - 0.1)
        return kept(0.8, step(high, progress=progress).rate)

    assert moved(0.6) > moved(0.8) > 0 == pytest.approx(moved(1.0))
    stretched = math.log((0.2 + 1e-3) / (0.5 + 1e-3))
    assert moved(0.6) == pytest.approx(-0.1 * LAW.down * LAW.spring * 0.4 * stretched)
    low = dataclasses.replace(STEERS, rate=0.2)
    assert step(low).rate > 0.2


def test_the_better_the_training_set_is_fitted_the_nearer_to_the_start_the_rate_stays():
    unsure = {"log_temperature": -1.0}
    assert step(**unsure, train_loss=1 - LAW.heart).rate == 0.5
    assert step(**unsure, train_loss=1 - LAW.heart / 2).rate == pytest.approx(0.25)
    assert step(**unsure, train_loss=1.2).rate < 0.1
    low = dataclasses.replace(STEERS, rate=0.1)  # comes back slowly, without jumping to and fro
    assert step(low, **unsure, train_loss=0.0).rate == pytest.approx(0.1 + 0.1 * LAW.regain)
    high = dataclasses.replace(STEERS, rate=0.8)
    assert step(high, **unsure, train_loss=0.0).rate == 0.5  # and falls no farther


def test_where_labels_are_numbers_nothing_holds_the_rate_up():
    fitted = {"log_temperature": -1.0, "train_loss": 0.0}
    assert step(**fitted, numbers=True).rate < 0.1 < step(**fitted).rate
    assert step(**fitted, numbers=True) == step(**fitted | {"train_loss": 1.0}, numbers=True)
    known = LAW.begin(100, numbers=True)
    assert known.numbers
    assert step(known, **fitted).numbers  # as before, where it is not known better
    assert not step(known, **fitted, numbers=False).numbers


def test_without_a_temperature_the_training_loss_stands_in():
    none = {"log_temperature": None}  # the untrained network's loss is 2
    assert step(**none, train_loss=1 - 2 * LAW.gap).rate == pytest.approx(0.5)
    assert step(**none, train_loss=1 - 2 * LAW.gap - 0.1).rate > 0.5
    assert step(**none, train_loss=0.9).rate < 0.5
    assert LAW.evidence(0.4, 1.0, 2.0) == pytest.approx(LAW.target + LAW.coarse * (0.3 - LAW.gap))
    small = dataclasses.replace(STEERS, first=20.0)  # of what there was to learn, nearly all is
    assert step(small, **none, train_loss=0.0).rate <= 0.5


def test_what_stands_in_is_bounded_and_knows_losses_below_zero():
    assert LAW.evidence(-1.5, -1.0, -0.5) == pytest.approx(LAW.target + LAW.coarse * (1 - LAW.gap))
    assert LAW.evidence(0.0, 9.0, 1e-9) == LAW.evidence(0.0, 9.0, 1.0)
    assert LAW.evidence(0.5, 0.9, 0.0) == LAW.evidence(0.5, 0.5, 1.0)


def test_where_training_comes_apart_the_rate_falls_and_stays_far_below():
    high = dataclasses.replace(STEERS, rate=0.9, start=0.8)
    losses = {"train_loss": 4.1, **SURE}
    assert step(high, train_loss=3.9, **SURE).rate > 0.9  # first is 2.0
    state = step(high, **losses)
    assert (state.rate, state.below, state.start) == pytest.approx((0.15, 0.6, 0.6))
    for _ in range(30):
        state = step(state, **SURE, progress=state.progress + 0.01)
    assert state.rate == pytest.approx(0.6)
    assert step(dataclasses.replace(high, learning=False), **losses).below == 1.0
    low = step(dataclasses.replace(high, rate=0.1, start=0.1), **losses)  # that is not dropout's
    assert (low.rate, low.below) == (0.0, 0.0)


def test_a_head_that_starts_above_chance_has_learned_nothing_when_it_comes_down_to_it():
    losses = {"first_loss": 3.0, "val_loss": 1.65, "train_loss": 1.7, **SURE, "progress": 0.2}
    begun = LAW.begin(20, 5)
    assert step(begun, **losses).learning
    state = step(begun, **losses, chance_loss=1.6)
    assert (state.learning, state.first) == (False, 1.6)
    assert state.rate < begun.rate < step(begun, **losses).rate
    assert step(begun, **{**losses, "first_loss": 0.9}, chance_loss=1.6).first == 0.9  # trained


def test_without_an_untrained_loss_the_first_validation_stands_for_it():
    state = step(LAW.begin(), val_loss=1.0, first_loss=None, progress=0.1)
    assert (state.first, state.learning) == (1.0, False)
    assert step(state, val_loss=0.9, first_loss=None, progress=0.2).learning


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_changes_nothing(bad):
    assert step(val_loss=bad) == STEERS
    assert step(train_loss=bad) == STEERS
    assert step(log_temperature=bad) == STEERS
    assert step(LAW.begin(), first_loss=bad).first == 1.0


@pytest.mark.parametrize("high", [0.0, 0.3, 0.95, 1.0])
@pytest.mark.parametrize("log_temperature", [-1.4, 2.0])
def test_it_stays_between_its_bounds(high, log_temperature):
    law = dataclasses.replace(LAW, high=high)
    state = law.begin(100, 3)
    for index in range(60):
        losses = {"first_loss": 9.0, "log_temperature": log_temperature}
        state = step(state, law, **losses, progress=index / 60)
        assert 0.0 <= state.rate <= high


def test_with_no_planned_end_each_validation_counts_the_same():
    state = step(**SURE, progress=None)
    assert kept(0.5, state.rate) == pytest.approx(-LAW.up * 0.2 * LAW.unplanned)
    assert state.progress == STEERS.progress


def test_progress_that_goes_back_does_not_move_it():
    assert step(**SURE, progress=0.4).rate == 0.5


def test_losses_below_zero_can_be_learned():
    below = step(LAW.begin(), val_loss=-1.1, first_loss=-1.0, train_loss=-1.0, progress=0.1)
    assert below.learning


def test_its_state_goes_through_json():
    state = step(val_loss=1.2)
    assert AdaptiveState(**json.loads(json.dumps(dataclasses.asdict(state)))) == state


def test_it_needs_neither_torch_nor_lightning():
    code = (
        "import sys; from thinned.callbacks._adaptive import calibration, law; "
        "print([name for name in ('torch', 'pytorch_lightning') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
