"""What is done with predictions: acquisition scores, temperature, conformal sets, statistics."""

import itertools
import math
import re

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from scipy.special import log_softmax

from thinned.uncertainty import (
    Moments,
    bald,
    batch_bald,
    conformal_sets,
    conformal_threshold,
    epig,
    fit_temperature,
)


def samples(count=6, rows=5, classes=3, seed=0):
    generator = np.random.default_rng(seed)
    return generator.dirichlet(0.5 * np.ones(classes), (count, rows))


def joint_information(p, chosen):
    """I[y; w] of some rows, by listing all outcomes."""
    joint = 0.0
    for labels in itertools.product(range(p.shape[2]), repeat=len(chosen)):
        each = np.prod([p[:, row, y] for row, y in zip(chosen, labels, strict=True)], axis=0)
        joint -= each.mean() * math.log(each.mean())
    return joint - sum(stats.entropy(p[:, row], axis=1).mean() for row in chosen)


def test_bald_is_the_information_of_one_row():
    p = samples()
    expected = [joint_information(p, [row]) for row in range(5)]
    assert bald(torch.tensor(p)).tolist() == pytest.approx(expected, abs=1e-9)


def test_batch_bald_chooses_greedily_what_counting_says():
    p = samples()
    chosen, information = batch_bald(torch.tensor(p), 3)
    expected = []
    for _ in range(3):
        left = [row for row in range(5) if row not in expected]
        expected.append(max(left, key=lambda row: joint_information(p, [*expected, row])))
    assert chosen == expected
    counted = [joint_information(p, expected[:k]) for k in (1, 2, 3)]
    assert information == pytest.approx(counted, abs=1e-9)


def test_batch_bald_says_when_exact_sums_are_too_many():
    with pytest.raises(ValueError, match=r"got 10\^7 for count=8"):
        batch_bald(torch.full((2, 9, 10), 0.1), 8)


@pytest.mark.parametrize("score", [bald, lambda p: batch_bald(p, 1), lambda p: epig(p, p)])
@pytest.mark.parametrize("p", [[[[2.0, -1.0]]], [[[0.7, 0.7]]], [[[float("nan"), 1.0]]]])
def test_scores_refuse_what_are_no_probabilities(score, p):
    with pytest.raises(ValueError, match=r"sum to 1 over the classes.*softmax\(-1\)"):
        score(torch.tensor(p))


def test_scores_take_probabilities_in_half_precision():
    p = torch.randn(3, 4, 1000, generator=torch.Generator().manual_seed(0)).bfloat16().softmax(-1)
    assert bald(p).dtype is torch.bfloat16


def test_epig_is_the_mean_information_about_the_targets():
    p, q = samples(), samples(rows=4, seed=1)
    expected = []
    for row in range(5):
        each = []
        for other in range(4):
            joint = np.einsum("ta,tb->ab", p[:, row], q[:, other]) / len(p)
            apart = np.outer(p[:, row].mean(0), q[:, other].mean(0))
            each.append((joint * np.log(joint / apart)).sum())
        expected.append(np.mean(each))
    assert epig(torch.tensor(p), torch.tensor(q)).tolist() == pytest.approx(expected, abs=1e-9)


def test_epig_needs_the_same_samples():
    with pytest.raises(ValueError, match="got 6 and 4 of them"):
        epig(torch.tensor(samples()), torch.tensor(samples(count=4)))


def test_temperature_is_what_scipy_finds():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(400, 5))
    y = np.array([generator.choice(5, p=np.exp(each)) for each in log_softmax(logits, axis=1)])
    sharp = 3.0 * logits

    def loss(log_temperature):
        return -log_softmax(sharp / math.exp(log_temperature), axis=1)[range(400), y].mean()

    expected = math.exp(optimize.minimize_scalar(loss, bounds=(-3, 3), method="bounded").x)
    found = fit_temperature(torch.tensor(sharp), torch.tensor(y))
    assert found == pytest.approx(expected, rel=1e-3)
    assert 2.0 < found < 4.5


def test_temperature_of_rows_that_are_all_right_is_refused():
    with pytest.raises(ValueError, match="none that tell a temperature"):
        fit_temperature(torch.tensor([[2.0, 0.0]] * 3), torch.tensor([0, 0, 0]))


@pytest.mark.parametrize("tau", [0.0012, 1.0, 900.0])
def test_temperature_goes_with_the_scale_of_the_logits(tau):
    sure = tau * math.log(3.0)  # right in three of four
    logits = torch.tensor([[sure, 0.0]] * 4, dtype=torch.float64, requires_grad=True)
    assert fit_temperature(logits, torch.tensor([0, 0, 0, 1])) == pytest.approx(tau, rel=1e-9)


@pytest.mark.parametrize("tau", [0.0009, 1100.0])
def test_temperature_beyond_its_bounds_is_an_error(tau):
    with pytest.raises(ValueError, match="some are wrong and more are right"):
        fit_temperature(torch.tensor([[tau, 0.0]] * 4), torch.tensor([0, 0, 0, 1]))


@pytest.mark.parametrize(
    ("logits", "target"), [((4,), (4,)), ((2, 3, 4), (2,)), ((4, 3), (5,)), ((0, 3), (0,))]
)
def test_temperature_wants_a_row_of_logits_for_each_label(logits, target):
    with pytest.raises(ValueError, match=rf"\(N,\), got {re.escape(f'{logits} and {target}')}"):
        fit_temperature(torch.ones(logits), torch.zeros(target, dtype=torch.long))


@pytest.mark.parametrize("fit", [fit_temperature, conformal_threshold])
def test_true_classes_have_to_be_among_those_of_the_scores(fit):
    scores = torch.full((2, 3), 1 / 3)
    with pytest.raises(ValueError, match="target of classes from 0 to 2, got 1 to 3"):
        fit(scores, torch.tensor([1, 3]))
    with pytest.raises(ValueError, match="from 0 to 2, got -1 to 0"):
        fit(scores, torch.tensor([-1, 0]))
    with pytest.raises(TypeError, match=r"whole numbers, got torch\.float32"):
        fit(scores, torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_conformal_sets_hold_the_truth_as_often_as_promised(alpha):
    generator = np.random.default_rng(0)
    covered = []
    for _ in range(300):
        p = generator.dirichlet(np.ones(4), 150)
        y = np.array([generator.choice(4, p=each) for each in p])
        wrong = torch.tensor(p[:, ::-1].copy() * 0.4 + p * 0.6)  # a model that is not calibrated
        labels = torch.tensor(y)
        threshold = conformal_threshold(wrong[:99], labels[:99], alpha)
        held = conformal_sets(wrong[99:], threshold).gather(1, labels[99:, None])
        covered.append(float(held.float().mean()))
    # Exactly 1 - alpha is expected with 99 rows and these alphas; the error is that of the mean.
    error = np.std(covered) / math.sqrt(len(covered))
    assert abs(np.mean(covered) - (1.0 - alpha)) < 4 * error


def test_too_few_rows_for_a_small_alpha_give_every_class():
    threshold = conformal_threshold(torch.tensor([[0.9, 0.1]] * 5), torch.zeros(5).long(), 0.1)
    assert threshold == -math.inf
    assert conformal_sets(torch.tensor([[1.0, 0.0]]), threshold).all()


@pytest.mark.parametrize("classes", [3, 20])  # fewer and more than a vector of the processor
@pytest.mark.parametrize("chunks", [[20], [1] * 20, [7, 13], [1, 19]])
def test_streamed_statistics_are_those_of_all_samples(chunks, classes):
    values = torch.randn(20, 6, classes, dtype=torch.float64) + 1000.0
    moments = Moments(classes=True, keep=True)
    for part in values.split(chunks):
        moments.update(part)
    found, p = moments.prediction(), values.softmax(2).numpy()
    assert torch.allclose(found.mean, values.mean(0))
    assert torch.allclose(found.std, values.std(0))
    assert torch.allclose(found.variance, values.var(0))
    assert np.allclose(found.probabilities, p.mean(0))
    assert np.allclose(found.entropy, stats.entropy(p.mean(0), axis=1))
    assert np.allclose(found.mutual_information, bald(torch.tensor(p)), atol=1e-9)
    votes = stats.mode(p.argmax(2), axis=0).count / 20
    assert np.allclose(found.variation_ratio, 1 - votes)
    assert torch.equal(found.quantile(0.5), values.float().quantile(0.5, dim=0))
    assert torch.allclose(found.output.exp(), found.probabilities)


def test_maps_of_classes():
    values = torch.randn(20, 2, 3, 4, 5, dtype=torch.float64)
    moments = Moments(classes=True)
    for part in values.split(7):
        moments.update(part)
    found, p = moments.prediction(), values.softmax(2).numpy()
    assert np.allclose(found.probabilities, p.mean(0))
    assert np.allclose(found.entropy, stats.entropy(p.mean(0), axis=1))
    votes = stats.mode(p.argmax(2), axis=0).count / 20
    assert np.allclose(found.variation_ratio, 1 - votes)


def test_classes_and_samples_that_are_not_there_are_said():
    moments = Moments(classes=False)
    moments.update(torch.randn(4, 3))
    found = moments.prediction()
    assert found.output is found.mean
    with pytest.raises(ValueError, match="a classifier's prediction for `entropy`"):
        _ = found.entropy
    with pytest.raises(ValueError, match="keep_samples=True"):
        found.quantile(0.5)
