"""The axis of channels or time is shown by something, or asked for."""

import pytest
import torch
from torch import nn

from thinned import layers
from thinned.layers._axes import channel_dim


@pytest.mark.parametrize(
    "neighbour",
    [nn.Conv1d(1, 1, 1), nn.ConvTranspose2d(1, 1, 1), nn.BatchNorm3d(1), nn.GroupNorm(1, 1)],
)
def test_convolutions_and_their_norms_show_channels_after_the_batch(neighbour):
    made = layers.SpatialDropout.from_module(nn.Dropout(0.1), 0.2, neighbours=[neighbour])
    assert made.channel_dim == 1


@pytest.mark.parametrize("neighbour", [nn.Linear(1, 1), nn.LayerNorm(1), nn.Embedding(1, 1)])
def test_linear_layers_and_layer_norms_show_channels_last(neighbour):
    made = layers.SpatialDropout.from_module(nn.Dropout(0.1), 0.2, neighbours=[neighbour])
    assert made.channel_dim == -1


def test_what_replaced_channel_dropout_shows_it_itself():
    assert layers.SpatialDropout.from_module(nn.Dropout1d(0.1), 0.2).channel_dim == 1
    last = layers.SpatialDropout(0.1, channel_dim=-1)
    assert layers.SpatialDropout.from_module(last, 0.2).channel_dim == -1


def test_the_axis_of_the_samples_is_taken_over_unless_it_is_given():
    time_first = layers.SpatialDropout(0.1, channel_dim=-1, batch_dim=1)
    assert layers.SpatialDropout.from_module(time_first, 0.2).batch_dim == 1
    assert layers.SpatialDropout.from_module(time_first, 0.2, batch_dim=0).batch_dim == 0


@pytest.mark.parametrize("around", [[], [nn.ReLU()], [nn.Conv2d(1, 1, 1), nn.Linear(1, 1)]])
def test_where_nothing_shows_it_the_swap_is_declined(around):
    with pytest.raises(ValueError, match="cannot tell the channel axis"):
        layers.SpatialDropout.from_module(nn.Dropout(0.1), 0.2, neighbours=around)
    assert channel_dim(around) is None


@pytest.mark.parametrize(
    ("around", "words"), [([nn.ReLU(), nn.Tanh()], "ReLU, Tanh"), ([], "none given")]
)
def test_the_message_names_the_neighbours(around, words):
    with pytest.raises(ValueError, match=rf"this Dropout \(neighbours: {words}\)"):
        layers.SpatialDropout.from_module(nn.Dropout(), 0.2, neighbours=iter(around))


def test_an_axis_that_is_given_is_not_asked_of_the_neighbours():
    beside = [nn.Conv1d(1, 1, 1)]
    made = layers.SpatialDropout.from_module(nn.Dropout(), 0.2, neighbours=beside, channel_dim=-1)
    assert made.channel_dim == -1


def test_only_a_dropout_module_is_taken_over():
    with pytest.raises(TypeError, match="SpatialDropout takes the place of a dropout module"):
        layers.SpatialDropout.from_module(nn.Conv1d(1, 1, 1), 0.2)


def test_images_with_channels_last():
    y = layers.SpatialDropout(0.5, channel_dim=-1)(torch.ones(2, 5, 4, 16))
    assert bool((y == y[:, :1, :1]).all())
    assert not bool((y == y[..., :1]).all())


def test_sequences_with_the_batch_second():
    y = layers.SpatialDropout(0.5, channel_dim=-1, batch_dim=1)(torch.ones(7, 4, 16))
    assert bool((y == y[:1]).all())
    assert not bool((y == y[:, :1]).all())


def test_one_axis_cannot_be_both():
    with pytest.raises(ValueError, match="to differ, got 0"):
        layers.SpatialDropout(0.5, channel_dim=0)


def test_a_recurrent_neighbour_shows_the_axis_of_time():
    batch_first = nn.LSTM(1, 1, batch_first=True)
    assert (
        layers.LockedDropout.from_module(nn.Dropout(), 0.1, neighbours=[batch_first]).time_dim == 1
    )
    time_first = nn.GRU(1, 1)
    assert (
        layers.LockedDropout.from_module(nn.Dropout(), 0.1, neighbours=[time_first]).time_dim == 0
    )
    with pytest.raises(ValueError, match="cannot tell the axis of time"):
        layers.LockedDropout.from_module(nn.Dropout(), 0.1, neighbours=[batch_first, time_first])


def test_drop_block_wants_channels_after_the_batch():
    made = layers.DropBlock2d.from_module(nn.Dropout(0.1), 0.2, neighbours=[nn.Conv2d(1, 1, 1)])
    assert made.p == 0.2
    with pytest.raises(ValueError, match="channels at axis 1"):
        layers.DropBlock2d.from_module(nn.Dropout(0.1), 0.2, neighbours=[nn.LayerNorm(1)])


def test_the_axes_are_shown():
    assert repr(layers.SpatialDropout()) == "SpatialDropout(p=0.5, channel_dim=1)"
    sequences = layers.SpatialDropout(0.25, channel_dim=-1, batch_dim=1)
    assert repr(sequences) == "SpatialDropout(p=0.25, channel_dim=-1, batch_dim=1)"
