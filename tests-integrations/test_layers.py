"""Our layers against timm's and torchvision's: the same masks, or the same distribution of them."""

import pytest
import torch
from timm.layers import DropBlock2d, DropPath, PatchDropout, PatchDropoutWithIndices
from torchvision.ops import StochasticDepth, drop_block2d

from thinned import layers


def drawn(layer, x):
    torch.manual_seed(1)
    return layer(x)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_drop_path_is_timm_s_and_torchvision_s_to_the_bit(rate):
    x = torch.randn(64, 5, 3)
    theirs = drawn(DropPath(rate).train(), x)
    ours = layers.DropPath.from_module(DropPath(rate).train(), rate)
    assert torch.equal(drawn(ours, x), theirs)
    for mode in ("row", "batch"):
        source = StochasticDepth(rate, mode).train()
        ours = layers.DropPath.from_module(source, rate)
        assert ours.mode == mode
        assert torch.equal(drawn(ours, x), drawn(source, x))


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_drop_block_by_the_paper_s_gamma_drops_what_torchvision_s_does(rate):
    x = torch.ones(16, 32, 28, 28)
    ours = layers.DropBlock2d(rate, 7, gamma="paper")
    found = torch.stack([(ours(x) == 0).float().mean() for _ in range(10)]).mean()
    theirs = [(drop_block2d(x, rate, 7) == 0).float().mean() for _ in range(10)]
    torch.testing.assert_close(found, torch.stack(theirs).mean(), rtol=0, atol=0.01)


def test_drop_block_takes_over_timm_s_size():
    made = layers.DropBlock2d.from_module(DropBlock2d(0.1, block_size=5), 0.2)
    assert (made.block_size, made.p) == (5, 0.2)


def test_token_drop_keeps_as_many_tokens_as_timm_s():
    x = torch.randn(4, 33, 8)
    for cls in (PatchDropout, PatchDropoutWithIndices):
        source = cls(0.5, num_prefix_tokens=1, ordered=True).train()
        ours = layers.TokenDrop.from_module(source, 0.5)
        assert ours.prefix_tokens == 1
        assert ours.return_indices is (cls is PatchDropoutWithIndices)
        found, wanted = ours(x), source(x)
        if ours.return_indices:
            assert found[1].shape == wanted[1].shape
            for tokens, kept in (found, wanted):  # positions count from behind the prefix
                chosen = torch.stack([x[i, 1:][kept[i]] for i in range(4)])
                assert torch.equal(tokens[:, 1:], chosen)
            found, wanted = found[0], wanted[0]
        assert found.shape == wanted.shape == (4, 17, 8)
        assert torch.equal(found[:, 0], x[:, 0])
