"""The highest rate that `AdaptiveDropout` tries where nobody says one."""

from collections.abc import Iterable

from torch import nn
from torch.optim import SGD, Optimizer

from thinned._log import logger
from thinned.surgery import Site, chosen, find_sites
from thinned.surgery._models.places import Place, places
from thinned.surgery._models.structure import RECURRENT

from .law import AdaptiveLaw

STACKED = 0.5
"""On stacked recurrent layers: such networks look too sure of their few errors at any rate."""
OF_SGD = 0.8
"""With SGD, whose steps are as noisy as gradients are: with momentum it comes apart at 0.9."""


def highest(
    model: nn.Module,
    include: Iterable[str],
    exclude: Iterable[str] = (),
    kinds: str | Iterable[str] | None = None,
    *,
    optimizers: Iterable[Optimizer] = (),
) -> float:
    """Return the highest rate for the sites that are chosen of a model, and for how it trains."""
    stack: list[str] = []
    if _stack(places(model)):  # in most models there is none, and no site need be found
        stack = stacked_before(model, chosen(find_sites(model), include, exclude, kinds))
    if stack:
        bound, why = STACKED, f"on stacked recurrent layers ({', '.join(stack)})"
    elif any(isinstance(each, SGD) for each in optimizers):
        bound, why = OF_SGD, "with SGD"
    else:
        return AdaptiveLaw.high
    logger.info("dropout stays at %.2f or below, %s; highest= sets another", bound, why)
    return bound


def stacked_before(model: nn.Module, sites: Iterable[Site]) -> list[str]:
    """Return the paths of stacked recurrent layers, if a site is in, between or behind them.

    The order is that of registration: the site of an embedding that they read is before them.
    """
    order = places(model)
    layers = _stack(order)
    if not layers:
        return []
    alive = (site for site in sites if site.live is not False)
    paths = {path.partition(":")[0] for site in alive for path in site.paths}
    behind = order[order.index(layers[0]) :]
    found = any(not paths.isdisjoint(place.paths) for place in behind)
    return [layer.path for layer in layers] if found else []


def _stack(order: Iterable[Place]) -> list[Place]:
    """Return the recurrent layers; none where there is but one."""
    layers = [place for place in order if isinstance(place.module, RECURRENT)]
    return layers if sum(getattr(each.module, "num_layers", 1) for each in layers) > 1 else []
