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


SINGLE = "This one is taken for a single sample: its first axis, the batch, is dropped."
THREE = "With three, torch takes the second axis for the channels, and warns."
OTHER = "What it drops here is not what its name says."
FLAT = "After a linear layer there are no positions, and whole samples are dropped."


@pytest.mark.parametrize(
    ("model", "example", "happens", "fix"),
    [
        (mlp(nn.Dropout1d(0.3)), ROWS, SINGLE, "nn.Dropout at 2"),
        (mlp(nn.Dropout2d(0.3)), SEQUENCES, THREE, "nn.Dropout1d at 2"),
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Dropout3d(0.3)), IMAGES, SINGLE, "nn.Dropout2d at 1"),
        (nn.Sequential(nn.Conv3d(3, 8, 3), nn.Dropout2d(0.3)), VOLUMES, OTHER, "nn.Dropout3d at 1"),
        (mlp(nn.Dropout2d(0.3)), None, FLAT, "nn.Dropout at 2"),
        (
            Calls(lambda self, x: functional.dropout2d(x, 0.3, self.training)),
            SEQUENCES,
            THREE,
            "nn.Dropout1d at this place",
        ),
    ],
)
def test_what_happens_and_what_to_use(model, example, happens, fix):
    [finding] = found(model, example)[RULE]
    assert finding.message.endswith(f" axes (batch, channels, positions). {happens}")
    assert finding.fix == f"Use {fix}."


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
    assert finding.evidence[0].endswith("gets (4, 5, 64) from linear")


@pytest.mark.parametrize(
    ("model", "example"), [(mlp(nn.Dropout(0.3)), SEQUENCES), (mlp(nn.Dropout1d(0.3)), ROWS)]
)
def test_dropout_of_single_units_and_rows_have_no_axis_to_mistake(model, example):
    assert "channel-dropout-axis" not in found(model, example)


def test_channel_dropout_after_a_transpose_is_right():
    model = Calls(
        lambda self, x: self.drop(x.transpose(1, 2)).transpose(1, 2), drop=nn.Dropout1d(0.3)
    )
    assert "channel-dropout-axis" not in found(model, SEQUENCES)
