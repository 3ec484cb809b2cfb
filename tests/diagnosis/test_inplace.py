"""Dropout that writes into its input."""

import pytest
import torch
from torch import nn

from helpers.diagnosing import Calls, found, mlp

X = torch.randn(8, 16)
INPLACE = nn.Dropout(0.3, inplace=True)


@pytest.mark.parametrize("example", [X, None], ids=["traced", "structure"])
def test_writing_over_what_relu_needs_is_an_error_and_indeed_fails(example):
    model = mlp(INPLACE)
    [finding] = found(model, example)["inplace-dropout"]
    assert finding.severity == "error"
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        model(X).sum().backward()


@pytest.mark.parametrize("example", [X, None], ids=["traced", "structure"])
@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(16, 64), nn.Hardswish(), INPLACE, nn.Linear(64, 2)),
        nn.Sequential(nn.Linear(16, 64), INPLACE, nn.Linear(64, 2)),
        mlp(nn.Dropout(0.3)),
    ],
)
def test_where_nobody_needs_it_it_is_right_and_trains(model, example):
    assert "inplace-dropout" not in found(model, example)
    model(X).sum().backward()


def test_a_copy_may_be_written_into():
    model = Calls(lambda self, x: x + self.drop(x.clone()), drop=INPLACE)
    assert "inplace-dropout" not in found(model, X)
