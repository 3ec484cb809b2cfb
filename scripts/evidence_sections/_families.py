"""Families of networks, and the techniques that each has a place for."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from thinned import layers

from . import _drawn as drawn
from . import _nets as nets
from ._arms import Arm
from ._data import Data
from ._size import RATES
from ._tasks import FOUR
from ._train import Recipe

DEEP = 6
Build = Callable[..., nn.Module]  # of data, and of what a technique puts into the network


@dataclasses.dataclass(frozen=True)
class Family:
    """A network, how it is trained on each task, and its techniques."""

    told: str
    recipes: dict[str, Recipe]
    arms: dict[str, Arm]


def _arms(
    build: Build, techniques: dict[str, Any], rates: tuple[float, ...] = RATES
) -> dict[str, Arm]:
    """Make arms of options, which are a mapping, or a function of the rate."""

    def arm(options: Any) -> Arm:
        if callable(options):
            return Arm(lambda data, rate: build(data, **options(rate)), rates)
        return Arm(lambda data, _: build(data, **options), ())

    return {name: arm(options) for name, options in techniques.items()}


def _site(layer: Callable[..., nn.Module], **options: Any) -> Callable[[float], nets.Site]:
    return lambda rate: functools.partial(layer, rate, **options)


def _mlp(data: Data, **given: Any) -> nn.Module:
    return nets.mlp(data.inputs, (128, 128), data.outputs, **given)


def _cnn(data: Data, **given: Any) -> nn.Module:
    return nets.cnn(data.outputs, **given)


def _deep(data: Data, **given: Any) -> nn.Module:
    return nets.cnn(data.outputs, channels=12, blocks=DEEP, **given)


def _selu(data: Data, **given: Any) -> nn.Module:
    return nets.selu_cnn(data.outputs, **given)


def _rnn(
    data: Data, *, masked: type | None = None, site: nets.Site = nn.Identity, rate: float = 0.0
) -> nn.Module:
    def cell(inputs: int, width: int) -> nn.Module:
        if masked is None:
            return nn.GRU(inputs, width, batch_first=True)
        return masked(inputs, width, batch_first=True, p=rate)

    return nets.Rows(cell, site, outputs=data.outputs)


def _transformer(data: Data, **given: Any) -> nn.Module:
    if data.train[0].ndim == 2:
        embed, length = nn.Embedding(drawn.WORDS, 32), drawn.LONG
        return nets.Transformer(embed, length, data.outputs, **given)
    return nets.Transformer(nets.Patches(8, 32), 8, data.outputs, **given)


def _text(
    data: Data,
    *,
    words: Callable[[int, int], nn.Module] = nn.Embedding,
    site: nets.Site = nn.Identity,
) -> nn.Module:
    return nets.Words(words(drawn.WORDS, 32), site, data.outputs)


def concrete_penalty(net: nn.Module, samples: int) -> torch.Tensor:
    """The prior of concrete dropout, for each site and the layer that reads it."""
    parts = list(net.children())
    total = torch.zeros(())
    for place, each in enumerate(parts):
        if isinstance(each, layers.ConcreteDropout):
            total = total + each.regularizer(parts[place + 1].weight, num_samples=samples)
    return total


def _dense() -> dict[str, Arm]:
    drop = _site(layers.Dropout)
    gaussian, concrete = _site(layers.GaussianDropout), _site(layers.ConcreteDropout)
    found = _arms(
        _mlp,
        {
            "none": {},
            "Dropout": lambda r: {"site": drop(r)},
            "DropConnect": lambda r: {"linear": functools.partial(layers.DropConnectLinear, p=r)},
            "Gaussian": lambda r: {"site": gaussian(r)},
            "Concrete": lambda r: {"site": concrete(r)},
        },
    )
    found["Concrete"] = dataclasses.replace(
        found["Concrete"],
        change=lambda recipe, _rate: dataclasses.replace(recipe, penalty=concrete_penalty),
    )
    return found


def _convolutional() -> dict[str, Arm]:
    drop, spatial = _site(layers.Dropout), _site(layers.SpatialDropout)
    block = _site(layers.DropBlock2d, block_size=3)
    return _arms(
        _cnn,
        {
            "none": {},
            "Dropout, head": lambda r: {"head": drop(r)},
            "Spatial": lambda r: {"features": spatial(r)},
            "DropBlock": lambda r: {"features": block(r)},
            "StochasticDepth": lambda r: {"wrap": nets.stochastic(r, 2)},
            "DropConnectConv": lambda r: {"conv": functools.partial(layers.DropConnectConv2d, p=r)},
        },
    )


def _residual() -> dict[str, Arm]:
    return _arms(
        _deep,
        {
            "none": {},
            "DropPath": lambda r: {"wrap": nets.paths(r, DEEP)},
            "DropPath, one rate": lambda r: {"wrap": nets.paths(r, DEEP, linear=False)},
        },
    )


def _recurrent() -> dict[str, Arm]:
    drop, locked = _site(layers.Dropout), _site(layers.LockedDropout)
    return _arms(
        _rnn,
        {
            "none": {},
            "Dropout": lambda r: {"site": drop(r)},
            "Locked": lambda r: {"site": locked(r)},
            "Variational": lambda r: {"masked": layers.VariationalGRU, "rate": r},
            "WeightDrop": lambda r: {"masked": layers.WeightDropGRU, "rate": r},
        },
    )


def _attention() -> dict[str, Arm]:
    token = _site(layers.TokenDrop, prefix_tokens=0)
    return _arms(
        _transformer,
        {
            "none": {},
            "Dropout": lambda r: {"rate": r},
            "LayerDrop": lambda r: {"stack": functools.partial(layers.LayerDrop, p=r)},
            "StochasticDepth": lambda r: {"wrap": nets.stochastic(r, 3)},
            "DropPath": lambda r: {"wrap": nets.paths(r, 3)},
            "TokenDrop": lambda r: {"tokens": token(r)},
        },
    )


def _selu_arms() -> dict[str, Arm]:
    spatial, alpha = _site(layers.SpatialDropout), _site(layers.AlphaDropout)
    feature = _site(layers.FeatureAlphaDropout)
    return _arms(
        _selu,
        {
            "none": {},
            "Spatial": lambda r: {"site": spatial(r)},
            "Alpha": lambda r: {"site": alpha(r)},
            "FeatureAlpha": lambda r: {"site": feature(r)},
        },
        (0.05, 0.1, 0.3, 0.5),  # lower than elsewhere: the paper takes 0.05 and 0.1
    )


def _words() -> dict[str, Arm]:
    drop, locked = _site(layers.Dropout), _site(layers.LockedDropout)

    def words(mode: str, rate: float) -> dict[str, Any]:
        return {"words": functools.partial(layers.WordDropout, p=rate, mode=mode)}

    return _arms(
        _text,
        {
            "none": {},
            "Dropout": lambda r: {"site": drop(r)},
            "Locked": lambda r: {"site": locked(r)},
            "Word": functools.partial(words, "batch"),
            "Word, by text": functools.partial(words, "sample"),
        },
    )


FAMILIES = {
    "mlp": Family(
        "MLP, two hidden layers of 128",
        dict.fromkeys(FOUR, Recipe(steps=600, lr=1e-3)),
        _dense(),
    ),
    "cnn": Family(
        "CNN, two residual blocks of 24 channels",
        {"digits": Recipe(steps=400, lr=1e-3), "signs": Recipe(steps=200, lr=2e-3)},
        _convolutional(),
    ),
    "residual": Family(
        "Residual network, six blocks of 12 channels",
        dict.fromkeys(("digits", "signs"), Recipe(steps=150, lr=2e-3)),
        _residual(),
    ),
    "selu cnn": Family(
        "SELU network, three convolutions of 32 channels",
        {"digits": Recipe(steps=150, lr=2e-3), "signs": Recipe(steps=250, lr=2e-3)},
        _selu_arms(),
    ),
    "rnn": Family(
        "Two GRU layers of 48",
        {"digits": Recipe(steps=300, lr=4e-3), "sequences": Recipe(steps=150, lr=4e-3)},
        _recurrent(),
    ),
    "text": Family(
        "Words: an embedding and a GRU of 32",
        dict.fromkeys(("topics", "keys"), Recipe(steps=200, lr=4e-3)),
        _words(),
    ),
    "transformer": Family(
        "Transformer, three pre-norm layers of width 32",
        {"digits": Recipe(steps=200, lr=4e-3), "topics": Recipe(steps=120, lr=4e-3)},
        _attention(),
    ),
}
