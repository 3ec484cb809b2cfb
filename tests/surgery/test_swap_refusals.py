"""Swaps that are refused since the variant would do something else than its name says."""

import pytest
from torch import nn
from torch.nn import functional

import thinned
from helpers import tiny
from thinned.layers import AlphaDropout, Dropout, SpatialDropout


@pytest.mark.parametrize("wanted", [1, 2, 3])
@pytest.mark.parametrize("given", [1, 2, 3])
@pytest.mark.parametrize("name", ["Conv{}d", "BatchNorm{}d", "MaxPool{}d", "AvgPool{}d"])
def test_channel_dropout_stands_only_beside_layers_of_as_many_axes(name, given, wanted):
    beside = getattr(nn, name.format(given))(*{"C": (3, 4, 3), "B": (4,)}.get(name[0], (2,)))
    net, channels = nn.Sequential(beside, nn.Dropout(0.1)), getattr(nn, f"Dropout{wanted}d")
    if given == wanted:
        thinned.swap(net, {"Dropout": channels})
        assert type(net[1]) is channels
        return
    with pytest.raises(ValueError, match=f"{wanted + 2} axes, and beside it stands {name[:4]}"):
        thinned.swap(net, {"Dropout": channels})


def test_channel_dropout_stands_beside_what_has_any_number_of_axes():
    net = nn.Sequential(nn.GroupNorm(2, 4), nn.Dropout(0.1), nn.Conv2d(4, 4, 1))
    thinned.swap(net, {"Dropout": nn.Dropout2d})
    assert type(net[1]) is nn.Dropout2d


@pytest.mark.parametrize("wanted", [nn.Dropout1d, nn.Dropout2d, nn.Dropout3d])
@pytest.mark.parametrize("beside", [nn.Linear(3, 4), nn.LayerNorm(4)])
def test_channel_dropout_is_refused_where_features_come_last(beside, wanted):
    with pytest.raises(ValueError, match=f"beside it stands {type(beside).__name__}"):
        thinned.swap(nn.Sequential(beside, nn.Dropout(0.1)), {"Dropout": wanted})


class Calls(nn.Module):
    """Applies an activation as a function before its dropout."""

    def __init__(self, activation):
        super().__init__()
        self.linear, self.drop, self.activation = nn.Linear(2, 2), nn.Dropout(0.1), activation

    def forward(self, x):
        return self.drop(self.activation(self.linear(x)))


class CallsSelu(Calls):
    def forward(self, x):
        return self.drop(functional.selu(self.linear(x)))


def test_alpha_dropout_goes_by_a_call_of_selu_where_no_module_stands_before():
    net = CallsSelu(None)
    thinned.swap(net, {"Dropout": "alpha"})
    assert type(net.drop) is AlphaDropout
    with pytest.raises(ValueError, match="after SELU only, and no SELU is before it"):
        thinned.swap(Calls(functional.relu), {"Dropout": "alpha"})
    both = nn.Sequential(CallsSelu(None), nn.ReLU(), nn.Dropout(0.1))
    with pytest.raises(ValueError, match="ReLU is before it"):
        thinned.swap(both, {"Dropout": "alpha"}, "2")


def test_a_module_with_a_forward_of_its_own_may_be_wrapped():
    net = tiny.mlp()
    net[1].forward = lambda x: x + 1
    thinned.swap(net, {"ReLU": lambda m: nn.Sequential(m, Dropout(0.2))}, "1")
    assert net[1][0].forward(1) == 2


def test_what_is_read_for_its_rate_is_swapped_by_force(attention):
    thinned.swap(attention, {"Dropout": "spatial"}, "attn_drop", force=True)
    assert type(attention.attn_drop) is SpatialDropout


@pytest.mark.parametrize("value", ["spatial", lambda m: SpatialDropout(0.1)])
def test_what_is_read_for_its_rate_is_refused_before_its_axes_are_looked_for(attention, value):
    attention.qkv = nn.Identity()  # nothing beside it shows an axis
    attention.proj = nn.Identity()
    with pytest.raises(ValueError, match=r"attn_drop: Attention reads its rate.*SpatialDropout w"):
        thinned.swap(attention, {"Dropout": value}, "attn_drop")
