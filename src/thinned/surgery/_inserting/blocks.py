"""Stochastic depth on residual blocks that a run shows, and where a library left a gap."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from thinned.layers._drop_path import DropPath
from thinned.schedules import LinearDepth
from thinned.surgery._edits.changes import Change, Exchanged, Hooked
from thinned.surgery._edits.inserted import inserted_hooks
from thinned.surgery._find import find_sites
from thinned.surgery._models.places import Place, Scope, places
from thinned.surgery._running.flow import Flow
from thinned.surgery._running.run_example import Arguments
from thinned.surgery._sites.attributes import kind_of

from .placement import Plan
from .residual import Block, residual_blocks
from .residual_batch import batch_axes
from .residual_hook import AroundBlock, BlockDrop


def find_blocks(model: nn.Module, flow: Flow, arguments: Arguments, plan: Plan) -> dict[Block, int]:
    """Return residual blocks and the axis of their samples; what is left out goes to ``plan``."""
    blocks, left_out = residual_blocks(flow)
    axes = batch_axes(model, arguments, blocks)
    plan.left_out |= left_out
    for block in blocks:
        if block not in axes:
            plan.left_out[block.path] = "neither axis 0 nor axis 1 of its output holds the samples"
    return {block: axes[block] for block in blocks if block in axes}


def gaps(model: nn.Module, flow: Flow | None = None) -> list[Place]:
    """Return the ``Identity`` modules where a library left stochastic depth out at rate 0.

    Args:
        model: the model.
        flow: what a run of it recorded: then only those that were called count, since some
            libraries leave one in blocks without a shortcut, where nothing calls it.
    """
    called = None if flow is None else {call.module for call in flow.calls}
    by_path = {path: place for place in places(model) for path in place.paths}
    found = [
        by_path[path]
        for site in find_sites(model, kinds="placeholder")
        if kind_of(site.attribute) == "drop_path"
        for path in [site.path.replace(":", ".")]
        if path in by_path and type(by_path[path].module) is nn.Identity
        if called is None or by_path[path].module in called
    ]
    return list({id(place): place for place in found}.values())


def drop_blocks(
    model: nn.Module,
    flow: Flow | None,
    blocks: Mapping[Block, int],
    rate: float,
    options: Mapping[str, Any],
    scope: Scope,
    plan: Plan,
) -> list[Change]:
    """Return stochastic depth by the linear rule for blocks and gaps.

    Gaps are filled first, since there the library itself meant the drop to be; a block that holds
    a gap or a drop path gets no second one: it goes to ``plan.already``.
    """
    open_places = gaps(model, flow)
    held = {id(s.owner): s.path for s in find_sites(model, kinds="drop_path")}
    units: list[tuple[str, Sequence[Place] | Block]] = []
    taken: set[int] = set()
    for block in blocks:
        inside = [p for p in open_places if _is_inside(p, block)]
        taken |= {id(place) for place in inside}
        if any(id(m) in held or _has_hook(m) for m in block.module.modules()):
            plan.already.append(block.path)
        elif inside:
            units.append((block.path, inside))
        else:
            units.append((block.path, block))
    parents: dict[str, list[Place]] = {}
    for place in open_places:
        if id(place) not in taken:
            parents.setdefault(place.slots[0][0], []).append(place)
    units += list(parents.items())
    units = [unit for unit in units if scope.holds(_paths(unit))]
    rates = LinearDepth().rates(rate, [None] * len(units))
    changes: list[Change] = []
    for (path, what), p in zip(units, rates, strict=True):
        if isinstance(what, Block):
            changes.append(Hooked(path, what.module, _hook(what, p, blocks[what], options), "on"))
        else:
            changes += [_fill(place, p, options) for place in what]
    return changes


def _paths(unit: "tuple[str, Sequence[Place] | Block]") -> list[str]:
    path, what = unit
    inner = [] if isinstance(what, Block) else [p for place in what for p in place.paths]
    return [path, *inner]


def _has_hook(module: nn.Module) -> bool:
    return any(isinstance(hook, AroundBlock) for hook in inserted_hooks(module))


def _is_inside(place: Place, block: Block) -> bool:
    return place.module in set(block.module.modules())


def _hook(block: Block, rate: float, axis: int, options: Mapping[str, Any]) -> AroundBlock:
    scale = options.get("scale_by_keep", not block.after)
    mode = options.get("mode", "mask")
    layer = BlockDrop(rate, "mask" if mode == "row" else mode, scale, axis)  # DropPath says row
    return AroundBlock(layer, block.source, block.result)


def _fill(place: Place, rate: float, options: Mapping[str, Any]) -> Exchanged:
    mode = "batch" if options.get("mode") == "batch" else "row"
    new = DropPath.from_module(place.module, rate, **{**options, "mode": mode})
    if place.device is not None:
        new.to(device=place.device)
    return Exchanged(place.path, place.slots, place.module, new)
