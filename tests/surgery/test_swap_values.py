"""What the value of a swap makes, and when a module is that already."""

import functools
import re

import pytest
from torch import nn

import thinned
from helpers import tiny
from thinned.layers import SpatialDropout


def spatial(**options):
    return functools.partial(SpatialDropout, **options)


def test_another_rate_is_another_layer():
    net = nn.Sequential(nn.Conv1d(2, 2, 1), SpatialDropout(0.2))
    assert thinned.swap(net, {"SpatialDropout": "spatial"}, rate=0.2).already == ("1",)
    assert len(thinned.swap(net, {"SpatialDropout": "spatial"}, rate=0.3)) == 1
    assert net[1].p == 0.3


def test_another_option_is_another_layer():
    net = nn.Sequential(nn.Conv1d(2, 2, 1), SpatialDropout(0.2))
    same, other = spatial(channel_dim=1), spatial(channel_dim=-1)
    assert thinned.swap(net, {"SpatialDropout": same}).already == ("1",)
    assert len(thinned.swap(net, {"SpatialDropout": other})) == 1
    assert net[1].channel_dim == -1


def test_each_class_of_a_technique_is_known_again():
    net = nn.ModuleDict({"body": nn.Conv2d(4, 4, 3), "head": nn.Linear(4, 2)})
    for already in ((), ("body",)):
        edit = thinned.swap(net, {"Conv2d": "dropconnect"}, "body", rate=0.3)
        assert edit.already == already


def test_the_rate_given_comes_before_that_of_the_partial():
    for rate, expected in ((0.1, 0.1), (None, 0.4)):
        net = nn.Sequential(nn.Conv1d(2, 2, 1), nn.Dropout(0.2))
        thinned.swap(net, {"Dropout": spatial(p=0.4, channel_dim=1)}, rate=rate)
        assert net[1].p == expected


def test_a_layer_of_torch_gets_its_options():
    net = nn.Sequential(nn.Linear(2, 2), nn.AlphaDropout(0.2))
    thinned.swap(net, {"AlphaDropout": functools.partial(nn.Dropout, inplace=True)})
    assert (type(net[1]), net[1].p, net[1].inplace) == (nn.Dropout, 0.2, True)


def test_a_partial_of_a_function_is_a_policy():
    def policy(rate, module):
        return nn.Dropout(rate)

    net = tiny.mlp()
    thinned.swap(net, {"Dropout": functools.partial(policy, 0.4)}, "2")
    assert net[2].p == 0.4


def test_a_policy_that_returns_the_module_itself_leaves_it():
    net = tiny.mlp()
    edit = thinned.swap(net, {"Dropout": lambda m: m if m is net[2] else nn.Dropout(0.4)})
    assert (len(edit), net[2].p, net[5].p) == (1, tiny.mlp()[2].p, 0.4)


class Leaves:
    def __call__(self, module):
        return None


def leaves(module):
    return None


@pytest.mark.parametrize(("policy", "name"), [(leaves, "leaves"), (Leaves(), "Leaves")])
def test_a_policy_is_named(policy, name):
    with pytest.raises(thinned.NoEffectError, match=f"but '{name}' returned None every time"):
        thinned.swap(tiny.mlp(), {"Dropout": policy})


def test_what_a_policy_returned_is_shown():
    with pytest.raises(TypeError, match="a module or None for '2', got 'drop'"):
        thinned.swap(tiny.mlp(), {"Dropout": lambda m: "drop"}, "2")


def test_a_layer_that_is_made_already_is_no_value():
    with pytest.raises(TypeError, match=r"module -> module \| None, got Dropout\(p=0.5"):
        thinned.swap(tiny.mlp(), {"Dropout": nn.Dropout()})


def test_the_layer_is_named_where_a_rate_is_missing():
    with pytest.raises(ValueError, match="a Linear holds no rate that DropConnectLinear could"):
        thinned.swap(tiny.mlp(), {"Linear": "dropconnect"})


class DropPath(nn.Module):
    """As timm's: built without a rate."""

    drop_prob = None

    def forward(self, x):
        return x


def test_a_rate_that_is_none_cannot_be_taken_over():
    net = nn.Sequential(nn.Linear(2, 2), DropPath(), nn.Linear(2, 2))
    with pytest.raises(ValueError, match="Expected `rate` for '1': a DropPath holds no rate"):
        thinned.swap(net, {"DropPath": "drop_path"})
    thinned.swap(net, {"DropPath": "drop_path"}, rate=0.2)
    assert net[1].p == 0.2


@pytest.mark.parametrize("mapping", [{int: "spatial"}, {nn.Dropout(): "spatial"}])
def test_a_key_is_a_class_of_modules_or_a_name(mapping):
    with pytest.raises(TypeError, match=f"module classes or names, got {re.escape(str(*mapping))}"):
        thinned.swap(tiny.mlp(), mapping)


@pytest.mark.parametrize("mapping", [SpatialDropout, nn.ReLU()])
def test_a_layer_alone_is_no_mapping(mapping):
    with pytest.raises(TypeError, match=f"or a policy, got {re.escape(repr(mapping))}"):
        thinned.swap(tiny.mlp(), mapping)


@pytest.mark.parametrize("training", [True, False])
def test_all_that_a_policy_makes_is_in_the_mode_of_what_it_replaces(training):
    net = tiny.mlp().train(training)
    thinned.swap(net, {"Dropout": lambda m: nn.Sequential(nn.Dropout(), nn.ReLU())})
    assert {module.training for module in net.modules()} == {training}
    net[2][0].train(not training)
    thinned.swap(net, {"Sequential": lambda m: m[0]}, "2")
    assert (type(net[2]), net[2].training) == (nn.Dropout, training)
