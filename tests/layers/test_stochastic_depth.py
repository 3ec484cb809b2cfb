"""Stochastic depth by masks and by skipping: what is computed, kept and scaled."""

import pytest
import torch
from torch import nn

from helpers.layer_cases import Residual
from thinned import layers
from thinned.layers._residual import apply_mask, keep_mask, kept_rows, put_back


class Counting(Residual):
    """Remembers how many rows it was given."""

    rows = None

    def forward(self, x):
        self.rows = len(x)
        return super().forward(x)


@pytest.mark.parametrize(
    ("batch", "rate", "rows"),
    [(10, 0.1, 9), (10, 0.3, 7), (10, 0.5, 5), (10, 0.99, 1), (3, 0.5, 2)],
)
def test_skipping_computes_only_the_rows_kept(batch, rate, rows):
    block = Counting()
    layers.StochasticDepth(block, rate, mode="skip")(torch.randn(batch, 8))
    assert block.rows == rows


@pytest.mark.parametrize(("batch", "rate"), [(1, 0.5), (10, 1.0)])
def test_rate_1_and_a_batch_of_one_are_masked(batch, rate):
    block, x = Counting(), torch.randn(batch, 8)
    y = layers.StochasticDepth(block, rate, mode="skip")(x)
    assert block.rows == batch
    if rate == 1.0 or torch.equal(y, x):
        torch.testing.assert_close(y, x, rtol=0, atol=0)
    else:
        torch.testing.assert_close(y, x + (block(x) - x) / (1 - rate))


def test_the_mean_over_skips_is_the_block_also_where_the_share_is_rounded():
    block, x = Residual(), torch.randn(5, 8)  # 0.3 of 5 is no whole number: 4 of 5 rows are kept
    layer = layers.StochasticDepth(block, 0.3, mode="skip")
    with torch.no_grad():
        mean = torch.stack([layer(x) for _ in range(4000)]).mean(dim=0)
        torch.testing.assert_close(mean, block(x), rtol=0, atol=0.06)


def test_the_mean_over_masks_of_a_batch_of_one_is_the_block():
    block, x = Residual(), torch.randn(1, 8)
    layer = layers.StochasticDepth(block, 0.5, mode="skip")
    with torch.no_grad():
        mean = torch.stack([layer(x) for _ in range(8000)]).mean(dim=0)
        torch.testing.assert_close(mean, block(x), rtol=0, atol=0.06)


@pytest.mark.parametrize("scale", [True, False])
def test_a_kept_row_is_scaled_or_the_block_s_own(scale):
    block, x = Residual(), torch.randn(10, 8)
    layer = layers.StochasticDepth(block, 0.5, mode="skip", scale_by_keep=scale)
    y, plain = layer(x), block(x)
    kept = (y != x).any(dim=1)
    assert int(kept.sum()) == 5
    if scale:
        torch.testing.assert_close(y[kept], x[kept] + 2 * (plain - x)[kept])
    else:
        torch.testing.assert_close(y[kept], plain[kept])
    assert torch.equal(y[~kept], x[~kept])


def test_every_weight_has_a_gradient_whatever_is_dropped():
    block = Residual()
    layer = layers.StochasticDepth(block, 0.95, mode="skip")
    for _ in range(20):
        block.zero_grad()
        layer(torch.randn(6, 8)).square().sum().backward()
        assert block.linear.weight.grad.abs().sum() > 0


def test_what_is_dropped_has_no_gradient_from_the_block():
    block, x = Residual(), torch.randn(1, 8)
    layer = layers.StochasticDepth(block, 0.5)
    seen = set()
    for _ in range(30):
        block.zero_grad()
        y = layer(x)
        y.square().sum().backward()
        seen.add((torch.equal(y, x), bool(block.linear.weight.grad.abs().sum() > 0)))
    assert seen == {(True, False), (False, True)}


def test_post_norm_outputs_stay_in_the_block_s_range():
    class Post(Residual):
        def forward(self, x):
            return torch.relu(super().forward(x))

    x = torch.rand(200, 8)
    for mode in ("mask", "skip"):
        layer = layers.StochasticDepth(Post(), 0.5, mode=mode, scale_by_keep=False)
        assert layer(x).min() >= 0


def test_batch_mode_drops_all_samples_or_none():
    layer, x = layers.StochasticDepth(Residual(), 0.5, mode="batch"), torch.randn(6, 8)
    seen = {tuple((layer(x) == x).all(dim=1).tolist()) for _ in range(40)}
    assert seen == {(True,) * 6, (False,) * 6}


def test_further_arguments_reach_the_block():
    class Scaled(nn.Module):
        def forward(self, x, factor, *, shift):
            return x * factor + shift

    layer = layers.StochasticDepth(Scaled(), 0.0)
    assert layer(torch.ones(2, 1), 3, shift=1).tolist() == [[4.0], [4.0]]


def test_a_block_that_changes_the_shape_is_refused():
    layer = layers.StochasticDepth(nn.Linear(8, 4), 0.5)
    with pytest.raises(ValueError, match="Only a residual block can be dropped"):
        layer(torch.randn(2, 8))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("tensor", [False, True])
def test_what_is_all_kept_is_the_block_s_output_to_the_bit(dtype, tensor):
    x, y = torch.randn(50, 8).to(dtype), torch.randn(50, 8).to(dtype)
    rate = torch.tensor(0.0) if tensor else 0.0
    assert torch.equal(apply_mask(x, y, keep_mask(x, rate), rate), y)


def test_the_functions_one_by_one():
    x, y = torch.zeros(4, 2), torch.ones(4, 2)
    keep = torch.tensor([True, False, True, False]).unsqueeze(1)
    assert apply_mask(x, y, keep, 0.5)[:, 0].tolist() == [2.0, 0.0, 2.0, 0.0]
    assert apply_mask(x, y, keep, torch.tensor(0.5))[:, 0].tolist() == [2.0, 0.0, 2.0, 0.0]
    assert apply_mask(x, y, keep, 0.5, scale=False)[:, 0].tolist() == [1.0, 0.0, 1.0, 0.0]
    assert apply_mask(x, y, torch.zeros(4, 1, dtype=torch.bool), 1.0).sum() == 0
    rows = torch.tensor([3, 1])
    assert put_back(x, y[:2], rows)[:, 0].tolist() == [0.0, 2.0, 0.0, 2.0]
    assert put_back(x, y[:2], rows, scale=False)[:, 0].tolist() == [0.0, 1.0, 0.0, 1.0]
    assert sorted(kept_rows(x, 4).tolist()) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="to be one of 'row', 'batch'"):
        keep_mask(x, 0.5, "column")


def test_a_library_s_drop_path_is_taken_over():
    class DropPath(nn.Module):
        drop_prob, scale_by_keep = 0.2, False

    class StochasticDepth(nn.Module):
        p, mode = 0.2, "batch"

    assert layers.DropPath.from_module(DropPath(), 0.1).scale_by_keep is False
    assert layers.DropPath.from_module(StochasticDepth(), 0.1).mode == "batch"
    assert layers.DropPath.from_module(StochasticDepth(), 0.1, mode="row").mode == "row"
    assert layers.DropPath.from_module(nn.Identity(), 0.1).mode == "row"


def test_a_drop_path_takes_no_place_but_a_drop_path_s():
    class Scaled(nn.Linear):
        p = 0.2

    for wrong in (nn.ReLU(), nn.Linear(2, 2), Scaled(2, 2)):
        with pytest.raises(TypeError, match=f"got {type(wrong).__name__}. To drop a whole block"):
            layers.DropPath.from_module(wrong, 0.1)


def test_a_drop_path_shows_what_it_does():
    assert repr(layers.DropPath()) == "DropPath(p=0.1, mode='row')"
    plain = layers.DropPath(0.2, "batch", scale_by_keep=False)
    assert repr(plain) == "DropPath(p=0.2, mode='batch', scale_by_keep=False)"


def test_a_block_s_frozen_parts_stay_frozen_when_it_is_wrapped():
    block = Residual().train()
    block.linear.eval()
    layer = layers.StochasticDepth.from_module(block, 0.1)
    assert (layer.training, block.training, block.linear.training) == (True, True, False)
