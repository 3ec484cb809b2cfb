"""Scores of uncertainty against those of torch-uncertainty, which were written by other people."""

import pytest
import torch
import torch_uncertainty_metrics
from torch import nn

from thinned import metrics
from thinned.uncertainty import bald, mc_predict

theirs = torch_uncertainty_metrics.load()
ROWS, CLASSES, SAMPLES = 1000, 5, 7


@pytest.fixture
def samples():
    """Return probabilities of each sample, shape (T, N, C), and the classes."""
    generator = torch.Generator().manual_seed(0)
    logits = 2.0 * torch.randn(SAMPLES, ROWS, CLASSES, generator=generator)
    truth = logits.mean(0).softmax(1).multinomial(1, generator=generator).squeeze(1)
    return logits.softmax(2), truth


def of(metric, *given):
    metric.update(*given)
    return metric.compute()


def test_proper_scores(samples):
    p, truth = samples[0].mean(0), samples[1]
    assert torch.allclose(metrics.nll(p, truth), of(theirs.CategoricalNLL(), p, truth))
    expected = of(theirs.BrierScore(num_classes=CLASSES), p, truth)
    assert torch.allclose(metrics.brier(p, truth), expected)


def test_the_bins_of_a_diagram_give_their_calibration_error(samples):
    p, truth = samples[0].mean(0), samples[1]
    expected = of(
        theirs.CalibrationError(task="multiclass", num_classes=CLASSES, num_bins=15), p, truth
    )
    bins = metrics.reliability(p, truth)
    weights = bins[:, 0] / bins[:, 0].sum()
    assert len(bins) == 15
    found = (weights * (bins[:, 1] - bins[:, 2]).abs()).sum()
    assert torch.allclose(found.float(), expected, atol=1e-6)
    assert float(expected) > 0.01


def test_the_risk_coverage_curve(samples):
    """Theirs is the area of the trapezoids under the curve, ours the mean of the risks."""
    p, truth = samples[0].mean(0), samples[1]
    wrong = (p.argmax(1) != truth).float()
    doubt = 1.0 - p.amax(1)
    coverage, risk = metrics.risk_coverage(doubt, wrong)
    area = torch.trapezoid(risk, coverage) / (1.0 - 1.0 / ROWS)
    expected = of(theirs.AURC(), p, truth)
    assert torch.allclose(area.float(), expected, atol=1e-6)
    assert float(metrics.aurc(doubt, wrong)) == pytest.approx(float(expected), abs=2.0 / ROWS)


def test_information_of_samples(samples):
    p, _ = samples
    expected = of(theirs.MutualInformation(reduction="none"), p.transpose(0, 1))
    assert expected.shape == (ROWS,)
    assert torch.allclose(bald(p), expected, atol=1e-6)


def test_a_prediction_of_many_masks():
    net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, CLASSES))
    with torch.no_grad():
        net[3].weight.mul_(8.0)
    found = mc_predict(net, torch.randn(40, 6), 50, seed=0, keep_samples=True)
    p = found.samples.softmax(2)
    information = of(theirs.MutualInformation(reduction="none"), p.transpose(0, 1))
    assert torch.allclose(found.mutual_information, information, atol=1e-5)
    doubt = of(theirs.Entropy(reduction="none"), found.probabilities)
    assert torch.allclose(found.entropy, doubt, atol=1e-5)
    expected = of(theirs.Entropy(reduction="none"), p.flatten(0, 1)).view(50, 40).mean(0)
    assert torch.allclose(found.expected_entropy, expected, atol=1e-5)
    assert float(information.min()) > 0.01
