"""Dropout turned on in an evaluation, and nothing else: norms, and what the user froze, stay."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn

from thinned.surgery import SiteList, find_sites
from thinned.surgery._models.compiled import is_compiled


class Noise:
    """The dropout of a model.

    Args:
        module: the model, as it is when training starts: edits have been made.
    """

    def __init__(self, module: nn.Module) -> None:
        kinds = ("dropout", "drop_path", "drop_block", "layer_drop", "token_drop")
        self.sites: SiteList = find_sites(module, kinds=kinds)
        compiled = any(map(is_compiled, module.modules()))
        self._usable = not compiled  # switching modes would compile the model anew
        self._before: list[tuple[Any, Any]] = []

    @property
    def rate(self) -> float:
        """The mean rate of the sites that drop single units, read back; 0 where there are none."""
        rates = [s.rate for s in self.sites if s.kind == "dropout" and s.live is not False]
        return sum(rates) / len(rates) if rates else 0.0

    @property
    def is_on(self) -> bool:
        """Whether there is noise to measure."""
        return self._usable and any(s.rate > 0.0 and s.live is not False for s in self.sites)

    def switch_on(self) -> None:
        """Let every site drop. To be called within `restored`."""
        for owner in _switches(s.owner for s in self.sites):
            self._before.append((owner, owner.training))
            owner.training = True

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        """Put the modes back that `switch_on` changed."""
        try:
            yield
        finally:
            for owner, training in reversed(self._before):
                owner.training = training
            self._before.clear()


def _switches(owners: Iterable[Any]) -> list[Any]:
    """The owners that have a mode, each once. A config has none: its readers keep theirs."""
    found = {id(o): o for o in owners if hasattr(o, "training")}
    return list(found.values())
