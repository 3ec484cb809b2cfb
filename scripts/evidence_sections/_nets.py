"""Small networks of the four families, with a place for each technique."""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from thinned import layers

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
    *,
    channels: int = 24,
    blocks: int = 2,
    hidden: int = 64,
    features: Site = nn.Identity,
    head: Site = nn.Identity,
    conv: Callable[..., nn.Module] = nn.Conv2d,
    wrap: Callable[[nn.Module, int], nn.Module] = lambda block, _depth: block,
) -> nn.Sequential:
    """A stem, residual blocks on maps of 4 x 4, and a head of one hidden layer, for digits.

    ``features`` is a site behind the stem and in each block, ``head`` before and behind the hidden
    layer, ``conv`` the class of the convolutions, ``wrap`` what is put around each block.
    """
    stack = [wrap(Residual(channels, conv, features), depth) for depth in range(blocks)]
    return nn.Sequential(
        *(conv(1, channels, 3, padding=1), nn.ReLU(), features(), nn.MaxPool2d(2)),
        *stack,
        *(nn.ReLU(), nn.Flatten(), head()),
        *(nn.Linear(channels * 16, hidden), nn.ReLU(), head(), nn.Linear(hidden, 10)),
    )


class Rows(nn.Module):
    """Two recurrent layers over the rows of a digit, a site behind each, and a linear output."""

    def __init__(self, cell: Callable[[int, int], nn.Module], site: Site, width: int = 48) -> None:
        super().__init__()
        self.first, self.second = cell(8, width), cell(width, width)
        self.between, self.last = site(), site()
        self.output = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Read ``(N, 1, 8, 8)`` row by row."""
        x = self.between(self.first(x.squeeze(1))[0])
        return self.output(self.last(self.second(x)[0])[:, -1])


class Patches(nn.Module):
    """A pre-norm transformer over patches of 2 x 4 pixels, and the mean of its tokens."""

    def __init__(
        self,
        *,
        rate: float = 0.0,
        tokens: Site = nn.Identity,
        stack: Callable[[nn.ModuleList], nn.Module] = lambda found: nn.Sequential(*found),
        wrap: Callable[[nn.Module, int], nn.Module] = lambda block, _depth: block,
        width: int = 32,
        depth: int = 3,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.position = nn.Parameter(0.02 * torch.randn(8, width))
        self.tokens = tokens()
        made = [
            nn.TransformerEncoderLayer(width, 4, 64, rate, batch_first=True, norm_first=True)
            for _ in range(depth)
        ]
        self.stack = stack(nn.ModuleList([wrap(each, place) for place, each in enumerate(made)]))
        self.output = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 10))

    def forward(self, x: Tensor) -> Tensor:
        """Read ``(N, 1, 8, 8)``."""
        x = functional.unfold(x, (2, 4), stride=(2, 4)).transpose(1, 2)
        x = self.stack(self.tokens(self.embed(x) + self.position))
        return self.output(x.mean(dim=1))


def depth_rate(rate: float, depth: int, blocks: int) -> float:
    """The linear rule of stochastic depth, as the profile LinearDepth has it."""
    from thinned.schedules import LinearDepth

    return LinearDepth().rates(rate, [None] * blocks)[depth]


def stochastic(rate: float, blocks: int, mode: str = "mask") -> Callable[..., nn.Module]:
    """Return what wraps each block in stochastic depth, deeper ones at a higher rate."""
    return lambda block, depth: layers.StochasticDepth(
        block, depth_rate(rate, depth, blocks), mode=mode
    )
