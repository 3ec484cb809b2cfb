"""Where the verdict abstains whatever its weights say, and how it is written."""

import pytest

from thinned.metrics import Verdict, verdict


def history(validation, probe, noise=0.0, monitor="val_loss", rate=0.1):
    return [
        {
            "epoch": epoch,
            monitor: v,
            f"overfit/probe/{monitor}": p,
            f"overfit/inflation/{monitor}": noise,
            "rate": rate,
        }
        for epoch, (v, p) in enumerate(zip(validation, probe, strict=True))
    ]


RISING = [1.0, 0.7, 0.8, 0.9, 1.0, 1.2]


def test_a_probe_of_validations_own_samples_is_told():
    found = verdict(history(RISING, RISING), "val_loss")
    assert (found.word, found.confidence, found.remedy) == ("not enough evidence", 0.0, "")
    assert "to the last digit" in found.evidence[0]
    assert "OverfittingMonitor(probe=" in found.action


@pytest.mark.parametrize(
    "probe",
    [
        [*RISING[:-1], 1.1],  # one of them differs
        [0.9, 0.5, 0.4, 0.3, 0.2, 0.1],
    ],
)
def test_other_samples_are_judged(probe):
    assert len(verdict(history(RISING, probe), "val_loss").evidence) > 1


def test_an_accuracy_that_is_equal_by_chance_is_judged():
    same = [0.5, 0.5, 1.0, 1.0, 1.0]
    found = verdict(history(same, same, monitor="val_acc"), "val_acc", "max")
    assert "to the last digit" not in found.evidence[0]


def test_the_samples_count_only_since_the_probe_is_as_it_is():
    rows = history(RISING, [0.5, 0.5, *RISING[2:]])
    assert "to the last digit" not in verdict(rows, "val_loss").evidence[0]
    rows[2]["overfit/new_probe"] = 1.0
    assert "to the last digit" in verdict(rows, "val_loss").evidence[0]


def test_rising_validation_without_a_gap_is_not_called_overfitting():
    worse = [2.3, 2.6, 2.9, 3.2, 3.5, 3.6]
    found = verdict(history(worse, [1.02 * v for v in worse]), "val_loss")
    assert (found.word, found.confidence) == ("not enough evidence", 0.0)
    assert "without a gap that is no overfitting" in found.evidence[-1]
    assert "learning rate" in found.action
    with_a_gap = verdict(history(worse, [0.3 / v for v in worse]), "val_loss")
    assert with_a_gap.word == "overfitting"


def test_a_large_gap_is_not_called_over_regularized():
    falling = [2.0 * 0.97**e for e in range(30)]
    small, large = (
        verdict(history(falling, [share * v for v in falling], noise=0.2, rate=0.7), "val_loss")
        for share in (0.7, 0.35)
    )
    assert small.word == "over-regularized"
    assert (large.word, large.confidence, large.remedy) == ("not enough evidence", 0.0, "")
    assert "the gap is large" in large.evidence[-1]
    assert large.action.startswith("Compare: train with thinned.regularize(dropout=...) at 0.5,0.7")
    assert large.rates == (0.5, 0.7, 0.9)


LEVEL = [2.0, 1.2, 0.8, 0.62, 0.6, 0.6, 0.6, 0.6, 0.59, 0.6, 0.6, 0.6]


@pytest.mark.parametrize(
    ("validation", "words"),
    [
        (LEVEL, "It looks healthy, as two in three such runs were"),
        ([0.63, *LEVEL[4:], 0.6, 0.6], "It looks healthy, as two in three such runs were"),
        ([0.61, *LEVEL[4:], 0.6, 0.6], "It stands still, but validation has hardly fallen"),
    ],
)
def test_healthy_is_evidence_and_not_a_word(validation, words):
    """Two in three are too few for a word; and what learns nothing stands still as well."""
    probe = [0.6 * v for v in validation]
    found = verdict(history(validation, probe, noise=0.05, rate=0.5), "val_loss")
    assert (found.word, found.remedy) == ("not enough evidence", "")
    assert 0.5 <= found.confidence <= 0.65, "no more of the runs that look healthy are"
    assert found.evidence[-1].startswith(words)
    assert found.action.startswith("Compare: train with thinned.regularize(dropout=...) at 0.3,0.5")
    assert found.rates == (0.3, 0.5, 0.7)


def test_noise_that_lowers_the_error_is_not_said_to_cost():
    found = verdict(history(RISING, [1.01 * v for v in RISING], noise=-0.001), "val_loss")
    assert any("dropout's noise costs nothing" in line for line in found.evidence)
    assert not any("costs more" in line for line in found.evidence)


def test_printed_it_is_lines():
    found = Verdict("healthy", 0.8, ("one", "two"), "Keep the rate.")
    assert str(found) == "healthy (confidence 80%)\n  - one\n  - two\n  -> Keep the rate."
    for likeliest in (0.0, 0.6):  # of another word
        found = Verdict("not enough evidence", likeliest, ("one",), "Go on.")
        assert str(found) == "not enough evidence\n  - one\n  -> Go on."
