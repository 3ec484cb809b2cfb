"""Models with something to sample from, and the plain loop to compare with."""

import torch
from torch import nn

from thinned.uncertainty import active_sites, sampling
from thinned.uncertainty._forwards.output import output_of


def loop(model, x, count, include="*"):
    """Return samples as anybody would draw them: one forward each, no operator followed."""
    sites = active_sites(model, include)
    with torch.no_grad(), sampling(model, sites):
        return torch.stack([output_of(model(x)) for _ in range(count)])


class Recurrent(nn.Module):
    """A recurrent layer with a rate of its own, read at the last step."""

    def __init__(self, batch_first=True, rate=0.5, head=0.0):
        super().__init__()
        self.rnn = nn.LSTM(6, 16, 2, batch_first=batch_first, dropout=rate)
        self.drop = nn.Dropout(head)
        self.out = nn.Linear(16, 3)
        self.time = 1 if batch_first else 0

    def forward(self, x):
        return self.out(self.drop(self.rnn(x)[0].select(self.time, -1)))


class Encoder(nn.Module):
    """Torch's transformer encoder, which takes a path without dropout in evaluation mode."""

    def __init__(self, rate=0.3):
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, rate, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.out = nn.Linear(16, 3)

    def forward(self, x):
        return self.out(self.encoder(x).mean(1))


class DropPath(nn.Module):
    """Stochastic depth as timm writes it: a class of that name."""

    def __init__(self, drop_prob=0.5):
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x):
        if self.drop_prob == 0.0 or not self.training:
            return x
        keep = 1 - self.drop_prob
        mask = x.new_empty(len(x), *[1] * (x.dim() - 1)).bernoulli_(keep)
        return x * mask / keep


class Functional(nn.Module):
    """A rate in an attribute, read with the module's own mode."""

    def __init__(self, rate=0.5):
        super().__init__()
        self.dropout = rate
        self.one, self.two = nn.Linear(6, 32), nn.Linear(32, 3)

    def forward(self, x):
        hidden = self.one(x).relu()
        return self.two(nn.functional.dropout(hidden, self.dropout, self.training))


def conv(*middle, tail=()):
    """Return a small conv net with a batch norm, and modules after its second convolution."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        *middle,
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 16),
        *tail,
        nn.Linear(16, 3),
    )
