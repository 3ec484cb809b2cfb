"""Layers that drop weights, and the learned rate."""

import math

import pytest
import torch
from torch import nn

from helpers.layer_contract import counting, seeded
from thinned import layers


def masks_of(layer, samples):
    """Return the weights that each sample saw, from the rows of the identity."""
    width = layer.in_features
    rows = torch.eye(width).expand(samples, width, width)
    return layer(rows) - layer.bias


def test_one_mask_a_batch_or_one_a_sample():
    shared = masks_of(layers.DropConnectLinear(6, 5, p=0.5), 4)
    assert bool((shared == shared[:1]).all())
    own = masks_of(layers.DropConnectLinear(6, 5, p=0.5, mode="sample"), 4)
    assert not bool((own == own[:1]).all())
    assert (own == 0).float().mean().item() == pytest.approx(0.5, abs=0.23)


def test_kept_weights_are_scaled_and_the_bias_is_kept():
    layer = layers.DropConnectLinear(6, 5, p=0.2)
    seen = masks_of(layer, 1)[0].T
    kept = seen.abs() > 1e-6
    torch.testing.assert_close(seen[kept], (layer.weight * 1.25)[kept])


@pytest.mark.parametrize("shape", [(4, 6), (4, 3, 6), (4, 2, 3, 6)])
def test_a_mask_a_sample_takes_any_number_of_axes(shape):
    assert layers.DropConnectLinear(6, 5, p=0.5, mode="sample")(torch.ones(shape)).shape == (
        *shape[:-1],
        5,
    )


def test_without_a_bias():
    for mode in ("batch", "sample"):
        layer = layers.DropConnectLinear(6, 5, bias=False, p=0.5, mode=mode)
        assert layer(torch.ones(2, 6)).shape == (2, 5)
        assert list(layer.state_dict()) == ["weight"]


def test_moment_matching_agrees_with_many_masks():
    layer, x = layers.DropConnectLinear(200, 3, p=0.5), torch.randn(4, 200)
    with torch.no_grad():
        drawn = torch.stack([torch.relu(layer(x)) for _ in range(4000)]).mean(dim=0)
        matched = layer.expect(x, torch.relu, samples=4000)
    torch.testing.assert_close(matched, drawn, rtol=0, atol=0.04)


def test_gaussian_inference_is_used_in_evaluation_when_asked():
    layer = layers.DropConnectLinear(200, 3, p=0.5, inference="gaussian", samples=500).eval()
    x = torch.randn(4, 200)
    with torch.no_grad():
        plain = torch.relu(nn.functional.linear(x, layer.weight, layer.bias))
        assert bool((layer(x) >= plain - 0.1).all())  # relu is convex: its mean is not below
        layer.p = 0.0
        assert torch.equal(layer(x), plain)
        layer.p = 1.0
        assert torch.equal(layer(1e4 * x), torch.relu(layer.bias).expand(4, 3))


def test_gaussian_inference_has_gradients_where_a_row_is_all_zero():
    layer = layers.DropConnectLinear(4, 3, p=0.5, inference="gaussian").eval()
    x = torch.tensor([[0.0] * 4, [1.0, 2.0, 0.0, 0.0]], requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert torch.equal(y[0], torch.relu(layer.bias))  # nothing is random there
    for grad in (x.grad, layer.weight.grad, layer.bias.grad):
        assert bool(grad.isfinite().all())


def test_gaussian_inference_of_a_layer_built_on_the_meta_device():
    layer = layers.DropConnectLinear(4, 3, p=0.3, inference="gaussian", device="meta").to("meta")
    layer.load_state_dict(nn.Linear(4, 3).state_dict(), assign=True)
    assert layer.eval()(torch.ones(2, 4)).isfinite().all()


def test_gaussian_inference_compiles_once_for_all_rates():
    backend, graphs = counting(aot=False)
    layer = layers.DropConnectLinear(20, 3, p=0.5, inference="gaussian", samples=3).eval()
    forward, x = torch.compile(layer, backend=backend, fullgraph=True), torch.randn(4, 20)
    for rate in (*(step / 20 for step in range(20)), 1.0):
        layer.p = rate
        compiled, eager = seeded(forward, x), seeded(layer, x)
        torch.testing.assert_close(compiled, eager, rtol=1e-6 if 0 < rate < 1 else 0, atol=0)
    assert len(graphs) == 1


def test_a_weight_that_has_two_names_stays_one():
    source = nn.RNN(4, 4, bias=False)
    source.weight_hh_l0 = source.weight_ih_l0
    layer = layers.WeightDropRNN.from_module(source, 0.5)
    assert layer.weight_hh_l0 is layer.weight_ih_l0 is source.weight_ih_l0


def test_convolutions_keep_their_padding_groups_and_strides():
    source = nn.Conv2d(4, 6, 3, stride=2, padding=1, padding_mode="reflect", groups=2, dilation=2)
    layer = layers.DropConnectConv2d.from_module(source, 0.5)
    x = torch.randn(2, 4, 9, 9)
    assert layer(x).shape == source(x).shape
    assert torch.equal(layer.eval()(x), source(x))


def test_padding_by_name():
    source = nn.Conv1d(2, 3, 3, padding="same")
    layer = layers.DropConnectConv1d.from_module(source, 0.0)
    x = torch.randn(2, 2, 9)
    assert torch.equal(layer(x), source(x))


def test_a_learned_rate_moves_with_the_loss_and_stays_inside():
    layer = layers.ConcreteDropout(0.3, floor=0.05, ceiling=0.5)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    x = torch.randn(64, 20)
    for _ in range(200):  # noise only harms here
        optimizer.zero_grad()
        (layer(x) - x).square().mean().backward()
        optimizer.step()
    assert 0.05 <= layer.p < 0.15


def test_the_regularizer_raises_the_rate_and_weighs_less_with_more_samples():
    layer = layers.ConcreteDropout(0.1, ceiling=0.6)
    weight = torch.zeros(5, 20)
    few, many = (float(layer.regularizer(weight, n).detach()) for n in (10, 1000))
    entropy = -(0.1 * math.log(0.1) + 0.9 * math.log(0.9))
    assert few == pytest.approx(-20 * entropy / 10, rel=1e-5)
    assert many == pytest.approx(few / 100, rel=1e-5)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    for _ in range(200):
        optimizer.zero_grad()
        layer.regularizer(weight, 10).backward()
        optimizer.step()
    assert layer.p == pytest.approx(0.5, abs=0.01)  # entropy is highest there


def test_the_regularizer_s_prior_by_hand():
    layer = layers.ConcreteDropout(0.5, floor=0.1, ceiling=0.9)
    weight = torch.full((2, 3), 2.0)
    # l^2 / (2 (1 - p)) * |W|^2 = 0.01 / 1 * 24, and 3 ln 2 of entropy; N = 4, tau = 2.
    wanted = (0.24 - 3 * math.log(2)) / 8
    found = layer.regularizer(weight, 4, length_scale=0.1, precision=2.0)
    assert float(found.detach()) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_rates_0_and_1_are_not_learned(rate):
    layer = layers.ConcreteDropout(0.3)
    layer.p = rate
    (layer(torch.randn(50)).sum() + layer.regularizer(torch.ones(2, 2), 10)).backward()
    assert layer.p == rate
    assert layer.logit.grad.item() == 0.0


def test_a_rate_out_of_the_learned_range_is_refused():
    with pytest.raises(ValueError, match=r"between `floor` 0\.01 and `ceiling` 0\.8, got 0\.95"):
        layers.ConcreteDropout(0.95)


def test_a_rate_set_outside_of_the_bounds_is_the_nearer_bound_and_0_is_off():
    layer = layers.ConcreteDropout(0.2, floor=0.05, ceiling=0.5)
    for asked, held in ((1e-9, 0.05), (0.05, 0.05), (0.3, 0.3), (0.5, 0.5), (0.97, 0.5)):
        layer.p = asked
        assert layer.p == pytest.approx(held, abs=1e-4)
        layer(torch.ones(50)).sum().backward()
        assert layer.logit.grad.item() != 0.0  # learned from there on
        layer.logit.grad = None
    for exact in (0.0, 1.0):
        layer.p = exact
        assert layer.p == exact
        assert layer.logit.isfinite()


@pytest.mark.parametrize("rate", [0.0, 1.0])
@pytest.mark.parametrize("algorithm", [torch.optim.SGD, torch.optim.Adam])
def test_rates_0_and_1_outlive_weight_decay_and_averaging(rate, algorithm):
    layer = layers.ConcreteDropout(rate)
    optimizer = algorithm(layer.parameters(), lr=0.1, weight_decay=0.01)
    averaged = torch.optim.swa_utils.AveragedModel(layer)
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.ones(5)).sum().backward()
        optimizer.step()
        averaged.update_parameters(layer)
    for each in (layer, averaged.module):
        assert each.p == rate
        assert each.logit.isfinite()
        assert torch.equal(each(torch.ones(5)), torch.full((5,), 1.0 - rate))


@pytest.mark.parametrize("logit", [-1.2345678, 0.0, 1e-20, 3.7, -19.3, 40.0])
def test_a_learned_rate_comes_back_to_the_bit(logit):
    layer = layers.ConcreteDropout(0.2)
    with torch.no_grad():
        layer.logit.fill_(logit)
    learned, rate = layer.logit.detach().clone(), layer.p
    for other in (0.0, 0.31, 0.0, 0.97, 0.5, 1.0):  # as a search for live sites does
        layer.p = other
    layer.p = rate
    assert torch.equal(layer.logit, learned)
    assert layer.p == rate


def test_a_rate_may_move_between_a_forward_and_its_backward():
    layer, x = layers.ConcreteDropout(0.2), torch.randn(64, 20)
    expected, found = [], []
    for grads, rate in ((expected, 0.2), (found, 0.6)):
        layer.p, layer.logit.grad = 0.2, None
        torch.manual_seed(0)
        loss = layer(x).square().mean()
        layer.p = rate
        loss.backward()
        grads.append(layer.logit.grad)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_rate_that_was_set_comes_back_to_the_bit():
    for k in range(1, 100):
        layer = layers.ConcreteDropout(0.01 + 0.0079 * k)
        first, rate = layer.logit.detach().clone(), layer.p
        layer.p = 0.31
        layer.p = rate
        assert torch.equal(layer.logit, first)


def test_a_checkpoint_says_whether_the_rate_is_learned_or_fixed():
    for saved in (0.0, 1.0, 0.3):
        state = layers.ConcreteDropout(saved).state_dict()
        assert list(state) == ["logit"]
        for before in (0.0, 1.0, 0.2):
            layer = layers.ConcreteDropout(before)
            layer.load_state_dict(state)
            assert layer.p == pytest.approx(saved)
            assert layer.logit.isfinite()
