"""The verdict on histories made to be each of the kinds."""

import math
import subprocess
import sys

import pytest

from thinned.metrics import VERDICTS, verdict
from thinned.metrics._verdict import CONFIDENT, WORDS, remedies
from thinned.metrics._verdict_features import NAMES, Features, features
from thinned.metrics._verdict_weights import WEIGHTS, WEIGHTS_WITHOUT_NOISE


def history(validation, probe, noisy=None, rate=0.0):
    rows = []
    for epoch, (v, p) in enumerate(zip(validation, probe, strict=True)):
        row = {"epoch": epoch, "val_loss": v, "overfit/probe/val_loss": p, "rate": rate}
        if noisy is not None:
            row["overfit/inflation/val_loss"] = noisy[epoch] - p
        rows.append(row)
    return rows


EPOCHS = range(30)
FALLING = [2.0 * 0.97**e for e in EPOCHS]
RISING = [0.5 + 1.5 * 0.7**e + 0.01 * e for e in EPOCHS]
LEARNED = [2.0 * 0.9**e for e in EPOCHS]
BY_HEART = [2.0 * 0.8**e for e in EPOCHS]
KINDS = {
    "overfitting": history(RISING, LEARNED),
    "underfitting": history(FALLING, [0.99 * v for v in FALLING]),
    "over-regularized": history(
        FALLING, [0.99 * v for v in FALLING], [1.4 * v for v in FALLING], rate=0.7
    ),
}


@pytest.mark.parametrize("word", KINDS)
def test_made_to_be(word):
    found = verdict(KINDS[word], "val_loss")
    assert found.word == word
    assert found.confidence >= CONFIDENT
    assert len(found.evidence) >= 4
    assert all(found.evidence)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            [1.0, 0.8, 0.6, 0.5, 0.4],
            "is 0.5 (median of the last three); its lowest, 0.4, is of the l",
        ),
        (
            [1.0, 0.4, 0.6, 0.5, 0.6],
            "is 0.6 (median of the last three), 50% above its lowest (0.4, ",
        ),
        ([1.0, 0.5, 0.5, 0.5, 0.5], "is 0.5 (median of the last three), at its lowest so far."),
    ],
)
def test_the_level_is_told_for_what_it_is(values, words):
    probe = [0.9 * value for value in values]
    assert words in verdict(history(values, probe), "val_loss").evidence[0]


@pytest.mark.parametrize(
    ("word", "action"),
    [
        ("overfitting", "Add dropout: thinned.regularize(dropout=0.2)"),
        ("underfitting", "Train longer: Trainer(max_epochs=60); then look again."),
        ("over-regularized", "Lower the rate: thinned.regularize(dropout=0.5)"),
    ],
)
def test_action_can_be_pasted(word, action):
    assert verdict(KINDS[word], "val_loss").action == action


@pytest.mark.parametrize(
    ("noisy", "words"),
    [
        (None, "The mean dropout rate is 0: there is no dropout."),
        (LEARNED, "The mean dropout rate is 0: there is no dropout."),
        ([1.2 * p for p in LEARNED], "Something drops, but no rate of single units is known"),
    ],
    ids=["noise not measured", "no noise", "stochastic depth"],
)
def test_no_dropout_is_said_only_where_nothing_drops(noisy, words):
    evidence = verdict(history(RISING, LEARNED, noisy), "val_loss").evidence
    assert [line for line in evidence if line.startswith(words)]
    assert any("With dropout on" in line for line in evidence) == words.startswith("Something")


def test_too_little_evidence_abstains():
    found = verdict(KINDS["overfitting"][:3], "val_loss")
    assert found.word == "not enough evidence"
    assert found.evidence == ("3 validations with a probe; at least 4 are needed.",)
    (alone,) = verdict(KINDS["overfitting"][:1], "val_loss").evidence
    assert alone.startswith("1 validation with a probe")


def test_doubt_names_the_two_likeliest_and_the_runs_that_would_decide():
    level = [0.5 + 0.5 * 0.8**e for e in EPOCHS]
    rows = history(level, [0.9 * v for v in level], list(level), rate=0.3)
    found = verdict(rows, "val_loss")
    assert found.word == "not enough evidence"
    assert found.confidence < CONFIDENT
    assert found.remedy == ""
    assert "It could be" in found.evidence[-1]
    assert "at 0.1,0.3,0.5, with several seeds" in found.action


def test_validation_below_noisy_training_is_explained():
    found = verdict(KINDS["over-regularized"], "val_loss")
    assert any("only because dropout is on in it" in line for line in found.evidence)


def test_memorized_training_data_leave_open_whether_dropout_would_help():
    found = verdict(history(RISING, BY_HEART), "val_loss")
    assert found.word == "overfitting"
    assert found.remedy == ""
    assert any("learned by heart" in line for line in found.evidence)
    assert found.action.startswith("Stop at epoch 11, Trainer(max_epochs=12); whether more drop")


def test_metrics_to_maximize_are_read_as_errors_with_less_confidence():
    loss = verdict(history(RISING, LEARNED), "val_loss")
    rows = [
        {"epoch": r["epoch"], "acc": 1 - r["val_loss"] / 3, "overfit/probe/acc": 1 - p / 3}
        for r, p in zip(KINDS["overfitting"], LEARNED, strict=True)
    ]
    found = verdict(rows, "acc", "max")
    assert found.word == "overfitting"
    assert found.confidence == pytest.approx(0.9 * loss.confidence)
    assert "calibrated on losses" in found.evidence[-1]


def test_nothing_is_certain():
    certain = dict.fromkeys(WEIGHTS, (0.0,) * (len(NAMES) + 1))
    certain["raise the rate"] = (20.0, *(0.0,) * len(NAMES))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thinned.metrics._verdict.WEIGHTS", certain)
        chances = remedies(features(KINDS["overfitting"], "val_loss"))
        assert chances["raise the rate"] > 0.9999
        assert verdict(KINDS["overfitting"], "val_loss").confidence == 0.99


def test_where_only_something_else_drops_there_is_less_confidence():
    rows = KINDS["over-regularized"]
    noisy = [1.4 * v for v in FALLING]
    found = features(history(FALLING, [0.99 * v for v in FALLING], noisy), "val_loss")
    said = verdict(history(FALLING, [0.99 * v for v in FALLING], noisy), "val_loss")
    assert verdict(rows, "val_loss").confidence == pytest.approx(
        remedies(features(rows, "val_loss"))["lower the rate"]
    )
    assert said.confidence == pytest.approx(0.9 * remedies(found)["train longer"])


def test_rows_without_a_probe_are_left_out():
    rows = KINDS["overfitting"]
    thin = [r if e % 2 else {"epoch": e, "val_loss": r["val_loss"]} for e, r in enumerate(rows)]
    assert verdict(thin, "val_loss").word == "overfitting"


def test_scale_of_the_loss_does_not_matter():
    scaled = [
        {k: v * 7 if "val_loss" in k else v for k, v in row.items()}
        for row in KINDS["over-regularized"]
    ]
    one, other = verdict(scaled, "val_loss"), verdict(KINDS["over-regularized"], "val_loss")
    assert one.confidence == pytest.approx(other.confidence)


def test_without_dropout_no_lower_rate_is_advised():
    found = features(KINDS["underfitting"], "val_loss")
    assert "lower the rate" not in remedies(found)
    assert sum(remedies(found).values()) == pytest.approx(1.0)


def test_a_rate_of_next_to_nothing_is_read_as_none():
    rows = KINDS["over-regularized"]
    at = {
        rate: remedies(features([{**row, "rate": rate} for row in rows], "val_loss"))
        for rate in (0.0, 0.016, 0.05)
    }
    assert at[0.016] == at[0.0]
    assert "lower the rate" not in at[0.016]
    assert "lower the rate" in at[0.05]


def test_unmeasured_noise_uses_weights_of_its_own():
    rows = history(RISING, LEARNED, rate=0.3)
    found = features(rows, "val_loss")
    assert found.margin is None
    assert len(found.numbers()) == len(NAMES) - 1
    assert verdict(rows, "val_loss").word == "overfitting"


def figures(**other):
    given = {"validation": 2.0, "probe": 0.5, "noisy": 1.0, "best": 1.6, "best_epoch": 3}
    given |= {"epochs": 9, "trend": 0.02, "rate": 0.3, "is_loss": True}
    given |= {"first": 4.0, "lowest": 0.375, "noise": 0.015, "since_middle": 0.1}
    return Features(**{**given, **other})


def test_the_numbers_that_are_weighed_and_their_bounds():
    course, still = math.tanh(0.02 / 0.04), math.exp(-4 / 9)
    rise = math.log(2.0 / 1.6)
    plain = (math.log(2.0), 0.75, 0.0, rise, 0.375, 0.1, course, still, 0.3, 0.0)
    plain += (0.75 * course, 0.3 * still, math.log(0.0151) * course)
    assert figures().numbers() == pytest.approx(plain)
    assert figures(noisy=None).numbers() == pytest.approx(plain[1:])
    high = figures(
        noisy=0.01,
        probe=0.05,
        best=0.1,
        trend=9.0,
        rate=0.0,
        noise=9.0,
        since_middle=2.0,
        lowest=0.0,
    )
    up = math.tanh(9.0 / 18.01)
    assert high.numbers() == pytest.approx(
        (3.0, 0.975, 1.0, 0.5, 0.0, 0.5, up, 0.0, 0.0, 1.0, 0.975 * up, 0.0, 0.0)
    )
    low = figures(
        noisy=9.0, probe=4.0, best=2.1, trend=-0.9, noise=0.0, since_middle=-2.0, lowest=1.0
    )
    assert low.numbers() == pytest.approx(
        (-1.0, -0.2, 0.0, 0.0, 1.0, -0.5, -1.0, 0.0, 0.3, 0.0, 0.2, 0.0, 8.0)
    )


def test_a_noisy_curve_makes_less_sure():
    calm, noisy, wild = (figures(noise=noise) for noise in (0.0, 0.1, 5.0))
    assert (calm.certainty, noisy.certainty) == pytest.approx((math.exp(-0.1), math.exp(-0.4)))
    assert wild.certainty == pytest.approx(math.exp(-1.0)), "bounded"
    shaken = [
        {**row, "val_loss": row["val_loss"] * (1.1 if e % 2 else 0.9)}
        for e, row in enumerate(KINDS["over-regularized"])
    ]
    assert features(shaken, "val_loss").noise > 0.1
    sure = remedies(features(KINDS["over-regularized"], "val_loss"))
    less = remedies(features(shaken, "val_loss"))
    assert less["lower the rate"] < sure["lower the rate"]


@pytest.mark.parametrize(("rows", "points"), [(4, 2), (5, 2), (12, 5), (30, 11)])
def test_the_trend_is_the_change_over_the_last_third(rows, points):
    falling = [2.0 * 0.9**e for e in range(rows)]
    found = features(history(falling, falling), "val_loss")
    assert found.trend == pytest.approx((points - 1) * math.log(0.9))
    assert (found.best_epoch, found.epochs) == (rows - 1, rows)


def test_noise_is_what_a_steady_course_has_not():
    steady = [2.0 * 0.9**e for e in range(12)]
    assert features(history(steady, steady), "val_loss").noise == pytest.approx(0.0)
    shaken = [v * (1.05 if e % 2 else 1.0) for e, v in enumerate(steady)]
    expected = 4 * math.log(1.05) / 2 / 1.65  # each bend is of twice the step
    assert features(history(shaken, shaken), "val_loss").noise == pytest.approx(expected)
    early = [9.0, 1.0, 9.0, *steady]  # before the last two thirds
    assert features(history(early, early), "val_loss").noise == pytest.approx(0.0)


def test_what_is_read_of_validations_course():
    found = features(history(RISING, LEARNED), "val_loss")
    lowest = min(range(30), key=RISING.__getitem__)
    assert found.lowest == lowest / 29
    assert found.first == RISING[0]
    assert found.since_middle == pytest.approx(math.log(RISING[28] / RISING[14]))


def test_only_what_is_nowhere_below_zero_is_read_as_a_loss():
    for lowest, is_loss in ((0.1, True), (0.0, True), (-0.1, False)):
        values = [1.0, 0.8, 0.6, lowest]
        assert features(history(values, values), "val_loss").is_loss == is_loss


def test_the_rate_is_the_last_one_and_the_noise_counts_if_it_is_known_throughout():
    rows = history(RISING, LEARNED, [1.5 * p for p in LEARNED], rate=0.1)
    rows[-1]["rate"] = 0.4
    found = features(rows, "val_loss")
    assert (found.rate, found.noisy) == (0.4, pytest.approx(1.5 * LEARNED[-2]))
    del rows[3]["overfit/inflation/val_loss"]
    assert features(rows, "val_loss").noisy is None
    rows[3]["overfit/inflation/val_loss"] = math.nan
    assert features(rows, "val_loss").noisy is None


def test_weights_fit_the_figures():
    for weights, size in ((WEIGHTS, len(NAMES)), (WEIGHTS_WITHOUT_NOISE, len(NAMES) - 1)):
        assert set(weights) == set(WORDS)
        assert {len(w) for w in weights.values()} == {size + 1}


def test_order_of_the_numbers():
    assert (
        *("not enough evidence", "underfitting", "healthy"),
        *("overfitting", "over-regularized"),
    ) == VERDICTS


def test_a_verdict_needs_no_torch():
    code = (
        "import sys; from thinned.metrics import VERDICTS, gap, onset, verdict;"
        "print([m for m in ('torch', 'numpy', 'pytorch_lightning') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_figures_of_another_probe_are_left_out():
    """After a resume the probe may hold other samples: learned by heart was another one."""
    noisy = [0.9 * v for v in RISING]
    rows = history(RISING, [0.01] * 28 + [0.5] * 2, noisy[:28] + [0.6] * 2)
    joined = features(rows, "val_loss")
    rows[29]["overfit/new_probe"] = 1.0
    found = features(rows, "val_loss")
    assert (joined.probe, joined.noisy) == pytest.approx((0.5, 0.6))
    rows[28]["overfit/probe/val_loss"] = rows[28]["overfit/inflation/val_loss"] = 0.01
    assert not features(rows, "val_loss").memorized, "two of the last three are of the other probe"
    assert (found.probe, found.noisy, found.new_probe) == pytest.approx((0.5, 0.6, 29))
    assert (found.trend, found.rise) == (joined.trend, joined.rise), "validation has no break"
    (said,) = [e for e in verdict(rows, "val_loss").evidence if "other samples" in e]
    assert said.startswith("The probe holds other samples since epoch 29")
    assert not [e for e in verdict(KINDS["overfitting"], "val_loss").evidence if "samples" in e]


def test_the_numbers_of_the_advice_are_fields_too():
    told = {word: verdict(rows, "val_loss") for word, rows in KINDS.items()}
    numbers = {word: (each.rates, each.epochs) for word, each in told.items()}
    assert numbers == {
        "overfitting": ((0.2,), None),
        "underfitting": ((), 60),
        "over-regularized": ((0.5,), None),
    }
    either = verdict(history(RISING, BY_HEART), "val_loss")
    assert (either.remedy, either.rates, either.epochs) == ("", (0.0, 0.2), 12)
    assert "max_epochs=12" in either.action
    assert "at 0,0.2, with" in either.action
