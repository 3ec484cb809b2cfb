"""The highest rate that `AdaptiveDropout` tries where nobody says one."""

from collections.abc import Iterable

from torch import nn

from thinned._log import logger
from thinned.surgery import Site, chosen, find_sites
from thinned.surgery._places import places

from ._adaptive_law import AdaptiveLaw

RECURRENT = 0.5
"""Behind recurrent layers: such networks look too sure of their few errors at any rate."""


def highest(
    model: nn.Module,
    include: Iterable[str],
    exclude: Iterable[str] = (),
    kinds: str | Iterable[str] | None = None,
) -> float:
    """Return the highest rate for the sites that are chosen of a model."""
    recurrent = recurrent_before(model, chosen(find_sites(model), include, exclude, kinds))
    if recurrent is None:
        return AdaptiveLaw.high
    told = "dropout stays at %.2f or below, since it drops what the recurrent layer %r gives; "
    logger.info(told + "highest= sets another bound", RECURRENT, recurrent)
    return RECURRENT


def recurrent_before(model: nn.Module, sites: Iterable[Site]) -> str | None:
    """Return the path of a recurrent layer that one of the sites is in or behind, or None.

    The order is that of registration: the site of an embedding that a recurrent layer reads is not
    behind it.
    """
    alive = (site for site in sites if site.live is not False)
    paths = {path.partition(":")[0] for site in alive for path in site.paths}
    first: str | None = None
    for place in places(model):
        if first is None and isinstance(place.module, (nn.RNNBase, nn.RNNCellBase)):
            first = place.path
        if first is not None and not paths.isdisjoint(place.paths):
            return first
    return None
