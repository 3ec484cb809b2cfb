"""Small networks of the four families, with a place for each technique."""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from thinned import layers
from thinned.schedules import LinearDepth

Site = Callable[[], nn.Module]


def mlp(
    inputs: int,
    widths: Sequence[int],
    outputs: int,
    site: Site = nn.Identity,
    *,
    linear: Callable[[int, int], nn.Module] = nn.Linear,
    activation: Callable[[], nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """Hidden layers of linear, activation and site; the output layer is always plain."""
    parts: list[nn.Module] = [nn.Flatten()]
    for wide, narrow in itertools.pairwise([inputs, *widths]):
        parts += [linear(wide, narrow), activation(), site()]
    return nn.Sequential(*parts, nn.Linear(widths[-1], outputs))


def drawn_for(net: nn.Module, gain: str) -> nn.Module:
    """Draw the weights anew, normally, with the gain of an activation (He; "linear": LeCun)."""
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity=gain)
            nn.init.zeros_(module.bias)
    return net


class Residual(nn.Module):
    """Two convolutions beside a shortcut, with a site behind the first."""

    def __init__(self, channels: int, conv: Callable[..., nn.Module], site: Site) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            conv(channels, channels, 3, padding=1),
            nn.ReLU(),
            site(),
            conv(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch."""
        return x + self.branch(functional.relu(x))


def cnn(
    outputs: int = 10,
    *,
    channels: int = 24,
    blocks: int = 2,
    hidden: int = 64,
    features: Site = nn.Identity,
    head: Site = nn.Identity,
    conv: Callable[..., nn.Module] = nn.Conv2d,
    wrap: Callable[[nn.Module, int], nn.Module] = lambda block, _depth: block,
) -> nn.Sequential:
    """A stem, residual blocks on maps of 4 x 4, and a head of one hidden layer, for 8 x 8 pixels.

    ``features`` is a site behind the stem and in each block, ``head`` before and behind the hidden
    layer, ``conv`` the class of the convolutions, ``wrap`` what is put around each block.
    """
    stack = [wrap(Residual(channels, conv, features), depth) for depth in range(blocks)]
    return nn.Sequential(
        *(conv(1, channels, 3, padding=1), nn.ReLU(), features(), nn.MaxPool2d(2)),
        *stack,
        *(nn.ReLU(), nn.Flatten(), head()),
        *(nn.Linear(channels * 16, hidden), nn.ReLU(), head(), nn.Linear(hidden, outputs)),
    )


def selu_cnn(outputs: int, site: Site = nn.Identity, channels: int = 32) -> nn.Module:
    """Three convolutions without norms or shortcuts, SELU and a site behind each, LeCun weights."""
    parts: list[nn.Module] = []
    for inputs in (1, channels, channels):
        parts += [nn.Conv2d(inputs, channels, 3, padding=1), nn.SELU(), site()]
    parts.insert(3, nn.AvgPool2d(2))
    net = nn.Sequential(*parts, nn.Flatten(), nn.Linear(channels * 16, outputs))
    return drawn_for(net, "linear")


class Rows(nn.Module):
    """Two recurrent layers over the rows of an image, a site behind each, and a linear output."""

    def __init__(
        self,
        cell: Callable[[int, int], nn.Module],
        site: Site,
        width: int = 48,
        outputs: int = 10,
    ) -> None:
        super().__init__()
        self.first, self.second = cell(8, width), cell(width, width)
        self.between, self.last = site(), site()
        self.output = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Read ``(N, 1, T, 8)`` row by row."""
        x = self.between(self.first(x.squeeze(1))[0])
        return self.output(self.last(self.second(x)[0])[:, -1])


class Words(nn.Module):
    """An embedding, a site, a GRU over the words, and the mean of its states."""

    def __init__(self, words: nn.Module, site: Site, outputs: int, width: int = 32) -> None:
        super().__init__()
        self.words, self.site = words, site()
        self.read = nn.GRU(words.embedding_dim, width, batch_first=True)
        self.output = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Read ``(N, T)`` words."""
        return self.output(self.read(self.site(self.words(x)))[0].mean(dim=1))


class Patches(nn.Linear):
    """Tokens of patches of 2 x 4 pixels."""

    def forward(self, x: Tensor) -> Tensor:
        """Read ``(N, 1, H, W)``."""
        return super().forward(functional.unfold(x, (2, 4), stride=(2, 4)).transpose(1, 2))


class Transformer(nn.Module):
    """A pre-norm transformer over the tokens of an embedding, and the mean of its tokens."""

    def __init__(
        self,
        embed: nn.Module,
        length: int,
        outputs: int,
        *,
        rate: float = 0.0,
        tokens: Site = nn.Identity,
        stack: Callable[[nn.ModuleList], nn.Module] = lambda found: nn.Sequential(*found),
        wrap: Callable[[nn.Module, int], nn.Module] = lambda block, _depth: block,
        width: int = 32,
        depth: int = 3,
    ) -> None:
        super().__init__()
        self.embed = embed
        self.position = nn.Parameter(0.02 * torch.randn(length, width))
        self.tokens = tokens()
        made = [
            nn.TransformerEncoderLayer(width, 4, 64, rate, batch_first=True, norm_first=True)
            for _ in range(depth)
        ]
        self.stack = stack(nn.ModuleList([wrap(each, place) for place, each in enumerate(made)]))
        self.output = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Read what the embedding reads."""
        x = self.stack(self.tokens(self.embed(x) + self.position))
        return self.output(x.mean(dim=1))


Wrap = Callable[[nn.Module, int], nn.Module]  # of a block and its place


def depth_rate(rate: float, depth: int, blocks: int) -> float:
    """The linear rule of stochastic depth, as the profile LinearDepth has it."""
    return LinearDepth().rates(rate, [None] * blocks)[depth]


def stochastic(rate: float, blocks: int, mode: str = "mask") -> Wrap:
    """Return what wraps each block in stochastic depth, deeper ones at a higher rate."""
    return lambda block, depth: layers.StochasticDepth(
        block, depth_rate(rate, depth, blocks), mode=mode
    )


def paths(rate: float, blocks: int, mode: str = "row", *, linear: bool = True) -> Wrap:
    """Return what puts a drop path at the end of each residual branch of a block."""

    def wrap(block: nn.Module, depth: int) -> nn.Module:
        here = depth_rate(rate, depth, blocks) if linear else rate
        if isinstance(block, nn.TransformerEncoderLayer):  # its dropouts end its two branches
            block.dropout1, block.dropout2 = (layers.DropPath(here, mode) for _ in range(2))
        else:
            block.branch.append(layers.DropPath(here, mode))
        return block

    return wrap
