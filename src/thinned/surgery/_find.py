"""Find the sites of a model."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn

from thinned.surgery._known import rules_of
from thinned.surgery._patterns import EVERYTHING, normalize
from thinned.surgery._site import KINDS, Site
from thinned.surgery._site_list import SiteList


def find_sites(
    model: nn.Module,
    include: str | Iterable[str] = EVERYTHING,
    exclude: str | Iterable[str] = (),
    *,
    kinds: str | Iterable[str] | None = None,
) -> SiteList:
    """Find every place in a model that holds a rate.

    Args:
        model: any module; wrapped (DDP) and compiled ones too.
        include: globs on dotted paths, such as ``"backbone.*"``.
        exclude: globs of what to leave out.
        kinds: a kind, several, or None for all.

    Returns:
        The sites, in the order in which the model registers its modules.

    Example:
        >>> import torch, thinned
        >>> net = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Dropout(0.2))
        >>> [(site.path, site.kind, site.rate) for site in thinned.find_sites(net)]
        [('1', 'dropout', 0.2)]
    """
    sites = SiteList(_unique(_all_sites(model)))
    return sites.select(include, exclude, kinds)


def _all_sites(model: nn.Module) -> Iterator[Site]:
    for name, module in model.named_modules(remove_duplicate=False):
        path = normalize(name)
        yield from _sites_of(path, module)
        yield from _hook_sites(path, module)


def _sites_of(path: str, module: nn.Module) -> Iterator[Site]:
    """Find the rates that a module itself holds, by the table of known classes."""
    kind = getattr(type(module), "kind", None)
    if kind in KINDS and is_rate(getattr(module, "p", None)):  # ours, or made like ours
        yield Site(path, kind, module, "p", type(module).__name__)
    else:
        kind = None
    rules = [r for r in rules_of(type(module)) if is_rate(getattr(module, r.attribute, None))]
    for rule in rules:
        if kind and rule.attribute == "p":
            continue
        reason = rule.dead(module)
        bare = rule.attribute in _OWN_NAMES and len(rules) == 1 and _is_leaf(module)
        yield Site(
            path if bare else f"{path}:{rule.attribute}",
            rule.kind,
            module,
            rule.attribute,
            type(module).__name__,
            live=False if reason else None,
            note=reason or rule.note,
        )


_OWN_NAMES = frozenset({"p", "drop_prob", "prob"})


def _hook_sites(path: str, module: nn.Module) -> Iterator[Site]:
    """Find the rates that hooks hold: objects with ``p`` and ``kind``, or bound methods of such."""
    for hooks in (module._forward_pre_hooks, module._forward_hooks):
        for hook in hooks.values():
            holder = getattr(hook, "__self__", hook)
            kind = getattr(holder, "kind", None)
            if kind in KINDS and is_rate(getattr(holder, "p", None)):
                name = getattr(holder, "name", None) or kind
                yield Site(f"{path}:{name}", kind, holder, "p", type(holder).__name__)


def _unique(sites: Iterable[Site]) -> Iterator[Site]:
    """Merge sites with the same owner and attribute: the first path, the others as aliases."""
    found: dict[tuple[int, str], Site] = {}
    for site in sites:
        first = found.get(site.key)
        if first is None:
            found[site.key] = site
        elif site.path not in first.paths:
            aliases = (*first.aliases, site.path)
            found[site.key] = dataclasses.replace(first, aliases=aliases)
    yield from found.values()


def _is_leaf(module: nn.Module) -> bool:
    """Say whether a module is nothing but its rate: no parameters, no children."""
    return not any(True for _ in module.children()) and not module._parameters


def is_rate(value: Any) -> bool:
    """Say whether a value can be a rate: a number in [0, 1], and no boolean."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0.0 <= value <= 1.0
