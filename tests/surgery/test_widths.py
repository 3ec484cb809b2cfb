import torch.nn.functional as F  # noqa: N812 - as everybody writes it
from torch import nn

import thinned
from thinned import find_sites, layers


def widths(model):
    return [site.width for site in find_sites(model)]


def test_a_dropout_has_the_width_of_the_layer_before_it():
    net = nn.Sequential(
        nn.Linear(3, 7), nn.ReLU(), nn.Dropout(), nn.Linear(7, 5), nn.LayerNorm(5), nn.Dropout()
    )
    assert widths(net) == [7, 5]


def test_the_width_crosses_the_border_of_a_block():
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)),
        nn.Sequential(nn.ReLU()),
        nn.Dropout2d(),
    )
    assert widths(net) == [8]


def test_layers_that_hold_a_rate_have_their_own():
    net = nn.ModuleList(
        [
            nn.LSTM(4, 6, num_layers=2, bidirectional=True),
            nn.LSTM(4, 6, num_layers=2, proj_size=3),
            nn.MultiheadAttention(4, 2),
            layers.DropConnectLinear(4, 9, p=0.1),
        ]
    )
    assert widths(net) == [12, 3, 4, 9]


def test_a_hook_before_a_layer_drops_what_the_layer_is_given():
    net = nn.Sequential(nn.Linear(3, 7), nn.ReLU(), nn.Linear(7, 5), nn.LSTM(5, 9))
    edit = thinned.insert(net, "dropout", after="input", include=["1", "2", "3"])
    assert [site.width for site in edit.sites] == [7, 7, 5]


def test_a_transformer_layer():
    net = nn.TransformerEncoderLayer(16, 2, dim_feedforward=32)
    assert find_sites(net).rates.keys() == {"self_attn:dropout", "dropout", "dropout1", "dropout2"}
    assert widths(net) == [16, 32, 16, 16]


def test_where_nothing_says_it_nothing_is_guessed():
    class SelfAttention(nn.Module):
        def __init__(self):
            super().__init__()
            self.query = nn.Linear(4, 4)
            self.dropout = nn.Dropout()  # on the attention weights

        def forward(self, x):
            return self.dropout(self.query(x).softmax(-1))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.p = 0.1

        def forward(self, x):
            return F.dropout(x, self.p, self.training)

    assert widths(nn.Sequential(nn.Dropout(), Block(), SelfAttention())) == [None, None, None]
