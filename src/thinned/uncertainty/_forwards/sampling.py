"""Which sites are on while samples are drawn, and everything else in evaluation mode."""

import contextlib
import warnings
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from thinned._errors import NoEffectError, ThinnedWarning
from thinned.surgery import Site, SiteList, as_patterns, find_sites
from thinned.surgery._edits.inserted import Inserted, inserted_hooks
from thinned.surgery._models.known import _RULES as RULES
from thinned.surgery._models.paths import walk
from thinned.surgery._models.patterns import EVERYTHING
from thinned.surgery._sites.attributes import follow
from thinned.surgery._sites.reads import reads_of
from thinned.surgery._sites.site_list import no_sites

from .kept import Kept

LAST = "last"

_FOUND: "Kept[list[tuple[weakref.ref[Any], Site]]]" = Kept()  # what was asked for, owners apart


def active_sites(model: nn.Module, include: str | Iterable[str] = "*") -> SiteList:
    """Return the sites that will be on: those with a rate above 0 that a forward can follow.

    Dropout whose rate is written into a forward is no site, and stays as it is: a warning says so
    where all were asked for.

    Args:
        model: any module.
        include: globs on dotted paths, or ``"last"``: the last site alone.

    Raises:
        NoEffectError: if there is none; the message says what the model holds.
    """
    patterns = as_patterns(include)
    return _chosen(_asked(model, patterns), patterns)


def known_sites(model: nn.Module, include: str | Iterable[str], state: Any) -> SiteList:
    """As `active_sites`, without another search where the model is as it was at an earlier call.

    Rates are read from their owners all the same.

    Args:
        model: any module.
        include: as there.
        state: its `fingerprint`; None searches.
    """
    patterns = as_patterns(include)
    key = (state, patterns, len(RULES))
    kept = None if state is None else _FOUND.get(model, key)
    if kept is not None:
        sites = [replace(site, owner=owner()) for owner, site in kept]
        if all(site.owner is not None for site in sites):
            return _chosen(sites, patterns)
    asked = _asked(model, patterns)
    with contextlib.suppress(TypeError):  # a dictionary that holds a rate cannot be held weakly
        weakly = [(weakref.ref(site.owner), replace(site, owner=None)) for site in asked]
        if state is not None:
            _FOUND.put(model, key, weakly)
    return _chosen(asked, patterns)


def _asked(model: nn.Module, patterns: tuple[str, ...]) -> Sequence[Site]:
    every = find_sites(model, kinds="all")
    if not [site for site in every if site.kind != "placeholder"]:
        msg = "Expected a model with something to sample from, found no dropout in it"
        msg += f" that can be switched on: {_written(every)}" if every.out_of_reach else ". "
        msg += "Insert some, and train with it: thinned.insert(model, rate=0.1)."
        raise NoEffectError(msg)
    if every.out_of_reach and patterns == (EVERYTHING,):
        warnings.warn(f"While samples are drawn, {_written(every)}", ThinnedWarning, stacklevel=4)
    if patterns == (LAST,):
        return every
    if idle := every.idle(patterns):
        raise no_sites(every, idle)
    return every.select(patterns, kinds="all")


def _written(sites: SiteList) -> str:
    """Say that some dropout cannot be switched on, where it stands, and how it could be."""
    first, *others = sites.out_of_reach
    msg = f"dropout that is written into a forward stays as it is: {first}"
    msg += f" (and {len(others)} more). " if others else ". "
    return msg + "Keep its rate in an attribute: F.dropout(x, self.dropout, self.training). "


def _chosen(asked: Sequence[Site], patterns: tuple[str, ...]) -> SiteList:
    on = [site for site in asked if _is_on(site)]
    if not on:
        dead = [site.live is False for site in asked]
        held = [
            f"{site.path} ({site.rate:g}{', dead' * idle})"
            for site, idle in zip(asked, dead, strict=True)
        ]
        msg = "Expected a site with a rate above 0 that a forward follows, found "
        msg += f"{', '.join(held) or 'none'}. "
        insert = "Insert some, and train with it: thinned.insert(model, rate=0.1)."
        raise NoEffectError(
            msg + (insert if all(dead) else "Set one: thinned.set_rate(model, 0.1).")
        )
    return SiteList(on[-1:] if patterns == (LAST,) else on, named=True)


def _is_on(site: Site) -> bool:
    return site.kind != "placeholder" and site.live is not False and site.rate > 0.0


@contextlib.contextmanager
def sampling(model: nn.Module, sites: Iterable[Site]) -> Iterator[None]:
    """Switch the given sites on and all else to evaluation, and put every mode back at the end.

    Modes are written to the modules' flags directly: a model's own ``train()`` may do more. The
    fused path of torch's transformer layers is off inside, since it ignores dropout.

    Args:
        model: the model that holds the sites.
        sites: what is on.
    """
    modules, sites = list(model.modules()), list(sites)
    by_path = _by_path(model) if any(_read_at(site) for site in sites) else {}
    modes = [(module, True) for module in modules if module.training]
    hooked = [m for m in modules if m._forward_hooks or m._forward_pre_hooks]
    hooks = [(hook, hook.training) for module in hooked for hook in inserted_hooks(module)]
    fused = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(value=False)
        for module, _ in modes:
            module.training = False
        for hook, _ in hooks:
            hook.training = False
        for site in sites:
            if isinstance(site.owner, Inserted):
                site.owner.training = True
            for module in _deciders(site, by_path):
                if not module.training:
                    modes.append((module, False))
                    module.training = True
        yield
    finally:
        for module, mode in reversed(modes):
            module.training = mode
        for hook, override in hooks:
            hook.training = override
        torch.backends.mha.set_fastpath_enabled(value=fused)


def _by_path(model: nn.Module) -> dict[str, list[nn.Module]]:
    """Return the modules by the paths that sites have; a wrapper shares one with what it wraps."""
    found: dict[str, list[nn.Module]] = {}
    for path, module in walk(model, remove_duplicate=False):
        found.setdefault(path, []).append(module)
    return found


def _deciders(site: Site, by_path: dict[str, list[nn.Module]]) -> Iterator[nn.Module]:
    """Yield the modules whose mode decides whether a site drops: owner, and who reads its rate."""
    if isinstance(site.owner, nn.Module):
        yield site.owner
    for path in _read_at(site):
        at = by_path[path]
        yield from at if len(at) == 1 else [m for m in at if _reads(m, site)]


def _read_at(site: Site) -> list[str]:
    """Return the paths of the modules that read a rate which is not their own."""
    if isinstance(site.owner, nn.Module | Inserted):
        return list(site.read_by)
    return [path.partition(":")[0] for path in site.paths] + list(site.read_by)  # of a config


def _reads(module: nn.Module, site: Site) -> bool:
    """Say whether a module's code reads a site's rate off its owner."""
    return any(
        chain[-1].strip("[]") == site.attribute and follow(module, chain[:-1]) is site.owner
        for chain in reads_of(module).chains
    )
