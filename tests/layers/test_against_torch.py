"""Layers that torch has too are torch's, to the bit."""

import pytest
import torch
from torch import nn

from thinned import layers

PAIRS = [
    (layers.Dropout(0.3), nn.Dropout(0.3), (4, 6, 5)),
    (layers.SpatialDropout(0.3), nn.Dropout1d(0.3), (8, 16, 5)),
    (layers.SpatialDropout(0.3), nn.Dropout2d(0.3), (8, 16, 5, 4)),
    (layers.SpatialDropout(0.3), nn.Dropout3d(0.3), (8, 16, 5, 4, 3)),
    (layers.AlphaDropout(0.3), nn.AlphaDropout(0.3), (4, 6, 5)),
    (layers.FeatureAlphaDropout(0.3), nn.FeatureAlphaDropout(0.3), (8, 16, 5)),
]


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(
    ("ours", "theirs", "shape"), PAIRS, ids=lambda v: type(v).__name__ if v else ""
)
def test_the_same_output_gradient_and_random_stream(ours, theirs, shape, rate):
    ours.p = theirs.p = rate
    found = []
    for layer in (ours, theirs):
        torch.manual_seed(3)
        x = torch.randn(shape, requires_grad=True)
        y = layer(x)
        (gradient,) = torch.autograd.grad(y.square().sum(), x)
        found.append((y, gradient, torch.randn(3)))
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_in_place_only_when_asked():
    x = torch.ones(1000)
    assert layers.Dropout(0.5)(x) is not x
    assert bool((x == 1).all())
    y = layers.Dropout(0.5, inplace=True)(x)
    assert y is x
    assert bool((x != 1).all())


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(layers.AlphaDropout(0.4), (200_000,)), (layers.FeatureAlphaDropout(0.4), (100, 500, 4))],
)
def test_alpha_keeps_mean_and_variance_of_standardized_inputs(layer, shape):
    y = layer(torch.randn(shape))
    units = shape[0] * (shape[1] if len(shape) > 1 else 1)
    assert y.mean().item() == pytest.approx(0.0, abs=5 / units**0.5)
    assert y.var().item() == pytest.approx(1.0, abs=15 / units**0.5)


def test_alpha_keeps_mean_and_variance_when_compiled():
    layer = layers.AlphaDropout(0.4)
    torch._dynamo.reset()
    y = torch.compile(layer, backend="eager", fullgraph=True)(torch.randn(200_000))
    assert y.mean().item() == pytest.approx(0.0, abs=0.012)
    assert y.var().item() == pytest.approx(1.0, abs=0.035)


def test_gaussian_noise_has_the_mean_and_variance_of_dropout():
    x = torch.ones(200_000)
    noise = layers.GaussianDropout(0.2)(x)
    assert noise.mean().item() == pytest.approx(1.0, abs=0.006)
    assert noise.var().item() == pytest.approx(0.25, abs=0.006)
    assert layers.Dropout(0.2)(x).var().item() == pytest.approx(0.25, abs=0.006)


def test_a_kept_value_is_divided_by_the_share_kept():
    y = layers.Dropout(0.2)(torch.ones(1000))
    assert set(y.tolist()) == {0.0, 1.25}
    y = layers.DropPath(0.2)(torch.ones(1000, 2))
    assert set(y.flatten().tolist()) == {0.0, 1.25}
    y = layers.DropPath(0.2, scale_by_keep=False)(torch.ones(1000, 2))
    assert set(y.flatten().tolist()) == {0.0, 1.0}


def test_batch_mode_draws_once_for_all_samples():
    layer = layers.DropPath(0.5, mode="batch")
    draws = {tuple(layer(torch.ones(5, 1)).flatten().tolist()) for _ in range(50)}
    assert draws == {(0.0,) * 5, (2.0,) * 5}


def test_masks_are_drawn_in_full_precision():
    # bfloat16 has 256 numbers in [0.5, 1): a mask drawn in it could not hold a rate of 0.001.
    layer = layers.Dropout(0.001).to(torch.bfloat16)
    torch._dynamo.reset()
    y = torch.compile(layer, backend="eager")(torch.ones(1_000_000, dtype=torch.bfloat16))
    assert (y == 0).float().mean().item() == pytest.approx(0.001, abs=0.00016)


def test_half_does_not_round_the_rate_that_compiled_code_reads():
    layer = layers.Dropout(0.1).half()
    assert layer._rate.dtype == torch.float32
    assert layer._rate.item() == pytest.approx(0.1, abs=1e-8)


def test_a_new_rate_between_forward_and_backward_does_not_disturb_compiled_code():
    layer = layers.Dropout(0.3)
    torch._dynamo.reset()
    x = torch.ones(1000, requires_grad=True)
    y = torch.compile(layer, backend="aot_eager")(x)
    layer.p = 0.9
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())


@pytest.mark.parametrize("built", [True, False])
def test_a_rate_of_inference_mode_trains_outside(built):
    """Its tensor would be one of those that autograd refuses to save."""
    layer = layers.Dropout(0.3)
    with torch.inference_mode():
        if built:
            layer = layers.Dropout(0.3)
        layer.p = 0.4
    torch._dynamo.reset()
    x = torch.ones(10, requires_grad=True)
    y = torch.compile(layer, backend="aot_eager")(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())


@pytest.mark.parametrize(
    "layer",
    [layers.Dropout(1.0), layers.DropConnectLinear(4, 4, p=1.0), layers.DropPath(1.0)],
    ids=lambda layer: type(layer).__name__,
)
def test_compiled_rate_one_gives_gradients_of_zero(layer):
    """Not NaN, which is 0 times the 1 / (1 - p) that nothing is multiplied with."""
    torch._dynamo.reset()
    x = torch.ones(3, 4, requires_grad=True)
    torch.compile(layer, backend="aot_eager")(x).sum().backward()
    grads = [x.grad, *(w.grad for name, w in layer.named_parameters() if name != "bias")]
    assert all(grad.eq(0.0).all() for grad in grads)


def test_a_logit_of_another_shape_is_refused_in_torch_s_words():
    with pytest.raises(RuntimeError, match="size mismatch for logit"):
        layers.ConcreteDropout(0.3).load_state_dict({"logit": torch.zeros(2)})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_rate_is_held_in_float32_whatever_the_default(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device("meta"):
            far = layers.Dropout(0.1)
        rates = far._rate, layers.Dropout(0.1)._rate
    finally:
        torch.set_default_dtype(before)
    assert all(torch.equal(rate, torch.tensor(0.1)) for rate in rates)


def test_others_can_read_the_rate_in_compiled_code():
    drop = layers.Dropout(0.25)
    torch._dynamo.reset()
    seen = torch.compile(lambda x: x * drop.p, backend="eager", fullgraph=True)(torch.ones(2))
    assert seen.tolist() == [0.25, 0.25]
