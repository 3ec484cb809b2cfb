"""The sentences of the verdict, and the borders at which they change."""

import math

import pytest

from thinned.metrics._verdict_features import Features
from thinned.metrics._verdict_words import (
    action,
    compare,
    doubt,
    either,
    evidence,
    rates,
    too_short,
)


def figures(**other):
    given = {"validation": 2.0, "probe": 0.5, "noisy": 1.0, "best": 1.6, "best_epoch": 3}
    given |= {"epochs": 9, "trend": 0.05, "rate": 0.3, "is_loss": True}
    given |= {"first": 4.0, "lowest": 0.375, "noise": 0.0, "since_middle": 0.0}
    return Features(**{**given, **other})


def told(**other):
    return evidence(figures(**other), "val_loss")


def test_all_that_is_told_of_a_loss():
    assert told() == (
        "val_loss is 2 (median of the last three), 25% above its lowest (1.6, epoch 3).",
        "Over the last third of training val_loss rose by 5%.",
        "On training data with dropout off it is 0.5: the gap is 75% of validation's.",
        "With dropout on, training data give 1: even with its noise, less than validation.",
        "The mean dropout rate is 0.30.",
    )


def test_another_metric_is_told_as_an_error():
    lines = evidence(figures(is_loss=False), "acc")
    assert lines[0].startswith("the error of acc is 2 (")
    assert "the error of acc rose" in lines[1]
    assert lines[-1] == (
        "The verdict was calibrated on losses; with this metric it is less certain."
    )


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"best": 2.0}, "at its lowest so far"),
        ({"best": 2.0 / 1.009}, "less than 1% above its lowest (1.982, epoch 3)"),
        ({"best": 2.0 / 1.011}, "), 1% above its lowest"),
        ({"best_epoch": 8}, "its lowest, 1.6, is of the last epoch"),
        ({"best_epoch": 7}, "25% above its lowest (1.6, epoch 7)"),
    ],
)
def test_level(other, words):
    assert words in told(**other)[0]


@pytest.mark.parametrize(
    ("trend", "words"),
    [
        (0.009, "val_loss stood still."),
        (-0.009, "val_loss stood still."),
        (0.01, "val_loss rose by 1%."),
        (-0.01, "val_loss fell by 1%."),
    ],
)
def test_course(trend, words):
    assert told(trend=trend)[1] == f"Over the last third of training {words}"


@pytest.mark.parametrize(
    ("probe", "words"),
    [(2.0, "no gap."), (2.5, "no gap."), (1.5, "the gap is 25% of v"), (0.05, "the training data")],
)
def test_training(probe, words):
    assert told(probe=probe)[2].split(": ")[1].startswith(words)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"noisy": 3.0}, "training looks worse than validation only because dropout is on in it."),
        ({"noisy": 3.0, "probe": 2.0}, "dropout's noise costs more than generalization does."),
        ({"noisy": 2.0}, "even with its noise, less than validation."),
        ({"noisy": 0.51}, "even with its noise, less than validation."),
        ({"noisy": 0.5}, "dropout's noise costs nothing."),
        ({"noisy": 0.4}, "dropout's noise costs nothing."),
    ],
)
def test_noise(other, words):
    assert told(**other)[3] == f"With dropout on, training data give {other['noisy']:g}: {words}"


def test_noise_is_told_where_something_drops():
    nothing = "The mean dropout rate is 0: there is no dropout."
    something = "Something drops, but no rate of single units is known"
    for other, last, lines in (
        ({"noisy": None}, "The mean dropout rate is 0.30.", 4),
        ({"noisy": None, "rate": 0.003}, "The mean dropout rate is 0.003.", 4),
        ({"noisy": 0.5}, "The mean dropout rate is 0.30.", 5),
        ({"noisy": None, "rate": 0.0}, nothing, 4),
        ({"noisy": 0.5, "rate": 0.0}, nothing, 4),
        ({"noisy": 0.6, "rate": 0.0}, something, 5),
    ):
        found = told(**other)
        assert len(found) == lines
        assert found[-1].startswith(last)


LESS = (
    "More dropout would not help: stop earlier, Trainer(max_epochs=4), or get more training data."
)


@pytest.mark.parametrize(
    ("remedy", "rate", "words"),
    [
        ("raise the rate", 0.3, "Raise the rate: thinned.regularize(dropout=0.5)"),
        ("raise the rate", 0.0, "Add dropout: thinned.regularize(dropout=0.2)"),
        ("raise the rate", 0.8, "Raise the rate: thinned.regularize(dropout=0.9)"),
        ("lower the rate", 0.3, "Lower the rate: thinned.regularize(dropout=0.1)"),
        ("lower the rate", 0.1, "Lower the rate: thinned.regularize(dropout=0)"),
        ("train longer", 0.3, "Train longer: Trainer(max_epochs=18); then look again."),
        ("train less", 0.3, LESS),
        ("keep it", 0.3, "Keep the rate."),
    ],
)
def test_action(remedy, rate, words):
    assert action(remedy, figures(rate=rate)) == words


@pytest.mark.parametrize(
    ("rate", "tried"),
    [
        (0.3, "0.1,0.3,0.5"),
        (0.0, "0,0.2"),
        (0.016, "0.016,0.22"),
        (0.05, "0,0.05,0.25"),
        (0.1, "0,0.1,0.3"),
        (0.9, "0.7,0.9"),
    ],
)
def test_the_runs_that_would_decide(rate, tried):
    found = compare(figures(rate=rate, noisy=1.0 if rate else 0.5))
    assert found == (
        f"Compare: train with thinned.regularize(dropout=...) at {tried}, with several seeds."
    )
    assert either(figures(rate=rate, noisy=1.0 if rate else 0.5)) == (
        "Stop at epoch 3, Trainer(max_epochs=4); whether more dropout would help too is open. "
        + found
    )


def test_where_something_else_drops_its_own_rates_are_compared():
    found = figures(rate=0.0)
    assert compare(found) == (
        "Compare: train with ScaleRates(factor, kinds='all') among the callbacks, at factor "
        "0,0.5,1,1.5, with several seeds."
    )
    assert rates("", found) == ()


def test_doubt_names_the_likeliest_first():
    chances = {"healthy": 0.2, "overfitting": 0.5, "underfitting": 0.3}
    assert doubt(chances) == "It could be overfitting (50%) or underfitting (30%)."


def test_why_a_history_cannot_be_judged():
    row = {"val_loss": 1.0, "overfit/probe/val_loss": 1.0}
    assert too_short([row, {"val_loss": 1.0}, {"overfit/probe/val_loss": 1.0}], "val_loss") == (
        "1 validation with a probe; at least 4 are needed.",
    )
    assert too_short([row, {**row, "val_loss": math.nan}], "val_loss") == (
        "val_loss is not finite in 1 of 2 validations: it diverged.",
    )
