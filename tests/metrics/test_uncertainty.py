"""Scores of probabilities and of doubt, against scikit-learn and against counting."""

import itertools
import pickle
import re

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from torchmetrics.functional.classification import multiclass_calibration_error

from thinned import metrics


def classifier(rows=200, classes=4, seed=0):
    """Return probabilities, and true classes that follow them."""
    generator = np.random.default_rng(seed)
    p = generator.dirichlet(np.ones(classes), rows)
    y = np.array([generator.choice(classes, p=each) for each in p])
    return torch.tensor(p), torch.tensor(y)


def doubt(rows=200, seed=0, ties=False):
    """Return uncertainties and errors that follow them."""
    generator = np.random.default_rng(seed)
    u = generator.random(rows).round(1 if ties else 9)
    return torch.tensor(u, dtype=torch.float32), torch.tensor(generator.random(rows) < u).long()


def test_nll_is_scikit_learns_log_loss():
    p, y = classifier()
    assert float(metrics.nll(p, y)) == pytest.approx(log_loss(y, p, labels=range(4)), rel=1e-5)


def test_nll_of_an_impossible_truth_is_large_and_finite():
    found = float(metrics.nll(torch.tensor([[1.0, 0.0]]), torch.tensor([1])))
    assert found == pytest.approx(87.34, abs=0.01)  # -log of the smallest normal number


def test_brier_is_scikit_learns():
    p, y = classifier()
    expected = brier_score_loss(y, p, labels=range(4), scale_by_half=False)
    assert float(metrics.brier(p, y)) == pytest.approx(expected, rel=1e-5)


SCORES = [metrics.nll, metrics.brier, metrics.reliability]


@pytest.mark.parametrize("score", SCORES)
def test_logits_are_refused(score):
    with pytest.raises(ValueError, match=r"rows sum to 1, got a row that sums to 4.*softmax"):
        score(torch.tensor([[3.0, 1.0]]), torch.tensor([0]))


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(
    "shapes", [((1, 2), (2,)), ((2,), (2,)), ((2, 2, 2), (2,)), ((2, 2), (2, 1))]
)
def test_shapes_must_match(score, shapes):
    p, y = torch.full(shapes[0], 0.5), torch.zeros(shapes[1]).long()
    with pytest.raises(ValueError, match=re.escape(f"got {shapes[0]} and {shapes[1]}.")):
        score(p, y)


@pytest.mark.parametrize("ties", [True, False])
def test_aurocs_are_scikit_learns(ties):
    u, wrong = doubt(ties=ties)
    expected = roc_auc_score(wrong, u)
    assert float(metrics.error_auroc(u, wrong)) == pytest.approx(expected, abs=1e-6)
    split = u[wrong == 0], u[wrong == 1]
    assert float(metrics.ood_auroc(*split)) == pytest.approx(expected, abs=1e-6)


def test_auroc_does_not_depend_on_the_scale_of_doubt():
    u, wrong = doubt()
    expected = float(metrics.error_auroc(u, wrong))
    assert float(metrics.error_auroc(100.0 * u - 300.0, wrong)) == pytest.approx(expected)


@pytest.mark.parametrize("wrong", [torch.zeros(3), torch.ones(3)])
def test_auroc_of_one_kind_is_nan(wrong):
    assert metrics.error_auroc(torch.tensor([0.1, 0.2, 0.3]), wrong).isnan()


def test_risk_coverage_by_hand():
    u = torch.tensor([0.9, 0.1, 0.5, 0.3])
    coverage, risk = metrics.risk_coverage(u, torch.tensor([1, 0, 0, 1]))
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert risk.tolist() == pytest.approx([0.0, 0.5, 1 / 3, 0.5])


def test_aurc_of_ties_is_the_mean_over_all_their_orders():
    u, wrong = torch.tensor([0.1, 0.5, 0.5, 0.5, 0.9]), np.array([0, 1, 0, 0, 1])
    areas = []
    for middle in itertools.permutations([1, 2, 3]):
        risks = [wrong[[0, *middle, 4][:k]].mean() for k in range(1, 6)]
        areas.append(np.mean(risks))
    assert float(metrics.aurc(u, torch.tensor(wrong))) == pytest.approx(np.mean(areas), rel=1e-6)


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match=r"N above 0, got \(0,\)"):
        metrics.aurc(torch.zeros(0), torch.zeros(0))
    with pytest.raises(ValueError, match=r"same shape \(N,\).*got \(2, 2\)"):
        metrics.aurc(torch.zeros(2, 2), torch.zeros(2, 2))


CLASSES = [
    (metrics.NegativeLogLikelihood, metrics.nll, classifier),
    (metrics.BrierScore, metrics.brier, classifier),
    (metrics.AURC, metrics.aurc, doubt),
    (metrics.ErrorAUROC, metrics.error_auroc, doubt),
]


@pytest.mark.parametrize(("cls", "twin", "make"), CLASSES)
def test_classes_over_batches_are_their_functional_twins(cls, twin, make):
    given = make()
    metric = pickle.loads(pickle.dumps(cls()))
    other = cls()
    for index, parts in enumerate(zip(*(each.split(37) for each in given), strict=True)):
        (metric if index % 2 else other).update(*parts)
    metric.merge_state(other)  # as two processes are
    assert float(metric.compute()) == pytest.approx(float(twin(*given)), rel=1e-5)


def test_reliability_is_scikit_learns_curve_and_torchmetrics_error():
    p, y = classifier(rows=500)
    found = metrics.reliability(p, y, bins=10)
    confidence, chosen = p.max(1)
    accuracy, mean = calibration_curve((chosen == y).numpy(), confidence.numpy(), n_bins=10)
    filled = found[found[:, 0] > 0]
    assert int(found[:, 0].sum()) == 500
    assert filled[:, 1].tolist() == pytest.approx(mean.tolist(), rel=1e-5)
    assert filled[:, 2].tolist() == pytest.approx(accuracy.tolist(), rel=1e-5)
    error = (found[:, 0] / 500 * (found[:, 1] - found[:, 2]).abs()).sum()
    expected = multiclass_calibration_error(p, y, num_classes=4, n_bins=10, norm="l1")
    assert float(error) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(
    ("confidence", "bin_of"), [(1.0, 3), (0.75, 2), (0.5, 1), (0.2500001, 1), (0.25, 0)]
)
def test_bins_hold_their_upper_edge(confidence, bin_of):
    p = torch.full((1, 4), (1.0 - confidence) / 3)
    p[0, 0] = confidence
    found = metrics.reliability(p, torch.tensor([0]), bins=4)
    assert found[:, 0].nonzero().flatten().tolist() == [bin_of]


CURVES = [
    (metrics.Reliability, metrics.reliability, classifier),
    (metrics.RiskCoverage, metrics.risk_coverage, doubt),
]


@pytest.mark.parametrize(("cls", "twin", "make"), CURVES)
def test_curves_over_batches_are_their_functional_twins(cls, twin, make):
    given = make()
    metric = pickle.loads(pickle.dumps(cls()))
    other = cls()
    parts = [each.split(120) for each in given]
    metric.update(*(each[0] for each in parts))
    other.update(*(each[1] for each in parts))
    metric.merge_state(other)
    found, expected = metric.compute(), twin(*given)
    assert torch.allclose(torch.as_tensor(found[1]), torch.as_tensor(expected[1]), atol=1e-6)
    assert torch.allclose(torch.as_tensor(found[0]), torch.as_tensor(expected[0]), atol=1e-6)
