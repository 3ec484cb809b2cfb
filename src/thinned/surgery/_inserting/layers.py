"""Which layer goes into a place, and whether it may."""

import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from thinned.layers._axes import channel_dim
from thinned.layers._drop_path import DropPath
from thinned.layers._locked import LockedDropout
from thinned.layers._rate import RateLayer
from thinned.layers._registry import Variant
from thinned.layers._registry import variant as registered
from thinned.layers._stochastic_depth import StochasticDepth
from thinned.surgery._edits.changes import Hooked
from thinned.surgery._edits.inserted import AfterOutput, BeforeInput, inserted_hooks
from thinned.surgery._models.partial import taken_apart
from thinned.surgery._models.places import Scope, places
from thinned.surgery._models.structure import neighbours

from .placement import FEATURE_MAP, NAMED, SELF_NORMALIZING, Plan, Row, Spot

AUTO = "auto"
_OF_BLOCKS = (StochasticDepth, DropPath)


@dataclass(frozen=True)
class Chosen:
    """What the user asked to insert: a class of layers with options, or the table's own choice.

    Attributes:
        layer: the class, ``None`` for what each row of the table says.
        options: its options.
        variant: the technique, where a name was given: it may have a class for other places.
        rate: the rate that a ``functools.partial`` gave, if it did.
    """

    layer: type[RateLayer] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    variant: Variant | None = None
    rate: float | None = None

    @classmethod
    def of(cls, variant: Any, *, placed: bool = True) -> "Chosen":
        """Read `variant`: ``"auto"``, a name, a class, or a ``functools.partial`` of one.

        Args:
            variant: what the user asked for.
            placed: whether the user says after which modules.

        Raises:
            TypeError: if it is no layer that can be put between others, or an option is none.
            ValueError: if an option of a drop of blocks has a value that it cannot have, or the
                layer needs a place that the user names.
        """
        if variant == AUTO:
            return cls()
        options: Mapping[str, Any] = {}
        named = registered(variant) if isinstance(variant, str) else None
        layer: Any = variant if named is None else named.layer
        if isinstance(layer, functools.partial):
            layer, options = taken_apart(layer)
        if not (isinstance(layer, type) and issubclass(layer, RateLayer)):
            msg = "Expected `variant` to be 'auto', a variant's name, a layer class of "
            msg += f"thinned.layers, or a functools.partial of one, got {variant!r}."
            raise TypeError(msg)
        rest = {name: value for name, value in options.items() if name != "p"}
        chosen = cls(layer, rest, named, options.get("p"))
        if chosen.elements:
            chosen._require_free_standing()
            chosen._require_place(placed)
        elif layer is not None and rest:  # blocks get hooks of ours: this checks the options
            block = (nn.Identity(),) if issubclass(layer, StochasticDepth) else ()
            layer(*block, **rest)
        return chosen

    @property
    def elements(self) -> bool:
        """Whether something is put between layers."""
        return self.layer is None or not issubclass(self.layer, _OF_BLOCKS)

    @property
    def blocks(self) -> bool:
        """Whether residual blocks are dropped."""
        return self.layer is None or issubclass(self.layer, _OF_BLOCKS)

    def is_made(self, layer: RateLayer) -> bool:
        """Say whether a layer is what was asked for, its rate aside."""
        classes = (self.layer or RateLayer,) if self.variant is None else self.variant.layers
        return isinstance(layer, classes)

    def make(self, spot: Spot, row: Row, rate: float, around: list[nn.Module]) -> RateLayer:
        """Make the layer for a place."""
        layer = self.layer or registered(row.variant).layer
        if self.variant is not None:
            layer = self.variant.layer_for(spot.host, around)
        known = inspect.signature(layer).parameters
        shown = {name: value for name, value in row.options.items() if name in known}
        made = layer(rate, **{**shown, **self.options})
        if next(made.parameters(), None) is not None:
            msg = f"{layer.__name__} has a parameter of its own, which in a hook no optimizer "
            msg += "would train and no checkpoint would hold. Build it into the model."
            raise TypeError(msg)
        return made

    def _require_free_standing(self) -> None:
        layer = self.layer
        if layer is None:
            return
        parameters = inspect.signature(layer).parameters
        first, *others = [each for each in parameters.values() if each.kind <= each.VAR_POSITIONAL]
        takes_rate = first.name == "p" or "p" not in parameters
        needed = [each.name for each in others if each.default is each.empty]
        if not takes_rate or not set(needed) <= set(self.options):
            msg = f"{layer.__name__} takes the place of another layer and cannot stand between "
            msg += "layers. Use `thinned.swap`."
            raise TypeError(msg)

    def _require_place(self, placed: bool) -> None:
        if self.layer is not None and self.layer.kind == "token_drop" and not placed:
            msg = f"Expected `after` to say where {self.layer.__name__} goes, got None: it makes "
            msg += "the sequence shorter, which few places bear. Name what adds the positions."
            raise ValueError(msg)


def hooks(
    model: nn.Module, plan: Plan, chosen: Chosen, rate: float, scope: Scope, *, force: bool
) -> list[Hooked]:
    """Return the hooks for the places of a plan; what is there already goes to the plan.

    Raises:
        ValueError: if a layer would do harm, or needs to be told where the channels are.
    """
    paths = {place.module: place for place in places(model)}
    made: list[Hooked] = []
    refused: list[str] = []
    spots = {(spot.host, spot.before): spot for spot in plan.spots}
    for spot in spots.values():
        place = paths.get(spot.host)
        if not scope.holds([spot.path] if place is None else place.paths):
            continue
        around = [] if place is None else neighbours(place)
        row = _with_axis(spot, around)
        side = BeforeInput if spot.before else AfterOutput
        held = next((h for h in inserted_hooks(spot.host) if isinstance(h, side)), None)
        if held is not None and held.p == rate and chosen.is_made(held.layer):
            plan.already.append(spot.path)
        elif held is not None:
            what = "inserted" if chosen.is_made(held.layer) else f"{held.layer!r} inserted"
            plan.left_out[spot.path] = f"{what} before, at rate {held.p:g}; use set_rate or undo"
        elif reason := _misfit(chosen, row):
            plan.left_out[spot.path] = reason
        else:
            layer = chosen.make(spot, row, rate, around)
            if _is_alpha(layer) and spot.row is not SELF_NORMALIZING and not force:
                refused.append(spot.path)
                continue
            if place is not None and place.device is not None:
                layer.to(device=place.device)
            where = "before" if spot.before else "after"
            made.append(Hooked(spot.path, spot.host, side(layer), where))
    if refused:
        msg = "Expected SELU before alpha dropout, which keeps mean and variance after SELU only, "
        msg += (
            f"got other activations at {', '.join(refused)}. Insert 'dropout', or say force=True."
        )
        raise ValueError(msg)
    return made


def _misfit(chosen: Chosen, row: Row) -> str | None:
    layer = chosen.layer
    if layer is not None and layer.kind == "drop_block" and row is not FEATURE_MAP:
        return f"{layer.__name__} drops regions of feature maps, and here is none"
    known = {**row.options, **chosen.options}
    if layer is None:
        return None
    if issubclass(layer, LockedDropout) and "time_dim" not in known:
        return (
            "nothing shows the axis of time; functools.partial(LockedDropout, time_dim=1) says it"
        )
    if issubclass(layer, nn.FeatureAlphaDropout) and known.get("channel_dim") != 1:
        return f"{layer.__name__} drops along axis 1, and nothing shows that channels are there"
    if "channel_dim" in inspect.signature(layer).parameters and "channel_dim" not in known:
        name = layer.__name__
        return f"nothing shows the channel axis; functools.partial({name}, channel_dim=1) says it"
    return None


def _with_axis(spot: Spot, around: list[nn.Module]) -> Row:
    """Return the row, with the channel axis that the neighbours show where it does not say so."""
    if "channel_dim" in spot.row.options:
        return spot.row
    axis = channel_dim([spot.host]) or channel_dim(around)
    if axis == 1 and spot.row is NAMED:
        return FEATURE_MAP
    return spot.row if axis is None else replace(spot.row, options={"channel_dim": axis})


def _is_alpha(layer: RateLayer) -> bool:
    return isinstance(layer, nn.AlphaDropout | nn.FeatureAlphaDropout)
