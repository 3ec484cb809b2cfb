"""Draws samples: the beginning of the forward once, the rest in copies where that is right."""

import contextlib
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from thinned._log import logger
from thinned.surgery import Site
from thinned.surgery._trace import call
from thinned.uncertainty._copies import Layout, layout, signature
from thinned.uncertainty._output import output_of
from thinned.uncertainty._prefix import Peeks, Recorder
from thinned.uncertainty._replay import Replay
from thinned.uncertainty._rows import rows_of

WORTH = 0.2  # below this share of the work, there is little to save
FLOPS_A_STEP = 10**5  # about what could be computed while one operator is followed
WHOLE = 8  # copies from which on a whole forward is quicker for several than one after the other
ELEMENTS = 2**19  # in the largest tensor, where the user has not said: what fits into a cache

# What was found out not to be worth it, for a model, the form of its input and the sites.
_NOT_WORTH: "weakref.WeakKeyDictionary[nn.Module, set[Any]]" = weakref.WeakKeyDictionary()


class Draws:
    """Samples of a model's output, one chunk after the other.

    Attributes:
        method: in words, how they are drawn.
    """

    def __init__(
        self, model: nn.Module, x: Any, sites: Sequence[Site], chunk: int | None, batched: bool
    ) -> None:
        self.model, self.x, self.sites = model, x, sites
        self.chunk, self.batched = chunk, batched
        self.method = "a forward a sample"
        self.total = 0

    def around(self, number: int) -> contextlib.AbstractContextManager[Any]:
        """Return what the forward of the sample of this number runs in: here, nothing."""
        del number
        return contextlib.nullcontext()

    def plain(self, number: int) -> Tensor:
        """Return the sample of this number by a forward of its own."""
        with self.around(number):
            return output_of(call(self.model, self.x))

    def __call__(self, count: int) -> Iterator[Tensor]:
        """Yield ``count`` samples, stacked in chunks of shape ``(t, *output)``."""
        left = self.total = count
        known = _NOT_WORTH.setdefault(self.model, set())
        key = (signature(self.x, self.sites), self.chunk, self.batched, count)
        if key not in known:
            for samples in self._recorded(count):
                yield samples
                left -= len(samples)
        if left:
            known.add(key)
            self.method = "a forward a sample"
        while left:
            number = count - left
            output = self.plain(number)
            more = min(max(1, ELEMENTS // max(output.numel(), 1)), left) - 1
            rest = [self.plain(number + 1 + i) for i in range(more)]
            yield torch.stack([output, *rest])  # together: the statistics cost calls as well
            left -= more + 1

    def _recorded(self, count: int) -> Iterator[Tensor]:
        """Record a first sample, and yield from that as many as that is good for."""
        with self.around(0), Recorder() as recorder, Peeks(recorder):
            first = output_of(call(self.model, self.x))
        yield first.unsqueeze(0)
        self._keep_if_worth(recorder)
        found = self._layout(recorder)
        copies = min(self._copies(found, recorder.largest), count - 1)
        if recorder.steps or copies >= max(2, min(WHOLE, self.chunk or WHOLE)):
            yield from self._replayed(recorder, found, copies, count - 1)

    def _keep_if_worth(self, recorder: Recorder) -> None:
        """Forget the beginning where it cannot be given back, or is too little of the work."""
        before, after = recorder.flops
        if not self._is_followed(recorder) or before < WORTH * (before + after):
            recorder.steps = []

    def _is_followed(self, recorder: Recorder) -> bool:
        by_python = any(site.kind == "layer_drop" for site in self.sites)  # may draw from numpy
        return recorder.safe and bool(recorder.draws) and not by_python

    def _layout(self, recorder: Recorder) -> Layout | None:
        if not self.batched or not self._is_followed(recorder):
            return None
        return layout(self.model, self.x, recorder, self.sites)

    def _copies(self, found: Layout | None, largest: int) -> int:
        if found is None:
            return 1
        return self.chunk or max(1, ELEMENTS // max(largest, 1))

    def _replayed(
        self, recorder: Recorder, found: Layout | None, copies: int, count: int
    ) -> Iterator[Tensor]:
        """Yield samples, copies at a time, and stop where that turns out not to be right."""
        saved = recorder.flops[0] if recorder.steps else 0
        if copies == 1 and saved < FLOPS_A_STEP * recorder.calls:
            return
        replay = self._replay(recorder, found, copies)
        while count:
            if copies > count:
                copies = count
                replay = self._replay(recorder, found, copies)
            try:
                x = replay.begin(self.x)
                with self.around(self.total - count), replay:
                    output = output_of(call(self.model, x))
            except Exception as error:  # the plain forward that follows raises what is its own
                logger.debug("beginning not shared: %r", error)
                return
            rows, rest = divmod(len(output) if output.dim() else 0, copies)
            drawn = [copies * number for number in recorder.draws]
            if copies > 1 and (rest or replay.draws != drawn):
                return
            self._tell(recorder, copies)
            shape = (rows, *output.shape[1:]) if copies > 1 else output.shape
            yield output.reshape(copies, *shape)
            count -= copies

    def _replay(self, recorder: Recorder, found: Layout | None, copies: int) -> Replay:
        if found is None or copies == 1:
            shapes = [step.shapes for step in recorder.steps]
            return Replay(recorder, shapes, [[None] * len(s) for s in shapes], 1)
        shapes = found.shapes(rows_of(self.x) * copies)
        return Replay(recorder, shapes, found.dims, copies)

    def _tell(self, recorder: Recorder, copies: int) -> None:
        parts = []
        if recorder.steps:
            share = recorder.flops[0] / max(sum(recorder.flops), 1)
            parts.append(f"the first {share:.0%} of the work once")
        if copies > 1 or not parts:
            parts.append(f"{copies} samples as one batch")
        if self.method == "a forward a sample":
            self.method = ", ".join(parts)
