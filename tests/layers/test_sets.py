"""What drops members of a set: words, tokens, layers; and masks locked over time."""

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from thinned import layers


def test_a_dropped_word_is_dropped_everywhere():
    ids = torch.randint(20, (6, 50))
    dropped = (layers.WordDropout(20, 4, p=0.5)(ids) == 0).all(dim=-1)
    for word in range(20):
        assert len(set(dropped[ids == word].tolist())) <= 1
    assert 0 < dropped.float().mean() < 1


def test_words_can_be_dropped_for_each_sequence():
    ids = torch.arange(50).repeat(4, 1)
    dropped = (layers.WordDropout(50, 4, p=0.5, mode="sample")(ids) == 0).all(dim=-1)
    assert not bool((dropped == dropped[:1]).all())


def test_the_padding_and_the_sparse_gradient_of_an_embedding_stay():
    source = nn.Embedding(20, 4, padding_idx=0, sparse=True)
    layer = layers.WordDropout.from_module(source, 0.5)
    layer(torch.arange(20)).sum().backward()
    assert source.weight.grad.is_sparse
    assert layer.padding_idx == 0


def test_a_locked_mask_follows_packed_sequences():
    packed = pack_sequence([torch.ones(n, 40) for n in (6, 4, 1)])
    y = layers.LockedDropout(0.5)(packed)
    rows = [[0, 3, 5, 7, 9, 10], [1, 4, 6, 8], [2]]  # written by hand: 3, 2, 2, 2, 1, 1 a step
    for row in rows:
        assert bool((y.data[row] == y.data[row[0]]).all())
    assert not torch.equal(y.data[0], y.data[1])


@pytest.mark.parametrize("time_dim", [0, 1])
def test_a_locked_mask_is_refused_where_it_would_drop_whole_samples(time_dim):
    layer = layers.LockedDropout(0.5, time_dim)
    for x in (torch.ones(6, 8), torch.ones(6), pack_sequence([torch.ones(3), torch.ones(2)])):
        with pytest.raises(ValueError, match=r"3 axes or more.*got the shape \(.*Use Dropout"):
            layer(x)
        assert layer.eval()(x) is x
        layer.train()


def test_tokens_keep_their_order_and_the_class_token():
    x = torch.arange(20.0).reshape(1, 20, 1).expand(3, 20, 2)
    for _ in range(20):
        kept = layers.TokenDrop(0.5, prefix_tokens=2)(x)[..., 0]
        assert kept.shape == (3, 11)  # 2 and half of 18
        assert kept[:, :2].tolist() == [[0.0, 1.0]] * 3
        assert bool((kept.diff(dim=1) > 0).all())  # a set: in order, none twice


def test_each_sample_has_its_own_tokens_and_all_are_kept_alike():
    x = torch.arange(10.0).reshape(1, 10, 1).expand(64, 10, 1)
    layer = layers.TokenDrop(0.4, prefix_tokens=0)
    kept = torch.cat([layer(x).flatten(1) for _ in range(60)])
    assert len({tuple(row) for row in kept.tolist()}) > 50
    shares = torch.bincount(kept.flatten().long(), minlength=10) / len(kept)
    torch.testing.assert_close(shares, torch.full((10,), 0.6), rtol=0, atol=0.045)


def test_indices_are_those_of_the_tokens_kept():
    x = torch.arange(10.0).reshape(1, 10, 1)
    tokens, indices = layers.TokenDrop(0.5, return_indices=True)(x)
    assert torch.equal(tokens[0, 1:, 0], indices[0].float() + 1)
    whole, none = layers.TokenDrop(0.5, return_indices=True).eval()(x)
    assert whole is x
    assert none is None


def test_without_a_prefix_one_token_stays():
    assert layers.TokenDrop(1.0, prefix_tokens=0)(torch.ones(2, 9, 3)).shape == (2, 1, 3)
    assert layers.TokenDrop(0.99, prefix_tokens=1)(torch.ones(2, 9, 3)).shape == (2, 2, 3)


def test_a_library_s_patch_dropout_is_taken_over():
    class PatchDropoutWithIndices(nn.Module):
        prob, num_prefix_tokens = 0.2, 5

    made = layers.TokenDrop.from_module(PatchDropoutWithIndices(), 0.3)
    assert (made.prefix_tokens, made.return_indices, made.p) == (5, True, 0.3)


class Slow(nn.Module):
    """Counts its calls."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x + 1


def test_layers_left_out_are_not_computed():
    stack = layers.LayerDrop([Slow() for _ in range(4)], 0.5)
    total = sum(int(stack(torch.zeros(1))) for _ in range(200))
    calls = sum(layer.calls for layer in stack.children())
    assert calls == total
    assert total == pytest.approx(400, abs=75)


def test_an_owner_that_iterates_leaves_layers_out_too():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
    plain_keys = list(encoder.state_dict())
    encoder.layers = layers.LayerDrop.from_module(encoder.layers, 1.0)
    x = torch.randn(2, 3, 8)
    assert torch.equal(encoder(x), x)
    assert not torch.equal(encoder.eval()(x), x)
    assert list(encoder.state_dict()) == plain_keys
    assert len(encoder.layers) == 4


def test_the_layers_of_a_sequential_keep_their_names():
    source = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    layer = layers.LayerDrop.from_module(source, 0.5)
    assert list(layer.state_dict()) == list(source.state_dict())
    assert layer[1] is source[1]


def test_named_layers_are_reached_by_position():
    source = nn.Sequential(OrderedDict(first=Slow(), second=Slow(), third=Slow()))
    stack = layers.LayerDrop.from_module(source, 0.5)
    assert (stack[0], stack[-1]) == (source.first, source.third)
    assert list(reversed(stack)) == [source.third, source.second, source.first]
    with pytest.raises(IndexError, match="index 3 is out of range"):
        stack[3]
    stack[1] = new = Slow()
    assert dict(stack.named_children()) == {"first": stack[0], "second": new, "third": stack[2]}


def test_a_layer_left_out_is_in_the_stack_all_the_same():
    stack = layers.LayerDrop([Slow(), Slow()], 1.0)
    assert list(stack) == []
    assert stack[0] in stack
    assert Slow() not in stack


@pytest.mark.parametrize("training", [True, False])
def test_a_slice_has_the_rate_and_the_mode_of_the_whole(training):
    # Every decoder of transformers runs over `self.layers[: config.num_hidden_layers]`.
    stack = layers.LayerDrop([Slow() for _ in range(6)], 1.0).train(training)
    part = stack[1:4]
    assert (len(part), part.p, part.training) == (3, 1.0, training)
    assert len(list(part)) == (0 if training else 3)
    assert list(part.children()) == list(stack.children())[1:4]
    assert stack[:6] is stack
    assert list(stack[::-1].children()) == list(stack.children())[::-1]


def test_a_sequence_of_nothing_but_its_prefix_stays():
    x = torch.ones(2, 1, 3)
    assert torch.equal(layers.TokenDrop(0.5, prefix_tokens=1)(x), x)
