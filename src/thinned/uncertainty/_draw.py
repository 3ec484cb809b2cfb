"""Draws samples: the beginning of the forward once, the rest in copies where that is right."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from thinned._log import logger
from thinned.surgery import Site
from thinned.surgery._trace import call
from thinned.uncertainty._copies import Layout, copied, layout, rows_of
from thinned.uncertainty._output import output_of
from thinned.uncertainty._prefix import Recorder, Replay

WORTH = 0.2  # below this share of the work, following the operators costs more than it saves
ELEMENTS = 2**19  # in the largest tensor, where the user has not said: what fits into a cache


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

    def __call__(self, count: int) -> Iterator[Tensor]:
        """Yield ``count`` samples, stacked in chunks of shape ``(t, *output)``."""
        recorder = Recorder()
        with recorder:
            yield output_of(call(self.model, self.x)).unsqueeze(0)
        done = 1
        if self._is_worth(recorder):
            found = self._layout(recorder)
            copies = self._copies(found, recorder.largest, count)
            while done < count:
                samples = self._replayed(recorder, found, min(copies, count - done))
                if samples is None and copies > 1:
                    found, copies = None, 1  # masks are shared over the batch: one at a time
                    continue
                if samples is None:
                    self.method = "a forward a sample"
                    break
                yield samples
                done += len(samples)
        for _ in range(count - done):
            yield output_of(call(self.model, self.x)).unsqueeze(0)

    def _is_worth(self, recorder: Recorder) -> bool:
        before, after = recorder.flops
        share = before / max(before + after, 1)
        by_python = any(site.kind == "layer_drop" for site in self.sites)  # may draw from numpy
        if not recorder.safe or not recorder.draws or by_python or share < WORTH:
            return False
        self.method = f"the first {share:.0%} of the work once"
        return True

    def _layout(self, recorder: Recorder) -> Layout | None:
        return layout(self.model, self.x, recorder, self.sites) if self.batched else None

    def _copies(self, found: Layout | None, largest: int, count: int) -> int:
        if found is None:
            return 1
        return min(self.chunk or max(1, ELEMENTS // max(largest, 1)), count)

    def _replayed(self, recorder: Recorder, found: Layout | None, copies: int) -> Tensor | None:
        """Return as many samples as copies; None where that cannot be done this way."""
        if found is None or copies == 1:
            shapes = [step.shapes for step in recorder.steps]
            replay = Replay(recorder, shapes, [[None] * len(s) for s in shapes], 1)
        else:
            shapes = found.shapes(rows_of(self.x) * copies)
            replay = Replay(recorder, shapes, found.dims, copies)
        x = copied(self.x, copies) if copies > 1 else self.x
        try:
            with replay:
                output = output_of(call(self.model, x))
        except Exception as error:  # the plain forward that follows raises what is the model's own
            logger.debug("beginning not shared: %r", error)
            return None
        if replay.draws != [copies * number for number in recorder.draws]:
            return None
        rows, rest = divmod(len(output), copies)
        return None if rest else output.reshape(copies, rows, *output.shape[1:])
