"""Draws samples in which all rows have the same mask."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from thinned._generators import seed_everything
from thinned._log import logger
from thinned.surgery import Site
from thinned.surgery._running.trace import call
from thinned.uncertainty._cutting.flow import UnlikeShownError
from thinned.uncertainty._forwards.output import output_of
from thinned.uncertainty._forwards.rows import rows_at, rows_of

from .draw import Draws
from .shared import Drawn, OneMask, drawn_by


class SharedDraws(Draws):
    """As `Draws`, with one mask of each sample for all rows.

    Every sample has a seed of its own, so that from the same state of torch's generator sample
    ``t`` has the same masks whatever the batch, and however large. Where drawing once for all rows
    is not shown to be right, each row is a forward of its own from that seed.
    """

    def __init__(self, model: nn.Module, x: Any, sites: Sequence[Site], state: Any = None) -> None:
        super().__init__(model, x, sites, chunk=None, batched=False, state=state)
        self.rows = rows_of(x)
        if self.rows == 0:
            msg = "Expected an input whose tensors have rows in their first dimension and the same "
            raise ValueError(msg + "number of them, got another. Use masks='row'.")
        self.seeds: list[int] = []
        self.drawn: tuple[Drawn, ...] | None = ()

    def around(self, number: int) -> contextlib.AbstractContextManager[Any]:
        """Begin from the sample's own seed, and draw once for all rows."""
        seed_everything(self.seeds[number])
        if self.drawn is None or self.rows == 1:
            return contextlib.nullcontext()
        return OneMask(self.drawn, self.rows)

    def __call__(self, count: int) -> Iterator[Tensor]:
        """Yield ``count`` samples, stacked in chunks of shape ``(t, *output)``."""
        self.seeds = torch.randint(2**62, (count,)).tolist()
        self.drawn = drawn_by(self.model, self.x, self.state, self.form)
        done = 0
        if self.drawn is not None or self.rows == 1:
            try:
                for samples in super().__call__(count):
                    yield samples
                    done += len(samples)
            except UnlikeShownError as error:  # the same masks row by row
                logger.debug("masks are shared row by row: %r", error)
        if done < count:
            self.method = "a forward a row"
            self.drawn = None
        for number in range(done, count):
            yield torch.cat([self._row(number, row) for row in range(self.rows)]).unsqueeze(0)

    def _row(self, number: int, row: int) -> Tensor:
        with self.around(number):
            return output_of(call(self.model, rows_at(self.x, [row])))
