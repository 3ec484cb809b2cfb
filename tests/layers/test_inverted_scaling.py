"""Scaling in training (inverted) against scaling the weights at test time (Srivastava 2014)."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from thinned.layers import Dropout, DropPath, GaussianDropout

KEEP = [0.9, 0.5, 0.2]


def every_mask(units, q):
    """All masks of so many units, a row each, and the chance of each."""
    masks = torch.tensor(list(itertools.product([0.0, 1.0], repeat=units)), dtype=torch.float64)
    return masks, torch.prod(q**masks * (1 - q) ** (1 - masks), dim=1)


@pytest.fixture
def linear():
    return torch.randn(3, 7, dtype=torch.float64), torch.randn(7, dtype=torch.float64)


@pytest.mark.parametrize("q", KEEP)
def test_a_linear_output_in_evaluation_is_the_mean_over_every_mask(q, linear):
    weight, x = linear
    masks, chance = every_mask(7, q)
    assert chance.sum().item() == pytest.approx(1.0)
    trained = (masks * x / q) @ weight.T
    torch.testing.assert_close(chance @ trained, weight @ x)
    spread = chance @ (trained - weight @ x) ** 2
    torch.testing.assert_close(spread, (1 - q) / q * (weight**2 @ x**2))


@pytest.mark.parametrize("q", KEEP)
def test_the_geometric_mean_of_softmax_is_exact_and_the_arithmetic_is_not(q, linear):
    weight, x = linear
    masks, chance = every_mask(7, q)
    logs = ((masks * x / q) @ weight.T).log_softmax(dim=1)
    evaluated = (weight @ x).softmax(dim=0)
    torch.testing.assert_close((chance @ logs).softmax(dim=0), evaluated)
    assert ((chance @ logs.exp()) - evaluated).abs().max() > 0.01


@pytest.mark.parametrize("q", KEEP)
def test_relu_in_evaluation_is_below_the_mean_over_every_mask(q, linear):
    weight, x = linear
    masks, chance = every_mask(7, q)
    mean = chance @ ((masks * x / q) @ weight.T).relu()
    evaluated = (weight @ x).relu()
    assert (mean >= evaluated - 1e-12).all()
    assert (mean - evaluated).max() > 0.01


@pytest.mark.parametrize("q", KEEP)
def test_relu_is_exact_where_no_mask_changes_the_sign(q, linear):
    weight, x = (values.abs() for values in linear)
    masks, chance = every_mask(7, q)
    mean = chance @ ((masks * x / q) @ weight.T).relu()
    torch.testing.assert_close(mean, (weight @ x).relu())


@pytest.mark.parametrize("q", [0.8, 0.5])
def test_both_forms_take_the_same_path_with_the_same_masks(q):
    """The paper's form begins at W / q, and its learning rate is divided by the square of q."""
    x, y = torch.randn(64, 8, dtype=torch.float64), torch.randn(64, 3, dtype=torch.float64)
    inverted = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
    paper = (inverted.detach() / q).requires_grad_()
    layer = Dropout(1 - q)
    losses = []
    for _ in range(50):
        noise = layer(torch.ones_like(x))  # 0 or 1 / q
        mask = (noise > 0).to(x.dtype)
        losses = [
            functional.mse_loss((x * noise) @ inverted.T, y),
            functional.mse_loss((x * mask) @ paper.T, y),
        ]
        for weight, loss, step in zip((inverted, paper), losses, (0.1, 0.1 / q**2), strict=True):
            (gradient,) = torch.autograd.grad(loss, weight)
            weight.data -= step * gradient
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(inverted, q * paper)  # in evaluation: W x, and q V x
    assert losses[0] < functional.mse_loss(torch.zeros_like(y), y)  # something was learned


@pytest.mark.parametrize("layer", [Dropout, GaussianDropout, DropPath, nn.Dropout])
def test_a_new_rate_leaves_evaluation_as_it_was(layer):
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), layer(0.1), nn.Linear(8, 2)).eval()
    x = torch.randn(5, 4)
    before = net(x)
    net[2].p = 0.9
    assert torch.equal(net(x), before)
