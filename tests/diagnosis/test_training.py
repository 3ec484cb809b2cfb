"""How the parts stand when training begins."""

import pytest
import torch
from torch import nn

from helpers.diagnosing import found, mlp
from thinned import swap

X = torch.randn(8, 16)


def two_parts():
    parts = [("encoder", mlp(nn.Dropout(0.3))), ("head", nn.Sequential(nn.Linear(2, 32)))]
    model = nn.Sequential()
    for name, part in parts:
        model.add_module(name, part)
    model.head.extend([nn.Dropout(0.3), nn.Linear(32, 2)])
    return model


def test_a_model_in_evaluation_at_fit_start_is_an_error():
    [finding] = found(two_parts().eval(), X, at_fit_start=True)["eval-at-fit-start"]
    assert (finding.severity, finding.path) == ("error", "")


def test_one_dropout_in_evaluation_is_a_warning():
    model = two_parts()
    model.encoder[2].eval()
    [finding] = found(model, X, at_fit_start=True)["eval-at-fit-start"]
    assert (finding.severity, finding.path) == ("warning", "encoder.2")


def test_training_mode_a_frozen_part_and_no_fit_are_right():
    frozen = two_parts()
    frozen.encoder.requires_grad_(False).eval()
    assert "eval-at-fit-start" not in found(frozen, X, at_fit_start=True)
    assert "eval-at-fit-start" not in found(two_parts(), X, at_fit_start=True)
    assert "eval-at-fit-start" not in found(two_parts().eval(), X)


def test_live_dropout_in_a_frozen_part_is_found():
    model = two_parts()
    model.encoder.requires_grad_(False)
    [finding] = found(model, X)["frozen-with-dropout"]
    assert finding.path == "encoder"
    assert 'include="encoder"' in finding.fix


def test_frozen_parts_that_are_switched_off_are_right():
    resting, without = two_parts(), two_parts()
    resting.encoder.requires_grad_(False).eval()
    without.encoder.requires_grad_(False)[2].p = 0.0
    adapted = two_parts()
    adapted.encoder[0].requires_grad_(False)
    for model in (resting, without, adapted, two_parts(), two_parts().requires_grad_(False)):
        assert "frozen-with-dropout" not in found(model, X)


def test_dropout_in_a_frozen_part_that_trained_layers_feed_is_right():
    class Encodes(nn.Module):
        def __init__(self):
            super().__init__()
            self.places = nn.Parameter(torch.zeros(16), requires_grad=False)
            self.drop = nn.Dropout(0.3)

        def forward(self, x):
            return self.drop(x + self.places)

    model = nn.Sequential(nn.Linear(16, 16), Encodes(), nn.Linear(16, 2))
    assert "frozen-with-dropout" not in found(model, X)
    model[0].requires_grad_(False)
    assert "frozen-with-dropout" in found(model, X)


def test_a_compiled_model_with_float_rates_is_found_where_rates_move():
    model = two_parts()
    model.compile(backend="eager")
    [finding] = found(model, X, scheduled=True)["compiled-with-float-rates"]
    assert finding.severity == "warning"
    assert "2 site(s)" in finding.evidence[0]
    assert found(model, X)["compiled-with-float-rates"][0].severity == "note"


def test_a_wrapped_compiled_part_is_found():
    model = two_parts()
    model.head = torch.compile(model.head, backend="eager")
    [finding] = found(model, X, scheduled=True)["compiled-with-float-rates"]
    assert finding.path == "head.1"


def test_what_lightning_unwrapped_from_a_compiled_module_is_found():
    model = two_parts()
    model._compiler_ctx = {}  # as Lightning marks it
    [finding] = found(model, X, scheduled=True)["compiled-with-float-rates"]
    assert "2 site(s)" in finding.evidence[0]


def test_eager_models_our_layers_and_constant_rates_are_right():
    constant, ours = two_parts(), two_parts()
    swap(ours, {"Dropout": "dropout"})
    ours.compile(backend="eager")
    constant.compile(backend="eager")
    assert "compiled-with-float-rates" not in found(ours, X, scheduled=True)
    assert "compiled-with-float-rates" not in found(constant, X, scheduled=False)
    assert "compiled-with-float-rates" not in found(two_parts(), X, scheduled=True)


@pytest.mark.parametrize("example", [X, None])
def test_diagnosing_a_compiled_model_compiles_nothing(example):
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    model = torch.compile(two_parts(), backend=backend)
    found(model, example, scheduled=True)
    assert not compiled
