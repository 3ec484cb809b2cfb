"""Recognise residual blocks in what a run has recorded, not by their names."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from thinned.surgery._models.ops import (
    ACTIVATES,
    ADDS_TO_FIRST,
    BOUNDS,
    NORMALIZES,
    REORDERS,
    WEIGHS,
)
from thinned.surgery._models.structure import NORMS
from thinned.surgery._running.flow import Flow, ModuleCall

_AFTER = NORMALIZES | ACTIVATES | BOUNDS  # what may follow the addition


@dataclass(frozen=True)
class Block:
    """A module that returns what it was given plus something.

    Attributes:
        module: the module.
        path: its first path.
        source: position or keyword of the argument that the shortcut starts from.
        result: key of the returned tensor that it ends in, ``None`` for a bare tensor.
        after: a norm or an activation follows the addition: what the block returns lies in another
            range than a scaled branch would.
        shape: the shape of both.
    """

    module: nn.Module
    path: str
    source: int | str
    result: int | str | None
    after: bool
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Shortcut:
    """The way from a block's output back to its input.

    Attributes:
        adds: the additions on it.
        after: whether a norm or an activation stands on it.
        moves: what reorders values on it, first done first.
    """

    adds: frozenset[int] = frozenset()
    after: bool = False
    moves: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Candidate:
    call: ModuleCall
    block: Block
    adds: frozenset[int]


def residual_blocks(flow: Flow) -> tuple[list[Block], dict[str, str]]:
    """Return the residual blocks of a model, in the order of their calls, and what was left out.

    A block adds something to its one input on its own. What only chains blocks (an encoder, a
    stage) is none, nor is what jumps over several of them (a global skip).

    Returns:
        The blocks, and path to reason for modules of the same classes that are none.
    """
    tried = {call.index: _examine(flow, call) for call in flow.calls[1:]}
    candidates = {i: found for i, found in tried.items() if isinstance(found, _Candidate)}
    blocks = _outermost(flow, _own(flow, candidates))
    by_module: dict[nn.Module, list[_Candidate]] = {}
    for candidate in blocks:
        by_module.setdefault(candidate.call.module, []).append(candidate)
    accepted: list[Block] = []
    left_out: dict[str, str] = {}
    for module, found in by_module.items():
        alike = {(c.block.source, c.block.result, c.block.after) for c in found}
        if len(alike) == 1 and len(found) == len(flow.calls_of(module)):
            accepted.append(found[0].block)
        else:
            left_out[found[0].block.path] = "it is called in different ways"
    left_out |= _siblings(flow, accepted, tried)
    return accepted, left_out


def _examine(flow: Flow, call: ModuleCall) -> "_Candidate | str":
    """Return a call as a candidate, or the reason why it is none."""
    if next(call.module.parameters(), None) is None:
        return "it has no weights"
    reason = "no addition leads from its output to its input"
    for source, given in call.inputs:
        shape = flow.values[given].shape
        alike = [(key, node) for key, node in call.outputs if flow.values[node].shape == shape]
        if not alike and call.outputs:
            reason = f"it changes the shape: {shape} to {flow.values[call.outputs[0][1]].shape}"
        for key, node in alike:
            way = _shortcut(flow, node, given, call)
            if way is None or not way.adds or not _in_order(flow, way.moves, shape):
                continue
            if len(alike) > 1:
                return "it returns several tensors of its input's shape"
            if given in call.rewritten:
                return "it writes into its input"
            if not _closed(flow, call, given):
                return "what it adds comes from outside of it"
            if not _weights_outside(flow, call):
                return "it is the whole model"
            block = Block(call.module, call.path, source, key, way.after, shape)
            return _Candidate(call, block, way.adds)
    return reason


def _shortcut(flow: Flow, node: int, target: int, call: ModuleCall) -> _Shortcut | None:
    """Walk back from ``node`` to ``target``: additions, and norms and activations after them.

    Only additions of something that was made from the target count; a position embedding is none.
    """
    derived = _derived(flow, target, call.end)
    known: dict[int, _Shortcut | None] = {target: _Shortcut()}
    size = math.prod(flow.values[target].shape)
    waiting = [node]
    while waiting:
        index = waiting[-1]
        if index in known:
            waiting.pop()
            continue
        at = flow.values[index]
        before = list(_before(flow, index)) if index >= call.first else []
        before = [i for i in before if math.prod(flow.values[i].shape) == size]
        unknown = [i for i in before if i not in known]
        if unknown:
            waiting.extend(unknown)
            continue
        ways = [way for i in before if (way := known[i]) is not None]
        best = min(ways, key=lambda way: (way.after, not way.adds), default=None)
        if best is not None and _adds(at.op) and _normed(flow, index) is None:
            if all(i == target or i in derived for i in at.inputs):
                best = replace(best, adds=best.adds | {index})
        elif best is not None and at.op in REORDERS:
            best = replace(best, moves=(*best.moves, index))
        elif best is not None:
            best = replace(best, after=True)
        known[index] = best
        waiting.pop()
    return known[node]


def _derived(flow: Flow, source: int, end: int) -> set[int]:
    """Return the values before ``end`` that were made from ``source``."""
    found: set[int] = set()
    waiting = [source]
    while waiting:
        users = [u for u in flow.values[waiting.pop()].users if u < end and u not in found]
        found.update(users)
        waiting.extend(users)
    return found


def _in_order(flow: Flow, moves: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Say whether values that are moved about come back to where they were."""
    start = torch.arange(math.prod(shape)).view(shape)
    now = start
    for index in moves:
        again = flow.values[index].again
        try:
            now = now if again is None else again(now)
        except RuntimeError:  # a view that another layout of the numbers does not allow
            return False
    return now.shape == start.shape and torch.equal(now, start)


def _adds(op: str) -> bool:
    return op == "add" or op in ADDS_TO_FIRST


def _before(flow: Flow, index: int) -> Iterator[int]:
    """Yield the values that a value may be the continuation of."""
    value = flow.values[index]
    if (normed := _normed(flow, index)) is not None:
        yield normed
    elif value.op == "add":
        yield from value.inputs
    elif value.op in ADDS_TO_FIRST or value.op in REORDERS or value.op in _AFTER:
        yield from value.inputs[:1]


def _normed(flow: Flow, index: int) -> int | None:
    """Return what a norm was given that made this value: many are written by hand."""
    at = flow.values[index].call
    call = flow.calls[at] if at >= 0 else None
    if call is None or not call.inputs or not call.outputs or call.outputs[0][1] != index:
        return None
    by_hand = type(call.module).__name__.endswith("Norm") and all(
        parameter.dim() < 2 for parameter in call.module.parameters()
    )
    return call.inputs[0][1] if by_hand or isinstance(call.module, NORMS) else None


def _closed(flow: Flow, call: ModuleCall, given: int) -> bool:
    """Say whether all that a call makes of its input is made inside of it."""
    outside = {
        i
        for node in flow.values[call.first : call.end]
        for i in node.inputs
        if given < i < call.first and flow.values[i].op
    }
    others = (outside | call.given) - {given}
    return not any(flow.reaches(given, other) for other in others if other > given)


def _weights_outside(flow: Flow, call: ModuleCall) -> bool:
    nodes = flow.values
    return any(node.op in WEIGHS for node in (*nodes[: call.first], *nodes[call.end :]))


def _own(flow: Flow, candidates: dict[int, _Candidate]) -> dict[int, _Candidate]:
    """Keep candidates that add something themselves, and are no chain of blocks nor a jump."""
    kept: dict[int, _Candidate] = {}
    for index in sorted(candidates, reverse=True):  # the inner ones first
        candidate = candidates[index]
        inner = [c for i, c in candidates.items() if i != index and flow.within(i, index)]
        chained: set[int] = set().union(*(c.adds for c in inner if c.adds <= candidate.adds))
        own = candidate.adds - chained
        inside = _outermost(flow, {c.call.index: c for c in inner if c.call.index in kept})
        on_it = [c for c in inside if c.adds <= candidate.adds]
        beside = [c for c in inside if not c.adds & candidate.adds]
        if own and len(on_it) <= len(own) and len(beside) < 2:
            kept[index] = candidate
    return kept


def _outermost(flow: Flow, kept: dict[int, _Candidate]) -> list[_Candidate]:
    return [
        candidate
        for index, candidate in sorted(kept.items())
        if not any(other != index and flow.within(index, other) for other in kept)
    ]


def _siblings(
    flow: Flow, accepted: list[Block], tried: "dict[int, _Candidate | str]"
) -> dict[str, str]:
    """Return the modules of the blocks' classes that are no blocks, and why."""
    classes = {type(block.module) for block in accepted}
    blocks = {block.module for block in accepted}
    inside = {m for block in blocks for m in block.modules()}
    return {
        flow.calls[index].path: reason if isinstance(reason, str) else "it chains other blocks"
        for index, reason in tried.items()
        if type(flow.calls[index].module) in classes and flow.calls[index].module not in inside
    }
