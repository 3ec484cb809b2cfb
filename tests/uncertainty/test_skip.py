"""Stochastic depth that computes a fixed share of the rows: copies would make it another share."""

import functools

import pytest
import torch
from torch import nn

import thinned
from thinned import layers
from thinned.uncertainty import mc_predict

ROWS = torch.randn(4, 6, generator=torch.Generator().manual_seed(3))


class Block(nn.Module):
    """A residual block."""

    def __init__(self):
        super().__init__()
        self.one = nn.Linear(8, 8)

    def forward(self, x):
        return x + self.one(x).relu()


class Permuting(nn.Module):
    """Somebody's own: a fixed share of the rows, drawn at random, becomes zero."""

    def __init__(self):
        super().__init__()
        self.drop_rate = 0.25

    def forward(self, x):
        if not self.training:
            return x
        left = torch.ones(len(x), 1)
        left[torch.randperm(len(x))[: round(len(x) * self.drop_rate)]] = 0.0
        return x * left


def layer():
    deep = layers.StochasticDepth(Block(), 0.4, mode="skip")
    return nn.Sequential(nn.Linear(6, 8), deep, nn.Linear(8, 3))


def hook():
    model = nn.Sequential(nn.Linear(6, 8), Block(), nn.Linear(8, 3))
    skipping = functools.partial(layers.StochasticDepth, mode="skip")
    thinned.insert(model, skipping, 0.4, example_input=ROWS)
    return model


@pytest.mark.parametrize("make", [layer, hook])
def test_samples_are_those_of_the_loop(make):
    torch.manual_seed(0)
    model = make().eval()
    options = {"seed": 1, "classes": False, "keep_samples": True}
    found = mc_predict(model, ROWS, 20, **options)
    expected = mc_predict(model, ROWS, 20, batched=False, **options)
    assert "as one batch" not in found.method
    assert torch.equal(found.samples, expected.samples)
    with torch.no_grad():
        kept = model[2](model[0](ROWS))  # past the block
    dropped = (found.samples - kept).abs().amax(-1) < 1e-5
    assert dropped.sum(1).tolist() == [2] * 20  # of 4 rows, 40% are 2 when rounded


def test_rows_that_are_permuted_are_no_copies():
    model = nn.Sequential(nn.Linear(6, 8), Permuting())
    found = mc_predict(model, ROWS, 20, keep_samples=True)
    assert (found.samples == 0).all(-1).sum(1).tolist() == [1] * 20
    assert "as one batch" not in found.method
