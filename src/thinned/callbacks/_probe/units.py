"""Units at the sites, watched while the probe is evaluated: co-adaptation and sparsity."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from thinned._errors import NoEffectError
from thinned.metrics._co_adaptation import CoAdaptation
from thinned.metrics._sparsity import ActivationSparsity
from thinned.surgery import SiteList

_MOST = 256  # units of a site that are compared with each other: cost grows with the square


class Units:
    """What goes into the chosen sites.

    Args:
        sites: the model's sites.
        include: patterns of those to watch.
    """

    def __init__(self, sites: SiteList, include: tuple[str, ...]) -> None:
        chosen = [s for s in sites.select(include) if isinstance(s.owner, nn.Module)]
        if not chosen:
            msg = (
                f"Expected `units` to name a site, got {include!r}. The model has: "
                f"{', '.join(s.path for s in sites) or 'no site'}."
            )
            raise NoEffectError(msg)
        self._owners = {s.path.partition(":")[0]: s.owner for s in chosen}
        self._metrics: dict[str, list[Any]] = {}

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watch every forward of the chosen sites from here on, afresh."""
        self._metrics = {}
        handles = [
            owner.register_forward_pre_hook(lambda _, args, path=path: self._see(path, args))
            for path, owner in self._owners.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def values(self) -> dict[str, float]:
        """Return the figures of all processes together."""
        row: dict[str, float] = {}
        for path, metrics in self._metrics.items():
            for name, metric in zip(("co_adaptation", "sparsity"), metrics, strict=False):
                row[f"overfit/{name}/{path}"] = float(metric.compute())
        return row

    def _see(self, path: str, args: tuple[Any, ...]) -> None:
        units = args[0] if args else None
        if not isinstance(units, Tensor) or not units.is_floating_point() or units.ndim < 2:
            return
        units = units.movedim(_axis(self._owners[path], units), 1)
        step = -(-units.shape[1] // _MOST)
        some = units.detach()[:, ::step]
        if path not in self._metrics:
            both = [CoAdaptation(some.shape[1]), ActivationSparsity()]
            self._metrics[path] = [m.to(units.device) for m in both]
        with torch.no_grad():
            for metric in self._metrics[path]:
                metric.update(some)


def _axis(owner: nn.Module, units: Tensor) -> int:
    """The axis of units: what the layer says it is; else channels of images, features of rest."""
    named = getattr(owner, "channel_dim", None)
    if isinstance(named, int):
        return named
    spatial = type(owner).__name__.lower().endswith(("1d", "2d", "3d"))
    return 1 if spatial or units.ndim >= 4 else -1
