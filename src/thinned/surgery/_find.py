"""Find the sites of a model."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import nn

from ._compile.twins import twin_of
from ._edits.editable import require_module
from ._models.compiled import burnt_in, compiled_parts, levels_for
from ._models.known import KINDS, rules_of
from ._models.paths import skipped, walk
from ._models.patterns import EVERYTHING
from ._models.sources import line_of
from ._sites.attributes import (
    config_sites,
    float_sites,
    follow,
    frozen_rates,
    is_leaf,
    is_rate,
    placeholder_sites,
)
from ._sites.functional import OutOfReach
from ._sites.live import check_live
from ._sites.reads import ClassReads, names_read_by_functions, reads_of
from ._sites.site import PLACEHOLDER, Site
from ._sites.site_list import SiteList
from ._sites.widths import width_into, widths


def find_sites(
    model: nn.Module,
    include: str | Iterable[str] = EVERYTHING,
    exclude: str | Iterable[str] = (),
    *,
    kinds: str | Iterable[str] | None = None,
    example_input: Any = None,
) -> SiteList:
    """Find every place in a model that holds a rate.

    Without ``example_input`` no site is called live: its class is known or its name speaks for it,
    but nobody has looked (``unverified``). With it, the model runs in training mode and each site
    is shown to be live or not; the model, its buffers, modes and rates, and the random generators
    are left as they were.

    Args:
        model: any module; wrapped (DDP) and compiled ones too.
        include: globs on dotted paths, such as ``"backbone.*"``.
        exclude: globs of what to leave out.
        kinds: a kind, several, or None for all.
        example_input: what the model is called with, to see which sites are live. As in Lightning,
            a tuple is spread and a mapping gives keywords.

    Returns:
        The sites, in the order in which the model registers its modules; ``print`` shows a table.
        ``out_of_reach`` lists dropout that is written into a forward with a rate nothing holds.

    Raises:
        TypeError: if ``model`` is no module.
        ValueError: if a kind is unknown, the model does not run on ``example_input``, or that is
            given for a lazy model.

    Example:
        >>> import torch, thinned
        >>> net = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Dropout(0.2))
        >>> [(site.path, site.kind, site.rate) for site in thinned.find_sites(net)]
        [('1', 'dropout', 0.2)]
        >>> thinned.find_sites(net, example_input=torch.randn(2, 8))[0].live
        True
    """
    found = Finder(model).sites()
    if example_input is not None:
        shown = check_live(model, found, example_input)
        written = {(call.file, call.line): call for call in found.out_of_reach}
        for call in shown.out_of_reach:
            written.setdefault((call.file, call.line), call)
        found = SiteList(shown.sites, out_of_reach=written.values())
    return found.select(include, exclude, kinds)


class Finder:
    """Looks through a model once, at its objects and at the source of their classes."""

    def __init__(self, model: nn.Module) -> None:
        require_module(model)
        self._modules = list(walk(model, remove_duplicate=False))
        self._skip = skipped(model)
        self._reads = {type(module): reads_of(module) for _, module in self._modules}
        self._compiled = compiled_parts(model)
        self._widths = widths(model)

    def sites(self) -> SiteList:
        """Return all sites, and what is out of their reach."""
        readers = self._readers()
        elsewhere = self._read_elsewhere()
        found: dict[tuple[int, str], Site] = {}
        for path, module in self._modules:
            for site in self._sites_at(path, module):
                first = found.get(site.key)
                if first is None:
                    width = self._widths.get(id(module))
                    if module._parameters and _stands_before(site.owner, module):
                        width = width_into(module)
                    readers_here = readers.get(site.key, ())
                    site = dataclasses.replace(
                        site, read_by=readers_here, width=width, skip=self._skip
                    )
                    first = self._judge(site, elsewhere)
                elif site.path not in first.paths:
                    first = dataclasses.replace(first, aliases=(*first.aliases, site.path))
                found[site.key] = self._with_levels(first, module)
        return SiteList(found.values(), out_of_reach=self._out_of_reach())

    def _sites_at(self, path: str, module: nn.Module) -> Iterator[Site]:
        reads = self._reads[type(module)]
        yield from _own_sites(path, module)
        if not _has_kind(module):  # ours hold what they need in private
            yield from float_sites(path, module, reads)
        yield from config_sites(path, module, reads)
        yield from placeholder_sites(path, module)
        yield from _hook_sites(path, module)

    def _with_levels(self, site: Site, module: nn.Module) -> Site:
        """Give a site the levels in which it moves, if this module runs compiled and it must."""
        compiled = self._compiled.get(id(module))
        if compiled is None or site.levels or site.kind == PLACEHOLDER or not burnt_in(site.owner):
            return site
        levels = levels_for(compiled, site.key, site.rate)
        note = f"compiled: its rate takes at most {levels.most} values"
        if isinstance(site.owner, nn.Module) and not site.read_by and twin_of(site.owner):
            note = "compiled: exchanged for a twin when it is set, else few values"
        return dataclasses.replace(site, levels=levels, note=site.note or note)

    def _readers(self) -> dict[tuple[int, str], tuple[str, ...]]:
        """Return who reads the rate of another module: ``self.attn_drop.p`` in a forward."""
        found: dict[tuple[int, str], tuple[str, ...]] = {}
        for path, module in self._modules:
            for chain in self._reads[type(module)].chains:
                owner = follow(module, chain[:-1]) if len(chain) > 1 else None
                if isinstance(owner, nn.Module) and is_rate(getattr(owner, chain[-1], None)):
                    key = (id(owner), chain[-1])
                    if path not in found.get(key, ()):
                        found[key] = (*found.get(key, ()), path)
        return found

    def _read_elsewhere(self) -> frozenset[str]:
        """Return the names of attributes that somebody reads off something else than itself."""
        files = {c.__module__ for _, m in self._modules for c in type(m).__mro__}
        own = (reads.others for reads in self._reads.values())
        return frozenset().union(*own, *(names_read_by_functions(name) for name in files))

    def _judge(self, site: Site, elsewhere: frozenset[str]) -> Site:
        """Mark a plain attribute that no method reads as dead: that needs no run."""
        owner = site.owner
        if site.live is not None or site.kind == PLACEHOLDER or not isinstance(owner, nn.Module):
            return site
        reads = self._reads.get(type(owner), ClassReads(known=False))
        plain = site.attribute in vars(owner) and not rules_of(type(owner))
        if not plain or not reads.known or site.attribute in elsewhere:
            return site
        if any(chain[0] == site.attribute for chain in reads.chains if chain):
            return site
        return dataclasses.replace(site, live=False, note="no forward reads it")

    def _out_of_reach(self) -> tuple[OutOfReach, ...]:
        found: dict[tuple[str, int], OutOfReach] = {}
        for path, module in self._modules:
            for frozen in frozen_rates(path, module, self._reads[type(module)]):
                found.setdefault((frozen.file, frozen.line), frozen)
            for call in self._reads[type(module)].hard_coded:
                place = (call.file, call.line)
                if place not in found:
                    name = type(module).__name__
                    found[place] = OutOfReach(path, name, *place, line_of(*place))
        return tuple(found.values())


def _own_sites(path: str, module: nn.Module) -> Iterator[Site]:
    """Find the rates that a module holds by the table of known classes."""
    name = type(module).__name__
    ours = _has_kind(module)
    if ours:
        yield Site(path, str(module.kind), module, "p", name)
    rules = [r for r in rules_of(type(module)) if is_rate(getattr(module, r.attribute, None))]
    for rule in rules:
        if ours and rule.attribute == "p":
            continue
        reason = rule.dead(module)
        bare = rule.attribute in _OWN_NAMES and len(rules) == 1 and is_leaf(module)
        yield Site(
            path if bare else f"{path}:{rule.attribute}",
            rule.kind,
            module,
            rule.attribute,
            name,
            live=False if reason else None,
            note=reason or rule.note,
        )


def _has_kind(holder: object) -> bool:
    """Say whether this is a layer or hook of ours, or one made like ours: it has kind and rate."""
    return getattr(holder, "kind", None) in KINDS and is_rate(getattr(holder, "p", None))


_OWN_NAMES = frozenset({"p", "drop_prob", "prob"})


def _hook_sites(path: str, module: nn.Module) -> Iterator[Site]:
    """Find the rates that hooks hold: objects with ``p`` and ``kind``, or bound methods of such."""
    holders: dict[int, object] = {}
    for hooks in (module._forward_pre_hooks, module._forward_hooks):
        holders |= {id(holder): holder for holder in _holders(hooks) if _has_kind(holder)}
    taken: set[str] = set()
    for holder in holders.values():
        kind = str(getattr(holder, "kind", ""))
        name = base = str(getattr(holder, "name", None) or kind)
        while name in taken:
            name = f"{base}_{len(taken) + 1}"
        taken.add(name)
        shown = getattr(holder, "layer", holder)  # what drops says more than what carries it
        yield Site(f"{path}:{name}", kind, holder, "p", type(shown).__name__)


def _holders(hooks: Mapping[int, Any]) -> list[Any]:
    """Return the hooks, or the objects that they are methods of."""
    return [getattr(hook, "__self__", hook) for hook in hooks.values()]


def _stands_before(owner: object, module: nn.Module) -> bool:
    """Say whether a hook looks at what a module is given only."""
    before, after = _holders(module._forward_pre_hooks), _holders(module._forward_hooks)
    return any(each is owner for each in before) and not any(each is owner for each in after)
