"""Which of the layers that were inserted a training really came to."""

import warnings
from collections.abc import Iterable
from typing import Any

from thinned._errors import ThinnedWarning
from thinned.surgery import Edit
from thinned.surgery._edits.inserted import AfterOutput, BeforeInput

PATIENCE = 32  # batches: a generator and its critic may take turns of some batches each


class Reached:
    """Watches inserted layers until each has been called once, and warns of those that were not.

    A place that a forward goes round drops nothing, whatever its rate: a module whose weights are
    read by another one, one that is given integers or keywords only, or a LightningModule whose
    steps call its parts.

    Args:
        edits: the inserts to watch.
        whose: the callback's name, for the warning.
    """

    def __init__(self, edits: Iterable[Edit], whose: str) -> None:
        hooks = {site.path: site.owner for edit in edits for site in edit.sites}
        self._waited_for = {
            path: hook.layer.register_forward_pre_hook(_Seen(self, path))
            for path, hook in hooks.items()
            if isinstance(hook, AfterOutput | BeforeInput)
        }
        self._count, self._whose, self._batches = len(self._waited_for), whose, 0

    def note(self, path: str) -> None:
        """Note that a layer was called."""
        if (handle := self._waited_for.pop(path, None)) is not None:
            handle.remove()

    def batch_ended(self) -> None:
        """Count a training batch; after enough of them, say what was not called."""
        self._batches += 1
        if self._batches == PATIENCE:
            self.end(warn=True)

    def end(self, *, warn: bool = False) -> None:
        """Watch no longer."""
        paths = list(self._waited_for)
        for handle in self._waited_for.values():
            handle.remove()
        self._waited_for = {}
        if paths and warn and self._batches:
            warnings.warn(
                f"{self._whose}: in {self._batches} batches training never came to {len(paths)} of "
                f"the {self._count} inserted layers ({', '.join(paths[:6])}), so nothing is "
                "dropped there: their modules were not called, got no floating-point tensor as "
                "first argument, or are in evaluation. Choose other places with `include=` or "
                "`after=`.",
                ThinnedWarning,
                stacklevel=2,
            )


class _Seen:
    """The hook; an object and no closure, since whole models are pickled."""

    def __init__(self, watch: Reached, path: str) -> None:
        self._watch, self._path = watch, path

    def __call__(self, *_: Any) -> None:
        self._watch.note(self._path)
