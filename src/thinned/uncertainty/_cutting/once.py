"""The beginning of a module's forwards once, where somebody else's loop calls the module."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from thinned._log import logger
from thinned.uncertainty._forwards.rows import tensors

from .cut import RandomState
from .prefix import Peeks, Recorder
from .replay import Replay

T = TypeVar("T")

WORTH = 0.2  # below this share of the work, there is little to save


@dataclass
class _Call:
    """One call of a pass: what it was given, and how its beginning is given back."""

    given: list[Tensor]
    replay: Replay | None


class Once:
    """Passes over the same inputs, in which the module is called in the same order.

    In the first pass each call is followed; later ones begin with what it has computed before its
    first random call. A call that is given something else than in the first pass is left alone.

    Args:
        module: whose forwards they are; its sites are on.
        room: bytes that may be kept for later passes; calls beyond that are left alone.
    """

    def __init__(self, module: nn.Module, room: int = 2**28) -> None:
        self.module, self.room = module, room
        self._calls: list[_Call] = []
        self._next = 0
        self._works = True
        self._open = contextlib.ExitStack()

    def __call__(self, one_pass: Callable[[], T]) -> T:
        """Return what a pass returns, which draws what it would draw without this."""
        if not self._works:
            return one_pass()
        start = RandomState(list(self.module.parameters()))
        self._next = 0
        try:
            with self._hooked():
                return one_pass()
        except Exception as error:  # the pass that follows raises what is its own
            logger.debug("beginning not shared: %r", error)
            self._works = False
            start.restore()
            return one_pass()

    @contextlib.contextmanager
    def _hooked(self) -> Iterator[None]:
        before = self.module.register_forward_pre_hook(self._enter, with_kwargs=True)
        after = self.module.register_forward_hook(self._leave, always_call=True)
        try:
            yield
        finally:
            before.remove()
            after.remove()
            self._open.close()

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        del module
        number, given = self._next, tensors((args, kwargs))
        self._next += 1
        if number == len(self._calls):
            recorder = Recorder()
            self._open.callback(self._keep, recorder, given)
            self._open.enter_context(recorder)
            self._open.enter_context(Peeks(recorder))
            return
        call = self._calls[number]
        pairs = zip(given, call.given, strict=False)
        if call.replay is not None and all(torch.equal(a, b) for a, b in pairs):
            call.replay.begin((args, kwargs))
            self._open.enter_context(call.replay)

    def _leave(self, *_: Any) -> None:
        self._open.close()

    def _keep(self, recorder: Recorder, given: list[Tensor]) -> None:
        before, after = recorder.flops
        held = [t for step in recorder.steps for t in step.kept if t is not None]
        size = sum(tensor.nbytes for tensor in (*held, *given))
        replay = None
        worth = bool(recorder.draws) and before >= WORTH * (before + after)
        if recorder.safe and worth and size <= self.room:
            self.room -= size
            shapes = [step.shapes for step in recorder.steps]
            replay = Replay(recorder, shapes, [[None] * len(each) for each in shapes], 1)
        self._calls.append(_Call([tensor.clone() for tensor in given] if replay else [], replay))
