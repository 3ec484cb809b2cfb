"""SELU and alpha dropout belong together."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from helpers.diagnosing import Calls, found, mlp

X = torch.randn(8, 16)
EITHER = pytest.mark.parametrize("example", [X, None], ids=["traced", "structure"])


def selu(*middle):
    return nn.Sequential(nn.Linear(16, 64), nn.SELU(), *middle, nn.Linear(64, 2))


@EITHER
def test_alpha_dropout_after_relu_is_found(example):
    [finding] = found(mlp(nn.AlphaDropout(0.2)), example)["alpha-dropout-without-selu"]
    assert finding.path == "2"
    assert "relu" in finding.evidence[0]


@EITHER
def test_alpha_dropout_after_selu_is_right(example):
    rules = found(selu(nn.AlphaDropout(0.2)), example)
    assert not {"alpha-dropout-without-selu", "dropout-with-selu"} & set(rules)


@EITHER
def test_plain_dropout_after_selu_is_found(example):
    [finding] = found(selu(nn.Dropout(0.2)), example)["dropout-with-selu"]
    assert '{"Dropout": "alpha"}' in finding.fix


@EITHER
def test_plain_dropout_after_relu_is_right(example):
    assert "dropout-with-selu" not in found(mlp(nn.Dropout(0.2)), example)


def test_functional_selu_is_seen():
    model = Calls(
        lambda self, x: functional.dropout(functional.selu(x), 0.2, self.training), width=64
    )
    assert "dropout-with-selu" in found(model, X)


def test_our_alpha_dropout_is_known():
    from thinned.layers import AlphaDropout

    assert "alpha-dropout-without-selu" in found(mlp(AlphaDropout(0.2)), X)
    assert "alpha-dropout-without-selu" not in found(selu(AlphaDropout(0.2)), X)
