"""Dropout before batch norm: found by order, believed when measured."""

import pytest
import torch
from torch import nn

from helpers.diagnosing import found, mlp
from thinned.diagnosis._context import Context
from thinned.diagnosis.rules._variance_shift import measure

RULE = "dropout-before-batch-norm"


def test_dropout_right_before_a_batch_norm_is_found_and_measured():
    torch.manual_seed(0)
    [finding] = found(mlp(nn.Dropout(0.5), nn.BatchNorm1d(64)), torch.randn(128, 16))[RULE]
    assert finding.path == "2"
    assert finding.severity == "warning"
    assert "2 (rate 0.5) feeds 3" in finding.evidence[0]
    assert "times as large in training" in finding.evidence[1]


def test_a_layer_between_does_not_hide_it():
    model = nn.Sequential(
        nn.Linear(16, 64), nn.Dropout(0.5), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.Linear(64, 2)
    )
    [finding] = found(model, torch.randn(128, 16))[RULE]
    assert finding.path == "1"


@pytest.mark.parametrize("example", [torch.randn(64, 16), None])
def test_the_recommended_order_is_silent(example):
    assert RULE not in found(
        nn.Sequential(
            nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 2)
        ),
        example,
    )


def test_a_layer_norm_between_takes_the_noise_out():
    model = mlp(nn.Dropout(0.5), nn.LayerNorm(64), nn.Linear(64, 64), nn.BatchNorm1d(64))
    assert RULE not in found(model, torch.randn(64, 16))


def test_a_shift_too_small_to_matter_is_silent():
    assert RULE not in found(mlp(nn.Dropout(0.01), nn.BatchNorm1d(64)), torch.randn(128, 16))


def test_without_an_input_it_says_that_nothing_was_measured():
    [finding] = found(mlp(nn.Dropout(0.5), nn.BatchNorm1d(64)))[RULE]
    assert "not measured" in finding.evidence[1]


def test_a_single_row_cannot_be_measured():
    [finding] = found(mlp(nn.Dropout(0.5), nn.BatchNorm1d(64)), torch.randn(1, 16))[RULE]
    assert "not measured" in finding.evidence[1]


def test_a_frozen_batch_norm_keeps_its_statistics_and_is_silent():
    model = mlp(nn.Dropout(0.5), nn.BatchNorm1d(64))
    model[3].eval()
    assert RULE not in found(model, torch.randn(64, 16))


def test_the_measured_shift_is_the_one_of_the_formula():
    """Of centred inputs of variance v, dropout makes v / (1 - p)."""
    norm = nn.BatchNorm1d(512, affine=False)
    model = nn.Sequential(nn.Identity(), nn.Dropout(0.2), norm)
    x = torch.randn(512, 512)
    shift = measure(Context(model=model, example_input=x - x.mean(dim=0)))["2"]
    assert shift.ratio == pytest.approx(1 / 0.8, abs=0.01)


def test_stochastic_depth_is_not_taken_for_dropout():
    from thinned.layers import StochasticDepth

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = StochasticDepth(nn.Sequential(nn.Linear(16, 16)), 0.5)
            self.norm, self.head = nn.BatchNorm1d(16), nn.Linear(16, 2)

        def forward(self, x):
            return self.head(self.norm(self.block(x)))

    assert RULE not in found(Net(), torch.randn(64, 16))
