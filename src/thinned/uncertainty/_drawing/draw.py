"""Draws samples: the beginning of the forward once, the rest in copies where that is right."""

import contextlib
import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from thinned._log import logger
from thinned.surgery import Site
from thinned.surgery._edits.inserted import Inserted
from thinned.surgery._running.trace import call
from thinned.uncertainty._cutting.cut import Cut, RandomState, forward
from thinned.uncertainty._cutting.fingerprint import attributes, is_same
from thinned.uncertainty._cutting.layout import Layout
from thinned.uncertainty._cutting.prefix import Peeks, Recorder
from thinned.uncertainty._cutting.replay import Replay
from thinned.uncertainty._forwards.inputs import Inputs
from thinned.uncertainty._forwards.kept import Kept
from thinned.uncertainty._forwards.rows import rows_of

from .copies import NOTHING, Trial, count_use, form_of, trial

WORTH = 0.2  # below this share of the work, there is little to save
FLOPS_A_STEP = 10**5  # about what could be computed while one operator is followed
FLOPS_A_CALL = 10**4  # while one is called
GAIN = 0.85  # of the loop's cost: what is to be gained must be more than memory may cost
ELEMENTS = 2**20  # in the largest tensor, where the user has not said: what fits into a cache


@dataclass(frozen=True)
class Plan:
    """How samples are drawn from a model like this, for an input like this.

    Attributes:
        cut: where a forward is cut; None where it is not.
        copies: how many samples a forward that is cut gives.
        followed: whether to follow a first forward, and see; else a forward a sample.
    """

    cut: Cut | None = None
    copies: int = 1
    followed: bool = False


LOOP, FOLLOW = Plan(), Plan(followed=True)
_PLANS: Kept[Plan] = Kept()


class Draws:
    """Samples of a model's output, one chunk after the other.

    Args:
        model: the model, whose sites are on.
        x: what it is called with.
        sites: what is on.
        chunk: samples at a time; None takes as many as keep the largest tensor small.
        batched: whether samples may be predicted as copies of the batch.
        state: of the model, to keep what is found out for it; see `fingerprint`.

    Attributes:
        method: in words, how they are drawn.
    """

    def __init__(
        self,
        model: nn.Module,
        x: Any,
        sites: Sequence[Site],
        chunk: int | None,
        batched: bool,
        state: Any = None,
    ) -> None:
        self.model, self.x, self.sites = model, x, sites
        self.chunk = chunk
        self.batched = batched and not any(_skips(site) for site in sites)
        self.method = "a forward a sample"
        self.total = 0
        self.state, self.form = state, form_of(x, sites)
        self.inputs = Inputs(x)

    def around(self, number: int) -> contextlib.AbstractContextManager[Any]:
        """Return what the forward of the sample of this number runs in: here, nothing."""
        del number
        return contextlib.nullcontext()

    def plain(self, number: int) -> Tensor:
        """Return the sample of this number by a forward of its own."""
        with self.around(number):
            return self.inputs.output(lambda: call(self.model, self.x))

    def __call__(self, count: int) -> Iterator[Tensor]:
        """Yield ``count`` samples, stacked in chunks of shape ``(t, *output)``."""
        self.total, done = count, 0
        plan = self._plan(None)
        if plan is None or plan.cut is not None or plan.followed:
            for samples in self._shared(plan):
                yield samples
                done += len(samples)
        if done < count:
            if done <= 1:
                self._plan(LOOP)
            self.method = "a forward a sample"
        while done < count:
            output = self.plain(done)
            more = min(max(1, ELEMENTS // max(output.numel(), 1)), count - done) - 1
            rest = [self.plain(done + 1 + i) for i in range(more)]
            yield torch.stack([output, *rest])  # together: the statistics cost calls as well
            done += more + 1

    def _plan(self, new: Plan | None) -> Plan | None:
        """Return what is planned for calls like this; keep a new plan for them."""
        key = (self.state, self.form, self.chunk, self.batched, self.total)
        if new is not None:
            return new if self.state is None else _PLANS.put(self.model, key, new)
        found = _PLANS.get(self.model, key)
        if found is not None:
            count_use(self.model, self.form)
        return found

    def _shared(self, plan: Plan | None) -> Iterator[Tensor]:
        """Yield samples that share the beginning or a batch, as many as that is good for."""
        if plan is None or plan.cut is None:
            start = RandomState(self.x)
            recorder, first = self._recorded(start)
            found = self._trial(recorder)
            plan = plan or self._best(recorder, found)
            if plan.cut is None:
                yield first.unsqueeze(0)
                yield from self._followed(recorder, found.layout)
                return
            start.restore()  # so that the first call with a seed gives what later ones give
            self._plan(plan)
        done = 0
        for samples in self._cut(plan.cut, plan.copies):
            yield samples
            done += len(samples)
        if not done:
            yield from self._shared(FOLLOW)

    def _recorded(self, start: RandomState) -> tuple[Recorder, Tensor]:
        """Follow the forward of a first sample."""
        for _ in range(2):  # a first forward may only build what later ones use
            before = attributes(self.model)
            recorder = Recorder()
            first = self.inputs.output(functools.partial(self._follow, recorder))
            if is_same(before, attributes(self.model)):
                break
            start.restore()
        else:
            recorder.safe = False  # it remembers something, and so do its samples
        return recorder, first

    def _follow(self, recorder: Recorder) -> Any:
        with self.around(0), recorder, Peeks(recorder):
            return call(self.model, self.x)

    def _trial(self, recorder: Recorder) -> Trial:
        before, after = recorder.flops
        if not self._is_followed(recorder) or before < WORTH * (before + after):
            recorder.steps = []  # it cannot be given back, or is too little of the work
        pays = before + self.total * after < GAIN * self._loop(
            recorder
        )  # if nothing were in the way
        fits = self._fitting(recorder.largest) > 1
        if not (self.batched and self._is_followed(recorder) and fits and pays):
            return NOTHING
        return trial(self.model, self.x, recorder, self.state, self.form)

    def _is_followed(self, recorder: Recorder) -> bool:
        by_python = any(site.kind == "layer_drop" for site in self.sites)  # may draw from numpy
        return recorder.safe and bool(recorder.draws) and not by_python

    def _best(self, recorder: Recorder, found: Trial) -> Plan:
        """Return what is quickest for further calls, by the multiply-adds and the operators."""
        work, steps, count = sum(recorder.flops), len(recorder.operators), self.total
        loop = self._loop(recorder)
        ways = [(loop, FOLLOW)]
        if recorder.steps:
            copies = self._copies(found.layout, recorder.largest)
            forwards = 1 + math.ceil((count - 1) / copies)
            shared = recorder.flops[0] + forwards * steps * FLOPS_A_STEP
            ways.append((float(shared + count * recorder.flops[1]), FOLLOW))
        if found.cut is not None:
            copies = min(self._fitting(found.cut.largest * rows_of(self.x) // 2), count)
            before = found.cut.share * work
            cost = math.ceil(count / copies) * (before + steps * FLOPS_A_CALL)
            cost += count * (work - before)
            if copies > 1 and cost < GAIN * loop:
                ways.insert(0, (cost, Plan(found.cut, copies)))
        return min(ways, key=lambda way: way[0])[1]

    def _loop(self, recorder: Recorder) -> float:
        one = sum(recorder.flops) + len(recorder.operators) * FLOPS_A_CALL
        return float(self.total * one)

    def _fitting(self, largest: int) -> int:
        return self.chunk or max(1, ELEMENTS // max(largest, 1))

    def _copies(self, found: Layout | None, largest: int) -> int:
        return 1 if found is None else self._fitting(largest)

    def _cut(self, cut: Cut, copies: int) -> Iterator[Tensor]:
        """Yield samples of forwards that are cut, and stop where one goes another way."""
        rows, left = rows_of(self.x), self.total
        while left:
            copies = min(copies, left)
            start = RandomState(self.x)
            try:
                whole = (cut, self.model, self.x, rows, copies, start)
                output = self.inputs.output(functools.partial(forward, *whole))
            except Exception as error:  # the plain forward that follows raises what is its own
                logger.debug("cut no more: %r", error)
                start.restore()
                self._plan(FOLLOW)
                return
            self._tell(cut.share if copies == self.total else 0.0, copies)
            yield output.reshape(copies, rows, *output.shape[1:])
            left -= copies

    def _followed(self, recorder: Recorder, found: Layout | None) -> Iterator[Tensor]:
        """Yield further samples by what was recorded of the first."""
        copies = min(self._copies(found, recorder.largest), self.total - 1)
        if recorder.steps:
            yield from self._replayed(recorder, found, copies, self.total - 1)

    def _replayed(
        self, recorder: Recorder, found: Layout | None, copies: int, count: int
    ) -> Iterator[Tensor]:
        """Yield samples, copies at a time, and stop where that turns out not to be right."""
        saved = recorder.flops[0]
        if copies == 1 and saved < FLOPS_A_STEP * len(recorder.operators):
            return
        replay = self._replay(recorder, found, copies)
        while count:
            if copies > count:
                copies = count
                replay = self._replay(recorder, found, copies)
            try:
                again = functools.partial(self._again, replay, self.total - count)
                output = self.inputs.output(again)
            except Exception as error:  # the plain forward that follows raises what is its own
                logger.debug("beginning not shared: %r", error)
                return
            rows, rest = divmod(len(output) if output.dim() else 0, copies)
            drawn = [copies * number for number in recorder.draws]
            if copies > 1 and (rest or replay.draws != drawn):
                return
            self._tell(saved / max(sum(recorder.flops), 1), copies)
            shape = (rows, *output.shape[1:]) if copies > 1 else output.shape
            yield output.reshape(copies, *shape)
            count -= copies

    def _again(self, replay: Replay, number: int) -> Any:
        x = replay.begin(self.x)
        with self.around(number), replay:
            return call(self.model, x)

    def _replay(self, recorder: Recorder, found: Layout | None, copies: int) -> Replay:
        if found is None or copies == 1:
            shapes = [step.shapes for step in recorder.steps]
            return Replay(recorder, shapes, [[None] * len(s) for s in shapes], 1)
        shapes = found.shapes(rows_of(self.x) * copies)
        return Replay(recorder, shapes, found.dims, copies)

    def _tell(self, share: float, copies: int) -> None:
        parts = [f"the first {share:.0%} of the work once"] if share > 0.005 else []
        if copies > 1:
            parts.append(f"{copies} samples as one batch")
        if self.method == "a forward a sample":
            self.method = ", ".join(parts) or self.method


def _skips(site: Site) -> bool:
    """Say whether a fixed share of the rows is dropped, so that rows depend on each other."""
    layer = site.owner.layer if isinstance(site.owner, Inserted) else site.owner
    return getattr(layer, "mode", None) == "skip"
