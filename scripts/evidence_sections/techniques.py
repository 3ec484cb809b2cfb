"""Each technique on the family of networks it is for, against none, tuned alike."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from thinned import layers

from . import _nets as nets
from ._data import draw as draw_data
from ._picture import figure, forest
from ._results import Results, Row
from ._size import Size
from ._table import BEST, ERROR, LOSS, differences, placebo, sentence, table
from ._train import Recipe, fit

TITLE = "Each technique on its family"
FAMILIES = {
    "mlp": "MLP, 64-128-128-10",
    "cnn": "CNN, two residual blocks of 24 channels",
    "rnn": "two GRU layers of 48 over the rows",
    "transformer": "three pre-norm layers of width 32 over 2 x 4 patches",
}
STEPS = {"mlp": 600, "cnn": 400, "rnn": 300, "transformer": 200}
RATE_OF_LEARNING = {"mlp": 1e-3, "cnn": 1e-3, "rnn": 4e-3, "transformer": 4e-3}
TRAIN = 200

Build = Callable[[float], Callable[[], nn.Module]]


def _mlp(**given: Any) -> nn.Module:
    return nets.mlp(64, (128, 128), 10, **given)


def _rnn(masked: type | None, site: type | None, rate: float) -> nn.Module:
    def cell(inputs: int, width: int) -> nn.Module:
        if masked is None:
            return nn.GRU(inputs, width, batch_first=True)
        return masked(inputs, width, batch_first=True, p=rate)

    return nets.Rows(cell, functools.partial(site, rate) if site else nn.Identity)


def _site(layer: Callable[..., nn.Module], rate: float, **options: Any) -> nets.Site:
    return functools.partial(layer, rate, **options)


def techniques() -> dict[str, dict[str, Callable[[float], nn.Module]]]:
    """Every technique by family: a function from the rate to a network."""
    drop, part = layers.Dropout, functools.partial
    found: dict[str, dict[str, Callable[[float], nn.Module]]] = {
        "mlp": {
            "none": lambda _: _mlp(),
            "Dropout": lambda r: _mlp(site=_site(drop, r)),
            "DropConnect": lambda r: _mlp(linear=part(layers.DropConnectLinear, p=r)),
            "Gaussian": lambda r: _mlp(site=_site(layers.GaussianDropout, r)),
            "SELU, none": lambda _: _mlp(activation=nn.SELU),
            "SELU, Alpha": lambda r: _mlp(site=_site(layers.AlphaDropout, r), activation=nn.SELU),
            "Concrete": lambda r: _mlp(site=_site(layers.ConcreteDropout, r)),
        },
        "cnn": {
            "none": lambda _: nets.cnn(),
            "Dropout, head": lambda r: nets.cnn(head=_site(drop, r)),
            "Spatial": lambda r: nets.cnn(features=_site(layers.SpatialDropout, r)),
            "DropBlock": lambda r: nets.cnn(features=_site(layers.DropBlock2d, r, block_size=3)),
            "StochasticDepth": lambda r: nets.cnn(wrap=nets.stochastic(r, 2)),
            "DropConnectConv": lambda r: nets.cnn(conv=part(layers.DropConnectConv2d, p=r)),
        },
        "rnn": {
            "none": part(_rnn, None, None),
            "Dropout": part(_rnn, None, drop),
            "Locked": part(_rnn, None, layers.LockedDropout),
            "Variational": part(_rnn, layers.VariationalGRU, None),
            "WeightDrop": part(_rnn, layers.WeightDropGRU, None),
        },
        "transformer": {
            "none": lambda _: nets.Patches(),
            "Dropout": lambda r: nets.Patches(rate=r),
            "LayerDrop": lambda r: nets.Patches(stack=part(layers.LayerDrop, p=r)),
            "StochasticDepth": lambda r: nets.Patches(wrap=nets.stochastic(r, 3)),
            "TokenDrop": lambda r: nets.Patches(tokens=_site(layers.TokenDrop, r, prefix_tokens=0)),
        },
    }
    return found


def concrete_penalty(net: nn.Module) -> torch.Tensor:
    """The prior of concrete dropout, for each site and the layer that reads it."""
    parts = list(net.children())
    total = torch.zeros(())
    for place, each in enumerate(parts):
        if isinstance(each, layers.ConcreteDropout):
            total = total + each.regularizer(parts[place + 1].weight, num_samples=TRAIN)
    return total


def _run(family: str, name: str, rate: float, tries: int, size: Size, seed: int) -> Row:
    build = techniques()[family][name]
    recipe = Recipe(
        steps=size.steps(STEPS[family]),
        lr=RATE_OF_LEARNING[family],
        penalty=concrete_penalty if name == "Concrete" else None,
    )
    data = draw_data("digits", seed, TRAIN, test=size.test())
    return fit(lambda: build(rate), data, recipe, seed + 1000 * tries).numbers


def arms(size: Size) -> dict[str, Callable[[int], Row]]:
    """Four rates of each technique; none has four tries instead, each with other weights."""
    found = {}
    for family, members in techniques().items():
        for name in members:
            for tries, rate in enumerate(size.rates):
                plain = name.endswith("none")
                last = f"try {tries + 1}" if plain else f"{rate:g}"
                made = functools.partial(_run, family, name, rate, tries * plain, size)
                found[f"{family}/{name}/{last}"] = made
    return found


def _members(results: Results, family: str, by: str = "val_loss") -> dict[str, dict[int, Row]]:
    return {name: results.tuned(f"{family}/{name}", by) for name in techniques()[family]}


def block(results: Results) -> str:
    """A table for each family."""
    parts = []
    for family, told in FAMILIES.items():
        final, best = _members(results, family), _members(results, family, "best_val_loss")
        parts += [f"### {told}", table(final, "none", [LOSS, ERROR], choice="rate")]
        parts.append(table(best, "none", [BEST], choice="rate", name="at the best checkpoint"))
        parts.append(sentence(final, "none", LOSS, "Test loss at the end"))
        parts.append(sentence(final, "none", ERROR, "Test error at the end"))
        parts.append(sentence(best, "none", BEST, "Test loss at the best checkpoint"))
    return "\n\n".join([*parts, _placebo(results)])


def _placebo(results: Results) -> str:
    """Say how often the same statistics see a difference between runs without any technique."""
    tries = {
        f"{family}/{name}": [
            dict(enumerate(rows))
            for arm, rows in results.arms.items()
            if arm.startswith(f"{family}/{name}/")
        ]
        for family, members in techniques().items()
        for name in members
        if name.endswith("none")
    }
    counts = [placebo(tries, each) for each in (LOSS, BEST, ERROR)]
    told = ", ".join(
        f"{seen} of {of} in {each.head.removesuffix(', %')}"
        for each, (seen, of) in zip((LOSS, BEST, ERROR), counts, strict=True)
    )
    return (
        "**Placebo**: networks without any technique, compared with each other, differ in their "
        f"initial weights only. Uncorrected p is below 0.05 in {told}; chance alone gives one in "
        "twenty."
    )


def picture(results: Results) -> Any:
    """Differences to none, a row of pictures a family."""
    made, axes = figure(3, len(FAMILIES), high=2.1, wide=9.6)
    for place, family in enumerate(FAMILIES):
        final, best = _members(results, family), _members(results, family, "best_val_loss")
        row = axes[3 * place : 3 * place + 3]
        for ax, measure, found in zip(row, (LOSS, BEST, ERROR), (final, best, final), strict=True):
            forest(ax, differences(found, "none", measure), f"{family}: {measure.head}")
        for ax in row[1:]:
            ax.set_yticklabels([])
        for ax in row:
            ax.set_xlabel("minus none" if place == len(FAMILIES) - 1 else "")
    return made
