"""Finds where a forward may be cut, and proves that cutting it there changes nothing."""

import itertools
import math
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from thinned._generators import seed_everything
from thinned._log import logger
from thinned.surgery._running.trace import call
from thinned.uncertainty._forwards.output import output_of
from thinned.uncertainty._forwards.rows import are_close, joined, rows_of
from thinned.uncertainty._forwards.sampling import sampling

from .cut import Crossing, Cut, RandomState, forward
from .flow import Flow, Life, UnlikeShownError

COPIES = 2  # that a proof makes
TRIES = 4  # of places where the numbers have to show whether it may be cut there


def find_cut(model: nn.Module, pair: Any, two: Flow, three: Flow) -> Cut | None:
    """Return where the forward that two and three rows have shown may be cut; None if nowhere.

    A cut stands where a module is called or returns, as late as possible before the first random
    operator. What is asked for behind it, and grows with the rows, must be what is repeated there.

    Args:
        model: the model, whose sites are on.
        pair: two rows, to prove a cut by.
        two: the forward of two rows.
        three: the forward of three.
    """
    if two.first is None or two.operators != three.operators or two.public is not None:
        return None
    try:
        dims = [_crossing(a, b) for a, b in zip(two.lives, three.lives, strict=True)]
    except (UnlikeShownError, ValueError):
        return None
    tried = itertools.islice(_cuts(model, two, three, dims), TRIES)
    return next((cut for cut in tried if _is_proven(cut, model, pair)), None)


def _crossing(two: Life, three: Life) -> Crossing:
    if (two.made, two.index, len(two.shape)) != (three.made, three.index, len(three.shape)):
        msg = "two and three rows make other tensors"
        raise UnlikeShownError(msg)
    pairs = list(zip(two.shape, three.shape, strict=True))
    grown = [d for d, (a, b) in enumerate(pairs) if a != b]
    if len(grown) > 1 or any(3 * pairs[d][0] != 2 * pairs[d][1] for d in grown):
        msg = f"two rows make {two.shape}, three {three.shape}"
        raise UnlikeShownError(msg)
    return Crossing(grown[0] if grown else None, two.shape, three.shape)


def _needed(flow: Flow, dims: Sequence[Crossing], at: int) -> set[int]:
    """Return which tensors with a batch are made before an operator and asked for from it on."""
    return {
        number
        for number, (life, crossing) in enumerate(zip(flow.lives, dims, strict=True))
        if life.made < at <= life.asked and crossing.dim is not None
    }


def _are_apart(flow: Flow, numbers: set[int]) -> bool:
    """Say whether no memory that two of them share is written into: their copies are apart."""
    storages = [flow.lives[number].storage for number in numbers]
    return not any(storages.count(each) > 1 and each in flow.written for each in storages)


def _cuts(model: nn.Module, two: Flow, three: Flow, dims: list[Crossing]) -> Iterator[Cut]:
    """Yield cuts at the calls of modules, the latest first, the model's own call among them."""
    number_of = {id(life): number for number, life in enumerate(two.lives)}
    if len(two.gates) != len(three.gates) or two.calls != three.calls:
        return
    seen: set[tuple[int, frozenset[int], bool]] = set()
    for gate in reversed(two.gates):
        given = [None if life is None else number_of[id(life)] for life in gate.lives]
        numbers = frozenset(n for n in given if n is not None and dims[n].dim is not None)
        needed = _needed(two, dims, gate.at)
        # What a module is given, its caller still has as it was, and may ask for later on.
        whole = gate.module is model
        mine = whole or all(two.lives[n].asked < gate.until for n in numbers)
        if not needed or not needed <= numbers or (gate.entering and not mine):
            continue
        if (gate.at, numbers, whole) not in seen and _are_apart(two, set(numbers)):
            seen.add((gate.at, numbers, whole))
            yield Cut(
                weakref.ref(gate.module),
                gate.call,
                two.calls[gate.module],
                gate.entering,
                tuple(None if n is None else dims[n] for n in given),
                _share(two, gate.at),
                _largest(two, dims, gate.at),
            )


def _share(flow: Flow, at: int) -> float:
    return sum(flow.work[:at]) / max(sum(flow.work), 1)


def _largest(flow: Flow, dims: Sequence[Crossing], at: int) -> int:
    """Return the size of the largest tensor with a batch behind an operator."""
    behind = zip(flow.lives, dims, strict=True)
    sizes = (math.prod(a.shape) for a, b in behind if a.made >= at and b.dim is not None)
    return max(sizes, default=0)


def _is_proven(cut: Cut, model: nn.Module, pair: Any) -> bool:
    """Say whether it makes no difference: without dropout, where nothing hides one, and with it."""
    try:
        with sampling(model, ()):
            still = makes_no_difference(cut, model, pair)
        return still and makes_no_difference(cut, model, pair)
    except Exception as error:  # whatever a model says to other rows than it was told of
        logger.debug("not to be cut there: %r", error)
        return False


def makes_no_difference(cut: Cut, model: nn.Module, x: Any) -> bool:
    """Say whether an input, cut, gives what copies of it give that are predicted whole.

    Both from one seed, after which the generators must have gone as far as well.
    """
    seed_everything(0)
    whole = output_of(call(model, joined(*[x] * COPIES)))
    drawn = RandomState(x)
    seed_everything(0)
    output = forward(cut, model, x, rows_of(x), COPIES, RandomState(x))
    return drawn.is_now() and are_close(output, whole)
