"""Gap, ratio and inflation by hand."""

import copy
import math
import pickle

import pytest
import torch
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassCalibrationError

from thinned.metrics import GapOf, gap, inflation, inflation_share, ratio


@pytest.mark.parametrize(
    ("validation", "probe", "difference", "quotient"),
    [
        (0.75, 0.5, 0.25, 1.5),
        (0.5, 0.75, -0.25, 2 / 3),
        (0.0, 0.5, -0.5, 0.0),
        (0.5, 0.0, 0.5, math.inf),
        (-0.5, 0.0, -0.5, -math.inf),
        (-1.0, -2.0, 1.0, 0.5),
    ],
)
def test_gap_and_ratio(validation, probe, difference, quotient):
    assert gap(validation, probe) == pytest.approx(difference)
    assert ratio(validation, probe) == pytest.approx(quotient)


def test_ratio_of_nothing_to_nothing():
    assert math.isnan(ratio(0.0, 0.0))


def test_naive_difference_is_gap_minus_inflation():
    validation, probe, noisy = 0.75, 0.5, 1.0
    naive = validation - noisy
    assert naive == gap(validation, probe) - inflation(noisy, probe) == -0.25


@pytest.mark.parametrize(("noisy", "share"), [(0.5, 0.0), (0.75, 0.5), (1.25, 0.75), (0.25, 0.5)])
def test_inflation_share(noisy, share):
    assert inflation_share(0.75, 0.5, noisy) == pytest.approx(share)


def test_inflation_share_of_nothing():
    assert math.isnan(inflation_share(0.5, 0.5, 0.5))


def _reference_calibration_error(probabilities, labels, bins=10):
    """Expected calibration error by its definition, bin by bin."""
    error = 0.0
    sure, guess = probabilities.max(1)
    for number in range(bins):
        inside = (sure > number / bins) & (sure <= (number + 1) / bins)
        if inside.any():
            right = (guess[inside] == labels[inside]).double().mean()
            error += inside.double().mean() * (right - sure[inside].double().mean()).abs()
    return error.item()


def _predictions(size, seed):
    draw = torch.Generator().manual_seed(seed)
    return (
        torch.rand(size, 4, generator=draw).softmax(1),
        torch.randint(4, (size,), generator=draw),
    )


def test_calibration_gap_by_its_definition():
    made = GapOf(MulticlassCalibrationError(4, n_bins=10))
    fresh, known = _predictions(60, 0), _predictions(90, 1)
    for name, (probabilities, labels) in (("validation", fresh), ("probe", known)):
        for part in torch.arange(len(labels)).split(16):
            made.update(name, probabilities[part], labels[part])
    expected = _reference_calibration_error(*fresh) - _reference_calibration_error(*known)
    assert made.compute().item() == pytest.approx(expected, abs=1e-5)
    for twin in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert twin.compute() == made.compute()
    made.reset()
    for name, (probabilities, labels) in (("validation", known), ("probe", fresh)):
        made.update(name, probabilities, labels)
    assert made.compute().item() == pytest.approx(-expected, abs=1e-5)


def test_the_metric_given_stays_as_it_is():
    metric = MulticlassCalibrationError(4)
    metric.update(*_predictions(10, 0))
    before = metric.compute()
    made = GapOf(metric)
    made.update("probe", *_predictions(10, 1))
    assert metric.compute() == before


def test_what_the_metric_given_has_seen_does_not_count():
    metric = MeanMetric()
    metric.update(100.0)
    made = GapOf(metric)
    made.update("validation", 3.0)
    made.update("probe", 1.0)
    assert made.compute() == 2.0


def test_a_reset_empties_both_sides_and_forgets_what_was_computed():
    made = GapOf(MeanMetric())
    made.update("validation", 3.0)
    made.update("probe", 1.0)
    assert made.compute() == 2.0
    made.reset()
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert torch.isnan(made.compute())


def test_arguments_by_name_reach_the_metric_and_torchmetrics():
    made = GapOf(MeanMetric(), compute_with_cache=False)
    assert made.compute_with_cache is False
    made.update("validation", torch.tensor([1.0, 5.0]), weight=torch.tensor([3.0, 1.0]))
    made.update("probe", 1.0)
    assert made.compute() == 1.0


def test_a_side_that_is_none():
    with pytest.raises(ValueError, match="Expected `side` to be one of 'validation', 'probe'"):
        GapOf(MulticlassCalibrationError(4)).update("train", *_predictions(10, 0))
