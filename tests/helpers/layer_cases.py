"""One case for every layer."""

import pytest
import torch
from torch import nn

from helpers.layer_contract import (
    Case,
    by_input,
    by_weight,
    first,
    layers_gone,
    like,
    own_plain,
    rows_kept,
    tokens_gone,
    without,
)
from thinned import layers


class Residual(nn.Module):
    """``x + linear(x)``."""

    def __init__(self, width=8):
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x):
        return x + self.linear(x)


class Plus(nn.Module):
    """Adds a number."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def forward(self, x):
        return x + self.number


def _recurrent(kind, cls, base, keys, **kwargs):
    sizes = (6, 8)
    hidden = tuple(key for key in keys if key.startswith("weight_hh"))
    weight_drop = kind == "WeightDrop"
    return Case(
        f"{kind}{base.__name__}" + "".join(f"-{k}" for k in kwargs),
        lambda p: cls(*sizes, p=p, **kwargs),
        lambda: torch.randn(5, 4, 6),
        by_weight("weight_hh_l0") if weight_drop else by_input(1, 2),
        plain=own_plain(like(base, *sizes, **{k: v for k, v in kwargs.items() if k != "mode"})),
        at_one=without(hidden)
        if weight_drop
        else lambda layer, x: torch.zeros_like(first(layer(x))),
        source=lambda: base(*sizes, **{k: v for k, v in kwargs.items() if k != "mode"}),
        options={k: v for k, v in kwargs.items() if k == "mode"},
        unbiased=False,
        graphs=0,
        keys=keys,
    )


_KEYS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
_RECURRENT = [
    _recurrent(kind, getattr(layers, f"{kind}{base.__name__}"), base, _KEYS, **kwargs)
    for kind, options in (("Variational", ({}, {"mode": "sample"})), ("WeightDrop", ({},)))
    for base in (nn.LSTM, nn.GRU, nn.RNN)
    for kwargs in options
]


def _dropconnect(dim):
    conv = getattr(nn, f"Conv{dim}d")
    return Case(
        f"DropConnectConv{dim}d",
        lambda p: getattr(layers, f"DropConnectConv{dim}d")(4, 6, 3, p=p),
        lambda: torch.randn(2, 4, *[7, 5, 4][:dim]),
        by_weight("weight"),
        plain=own_plain(like(conv, 4, 6, 3)),
        at_one=without(["weight"]),
        source=lambda: conv(4, 6, 3),
        keys=("weight", "bias"),
    )


def _drop_block(dim):
    # One channel and block size 1 make positions independent; blocks have tests of their own.
    return Case(
        f"DropBlock{dim}d",
        lambda p: getattr(layers, f"DropBlock{dim}d")(p, block_size=1),
        lambda: torch.randn(4, 4, *[80, 12, 6][dim - 1 : dim] * dim),
        by_input(),
        source=lambda: getattr(nn, f"Dropout{dim}d")(0.3),
    )


def _linear(mode, width=16):
    return Case(
        f"DropConnectLinear-{mode}",
        lambda p: layers.DropConnectLinear(8, width, p=p, mode=mode),
        lambda: torch.randn(4, 8) if mode == "batch" else torch.randn(1, 8),
        by_weight("weight"),
        plain=own_plain(like(nn.Linear, 8, width)),
        at_one=without(["weight"]),
        source=lambda: nn.Linear(8, width),
        options={"mode": mode},
        keys=("weight", "bias"),
    )


def _stochastic_depth(mode, **kwargs):
    return Case(
        f"StochasticDepth-{mode}" + "".join(f"-{k}" for k in kwargs),
        lambda p: layers.StochasticDepth(Residual(), p, mode=mode, **kwargs),
        lambda: torch.randn(40, 8),
        rows_kept,
        plain=lambda layer, x: layer.block(x),
        at_one=lambda layer, x: x,
        source=Residual,
        options={"mode": mode, **kwargs},
        keys=("block.linear.weight", "block.linear.bias"),
        unbiased=not kwargs,
        graphs=2 if mode == "skip" else 1,
        exact_count=mode == "skip",
    )


CASES = [
    Case("Dropout", layers.Dropout, lambda: torch.randn(4, 6, 10), by_input()),
    Case(
        "SpatialDropout",
        layers.SpatialDropout,
        lambda: torch.randn(8, 16, 3, 2),
        by_input(0, 1),
        source=lambda: nn.Dropout2d(0.3),
    ),
    Case(
        "SpatialDropout-last",
        lambda p: layers.SpatialDropout(p, channel_dim=-1),
        lambda: torch.randn(8, 3, 16),
        by_input(0, 2),
        options={"channel_dim": -1},
    ),
    Case(
        "AlphaDropout",
        layers.AlphaDropout,
        lambda: torch.randn(4, 6, 10),
        by_input(),
        unbiased=False,  # of standardized inputs only: see its own test
    ),
    Case(
        "FeatureAlphaDropout",
        layers.FeatureAlphaDropout,
        lambda: torch.randn(8, 16, 3),
        by_input(0, 1),
        source=lambda: nn.Dropout1d(0.3),
        unbiased=False,
    ),
    Case(
        "GaussianDropout",
        layers.GaussianDropout,
        lambda: torch.randn(4, 60),
        by_input(),
        drops=False,
    ),
    Case(
        "ConcreteDropout",
        layers.ConcreteDropout,
        lambda: torch.randn(4, 60),
        by_input(),
        drops=False,
        unbiased=False,
        keys=("logit",),
        highest=0.7,
    ),
    Case(
        "LockedDropout",
        layers.LockedDropout,
        lambda: torch.randn(4, 5, 20),
        by_input(0, 2),
        options={"time_dim": 1},
    ),
    Case(
        "LockedDropout-time-first",
        lambda p: layers.LockedDropout(p, time_dim=0),
        lambda: torch.randn(5, 4, 20),
        by_input(1, 2),
        options={"time_dim": 0},
    ),
    Case(
        "WordDropout",
        lambda p: layers.WordDropout(50, 4, p=p),
        lambda: torch.arange(100).reshape(2, 50) % 50,
        by_weight("weight", 0),
        plain=own_plain(like(nn.Embedding, 50, 4)),
        at_one=lambda layer, x: torch.zeros(*x.shape, 4),
        source=lambda: nn.Embedding(50, 4),
        keys=("weight",),
    ),
    Case(
        "WordDropout-sample",
        lambda p: layers.WordDropout(50, 4, p=p, mode="sample"),
        lambda: torch.arange(50).reshape(1, 50),
        by_weight("weight", 0),
        plain=own_plain(like(nn.Embedding, 50, 4)),
        at_one=lambda layer, x: torch.zeros(*x.shape, 4),
        source=lambda: nn.Embedding(50, 4),
        options={"mode": "sample"},
        keys=("weight",),
    ),
    *[_drop_block(dim) for dim in (1, 2, 3)],
    *[_linear(mode) for mode in ("batch", "sample")],
    *[_dropconnect(dim) for dim in (1, 2, 3)],
    Case(
        "DropPath",
        layers.DropPath,
        lambda: torch.randn(60, 4, 3),
        by_input(0),
        source=lambda: nn.Identity(),
    ),
    Case(
        "DropPath-unscaled",
        lambda p: layers.DropPath(p, scale_by_keep=False),
        lambda: torch.randn(60, 4, 3),
        by_input(0),
        source=lambda: nn.Identity(),
        options={"scale_by_keep": False},
        unbiased=False,
    ),
    *[
        _stochastic_depth("mask"),
        _stochastic_depth("mask", scale_by_keep=False),
        _stochastic_depth("skip"),
        _stochastic_depth("skip", scale_by_keep=False),
    ],
    Case(
        "TokenDrop",
        layers.TokenDrop,
        lambda: torch.randn(8, 41, 3),
        tokens_gone,
        at_one=lambda layer, x: x[:, :1],
        source=lambda: nn.Identity(),
        unbiased=False,
        graphs=2,
        exact_count=True,
    ),
    Case(
        "LayerDrop",
        lambda p: layers.LayerDrop([Plus(2**bit) for bit in range(8)], p),
        lambda: torch.arange(12.0).reshape(3, 4),
        layers_gone,
        plain=lambda layer, x: x + 255,
        at_one=lambda layer, x: x,
        source=lambda: nn.ModuleList(Plus(2**bit) for bit in range(8)),
        unbiased=False,
    ),
    *_RECURRENT,
]


def pick(keep):
    """Parametrize a test over the cases of which ``keep`` is true."""
    chosen = [case for case in CASES if keep(case)]
    assert chosen
    return pytest.mark.parametrize("case", chosen, ids=repr)


every = pick(lambda case: True)
unbiased = pick(lambda case: case.unbiased)
compiled_cases = pick(lambda case: case.graphs)
counted = pick(lambda case: case.drops)
