"""Where dropout stands."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from helpers.diagnosing import Calls, found, mlp
from thinned.surgery import insert, register_site

X = torch.randn(8, 16)
IMAGES = torch.randn(4, 3, 8, 8)
EITHER = pytest.mark.parametrize("given", [True, False], ids=["traced", "structure"])


class DropPath(nn.Module):
    """As in timm: drops the branch of whole samples."""

    def __init__(self, drop_prob=0.2):
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x):
        if not self.training or self.drop_prob == 0:
            return x
        mask = torch.rand(len(x), *[1] * (x.dim() - 1)) >= self.drop_prob
        return x * mask / (1 - self.drop_prob)


class Branch(nn.Module):
    """A residual block."""

    def __init__(self, *layers):
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(16, 16), *layers)

    def forward(self, x):
        return x + self.branch(x)


@EITHER
def test_dropout_on_the_output_is_found(given):
    model = nn.Sequential(nn.Linear(16, 2), nn.Dropout(0.5))
    [finding] = found(model, X if given else None)["dropout-on-output"]
    assert finding.path == "1"


@EITHER
def test_dropout_on_logits_under_a_softmax_is_found(given):
    model = nn.Sequential(nn.Linear(16, 2), nn.Dropout(0.5), nn.Softmax(dim=1))
    assert "dropout-on-output" in found(model, X if given else None)


@EITHER
def test_dropout_before_the_last_layer_is_right(given):
    assert "dropout-on-output" not in found(mlp(nn.Dropout(0.5)), X if given else None)


def test_features_of_a_body_without_a_head_are_no_output():
    body = nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16), nn.Dropout(0.1))
    assert "dropout-on-output" not in found(body, X)


def test_dropout_on_a_residual_branch_is_no_dropout_on_the_output():
    assert "dropout-on-output" not in found(Branch(nn.Dropout(0.3)), X)


def test_attention_weights_that_are_returned_are_no_output():
    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.attend = nn.MultiheadAttention(16, 2, dropout=0.1, batch_first=True)

        def forward(self, x):
            return self.attend(x, x, x)

    assert "dropout-on-output" not in found(Attends(), torch.randn(2, 4, 16))


@EITHER
def test_two_dropouts_in_a_row_are_found(given):
    model = mlp(nn.Dropout(0.5), nn.ReLU(), nn.Dropout(0.5))
    [finding] = found(model, X if given else None)["double-dropout"]
    assert "0.75" in finding.message


@EITHER
def test_a_layer_between_two_dropouts_makes_them_right(given):
    model = mlp(nn.Dropout(0.3), nn.Linear(64, 64), nn.Dropout(0.3))
    assert "double-dropout" not in found(model, X if given else None)


def test_a_second_dropout_that_is_switched_off_is_not_counted():
    assert "double-dropout" not in found(mlp(nn.Dropout(0.3), nn.Dropout(0.0)), X)


def test_functional_dropout_after_a_module_is_found_with_its_line():
    model = Calls(
        lambda self, x: functional.dropout(self.drop(x), 0.3, self.training),
        drop=nn.Dropout(0.3),
    )
    [finding] = found(model, X)["double-dropout"]
    assert "test_placement.py:" in finding.message


def test_stochastic_depth_right_after_dropout_is_found():
    model = nn.Sequential(Branch(nn.Dropout(0.3), DropPath()), nn.Linear(16, 2))
    [finding] = found(model, X)["stacked-stochastic-depth"]
    assert finding.path == "0.branch.2"
    assert finding.severity == "advice"


@pytest.mark.parametrize("layers", [(DropPath(),), (nn.Dropout(0.3), DropPath(0.0))])
def test_one_of_the_two_is_right(layers):
    model = nn.Sequential(Branch(*layers), nn.Linear(16, 2))
    assert "stacked-stochastic-depth" not in found(model, X)


def test_a_layer_between_dropout_and_stochastic_depth_makes_them_right():
    model = nn.Sequential(Branch(nn.Dropout(0.3), nn.Linear(16, 16), DropPath()), nn.Linear(16, 2))
    assert "stacked-stochastic-depth" not in found(model, X)


def convolutions(*middle):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), *middle, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
    )


@EITHER
@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.AvgPool2d(2)])
def test_elementwise_dropout_before_pooling_is_found(pool, given):
    model = convolutions(nn.ReLU(), nn.Dropout(0.3), pool)
    assert "dropout-before-pooling" in found(model, IMAGES if given else None)


@EITHER
def test_channel_dropout_before_pooling_is_right(given):
    model = convolutions(nn.Dropout2d(0.3), nn.MaxPool2d(2))
    assert "dropout-before-pooling" not in found(model, IMAGES if given else None)


@EITHER
def test_dropout_after_pooling_is_right(given):
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(16, 2),
    )
    rules = found(model, IMAGES if given else None)
    assert "dropout-before-pooling" not in rules
    assert "elementwise-on-feature-map" not in rules


@EITHER
def test_elementwise_dropout_on_a_feature_map_is_found(given):
    model = convolutions(nn.ReLU(), nn.Dropout(0.3), nn.Conv2d(8, 8, 3))
    [finding] = found(model, IMAGES if given else None)["elementwise-on-feature-map"]
    assert 'swap(model, {"Dropout": "spatial"}, include="2")' in finding.fix


@pytest.mark.parametrize("variant", ["spatial", "feature_alpha"])
@pytest.mark.parametrize("before", [True, False], ids=["before a module", "after a module"])
def test_whole_channels_dropped_by_a_hook_are_right(variant, before):
    model = convolutions(nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3))
    place = {"include": "2", "after": "input"} if before else {"include": "1"}
    insert(model, variant, 0.3, force=True, **place)
    rules = found(model, IMAGES)
    assert "elementwise-on-feature-map" not in rules
    assert "dropout-before-pooling" not in rules


@pytest.mark.parametrize("before", [True, False], ids=["before a module", "after a module"])
def test_elements_dropped_by_a_hook_are_found(before):
    model = convolutions(nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3))
    place = {"include": "2", "after": "input"} if before else {"include": "1"}
    insert(model, "dropout", 0.3, **place)
    rules = found(model, IMAGES)
    assert {"elementwise-on-feature-map", "dropout-before-pooling"} <= set(rules)
    [finding] = rules["elementwise-on-feature-map"]
    host = finding.path.partition(":")[0]
    assert f'at {host!r} instead: thinned.insert(model, "spatial"' in finding.fix


@EITHER
def test_after_a_one_by_one_convolution_elementwise_dropout_is_right(given):
    model = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.Dropout(0.3), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(288, 2)
    )
    assert "elementwise-on-feature-map" not in found(model, IMAGES if given else None)


def test_a_layer_of_another_package_is_found_once_it_is_registered():
    class Fog(nn.Module):
        density = 0.4

        def forward(self, x):
            return x * (torch.rand_like(x) > self.density) if self.training else x

    assert "dropout-on-output" not in found(nn.Sequential(nn.Linear(16, 64), Fog()), X)
    register_site(Fog, "density")
    assert "dropout-on-output" in found(nn.Sequential(nn.Linear(16, 64), Fog()), X)
