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


@pytest.mark.parametrize("lstm", [nn.LSTM(16, 8, 2, dropout=0.4), nn.LSTM(16, 8)])
def test_two_layers_or_rate_0_are_right(lstm):
    assert not found(lstm, torch.randn(2, 3, 16))


def test_a_layer_that_forward_never_calls_is_dead():
    model = Calls(lambda self, x: x, drop=nn.Dropout(0.3))
    [finding] = found(model, X)["dead-site"]
    assert finding.path == "drop"


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
