"""A rate that follows the width of the layer (`ByWidth`) against one rate for all."""

import functools
from collections.abc import Callable
from typing import Any

from thinned import layers
from thinned.schedules import PROFILES, Constant, as_profile

from . import _nets as nets
from ._grid import digits, grid, numbers, tries
from ._picture import figure, forest
from ._results import Results, Row
from ._size import Size
from ._table import BEST, ERROR, LOSS, differences, sentence, table
from ._train import Recipe

TITLE = "A rate that follows the width"
NETS = {"funnel": (256, 64, 16)}


def _run(
    widths: tuple[int, ...],
    profile: str | None,
    size: Size,
    seed: int,
    *,
    rate: float,
    attempt: int,
) -> Row:
    recipe = Recipe(
        steps=size.steps(400),
        lr=2e-3,
        schedule=Constant(rate) if profile else None,
        profile=profile,
        widths=widths,
    )

    def build() -> Any:
        return nets.mlp(64, widths, 10, functools.partial(layers.Dropout, 0.0))

    return numbers(build, digits(seed, size), recipe, seed, attempt)


def arms(size: Size) -> dict[str, Callable[[int], Row]]:
    """Each shape of network with every profile."""
    found = {}
    for shape, widths in NETS.items():
        found |= tries(
            f"{shape}/none", len(size.rates), functools.partial(_run, widths, None, size)
        )
        for profile in PROFILES:
            make = functools.partial(_run, widths, profile, size)
            found |= grid(f"{shape}/{profile}", size.rates, make)
    return found


def _members(results: Results, shape: str, by: str = "val_loss") -> dict[str, dict[int, Row]]:
    return {name: results.tuned(f"{shape}/{name}", by) for name in ("none", *PROFILES)}


def block(results: Results) -> str:
    """Every profile against one rate for all layers."""
    parts = []
    for shape, widths in NETS.items():
        final, best = _members(results, shape), _members(results, shape, "best_val_loss")
        half = "; ".join(
            f"{name} {', '.join(f'{r:.2f}' for r in as_profile(name).rates(0.5, widths))}"
            for name in PROFILES
        )
        parts += [
            f"### {shape}: {'-'.join(map(str, widths))}",
            f"Rates of the three layers at a group rate of 0.5: {half}.",
            table(final, "uniform", [LOSS, ERROR], name="profile", choice="rate"),
            table(best, "uniform", [BEST], name="at the best checkpoint", choice="rate"),
            sentence(final, "uniform", LOSS, "Test loss at the end"),
            sentence(final, "uniform", ERROR, "Test error at the end"),
            sentence(best, "uniform", BEST, "Test loss at the best checkpoint"),
        ]
    return "\n\n".join(parts)


def picture(results: Results) -> Any:
    """Differences to one rate for all layers."""
    made, axes = figure(3, len(NETS), high=1.9, wide=9.6)
    for place, shape in enumerate(NETS):
        final, best = _members(results, shape), _members(results, shape, "best_val_loss")
        row = axes[3 * place : 3 * place + 3]
        for ax, measure, found in zip(row, (LOSS, BEST, ERROR), (final, best, final), strict=True):
            forest(ax, differences(found, "uniform", measure), f"{shape}: {measure.head}")
            ax.set_xlabel("minus one rate for all")
        for ax in row[1:]:
            ax.set_yticklabels([])
    return made
