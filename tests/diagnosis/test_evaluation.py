"""Dropout alive in evaluation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn import functional as F  # noqa: N812 - as everybody writes it

from helpers.diagnosing import Calls, found, mlp

X = torch.randn(8, 16)
TOKENS = torch.randn(2, 4, 16)
EITHER = pytest.mark.parametrize("given", [True, False], ids=["traced", "structure"])


class Attention(nn.Module):
    def __init__(self, p=0.1):
        super().__init__()
        self.p, self.proj = p, nn.Linear(16, 16)

    def forward(self, x):
        return self.proj(functional.scaled_dot_product_attention(x, x, x, dropout_p=self.p))


class GatedAttention(Attention):
    def forward(self, x):
        p = self.p if self.training else 0.0
        return self.proj(functional.scaled_dot_product_attention(x, x, x, dropout_p=p))


class GatedInline(Attention):
    def forward(self, x):
        return self.proj(
            functional.scaled_dot_product_attention(
                x, x, x, dropout_p=self.p if self.training else 0.0
            )
        )


class AlwaysOn(Attention):
    def forward(self, x):
        return self.proj(F.dropout(x, 0.3))


class UnderATest(Attention):
    def forward(self, x):
        if self.training:
            x = F.dropout(x, 0.3)
        return self.proj(x)


class Gated(Attention):
    def forward(self, x):
        return self.proj(F.dropout(x, 0.3, self.training))


class BuiltInForward(Attention):
    def forward(self, x):
        return self.proj(nn.Dropout(0.3)(x))


class BuiltAndSwitched(Attention):
    def forward(self, x):
        return self.proj(nn.Dropout(0.3).train(self.training)(x))


class InAList(nn.Module):
    def __init__(self, drop):
        super().__init__()
        self.drops, self.proj = [drop], nn.Linear(16, 16)

    def forward(self, x):
        return self.proj(self.drops[0](x))


class InAModuleList(InAList):
    def __init__(self, drop):
        super().__init__(drop)
        self.drops = nn.ModuleList([drop])


class StaysInTraining(nn.Dropout):
    def train(self, mode=True):
        return super().train(True)


@EITHER
@pytest.mark.parametrize("model", [Attention(), AlwaysOn()])
def test_dropout_that_never_asks_for_training_is_found(model, given):
    [finding] = found(model, TOKENS if given else None)["alive-in-eval"]
    assert finding.severity == "error"
    assert "self.training" in finding.fix
    assert "test_evaluation.py:" in finding.evidence[0]


@EITHER
@pytest.mark.parametrize(
    "model", [Attention(0.0), GatedAttention(), GatedInline(), UnderATest(), Gated(), AlwaysOn]
)
def test_dropout_that_asks_is_right(model, given):
    model = mlp(nn.Dropout(0.3)) if model is AlwaysOn else model
    assert "alive-in-eval" not in found(model, TOKENS if given else None)


def test_the_line_is_that_of_the_call():
    [finding] = found(AlwaysOn(), TOKENS)["alive-in-eval"]
    line = int(finding.evidence[0].rpartition(":")[2])
    with Path(__file__).open() as file:
        assert "F.dropout(x, 0.3)" in file.read().splitlines()[line - 1]


def test_a_layer_that_the_model_does_not_hold_at_all_is_found():
    drop = nn.Dropout(0.3)
    [finding] = found(Calls(lambda self, x: drop(x)), X)["alive-in-eval"]
    assert finding.path == "Dropout"


@EITHER
def test_a_layer_built_in_forward_is_found(given):
    rules = found(BuiltInForward(), TOKENS if given else None)
    assert "built-in-forward" in rules
    assert "alive-in-eval" not in rules


@EITHER
@pytest.mark.parametrize("model", [BuiltAndSwitched(), Gated()])
def test_a_layer_built_and_switched_is_right(model, given):
    rules = found(model, TOKENS if given else None)
    assert "built-in-forward" not in rules
    assert "alive-in-eval" not in rules


@EITHER
def test_dropout_in_a_plain_list_is_found(given):
    rules = found(InAList(nn.Dropout(0.3)), X if given else None)
    [finding] = rules["unregistered-dropout"]
    assert finding.path == "drops[0]"
    assert "alive-in-eval" not in rules


@pytest.mark.parametrize("model", [InAModuleList(nn.Dropout(0.3)), InAList(nn.Dropout(0.3).eval())])
def test_in_a_module_list_or_switched_off_it_is_right(model):
    assert "unregistered-dropout" not in found(model, X)


def test_a_layer_that_eval_does_not_reach_is_found():
    [finding] = found(mlp(StaysInTraining(0.3)), X)["alive-in-eval"]
    assert finding.path == "2"
    assert "train()" in finding.fix


def test_a_mask_drawn_by_hand_is_found():
    model = Calls(lambda self, x: x * torch.bernoulli(torch.full_like(x, 0.9)) / 0.9)
    [finding] = found(model, X)["alive-in-eval"]
    assert finding.severity == "warning"


def test_a_mask_drawn_by_hand_in_training_only_is_right():
    model = Calls(
        lambda self, x: x * torch.bernoulli(torch.full_like(x, 0.9)) if self.training else x
    )
    assert "alive-in-eval" not in found(model, X)


def test_numpy_noise_in_evaluation_is_noted():
    model = Calls(lambda self, x: x * float(np.random.rand()))
    assert "eval-not-repeatable" in found(model, X)


@pytest.mark.parametrize(
    "function",
    [lambda self, x: x, lambda self, x: x + torch.randn_like(x)],
    ids=["nothing", "sampling"],
)
def test_repeatable_models_and_those_that_sample_are_left_alone(function):
    rules = found(Calls(function), X)
    assert "eval-not-repeatable" not in rules
    assert "alive-in-eval" not in rules
