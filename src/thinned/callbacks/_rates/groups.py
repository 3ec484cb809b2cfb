"""The groups of a scheduler: which sites follow which schedule, under which name."""

import dataclasses
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from torch import nn

from thinned._errors import NoEffectError, ThinnedWarning
from thinned.schedules import Profile, Schedule, Uniform
from thinned.surgery import Site, SiteList, chosen, find_sites, group_name, split_name

from .writer import GroupWriter


class Group:
    """Sites that follow one schedule under one name.

    Args:
        name: the logged name.
        schedule: the rate by progress.
        sites: the sites, at least one.
        profile: how the rate varies over them.
    """

    def __init__(self, name: str, schedule: Schedule, sites: SiteList, profile: Profile) -> None:
        self.name, self.schedule, self.sites, self.profile = name, schedule, sites, profile
        self._writer = GroupWriter(sites, profile)
        self._plan_levels()
        self._written: float | None = None
        self._warned = False

    def __str__(self) -> str:
        """Say what follows what."""
        text = f"dropout/{self.name}/rate: {self.sites.summary()}; {self.schedule}"
        return text if self.profile == Uniform() else f"{text}, {self.profile}"

    @property
    def rate(self) -> float:
        """The largest rate of its sites, read back; with any profile that is the group's rate."""
        return float(max(self._writer.read()))

    def move(self, progress: float) -> None:
        """Set all sites to where the schedule is at ``progress``."""
        self.set(float(self.schedule(progress)))

    def set(self, rate: float) -> None:
        """Set all sites to their shares of a rate, unless that was the last one."""
        if rate != self._written:
            self._writer.write(rate)
            self._written = rate

    def verify(self) -> float:
        """Return the largest rate, read back; warn, once, if a site does not hold its own.

        A learned rate only begins where it is set, and stays between its bounds.
        """
        held = self._writer.read()
        if self._warned or self._written is None or held == self._writer.expected(self._written):
            return float(max(held))
        for site, share in zip(self.sites, self._writer.rates(self._written), strict=True):
            given = share if site.levels is None else site.levels.nearest(share)
            if abs(site.rate - given) > 1e-6 and not _is_learned(site):
                self._warned = True
                warnings.warn(
                    f"The site {site.path!r} was set to {given:g} and holds {site.rate:g}: "
                    f"something else sets it too. The group {self.name!r} is logged as it is held.",
                    ThinnedWarning,
                    stacklevel=2,
                )
                break
        return float(max(held))

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Return the lowest and the highest rate that each site gets, by its path."""
        given = [self._writer.rates(rate) for rate in set(sampled(self.schedule))]
        paths = [site.path for site in self.sites]
        return {
            path: (min(own), max(own))
            for path, own in zip(paths, zip(*given, strict=True), strict=True)
        }

    def _plan_levels(self) -> None:
        """Choose the few rates of sites that cannot move freely in compiled code."""
        for index, site in enumerate(self.sites):
            if site.levels is not None:
                rates = _few(self.schedule, site.levels.most)
                site.levels.plan(self._writer.rates(rate)[index] for rate in rates)


def _is_learned(site: Site) -> bool:
    return bool(getattr(getattr(site.owner, "layer", site.owner), "learned", False))


def _few(schedule: Schedule, most: int) -> list[float]:
    """Return a few rates that stand for all of a schedule's: its last, its ends, some between."""
    seen = sampled(schedule)
    low, high = min(seen), max(seen)
    few = list(dict.fromkeys([seen[-1], high, low, seen[0]]))[:most]
    free = most - len(few)
    return few + [low + (high - low) * step / (free + 1) for step in range(1, free + 1)]


def sampled(schedule: Callable[[float], Any]) -> list[float]:
    """Return what a schedule gives over a training, at 257 places from its start to its end."""
    return [float(schedule(step / 256)) for step in range(257)]


def make_groups(
    model: nn.Module,
    plan: Mapping[str, Schedule],
    within: Iterable[str],
    exclude: Iterable[str],
    kinds: str | Iterable[str] | None,
    profile: Profile,
    only: Collection[str] | None = None,
) -> list[Group]:
    """Return a group for each pattern of the plan; the first pattern that matches a site has it.

    Args:
        model: the model.
        plan: pattern to schedule.
        within: globs that bound all of them.
        exclude: globs of what to leave out.
        kinds: the kinds meant.
        profile: how a group's rate varies over its sites.
        only: exact paths that bound the choice further.

    Raises:
        NoEffectError: if a pattern is left with no site.
    """
    held = find_sites(model)
    if only is not None:
        held = SiteList((site for site in held if site.path in only), named=True)
    within = tuple(within)
    base = held if within == ("*",) else chosen(held, within, exclude, kinds)
    groups: list[Group] = []
    taken: dict[tuple[int, str], str] = {}
    for key, schedule in plan.items():
        free = SiteList((site for site in base if site.key not in taken), named=base.named)
        try:
            sites = chosen(free, split_name(key)[1], exclude, kinds)
        except NoEffectError as error:
            raise _shadowed(base, key, taken) or error from None
        name = group_name(key, [group.name for group in groups])
        alive = [dataclasses.replace(site, group=name) for site in sites if site.live is not False]
        groups.append(Group(name, schedule, SiteList(alive, named=True), profile))
        taken.update((site.key, key) for site in sites)
    return groups


def _shadowed(base: SiteList, key: str, taken: Mapping[tuple[int, str], str]) -> Exception | None:
    """Return an error that names the earlier pattern which took all that this one matches."""
    matched = base.select(split_name(key)[1])
    owners = {taken[site.key] for site in matched if site.key in taken}
    if not owners:
        return None
    earlier = ", ".join(repr(owner) for owner in sorted(owners))
    msg = (
        f"Expected a site to be left for {key!r}, but all {len(matched)} that match it already "
        f"belong to {earlier}. The first pattern that matches wins: put {key!r} before it."
    )
    return NoEffectError(msg)
