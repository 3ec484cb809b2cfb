"""Which sites are on while samples are drawn, and everything else in evaluation mode."""

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import nn

from thinned._errors import NoEffectError
from thinned.surgery import Site, SiteList, as_patterns, find_sites
from thinned.surgery._inserted import Inserted

LAST = "last"


def active_sites(model: nn.Module, include: str | Iterable[str] = "*") -> SiteList:
    """Return the sites that will be on: those with a rate above 0 that a forward can follow.

    Args:
        model: any module.
        include: globs on dotted paths, or ``"last"``: the last site alone.

    Raises:
        NoEffectError: if there is none; the message says what the model holds.
    """
    every = find_sites(model, kinds="all")
    if not [site for site in every if site.kind != "placeholder"]:
        msg = "Expected a model with something to sample from, found no dropout in it. "
        msg += "Insert some, and train with it: thinned.insert(model, rate=0.1)."
        raise NoEffectError(msg)
    patterns = as_patterns(include)
    asked = every if patterns == (LAST,) else every.select(patterns, kinds="all")
    on = [site for site in asked if _is_on(site)]
    if not on:
        held = ", ".join(f"{site.path} ({site.rate:g})" for site in asked)
        msg = "Expected a site with a rate above 0 that a forward follows, found "
        msg += f"{held or 'none'}. Set one: thinned.set_rate(model, 0.1)."
        raise NoEffectError(msg)
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
    modes = [(module, module.training) for module in model.modules()]
    hooks: list[tuple[Inserted, bool | None]] = []
    fused = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(value=False)
        for module, _ in modes:
            module.training = False
        for site in sites:
            if isinstance(site.owner, Inserted):
                hooks.append((site.owner, site.owner.training))
                site.owner.training = True
            for module in _readers(model, site):
                module.training = True
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for hook, override in reversed(hooks):
            hook.training = override
        torch.backends.mha.set_fastpath_enabled(value=fused)


def _readers(model: nn.Module, site: Site) -> Iterator[nn.Module]:
    """Yield the modules whose mode decides whether a site drops: owner, and who reads its rate."""
    if isinstance(site.owner, nn.Module):
        yield site.owner
    if not isinstance(site.owner, nn.Module | Inserted):  # a config: the modules that read it
        for path in site.paths:
            yield model.get_submodule(path.partition(":")[0])
    for path in site.read_by:
        yield model.get_submodule(path)
