"""Rates that are set and do nothing."""

import pytest
import torch
from torch import nn

from helpers.diagnosing import Calls, found, mlp

X = torch.randn(8, 16)


@pytest.mark.filterwarnings("ignore:dropout option adds dropout after all but last")
@pytest.mark.parametrize("example", [torch.randn(2, 3, 16), None], ids=["traced", "structure"])
@pytest.mark.parametrize("cls", [nn.LSTM, nn.GRU, nn.RNN])
def test_the_dropout_of_one_recurrent_layer_is_dead(cls, example):
    [finding] = found(cls(16, 8, num_layers=1, dropout=0.4), example)["dead-site"]
    assert "dropout is 0.4" in finding.message
    assert "num_layers=2" in finding.fix
    assert f'{{"{cls.__name__}": "variational"}}' in finding.fix


@pytest.mark.parametrize("lstm", [nn.LSTM(16, 8, 2, dropout=0.4), nn.LSTM(16, 8)])
def test_two_layers_or_rate_0_are_right(lstm):
    assert "dead-site" not in found(lstm, torch.randn(2, 3, 16))


def test_a_layer_that_forward_never_calls_is_dead():
    model = Calls(lambda self, x: x, drop=nn.Dropout(0.3))
    [finding] = found(model, X)["dead-site"]
    assert finding.path == "drop"
    assert finding.fix.startswith("Let the forward use it, or remove it")


def test_a_layer_that_forward_calls_is_live():
    assert "dead-site" not in found(Calls(lambda self, x: self.drop(x), drop=nn.Dropout(0.3)), X)


def test_a_model_that_stays_silent_in_training_is_found():
    class NeverTrains(nn.Dropout):
        def train(self, mode=True):
            return super().train(False)

    model = mlp(NeverTrains(0.5))
    model[2].eval()
    assert "silent-in-training" in found(model, X)


@pytest.mark.parametrize("model", [mlp(nn.Dropout(0.5)), mlp(), mlp(nn.Dropout(0.0))])
def test_one_that_drops_or_has_nothing_to_drop_is_right(model):
    assert "silent-in-training" not in found(model, X)


class Holds(nn.Module):
    """Keeps the rate that it built its layers with, as timm's models do."""

    def __init__(self, *layers):
        super().__init__()
        self.drop_rate = 0.3
        self.layers = nn.Sequential(nn.Linear(16, 64), *layers, nn.Linear(64, 2))

    def forward(self, x):
        return self.layers(x)


def test_a_rate_that_only_records_how_layers_were_built_is_a_note():
    [finding] = found(Holds(nn.Dropout(0.3)), X)["dead-site"]
    assert (finding.path, finding.severity) == (":drop_rate", "note")


def test_a_rate_that_nothing_was_built_with_is_a_warning():
    [finding] = found(Holds(), X)["dead-site"]
    assert (finding.path, finding.severity) == (":drop_rate", "warning")


class Placeholder(nn.Module):
    """As in timm: the slot of a rate that was 0."""

    def __init__(self, **held):
        super().__init__()
        self.fc, self.drop_path = nn.Linear(16, 16), nn.Identity()
        for name, value in held.items():
            setattr(self, name, value)

    def forward(self, x):
        return x + self.drop_path(self.fc(x))


def test_empty_places_are_noted_where_nothing_else_drops():
    [finding] = found(nn.Sequential(Placeholder(), Placeholder()), X)["placeholder"]
    assert "(2)" in finding.message
    assert "insert" in finding.fix


def test_empty_places_beside_live_dropout_are_right():
    model = nn.Sequential(Placeholder(), nn.Dropout(0.3), nn.Linear(16, 2))
    assert "placeholder" not in found(model, X)
