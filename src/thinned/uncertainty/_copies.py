"""Whether copies of a batch may be predicted as one: each row by itself, each with its mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from thinned._generators import generators_kept
from thinned._log import logger
from thinned.surgery import Site
from thinned.surgery._compiled import is_compiled
from thinned.surgery._trace import call
from thinned.uncertainty._cut import Cut
from thinned.uncertainty._cut_find import find_cut
from thinned.uncertainty._fingerprint import mark
from thinned.uncertainty._flow import Flow
from thinned.uncertainty._kept import Kept
from thinned.uncertainty._prefix import Recorder, Shape, Step
from thinned.uncertainty._rows import are_close, are_equal, flat, is_pair, joined, rows_of, two_rows
from thinned.uncertainty._sampling import sampling


@dataclass(frozen=True)
class Layout:
    """How the tensors of the recorded beginning grow with the rows of the batch.

    Attributes:
        dims: for each step and tensor, the dimension of the batch; None for a tensor without.
        two: for each step and tensor, shape and strides for two rows.
        three: the same for three. (One row would not do: its strides say nothing.)
    """

    dims: tuple[tuple[int | None, ...], ...]
    two: tuple[tuple[Shape, ...], ...]
    three: tuple[tuple[Shape, ...], ...]

    def shapes(self, rows: int) -> list[list[Shape]]:
        """Return all shapes and strides for a number of rows: they grow by the same each row."""
        return [
            [_extended(a, b, rows) for a, b in zip(two, three, strict=True)]
            for two, three in zip(self.two, self.three, strict=True)
        ]


def _extended(two: Shape, three: Shape, rows: int) -> Shape:
    shape, strides = (
        tuple(a + (b - a) * (rows - 2) for a, b in zip(*pair, strict=True))
        for pair in zip(two, three, strict=True)
    )
    return shape, strides


@dataclass(frozen=True)
class Trial:
    """What two and three rows have shown.

    Attributes:
        layout: how to give back the recorded beginning in copies; None where that is not right.
        cut: where a forward may be cut, and go on in copies; None for nowhere.
    """

    layout: Layout | None
    cut: Cut | None


NOTHING = Trial(None, None)
MANY = 8  # trials after which they must have been of use, or there are no more


@dataclass
class _Tally:
    """How often copies were tried for one form of input, and how often that was of use again."""

    trials: int = 0
    uses: int = 0


_KNOWN: Kept[Trial] = Kept()
_TALLIES: Kept[_Tally] = Kept()


def form_of(x: Any, on: Sequence[Site]) -> Any:
    """Return what an answer is kept for beside the model: the input's form, the sites, the mode."""
    leaves, tree = tree_flatten(x)
    kinds = {leaf.device.type for leaf in leaves if isinstance(leaf, Tensor)}
    modes = tuple((torch.is_autocast_enabled(k), torch.get_autocast_dtype(k)) for k in kinds)
    sites = tuple((site.key, site.path, site.rate) for site in on)
    form = tuple(mark(leaf) for leaf in leaves)
    return str(tree), form, modes, torch.is_inference_mode_enabled(), sites


def count_use(model: nn.Module, form: Any) -> None:
    """Note that what was found out by a trial has served another call."""
    tally = _TALLIES.get(model, form)
    if tally is not None:
        tally.uses += 1


def trial(model: nn.Module, x: Any, recorder: Recorder, state: Any, form: Any) -> Trial:
    """Return how copies of a batch can be predicted as one.

    The answer is found by predicting the first and the last row apart and together. It is kept for
    the state of the model and the input's form; a model that is another at every call gets no more
    trials.
    """
    key = (state, form, len(recorder.steps))
    found = _KNOWN.get(model, key)
    if found is not None:
        count_use(model, form)
        return found
    tally = _TALLIES.get(model, form) or _TALLIES.put(model, form, _Tally())
    if state is None or (tally.trials >= MANY and tally.uses < tally.trials):
        return NOTHING
    tally.trials += 1
    return _KNOWN.put(model, key, _tried(model, x, recorder))


def _tried(model: nn.Module, x: Any, recorder: Recorder) -> Trial:
    try:
        return _find(model, x, recorder)
    except Exception as error:  # a model that takes no single row, say
        logger.debug("no copies as one batch: %r", error)
        return NOTHING


def _find(model: nn.Module, x: Any, recorder: Recorder) -> Trial:
    rows = rows_of(x)
    if rows == 0:
        return NOTHING
    first, last = two_rows(x)
    if are_equal(first, last):
        return NOTHING  # such rows could not show that they depend on each other
    pair, triple = joined(first, last), joined(first, last, first)
    with generators_kept(seed=0):
        with sampling(model, ()):
            apart = [flat(call(model, each)) for each in (first, last)]
            together = flat(call(model, pair))
        if not is_pair(apart[0], apart[1], together):
            return NOTHING
        (two, flow), (three, longer) = (_followed(model, each) for each in (pair, triple))
        if [3 * number for number in two.draws] != [2 * number for number in three.draws]:
            return NOTHING  # the rows share a mask
        if flow.reads_what_is_random:
            return NOTHING  # samples in one batch would be looked at together
        alike = flow.operators == recorder.operators  # else the batch has to show it as well
        cut = find_cut(model, [pair] if alike else [pair, x], flow, longer)
    return Trial(_compare(recorder, two, three, rows) if recorder.steps else None, cut)


def _followed(model: nn.Module, x: Any) -> tuple[Recorder, Flow]:
    recorder, flow = Recorder(), Flow(x)
    compiled = any(is_compiled(module) for module in model.modules())  # hooks would compile it anew
    with recorder, flow if compiled else flow.following(model):
        output = call(model, x)
    flow.end(output)
    return recorder, flow


def _compare(whole: Recorder, two: Recorder, three: Recorder, rows: int) -> Layout | None:
    """Find the dimension that grows with the rows; None where that is not one alone."""
    names = [[step.operator for step in each.steps] for each in (whole, two, three)]
    if names[0] != names[1] or names[0] != names[2]:
        return None
    dims: list[tuple[int | None, ...]] = []
    written = max((i for i, s in enumerate(two.steps) if s.operator._schema.is_mutable), default=-1)
    for number, (many, a, b) in enumerate(zip(whole.steps, two.steps, three.steps, strict=True)):
        blank = number > written and "empty" in str(a.operator)  # without a value, to be compared
        if not _numbers(many) == _numbers(a) == _numbers(b):
            return None  # a value that was read from the whole batch
        found: list[int | None] = []
        for index, (shape, _) in enumerate(a.shapes):
            if all(each.kept[index] is None for each in (many, a, b)):
                found.append(None)  # never asked for, whatever its shape
                continue
            more = b.shapes[index][0]
            if len(shape) != len(more) or len(many.shapes[index][0]) != len(shape):
                return None
            grown = [d for d, (s, m) in enumerate(zip(shape, more, strict=True)) if s != m]
            dim = grown[0] if len(grown) == 1 else None
            if len(grown) > 1 or (dim is not None and 2 * more[dim] != 3 * shape[dim]):
                return None
            if many.shapes[index][0] != _extended(a.shapes[index], b.shapes[index], rows)[0]:
                return None
            if (
                dim is not None
                and not blank
                and not _begins_with(b.kept[index], a.kept[index], dim)
            ):
                return None  # the rows are interleaved: repeating would mix them up
            found.append(dim)
        dims.append(tuple(found))
    shapes = (tuple(tuple(step.shapes) for step in each.steps) for each in (two, three))
    return Layout(tuple(dims), *shapes)


def _numbers(step: Step) -> list[Any]:
    return [v for v in tree_flatten(step.result)[0] if isinstance(v, bool | int | float | complex)]


def _begins_with(longer: Tensor | None, shorter: Tensor | None, dim: int | None) -> bool:
    if longer is None or shorter is None or dim is None:
        return True
    if longer.dim() != shorter.dim() or longer.shape[dim] < shorter.shape[dim]:
        return False  # something has given it another shape in place
    return are_close([longer.narrow(dim, 0, shorter.shape[dim])], [shorter])
