"""What each technique drops: the real layer, run in training mode on a small tensor."""

from collections.abc import Callable
from typing import Any

import torch
from _pictures import Panel, Picture
from torch import Tensor, nn

from thinned import layers, schedules

SEED = 3


def kept(result: Tensor) -> Tensor:
    """Return 1 where something is left."""
    return (result != 0).float()


def trained(layer: nn.Module, *inputs: Any, seed: int = SEED) -> Any:
    """Return what the layer gives in training mode, from one seed."""
    torch.manual_seed(seed)
    with torch.no_grad():
        return layer.train()(*inputs)


def elements(layer: nn.Module, caption: str) -> Picture:
    """Samples by units."""
    values = kept(trained(layer, torch.ones(5, 16)))
    return Picture(((Panel(values, rows="samples", columns="units"),),), caption)


def maps(
    layer: nn.Module, side: int, caption: str, *, channels: int = 6, cell: float = 16
) -> Picture:
    """Samples by channels of a feature map."""
    result = trained(layer, torch.ones(2, channels, side, side))
    low = result.min() if result.min() < 0 else None
    values = kept(result) if low is None else torch.where(result == low, -1.0, 1.0)
    lines = tuple(
        tuple(
            Panel(
                values[n, c], f"channel {c + 1}" if n == 0 else "", "" if c else f"sample {n + 1}"
            )
            for c in range(channels)
        )
        for n in range(2)
    )
    return Picture(lines, caption, cell)


def dropout() -> Picture:
    """Single elements."""
    return elements(
        layers.Dropout(0.5), "Rate 0.5. Every unit of every sample is dropped or kept by itself."
    )


def spatial() -> Picture:
    """Whole channels."""
    return maps(
        layers.SpatialDropout(0.5), 5, "Rate 0.5. A channel goes as a whole, in each sample anew."
    )


def alpha() -> Picture:
    """Single elements, to the lower end of SELU."""
    result = trained(layers.AlphaDropout(0.3), torch.ones(5, 16))
    values = torch.where(result == result.min(), -1.0, 1.0)
    caption = "Rate 0.3. A dropped unit is not 0 but at SELU's lower end, and all are rescaled."
    return Picture(((Panel(values, rows="samples", columns="units"),),), caption)


def feature_alpha() -> Picture:
    """Whole channels, to the lower end of SELU."""
    caption = "Rate 0.3. Whole channels go to SELU's lower end."
    return maps(layers.FeatureAlphaDropout(0.3), 5, caption)


def gaussian() -> Picture:
    """Noise of mean 1."""
    values = trained(layers.GaussianDropout(0.2), torch.ones(5, 16)).clamp(0, 2) / 2
    caption = "Rate 0.2: noise of mean 1 and deviation 0.5. Nothing is dropped entirely."
    panel = Panel(values.clamp(min=0.06), rows="samples", columns="units")
    return Picture(((panel,),), caption)


def concrete() -> Picture:
    """Single elements, nearly."""
    values = trained(layers.ConcreteDropout(0.3, 0.2), torch.ones(5, 16))
    caption = "Rate 0.3, temperature 0.2. Nearly 0 or 1, smooth between: the rate has a gradient."
    panel = Panel(values / values.max(), rows="samples", columns="units")
    return Picture(((panel,),), caption)


def dropblock() -> Picture:
    """Squares of a feature map."""
    layer = layers.DropBlock2d(0.3, block_size=4)
    caption = "Rate 0.3, squares of 4. Each channel has squares of its own."
    return maps(layer, 12, caption, channels=5, cell=9)


def dropconnect() -> Picture:
    """Weights of a linear layer."""
    layer = layers.DropConnectLinear(16, 8, p=0.4)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    values = kept(trained(layer, torch.eye(16)).T)
    caption = "Rate 0.4. The weight matrix that a forward sees; units stay, connections go."
    return Picture(((Panel(values, rows="outputs", columns="inputs"),),), caption)


def locked() -> Picture:
    """Features, the same at every time step."""
    plain = kept(trained(layers.Dropout(0.5), torch.ones(1, 14, 7)))[0].T
    values = kept(trained(layers.LockedDropout(0.5), torch.ones(1, 14, 7)))[0].T
    caption = "Rate 0.5, one sequence. Left for comparison: plain dropout draws anew at every step."
    both = (
        Panel(plain, "plain dropout", "features", "time steps"),
        Panel(values, "locked", "features", "time steps"),
    )
    return Picture((both,), caption)


def word() -> Picture:
    """Words, everywhere they occur."""
    text = ["the", "cat", "saw", "the", "dog", "and", "the", "dog", "saw", "the", "bird"]
    ids = torch.tensor([sorted(set(text)).index(each) for each in text])
    layer = layers.WordDropout(len(set(text)), 4, p=0.3)
    nn.init.ones_(layer.weight)
    values = kept(trained(layer, ids)).T
    caption = "Rate 0.3. A dropped word has the vector 0 wherever it occurs."
    return Picture(((Panel(values, rows="vector", labels=text),),), caption)


def _recurrent(layer: nn.RNN, place: str) -> nn.RNN:
    """Make its output show one place: with unit weights it copies its input, or its state."""
    for name, parameter in layer.named_parameters():
        source = "weight_hh" if place == "hidden" else "weight_ih"
        with torch.no_grad():
            parameter.copy_(torch.eye(*parameter.shape)) if source in name else parameter.zero_()
    return layer


def variational() -> Picture:
    """Inputs, hidden units and outputs, the same at every time step."""
    panels = []
    for seed, place in enumerate(("input", "hidden", "output"), start=2):
        options = {"nonlinearity": "relu", "batch_first": True, "p": 0.4, "places": (place,)}
        layer = _recurrent(layers.VariationalRNN(7, 7, **options), place)
        result, _ = trained(layer, torch.ones(1, 9, 7), torch.ones(1, 1, 7), seed=seed)
        panels.append(Panel(kept(result)[0].T, place, "units", "time steps"))
    caption = "Rate 0.4, one sequence. Three masks, drawn once a forward and held over time."
    return Picture((tuple(panels),), caption)


def weight_drop() -> Picture:
    """Hidden-to-hidden weights."""
    layer = layers.WeightDropRNN(1, 10, nonlinearity="relu", batch_first=True, p=0.4)
    for name, parameter in layer.named_parameters():
        (nn.init.ones_ if "weight_hh" in name else nn.init.zeros_)(parameter)
    result, _ = trained(layer, torch.zeros(10, 1, 1), torch.eye(10)[None])
    caption = "Rate 0.4. The hidden-to-hidden weights of a forward, the same at all its time steps."
    panel = Panel(kept(result[:, 0]).T, rows="to hidden unit", columns="from hidden unit")
    return Picture(((panel,),), caption)


def drop_path() -> Picture:
    """A residual branch, for whole samples."""
    values = kept(trained(layers.DropPath(0.4), torch.ones(7, 16)))
    caption = "Rate 0.4. What one residual branch adds: all of it or nothing, sample by sample."
    return Picture(((Panel(values, rows="samples", columns="what the branch adds"),),), caption)


class _AddOne(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """Return a residual block's result whose branch is 1."""
        return x + 1


def stochastic_depth() -> Picture:
    """Blocks, by the linear rule, for whole samples."""
    depth = 12
    rates = schedules.LinearDepth().rates(0.5, [None] * depth)
    torch.manual_seed(SEED)
    rows = [
        layers.StochasticDepth(_AddOne(), rate).train()(torch.zeros(7, 1))[:, 0] for rate in rates
    ]
    caption = "Rate 0.5 in the last block, less before it: the linear rule of the paper."
    panel = Panel(kept(torch.stack(rows, 1)), rows="samples", columns="blocks, from first to last")
    return Picture(((panel,),), caption)


def token_drop() -> Picture:
    """Tokens of a picture."""
    side, samples = 7, 4
    layer = layers.TokenDrop(0.5, prefix_tokens=1)
    tokens = torch.arange(1.0 + side * side).repeat(samples, 1)[..., None]
    left = trained(layer, tokens)[:, 1:, 0].long() - 1
    values = torch.zeros(samples, side * side).scatter(1, left, 1.0)
    panels = tuple(Panel(values[n].reshape(side, side), f"sample {n + 1}") for n in range(samples))
    caption = "Rate 0.5. Patches of an image; dropped ones are not computed. The class token stays."
    return Picture((panels,), caption)


class _Mark(nn.Module):
    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index

    def forward(self, x: Tensor) -> Tensor:
        """Leave a mark that this layer ran."""
        return x + torch.eye(x.shape[-1])[self.index]


def layer_drop() -> Picture:
    """Layers of a stack, for the whole batch."""
    depth, forwards = 8, 14
    stack = layers.LayerDrop([_Mark(index) for index in range(depth)], p=0.3).train()
    torch.manual_seed(SEED)
    values = torch.stack([stack(torch.zeros(depth)) for _ in range(forwards)], 1)
    caption = "Rate 0.3. Which layers ran, forward by forward; the others cost nothing."
    panel = Panel(values.flip(0), rows="layers, last on top", columns="forwards")
    return Picture(((panel,),), caption)


PICTURES: dict[str, Callable[[], Picture]] = {
    function.__name__: function
    for function in (
        dropout, spatial, alpha, feature_alpha, gaussian, concrete, dropblock, dropconnect, locked,
        word, variational, weight_drop, drop_path, stochastic_depth, token_drop, layer_drop,
    )
}  # fmt: skip


def picture(name: str) -> Picture:
    """Return what the technique drops; without a drawing of its own it runs on samples by units."""
    if name in PICTURES:
        return PICTURES[name]()
    row = layers.variant(name)
    return elements(row.layer.from_module(nn.Dropout(0.5), 0.5), f"Rate 0.5: {row.summary}.")
