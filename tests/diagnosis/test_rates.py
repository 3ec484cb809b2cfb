"""Rates that do not fit the layer or the data."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from helpers.diagnosing import Calls, found, mlp

X = torch.randn(8, 16)
EITHER = pytest.mark.parametrize("example", [X, None], ids=["traced", "structure"])


@EITHER
def test_a_rate_above_a_half_is_found(example):
    [finding] = found(mlp(nn.Dropout(0.75)), example)["rate-too-high"]
    assert finding.severity == "warning"
    assert any("is 3 times" in line for line in finding.evidence)


def test_the_width_that_a_run_shows_counts_and_not_that_of_the_neighbour():
    class Late(nn.Module):
        """Registers its dropout after its output layer, and calls it before."""

        def __init__(self):
            super().__init__()
            self.body, self.head, self.drop = nn.Linear(16, 64), nn.Linear(64, 2), nn.Dropout(0.2)

        def forward(self, x):
            return self.head(self.drop(self.body(x).relu()))

    assert "rate-too-high" in found(Late())  # by the order of registration, of 2 units
    assert "rate-too-high" not in found(Late(), torch.randn(4, 16))


@EITHER
def test_rate_1_is_an_error(example):
    assert found(mlp(nn.Dropout(1.0)), example)["rate-too-high"][0].severity == "error"


def test_a_narrow_layer_left_with_few_units_is_found_with_the_reason():
    [finding] = found(mlp(nn.Dropout(0.5), width=10), X)["rate-too-high"]
    assert finding.severity == "advice"
    assert "10 units, of which 5 stay" in finding.evidence[0]


@EITHER
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.5])
def test_usual_rates_are_right(rate, example):
    rules = found(mlp(nn.Dropout(rate)), example)
    assert "rate-too-high" not in rules
    assert "rate-too-low" not in rules


def test_a_hard_coded_rate_is_seen_too():
    model = Calls(lambda self, x: functional.dropout(x, 0.8, self.training))
    [finding] = found(model, X)["rate-too-high"]
    assert "0.8" in finding.message


def test_dropout_on_the_input_above_a_fifth_is_found():
    model = nn.Sequential(nn.Dropout(0.4), nn.Linear(16, 2))
    [finding] = found(model, X)["input-rate-too-high"]
    assert finding.path == "0"


@pytest.mark.parametrize("model", [nn.Sequential(nn.Dropout(0.2), nn.Linear(16, 2)), mlp()])
def test_a_fifth_on_the_input_is_right(model):
    assert "input-rate-too-high" not in found(model, X)


def test_a_low_rate_on_a_wide_layer_with_little_data_is_found_with_the_reason():
    [finding] = found(mlp(nn.Dropout(0.05), width=512), X, dataset_size=100)["rate-too-low"]
    assert finding.evidence == ("512 units", "9730 trainable parameters, 100 training examples")


@pytest.mark.parametrize(
    ("rate", "width", "size"), [(0.05, 512, 100_000), (0.3, 512, 100), (0.05, 64, 100)]
)
def test_with_much_data_a_usual_rate_or_a_narrow_layer_it_is_right(rate, width, size):
    assert "rate-too-low" not in found(mlp(nn.Dropout(rate), width=width), X, dataset_size=size)


def test_a_rate_that_will_move_is_not_judged_by_where_it_begins():
    model = mlp(nn.Dropout(0.05), width=512)
    assert "rate-too-low" not in found(model, X, dataset_size=100, scheduled=True)


@EITHER
def test_a_schedule_on_a_model_without_a_site_regularizes_nothing(example):
    assert "no-regularizer" in found(mlp(), example, dataset_size=20, scheduled=True)


def test_a_tenth_is_what_transformers_are_trained_with():
    layer = nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.1, batch_first=True)
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 2))
    assert "rate-too-low" not in found(model, torch.randn(2, 1, 256), dataset_size=50)


@EITHER
def test_nothing_that_regularizes_on_little_data_is_found(example):
    [finding] = found(mlp(), example, dataset_size=20)["no-regularizer"]
    assert "1218 trainable parameters, 20 training examples" in finding.evidence[0]
    assert "regularize" in finding.fix


@EITHER
@pytest.mark.parametrize(
    ("model", "context"),
    [
        (mlp(), {"dataset_size": 10_000}),
        (mlp(), {"dataset_size": 20, "weight_decay": 0.01}),
        (mlp(nn.Dropout(0.3)), {"dataset_size": 20}),
        (mlp(nn.Dropout(0.0)), {"dataset_size": 20, "scheduled": True}),
        (mlp(), {}),
        (mlp().requires_grad_(False), {"dataset_size": 20}),
    ],
)
def test_data_decay_dropout_or_no_knowledge_of_the_data_are_right(model, context, example):
    assert "no-regularizer" not in found(model, example, **context)
