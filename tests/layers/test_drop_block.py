"""Blocks are contiguous, as many as asked, and scaled as the paper says."""

import pytest
import torch

from thinned import layers


def share(layer, x, draws=40):
    return torch.stack([(layer(x) == 0).float().mean() for _ in range(draws)]).mean().item()


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    ("layer", "shape", "block"),
    [
        (layers.DropBlock1d, (16, 16, 60), 7),
        (layers.DropBlock2d, (8, 16, 14, 18), 5),
        (layers.DropBlock2d, (8, 16, 4, 4), 7),
        (layers.DropBlock2d, (8, 16, 9, 9), 4),
        (layers.DropBlock3d, (4, 8, 6, 7, 8), 3),
    ],
)
def test_the_share_dropped_is_the_rate_for_every_size(layer, shape, block, rate):
    assert share(layer(rate, block), torch.ones(shape)) == pytest.approx(rate, abs=0.02)


def test_the_sparse_draw_and_the_dense_draw_are_alike():
    layer, x = layers.DropBlock2d(0.2, 3), torch.ones(16, 16, 12, 12)
    dense = torch.func.vmap(lambda i: layer(x) + i, randomness="different")(torch.zeros(40))
    assert (dense == 0).float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert share(layer, x) == pytest.approx(0.2, abs=0.01)


def test_every_position_is_dropped_alike_also_at_the_border():
    layer, x = layers.DropBlock2d(0.3, 5), torch.ones(64, 64, 8, 8)
    where = torch.stack([(layer(x) == 0).float().mean(dim=(0, 1)) for _ in range(10)]).mean(dim=0)
    torch.testing.assert_close(where, torch.full((8, 8), 0.3), rtol=0, atol=0.02)


def test_the_paper_s_equation_drops_less_and_keeps_blocks_inside():
    # Written by hand from equation 1, for 28 x 28 and blocks of 7: 0.3 / 49 * 784 / 484.
    gamma = 0.3 / 49 * 784 / 484
    layer, x = layers.DropBlock2d(0.3, 7, gamma="paper"), torch.ones(16, 64, 28, 28)
    dropped = torch.cat([layer(x) == 0 for _ in range(5)]).float()
    corners, centre = dropped[..., [0, 0, -1, -1], [0, -1, 0, -1]], dropped[..., 14, 14].mean()
    assert corners.mean((0, 1)).tolist() == pytest.approx([gamma] * 4, abs=0.006)  # of one block
    assert centre.item() == pytest.approx(1 - (1 - gamma) ** 49, abs=0.03)
    assert dropped.mean().item() < 0.28


def test_a_lone_block_is_a_whole_square():
    layer, x = layers.DropBlock2d(0.002, 5, gamma="paper"), torch.ones(64, 8, 15, 15)
    maps = (layer(x) == 0).flatten(0, 1)
    sizes = {int(m.sum()) for m in maps}
    assert 25 in sizes
    lone = next(m for m in maps if m.sum() == 25)
    rows, columns = lone.any(dim=1).nonzero().flatten(), lone.any(dim=0).nonzero().flatten()
    assert int(rows[-1] - rows[0]) == int(columns[-1] - columns[0]) == 4


def test_kept_values_are_scaled_by_the_count_as_in_the_paper():
    y = layers.DropBlock2d(0.3, 3)(torch.ones(4, 4, 10, 10))
    kept = y[y != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, y.numel() / kept.numel()))
    torch.testing.assert_close(y.mean().item(), 1.0)


def test_channels_can_share_their_blocks():
    y = layers.DropBlock2d(0.3, 3, per_channel=False)(torch.ones(4, 6, 10, 10))
    assert bool((y == y[:, :1]).all())
    assert not bool((y == y[:1]).all())


def test_blocks_when_compiled():
    layer = layers.DropBlock2d(0.1, 5)
    torch._dynamo.reset()
    forward = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = torch.ones(32, 32, 12, 12)
    for rate in (0.1, 0.4):
        layer.p = rate
        assert share(forward, x, draws=5) == pytest.approx(rate, abs=0.02)
    assert forward(x).shape == x.shape


def test_another_number_of_axes_is_refused():
    with pytest.raises(ValueError, match=r"DropBlock2d needs \(N, C\) and 2 spatial axes"):
        layers.DropBlock2d(0.1)(torch.ones(2, 3, 4))


def test_a_library_s_block_size_is_taken_over():
    class DropBlock(torch.nn.Module):
        block_size, drop_prob = 5, 0.2

    assert layers.DropBlock2d.from_module(DropBlock(), 0.1).block_size == 5
