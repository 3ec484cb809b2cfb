"""A diagnosis leaves no trace."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules import module as torch_module

import thinned
from helpers.diagnosing import mlp


class Remembers(nn.Module):
    """Does in its forward all that leaves a trace."""

    def __init__(self):
        super().__init__()
        self.net = mlp(nn.BatchNorm1d(64), nn.Dropout(0.3), nn.BatchNorm1d(64))
        self.norm = nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2))
        self.register_buffer("steps", torch.zeros(()))
        self.calls, self.seen, self.cache = 0, [], None
        self.total = torch.zeros(())
        self.hidden = [nn.Dropout(0.3)]

    def forward(self, x):
        self.calls += 1
        self.steps += 1
        self.total += x.sum().detach()
        self.seen.append(x.shape)
        if self.cache is None:
            self.cache = torch.arange(2.0)
        self.new = x
        x = x + 0 * (np.random.rand() + random.random())
        return self.hidden[0](self.norm(self.net(x))) + self.cache


def picture(model):
    """Everything that a diagnosis could have changed."""
    held = {}
    for name, module in model.named_modules():
        state = dict(vars(module))
        for registry in ("_parameters", "_buffers"):
            held |= {(name, registry, k): copy.deepcopy(v) for k, v in state[registry].items()}
        for hooks in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks"):
            held[name, hooks] = list(state[hooks])
        held |= {
            (name, key): copy.deepcopy(value)
            for key, value in state.items()
            if not key.startswith("_")
        }
    held["grads"] = [p.grad for p in model.parameters()]
    held["torch"], held["python"] = torch.get_rng_state(), random.getstate()
    held["numpy"] = np.random.get_state()[1]
    held["hooks"] = [
        list(torch_module._global_forward_hooks),
        list(torch_module._global_forward_pre_hooks),
    ]
    return held


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, nn.Module):
        return type(a) is type(b) and a.training == b.training
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(
    "example",
    [torch.randn(8, 16), torch.randn(1, 16), torch.randn(2, 3), None],
    ids=["rows", "row", "wrong", "none"],
)
def test_model_and_generators_are_as_before(mode, example):
    model = Remembers().train(mode)
    model.net[1].eval()
    before = picture(model)
    findings = thinned.diagnose(model, example, dataset_size=10, world_size=2, at_fit_start=True)
    after = picture(model)
    assert findings
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert same(value, after[key]), key


def test_what_is_made_in_a_diagnosis_can_be_trained_with():
    """A cache outside of the model keeps what a forward put there: an ordinary tensor."""
    cache = {}

    class Caches(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(16, 2)

        def forward(self, x):
            if "ones" not in cache:
                cache["ones"] = torch.ones(2) * 1.5
            return self.fc(x) * cache["ones"]

    model = Caches()
    thinned.diagnose(model, torch.randn(4, 16))
    model(torch.randn(4, 16)).sum().backward()
    assert model.fc.weight.grad is not None


def test_lazy_layers_stay_lazy():
    model = nn.Sequential(nn.LazyLinear(16), nn.Dropout(0.3), nn.Linear(16, 2))
    [finding] = thinned.diagnose(model, torch.randn(4, 8))
    assert "lazy layers" in finding.message
    assert isinstance(model[0].weight, nn.UninitializedParameter)


def test_a_diagnosis_repeats():
    model = mlp(nn.Dropout(0.3), nn.BatchNorm1d(64))
    first = thinned.diagnose(model, torch.ones(8, 16).cumsum(0))
    torch.randn(5)
    assert thinned.diagnose(model, torch.ones(8, 16).cumsum(0)) == first
