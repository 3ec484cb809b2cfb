"""The sites of a model: a sequence that filters and prints."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, overload

from thinned._checks import check_choice, nearest, one_or_many
from thinned._errors import NoEffectError
from thinned.surgery._models.known import KINDS
from thinned.surgery._models.patterns import EVERYTHING, as_patterns, group_name, split_name

from .functional import OutOfReach
from .site import PLACEHOLDER, Site
from .table import as_text, renderable

if TYPE_CHECKING:
    from rich.console import Group


class SiteList(Sequence[Site]):
    """Sites in depth order; ``print`` shows them as a table.

    Args:
        sites: the sites.
        named: True if somebody chose these sites by pattern or kind: then setters set them all,
            and not only those of the kind ``dropout``.
        out_of_reach: functional dropout that no site controls.

    Example:
        >>> import torch, thinned
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Dropout())
        >>> sites = thinned.find_sites(net)
        >>> len(sites), sites[0].path, sites[0].rate
        (1, '1', 0.5)
        >>> print(sites)
        1 site; 1 dropout; 1 unverified
        <BLANKLINE>
        path   kind      class     rate   live         group
        ────────────────────────────────────────────────────
        1      dropout   Dropout    0.5   unverified   all
    """

    def __init__(
        self,
        sites: Iterable[Site] = (),
        *,
        named: bool = False,
        out_of_reach: Iterable[OutOfReach] = (),
    ) -> None:
        self._sites = tuple(sites)
        self.named = named
        self.out_of_reach = tuple(out_of_reach)

    @overload
    def __getitem__(self, index: int) -> Site: ...
    @overload
    def __getitem__(self, index: slice) -> "SiteList": ...
    def __getitem__(self, index: int | slice) -> "Site | SiteList":
        if isinstance(index, slice):
            return SiteList(self._sites[index], named=True)
        return self._sites[index]

    def __len__(self) -> int:
        return len(self._sites)

    def __iter__(self) -> Iterator[Site]:
        return iter(self._sites)

    def __str__(self) -> str:
        return as_text(self._sites, self.out_of_reach)

    def __rich__(self) -> "Group":
        return renderable(self._sites, self.out_of_reach)

    def __repr__(self) -> str:
        return f"SiteList({', '.join(repr(site.path) for site in self)})"

    @property
    def rates(self) -> dict[str, float]:
        """Path to rate, read back."""
        return {site.path: site.rate for site in self}

    def select(
        self,
        include: str | Iterable[str] = EVERYTHING,
        exclude: str | Iterable[str] = (),
        kinds: str | Iterable[str] | None = None,
    ) -> "SiteList":
        """Return the sites that a pattern of ``include`` names, ``exclude`` does not, of ``kinds``.

        Args:
            include: globs on paths; each site's ``group`` is the first that names it. A pattern
                may be given as ``"name=pattern"``.
            exclude: globs of what to leave out.
            kinds: a kind, several, ``"all"``, or None for all.

        Raises:
            ValueError: if a kind is unknown.
        """
        keys = as_patterns(include)
        globs = [split_name(key)[1] for key in keys]
        excluded = as_patterns(exclude, "exclude")
        chosen = as_kinds(kinds)
        names: list[str] = []
        for key in keys:
            names.append(group_name(key, names))
        found = []
        for site in self:
            if site.kind not in chosen or site.named_by(excluded):
                continue
            for name, glob in zip(names, globs, strict=True):
                if site.named_by([glob]):
                    found.append(dataclasses.replace(site, group=name))
                    break
        named = self.named or kinds is not None or EVERYTHING not in globs
        return SiteList(found, named=named, out_of_reach=self.out_of_reach)

    def idle(self, include: Iterable[str]) -> tuple[str, ...]:
        """Return the patterns that name none of these sites."""
        return tuple(p for p in include if not any(s.named_by([split_name(p)[1]]) for s in self))

    def settable(self) -> "SiteList":
        """Return what a setter touches: no placeholders; unless they were named, only dropout."""
        kinds = KINDS if self.named else ("dropout",)
        return SiteList((site for site in self if site.kind in kinds), named=True)

    def summary(self) -> str:
        """Say in a line what there is, by kind: ``3 dropout, 12 drop_path sites``."""
        count = Counter(site.kind for site in self)
        told = ", ".join(f"{n} {kind}" for kind, n in count.items()) or "no"
        return f"{told} {'site' if len(self) == 1 else 'sites'}"


def checked_kinds(kinds: str | Iterable[str] | None) -> str | tuple[str, ...] | None:
    """Return the kinds as they were asked for, if all of them are known."""
    as_kinds(kinds)
    return kinds if kinds is None or isinstance(kinds, str) else tuple(kinds)


def as_kinds(kinds: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return the kinds meant; None and ``"all"`` mean all, placeholders too.

    Raises:
        ValueError: if one of them is unknown.
    """
    known = (*KINDS, PLACEHOLDER)
    if kinds is None:
        return known
    named = tuple(check_choice("kinds", kind, (*known, "all")) for kind in one_or_many(kinds))
    return known if "all" in named else named


def no_sites(
    held: SiteList, include: Iterable[str], exclude: Iterable[str] = (), reason: str = ""
) -> NoEffectError:
    """Return the error for a choice that names no site: what was asked, and what is there."""
    asked = ", ".join(repr(pattern) for pattern in include)
    msg = f"Expected a site to match include={asked}"
    if exclude := tuple(exclude):
        msg += f", exclude={', '.join(repr(pattern) for pattern in exclude)}"
    msg += f"; none does. {reason}".rstrip()
    if held.out_of_reach:
        msg += f" Out of reach: {held.out_of_reach[0]}"
        msg += f" (and {len(held.out_of_reach) - 1} more)." if len(held.out_of_reach) > 1 else "."
    if not held:
        msg += " The model holds no site at all; `thinned.insert(model)` puts dropout in."
        return NoEffectError(msg)
    paths = [f"{site.path} ({site.kind}, {site.cls}, {site.rate:g})" for site in held]
    shown = ", ".join(paths[:8]) + (f", ... ({len(paths)} in all)" if len(paths) > 8 else "")
    msg += f" The model holds: {shown}."
    words = {word for site in held for word in site.path.replace(":", ".").split(".")}
    hints = (nearest(pattern.strip("*."), words) for pattern in include)
    return NoEffectError(msg + next(filter(None, hints), ""))
