"""What every layer promises, tested on every row of the registry: masks, rates and modules."""

import copy
import inspect
import math
import re

import pytest
import torch
from torch import nn

from helpers.layer_cases import CASES, counted, every, pick, unbiased
from helpers.layer_contract import bound, first, seeded, share_dropped
from thinned import layers
from thinned.layers._recurrent import RecurrentLayer


def test_every_layer_of_every_row_has_a_case():
    listed = {layer for row in layers.VARIANTS.values() for layer in row.layers}
    public = {
        value
        for name in layers.__all__
        if inspect.isclass(value := getattr(layers, name)) and issubclass(value, layers.RateLayer)
    } - {layers.RateLayer}
    assert listed == public
    assert listed == {type(case.make(0.1)) for case in CASES}


@every
def test_evaluation_is_the_plain_module(case):
    layer, x = case.make(0.5).eval(), case.x()
    assert torch.equal(first(layer(x)), case.plain(layer, x))


@every
def test_rate_0_in_training_is_the_plain_module(case):
    layer, x = case.make(0.0), case.x()
    assert torch.equal(first(layer(x)), case.plain(layer, x))


@every
def test_rate_1_drops_all(case):
    layer, x = case.make(1.0), case.x()
    assert layer.p == 1.0
    torch.testing.assert_close(first(layer(x)), case.at_one(layer, x))


@every
def test_an_empty_batch_stays_one(case):
    layer, x = case.make(0.5), case.x()
    rows = 1 if isinstance(layer, RecurrentLayer) else 0  # (T, N, C)
    empty = x.narrow(rows, 0, 0)
    with torch.no_grad():
        of_eval = first(layer.eval()(empty)).shape
    y = first(layer.train()(empty))
    assert y.numel() == 0
    assert y.shape[rows] == of_eval[rows] == 0
    assert y.dim() == len(of_eval)


@unbiased
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_the_mean_over_masks_is_what_evaluation_returns(case, rate):
    layer, x = case.make(rate), case.x()
    with torch.no_grad():
        draws = torch.stack([first(layer(x)) for _ in range(400)])
        wanted = case.plain(layer, x)
    error = draws.std(dim=0) / math.sqrt(len(draws))
    # Five standard errors, and a hair for what is constant. Over thousands of elements, some
    # heavy-tailed, a handful may lie outside.
    outside = (draws.mean(dim=0) - wanted).abs() > 5 * error + 1e-5
    assert outside.float().mean() < 0.002


@counted
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_dropped_is_the_rate(case, rate):
    layer = case.make(rate)
    share, count = share_dropped(case, layer, layer)
    assert share == pytest.approx(rate, abs=0.013 if case.exact_count else bound(rate, count))


@every
def test_a_new_mask_each_forward_and_the_same_from_the_same_seed(case):
    layer, x = case.make(0.5), case.x()
    assert not torch.equal(first(layer(x)), first(layer(x)))
    assert torch.equal(seeded(layer, x), seeded(layer, x))


@every
def test_neither_input_nor_parameters_are_written(case):
    layer, x = case.make(0.5), case.x()
    before = copy.deepcopy((x, layer.state_dict()))
    layer(x)
    torch.testing.assert_close((x, layer.state_dict()), before, rtol=0, atol=0)


@every
def test_a_rate_outside_of_0_to_1_is_refused_and_changes_nothing(case):
    layer = case.make(0.3)
    for wrong in (1.5, -0.1, math.nan):
        with pytest.raises(ValueError, match="Expected `p` to be a rate in"):
            layer.p = wrong
        with pytest.raises(ValueError, match="Expected `p` to be a rate in"):
            case.make(wrong)
    with pytest.raises(TypeError, match="Expected `p` to be a rate in"):
        layer.p = "abc"
    assert layer.p == pytest.approx(0.3)


@every
def test_from_module_takes_place_mode_and_parameters(case):
    source = case.source().eval()
    layer = type(case.make(0.1)).from_module(source, 0.3, **case.options)
    assert layer.p == pytest.approx(0.3)
    assert not layer.training
    assert type(layer) is type(case.make(0.1))
    owned = {id(parameter) for parameter in layer.parameters()}
    assert {id(parameter) for parameter in source.parameters()} <= owned
    row = next(row for row in layers.VARIANTS.values() if type(layer) in row.layers)
    assert row.layer_for(source) is type(layer)


@pick(lambda case: type(case.make(0.1)) is not layers.StochasticDepth)
def test_from_module_refuses_what_it_cannot_stand_in_for(case):
    with pytest.raises(TypeError, match="takes the place of"):
        type(case.make(0.1)).from_module(nn.Tanh(), 0.3)


@every
def test_the_rate_is_shown_and_the_kind_is_known(case):
    layer = case.make(0.25)
    assert "p=0.25" in repr(layer)
    assert layer.kind in ("dropout", "drop_path", "drop_block", "layer_drop", "token_drop")


@every
def test_the_docstring_says_all(case):
    text = inspect.getdoc(type(case.make(0.1)))
    assert "Example:" in text
    if like := re.search(r"As :class:`(\w+)`", text):  # one of a family: the other says the rest
        text = inspect.getdoc(getattr(layers, like[1]))
        assert "As :class:" not in text
    for part in ("Args:", "Shape:", "Raises:", "References:", "evaluation", "http"):
        assert part in text
