"""Models to sample from, each with its forward cut in two by hand: before dropout, and the rest."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Case:
    """A model, and its forward in two parts.

    Attributes:
        model: the whole.
        shape: of its input.
        begin: what comes before the first dropout, of the input.
        rest: what comes after, of what `begin` returns: of a batch, or of copies of it.
    """

    model: nn.Module
    shape: tuple[int, ...]
    begin: Callable[[Tensor], Tensor]
    rest: Callable[[Tensor], Tensor]


class Parts(nn.Module):
    """A model of two parts."""

    def __init__(self, begin, rest):
        super().__init__()
        self.begin, self.rest = begin, rest

    def forward(self, x):
        return self.rest(self.begin(x))

    def case(self, *shape):
        return Case(self, shape, self.begin, self.rest)


class Mean(nn.Module):
    """The mean over the tokens."""

    def forward(self, x):
        return x.mean(1)


class Last(nn.Module):
    """The last step of a recurrent layer's output."""

    def __init__(self, rnn):
        super().__init__()
        self.rnn = rnn

    def forward(self, x):
        return self.rnn(x)[0][:, -1]


class Residual(nn.Module):
    """A block with a way around it."""

    def __init__(self, *parts):
        super().__init__()
        self.way = nn.Sequential(*parts)

    def forward(self, x):
        return x + self.way(x)


class Attention(nn.Module):
    """Self-attention as timm writes it: one product for queries, keys and values."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        rows, length, width = x.shape
        q, k, v = self.qkv(x).view(rows, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(q, k, v)
        return self.out(found.transpose(1, 2).reshape(rows, length, width))


class Patches(nn.Module):
    """Patches of an image as tokens, behind a token for the class."""

    def __init__(self, width):
        super().__init__()
        self.cut = nn.Conv2d(3, width, 4, stride=4)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.place = nn.Parameter(torch.randn(1, 65, width) * 0.02)

    def forward(self, x):
        tokens = self.cut(x).flatten(2).transpose(1, 2)
        return torch.cat([self.token.expand(len(x), -1, -1), tokens], 1) + self.place


class Written(nn.Module):
    """Dropout that is written into the forward, with a rate in an attribute."""

    def __init__(self):
        super().__init__()
        self.dropout = 0.3
        self.one, self.two, self.out = nn.Linear(64, 512), nn.Linear(512, 256), nn.Linear(256, 10)

    def begin(self, x):
        return self.two(self.one(x).relu()).relu()

    def rest(self, hidden):
        return self.out(functional.dropout(hidden, self.dropout, self.training))

    def forward(self, x):
        return self.rest(self.begin(x))

    def case(self, *shape):
        return Case(self, shape, self.begin, self.rest)


class Between(nn.Module):
    """An LSTM of two layers with dropout between them, and the same in two parts."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(16, 64, 2, batch_first=True, dropout=0.3)
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])

    def case(self, *shape):
        parts = [nn.LSTM(width, 64, batch_first=True).eval() for width in (16, 64)]
        for layer, part in enumerate(parts):
            names = [name for name, _ in part.named_parameters()]
            part.load_state_dict(
                {n: getattr(self.rnn, n.replace("l0", f"l{layer}")) for n in names}
            )

        def rest(hidden):
            dropped = functional.dropout(hidden, 0.3)
            return self.head(parts[1](dropped)[0][:, -1])

        return Case(self, shape, lambda x: parts[0](x)[0], rest)


def encoder():
    """Return a small transformer with dropout in each of its blocks."""
    layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.1, batch_first=True)
    blocks = nn.TransformerEncoder(layer, 4)
    return Parts(nn.Linear(16, 64), nn.Sequential(blocks, Mean(), nn.Linear(64, 10)))


def conv(place):
    """Return a conv net with one dropout layer at a place."""
    layers = [
        nn.Conv2d(3, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    ]
    return Parts(nn.Sequential(*layers[:place]), nn.Sequential(nn.Dropout(0.3), *layers[place:]))


def recurrent(kind, *head):
    """Return a recurrent layer, with what comes after its last step."""
    return Parts(Last(kind(16, 64, batch_first=True)), nn.Sequential(nn.Dropout(0.3), *head))


def vit():
    """Return a small vision transformer with dropout in the last two of six blocks."""
    width = 96

    def block(*drop):
        mlp = [nn.Linear(width, 2 * width), nn.GELU(), *drop, nn.Linear(2 * width, width), *drop]
        return nn.Sequential(
            Residual(nn.LayerNorm(width), Attention(width, 4), *drop),
            Residual(nn.LayerNorm(width), *mlp),
        )

    rest = [block(nn.Dropout(0.1)), block(nn.Dropout(0.1)), Mean(), nn.Linear(width, 10)]
    return Parts(nn.Sequential(Patches(width), *[block() for _ in range(4)]), nn.Sequential(*rest))


def resnet():
    """Return residual convolutions, dropping channels in the last of four blocks."""

    def block(*drop):
        norms = [nn.BatchNorm2d(24) for _ in range(2)]
        convs = [nn.Conv2d(24, 24, 3, padding=1, bias=False) for _ in range(2)]
        return Residual(convs[0], norms[0], nn.ReLU(), *drop, convs[1], norms[1])

    begin = nn.Sequential(nn.Conv2d(3, 24, 3, padding=1), *[block() for _ in range(3)])
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10)]
    return Parts(begin, nn.Sequential(block(nn.Dropout2d(0.2)), *tail))


MLP = (nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 10))

# Name, model, shape of the input. The first seven are those of the target.
CASES = {
    "conv net, head": lambda: conv(14).case(32, 3, 32, 32),
    "conv net, middle": lambda: conv(6).case(32, 3, 32, 32),
    "conv net, start": lambda: conv(0).case(32, 3, 32, 32),
    "transformer, each block": lambda: encoder().case(32, 20, 16),
    "transformer, one row": lambda: encoder().case(1, 20, 16),
    "LSTM, after it": lambda: recurrent(nn.LSTM, nn.Linear(64, 10)).case(32, 20, 16),
    "LSTM, between its layers": lambda: Between().case(32, 20, 16),
    "GRU, after it": lambda: recurrent(nn.GRU, nn.Linear(64, 10)).case(32, 20, 16),
    "LSTM and MLP, in both": lambda: recurrent(nn.LSTM, *MLP).case(32, 20, 16),
    "small conv net, middle": lambda: conv(6).case(8, 3, 16, 16),
    "residual conv net, last block": lambda: resnet().case(8, 3, 32, 32),
    "vision transformer, last 2 of 6": lambda: vit().case(16, 3, 32, 32),
    "MLP, written into the forward": lambda: Written().case(64, 64),
}
