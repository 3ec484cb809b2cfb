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
from thinned.surgery._models.compiled import is_compiled
from thinned.surgery._running.state import own_generators_kept
from thinned.surgery._running.trace import call
from thinned.uncertainty._cutting.cut import Cut
from thinned.uncertainty._cutting.find import find_cut, makes_no_difference
from thinned.uncertainty._cutting.fingerprint import mark
from thinned.uncertainty._cutting.flow import Flow
from thinned.uncertainty._cutting.layout import Layout, find_layout
from thinned.uncertainty._cutting.prefix import Recorder
from thinned.uncertainty._forwards.kept import Kept
from thinned.uncertainty._forwards.output import output_of
from thinned.uncertainty._forwards.rows import are_equal, is_pair, joined, rows_of, two_rows
from thinned.uncertainty._forwards.sampling import sampling


@dataclass(frozen=True)
class Trial:
    """What two and three rows have shown.

    Attributes:
        layout: how to give back the recorded beginning in copies; None where that is not right, or
            would save no more than the cut.
        cut: where a forward may be cut, and go on in copies; None for nowhere.
    """

    layout: Layout | None
    cut: Cut | None


NOTHING = Trial(None, None)
MORE = 0.05  # of the work that must be saved to be worth following every operator
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
    leaves, tree = ([x], None) if isinstance(x, Tensor) else tree_flatten(x)
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
    with generators_kept(seed=0), own_generators_kept(model):
        with sampling(model, ()):
            apart = [output_of(call(model, each)) for each in (first, last)]
            together = output_of(call(model, pair))
        if not is_pair(apart[0], apart[1], together):
            return NOTHING
        two, three = (_followed(model, each) for each in (pair, triple))
        if torch.ops.aten.randperm.default in two.operators:
            return NOTHING  # the rows are drawn from each other
        if [3 * number for number in two.draws] != [2 * number for number in three.draws]:
            return NOTHING  # the rows share a mask
        if two.reads_what_is_random:
            return NOTHING  # samples in one batch would be looked at together
        cut = find_cut(model, pair, two, three)
        if cut is not None and two.operators != recorder.operators:
            cut = (
                cut if makes_no_difference(cut, model, x) else None
            )  # the batch has to show it as well
        share = recorder.flops[0] / max(sum(recorder.flops), 1)
        if not recorder.steps or (cut is not None and cut.share > share - MORE):
            return Trial(None, cut)
        return Trial(find_layout(model, pair, triple, recorder, rows), cut)


def _followed(model: nn.Module, x: Any) -> Flow:
    flow = Flow(x)
    compiled = any(is_compiled(module) for module in model.modules())  # hooks would compile it anew
    with flow if compiled else flow.following(model):
        output = call(model, x)
    flow.end(output)
    return flow
