"""Each of several patterns has to name something; an exclusion need not."""

import pytest
import torch
from torch import nn

import thinned
from helpers import tiny
from thinned.surgery import RateScale

TYPO = ["layers.2", "laiers.5"]


def net():
    return nn.ModuleDict({"layers": tiny.mlp(), "head": nn.Linear(2, 2)})


@pytest.mark.parametrize(
    "action",
    [
        lambda model: thinned.set_rate(model, 0.4, TYPO),
        lambda model: thinned.surgery.scale_rates(model, 0.5, TYPO),
        lambda model: RateScale(thinned.find_sites(model), TYPO),
        lambda model: thinned.mc_predict(
            model["layers"], torch.ones(2, 8), include=["2", "laiers"]
        ),
    ],
    ids=["set_rate", "scale_rates", "RateScale", "mc_predict"],
)
def test_a_pattern_that_names_no_site_raises_though_others_do(action):
    model = net()
    before = thinned.find_sites(model).rates
    with pytest.raises(thinned.NoEffectError, match=r"include='laiers[^,]*; none does.* holds: "):
        action(model)
    assert thinned.find_sites(model).rates == before


def test_the_message_names_the_dead_pattern_alone_and_what_is_near():
    with pytest.raises(thinned.NoEffectError, match=r"include='laiers'; .*Did you mean 'layers'"):
        thinned.set_rate(net(), 0.4, ["layers.2", "laiers"])


def test_a_pattern_counts_though_an_earlier_one_has_its_sites():
    assert thinned.set_rate(net(), 0.4, ["*", "layers.2", "deep=layers.5"]) == 2


def test_a_kind_that_star_does_not_mean_is_not_passed_over():
    model = nn.Sequential(nn.Dropout(0.1), thinned.layers.DropPath(0.1))
    with pytest.raises(thinned.NoEffectError, match=r"include='1'; none does\. Kinds other than"):
        thinned.set_rate(model, 0.4, ["*", "1"])
    assert thinned.set_rate(model, 0.4, ["0", "1"]) == 2


def test_swap_and_insert_raise_too():
    model = net()
    with pytest.raises(thinned.NoEffectError, match=r"'Dropout' in include='head', found none"):
        thinned.swap(model, {"Dropout": "alpha"}, ["layers.2", "head"], force=True)
    with pytest.raises(thinned.NoEffectError, match=r"'dropout' in include='laiers', found none"):
        thinned.insert(model, "dropout", 0.1, ["layers.0", "laiers"], after="Linear")
    with pytest.raises(thinned.NoEffectError, match=r"module of 'Conv2d' in include='\*'"):
        thinned.insert(model, "dropout", 0.1, after=["Linear", "Conv2d"])
    assert [type(m) for m in model["layers"]] == [type(m) for m in tiny.mlp()]
    assert not model["layers"][0]._forward_hooks


def test_what_is_left_out_by_name_counts_as_named():
    edit = thinned.insert(tiny.mlp(), "dropout", 0.1, ["0", "*"], after="Linear")
    assert (len(edit), list(edit.left_out)) == (2, ["6"])
    twice = nn.ModuleDict({"one": nn.Linear(2, 2), "out": nn.Linear(2, 2)})
    twice["same"] = twice["one"]
    assert len(thinned.insert(twice, "dropout", 0.1, ["one", "same"], after="Linear")) == 1


def test_an_exclusion_may_name_nothing():
    assert thinned.set_rate(net(), 0.4, exclude=["layers.5", "classifier"]) == 1
