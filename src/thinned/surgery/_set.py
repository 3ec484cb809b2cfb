"""Set the rate of many sites at once."""

import warnings
from collections.abc import Iterable

from torch import nn

from thinned._checks import check_rate, shown
from thinned._errors import ThinnedWarning
from thinned._log import logger
from thinned.surgery._find import find_sites

from ._compile.compile_safe import compile_safe
from ._models.patterns import EVERYTHING, as_patterns
from ._sites.site import Site
from ._sites.site_list import SiteList, no_sites


def set_rate(
    model_or_sites: nn.Module | Iterable[Site],
    rate: float,
    include: str | Iterable[str] = EVERYTHING,
    exclude: str | Iterable[str] = (),
    *,
    kinds: str | Iterable[str] | None = None,
) -> int:
    """Set the rate of all chosen sites.

    Without ``kinds`` and with ``include="*"`` only the kind ``dropout`` is touched; stochastic
    depth, DropBlock, layer drop and token drop must be named.

    In the compiled parts of a model, layers that hold their rate as a float are first exchanged for
    twins that cost no recompilation (see ``compile_safe``); where that cannot be, a rate takes few
    values, and a warning says so.

    Args:
        model_or_sites: a model, or sites that were found in one.
        rate: probability of dropping, in [0, 1].
        include: globs on dotted paths, such as ``"backbone.*"``.
        exclude: globs of what to leave out; one that names nothing is no error, so that one list
            fits many models.
        kinds: a kind, several, or ``"all"``.

    Returns:
        How many sites were set, at least one. Those that cannot follow are not counted.

    Raises:
        ValueError: if ``rate`` is no rate.
        NoEffectError: if there is no such site, or none for one of several patterns; the message
            says what the model holds.

    Example:
        >>> import torch, thinned
        >>> net = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Dropout(0.2))
        >>> thinned.set_rate(net, 0.3), net[1].p
        (1, 0.3)
        >>> thinned.set_rate(net, 0.3, "head.*")
        Traceback (most recent call last):
        ...
        thinned._errors.NoEffectError: Expected a site to match include='head.*'; none does. The
        model holds: 1 (dropout, Dropout, 0.3).
    """
    rate = check_rate("rate", rate)
    sites = chosen(model_or_sites, include, exclude, kinds)
    if isinstance(model_or_sites, nn.Module) and any(site.levels for site in sites):
        edit = compile_safe(model_or_sites, [site.path for site in sites], compiled_only=True)
        if len(edit):
            logger.info("%s", edit)
            sites = chosen(model_or_sites, include, exclude, kinds)
    for site in sites:
        site.set(rate)
    _report_levels(sites, rate)
    return sum(site.live is not False for site in sites)


def _report_levels(sites: Iterable[Site], rate: float) -> None:
    off = [(site, held) for site in sites if (held := site.levels) and abs(site.rate - rate) > 1e-9]
    if off:
        site, held = off[0]
        msg = f"{site.path!r} ({len(off)} in all) runs compiled and cannot be exchanged: its rate "
        msg += f"takes at most {held.most} values, and is {site.rate:g} now instead "
        msg += f"of {rate:g}. A higher `torch._dynamo.config.recompile_limit` gives more values."
        warnings.warn(msg, ThinnedWarning, stacklevel=3)


def chosen(
    model_or_sites: nn.Module | Iterable[Site],
    include: str | Iterable[str] = EVERYTHING,
    exclude: str | Iterable[str] = (),
    kinds: str | Iterable[str] | None = None,
) -> SiteList:
    """Return the sites that a setter touches, and never none.

    Raises:
        NoEffectError: if no site is chosen, none by one of several patterns, or only such as are
            known to be dead.
    """
    if isinstance(model_or_sites, SiteList):
        held = model_or_sites
    elif isinstance(model_or_sites, nn.Module) or not isinstance(model_or_sites, Iterable):
        held = find_sites(model_or_sites)
    else:
        held = SiteList(model_or_sites, named=True)
        if not all(isinstance(site, Site) for site in held):
            msg = f"Expected a model, or sites that were found in one, got {shown(list(held), 80)}."
            raise TypeError(msg)
    patterns = as_patterns(include)
    named = held.select(patterns, exclude, kinds)
    sites = named.settable()
    idle = sites.idle(patterns)
    if idle or not sites:
        reason = "Kinds other than dropout need `kinds=` or a pattern." if named else ""
        raise no_sites(held, idle, as_patterns(exclude, "exclude"), reason)
    if all(site.live is False for site in sites):
        reason = f"All that match are dead: {sites[0].path} ({sites[0].note})."
        raise no_sites(held, patterns, as_patterns(exclude, "exclude"), reason)
    return sites
