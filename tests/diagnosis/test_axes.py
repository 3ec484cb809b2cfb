"""Channel dropout on the right rank, along the right axis."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from helpers.diagnosing import Calls, found, mlp

ROWS, SEQUENCES, IMAGES = torch.randn(4, 16), torch.randn(4, 5, 16), torch.randn(4, 3, 8, 8)
VOLUMES = torch.randn(2, 3, 4, 4, 4)
RULE = "channel-dropout-rank"


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (mlp(nn.Dropout1d(0.3)), ROWS),
        (mlp(nn.Dropout2d(0.3)), SEQUENCES),
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Dropout3d(0.3), nn.Conv2d(8, 8, 3)), IMAGES),
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(2), nn.Dropout2d(0.3)), IMAGES),
        (nn.Sequential(nn.Conv3d(3, 8, 3), nn.Dropout2d(0.3), nn.Conv3d(8, 8, 1)), VOLUMES),
    ],
)
def test_another_rank_is_found(model, example):
    [finding] = found(model, example)[RULE]
    assert finding.severity == "error"
    assert (
        f"gets {example.dim() - (example is IMAGES and 'Flatten' in str(model))} axes"
        in (finding.evidence[0])
    )


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (nn.Sequential(nn.Conv1d(5, 8, 3), nn.Dropout1d(0.3), nn.Conv1d(8, 8, 3)), SEQUENCES),
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Dropout2d(0.3), nn.Conv2d(8, 8, 3)), IMAGES),
        (nn.Sequential(nn.Conv3d(3, 8, 3), nn.Dropout3d(0.3), nn.Conv3d(8, 8, 1)), VOLUMES),
        (mlp(nn.Dropout(0.3)), SEQUENCES),
    ],
)
def test_the_right_rank_is_silent(model, example):
    assert RULE not in found(model, example)


def test_functional_dropout2d_is_seen():
    model = Calls(lambda self, x: functional.dropout2d(x, 0.3, self.training))
    assert RULE in found(model, SEQUENCES)


def test_without_an_input_a_linear_layer_before_it_is_enough():
    assert RULE in found(mlp(nn.Dropout2d(0.3)))
    assert RULE not in found(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Dropout2d(0.3)))


def test_channel_dropout_on_tokens_drops_time_steps():
    [finding] = found(mlp(nn.Dropout1d(0.3)), SEQUENCES)["channel-dropout-axis"]
    assert finding.path == "2"
    assert "channel_dim=-1" in finding.fix


def test_channel_dropout_after_a_transpose_is_right():
    model = Calls(
        lambda self, x: self.drop(x.transpose(1, 2)).transpose(1, 2), drop=nn.Dropout1d(0.3)
    )
    assert "channel-dropout-axis" not in found(model, SEQUENCES)
