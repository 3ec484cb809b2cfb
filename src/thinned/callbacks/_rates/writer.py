"""Writes a group's rates to its sites, and reads them back, cheaply enough for every step."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import nn

from thinned._checks import check_rate
from thinned.layers._many import ManyRates
from thinned.layers._rate import RateLayer
from thinned.schedules import Profile
from thinned.surgery import Site
from thinned.surgery._edits.inserted import Inserted


class _Plain(NamedTuple):
    """Sites whose rate lies in an attribute: which, the dictionaries, and their shares."""

    indices: list[int]
    owners: list[dict[str, Any]]
    shares: list[float]


class GroupWriter:
    """Sets the sites of a group to a rate, each to its share of it by a depth profile.

    ``Site.set`` checks and converts at each site, which for 200 sites costs more than a small
    training step may. Here the rate is checked once, and then goes to where the site would put it;
    it is read back from there.

    Args:
        sites: the group's sites, in depth order.
        profile: how the rate varies over them.
    """

    def __init__(self, sites: Sequence[Site], profile: Profile) -> None:
        self._profile = profile
        self._widths = [site.width for site in sites]
        self._fixed = profile.fixed_shares(self._widths)
        shares = [1.0] * len(sites) if self._fixed is None else self._as_rates(self._fixed)
        self._even = self._fixed is not None and set(shares) == {1.0}
        self._layers: list[int] = []
        # By attribute, as plain lists: 200 sites are 200 places in memory as it is.
        self._plain: dict[str, _Plain] = {}
        self._others: list[tuple[int, Site]] = []
        layers: list[RateLayer] = []
        for index, site in enumerate(sites):
            owner = site.owner.layer if isinstance(site.owner, Inserted) else site.owner
            if site.levels is not None:  # compiled code: the site itself takes the nearest of few
                self._others.append((index, site))
            elif site.attribute == "p" and ManyRates.takes(owner):
                self._layers.append(index)
                layers.append(owner)
            elif _is_plain(owner, site.attribute):
                plain = self._plain.setdefault(site.attribute, _Plain([], [], []))
                plain.indices.append(index)
                plain.owners.append(vars(owner))
                plain.shares.append(shares[index])
            else:
                self._others.append((index, site))
        self._order = list(self._layers)
        for plain in self._plain.values():
            self._order += plain.indices
        self._order += [index for index, _ in self._others]
        own = None if self._even else [shares[index] for index in self._layers]
        self._many = ManyRates(layers, own)

    def write(self, rate: float) -> None:
        """Write the rate of the group, in [0, 1]."""
        if not 0.0 <= rate <= 1.0:
            check_rate("rate", rate)
        if self._fixed is None:
            self._write_each(self.rates(rate))
            return
        self._many.set(rate)
        for name, plain in self._plain.items():
            if self._even:
                for attributes in plain.owners:
                    attributes[name] = rate
            else:
                for attributes, share in zip(plain.owners, plain.shares, strict=True):
                    attributes[name] = rate * share
        for index, site in self._others:
            site.set(rate * self._fixed[index])

    def _write_each(self, rates: Sequence[float]) -> None:
        self._many.set_each([rates[index] for index in self._layers])
        for name, plain in self._plain.items():
            for index, attributes in zip(plain.indices, plain.owners, strict=True):
                attributes[name] = rates[index]
        for index, site in self._others:
            site.set(rates[index])

    def read(self) -> list[float]:
        """Return the rates that the sites hold, in the order of :meth:`expected`."""
        held = self._many.get()
        for name, plain in self._plain.items():
            held += [attributes[name] for attributes in plain.owners]
        return held + [site.rate for _, site in self._others]

    def expected(self, rate: float) -> list[float]:
        """Return what :meth:`read` finds after a write of the group's rate."""
        given = self.rates(rate)
        for index, site in self._others:
            if site.levels is not None:
                given[index] = site.levels.nearest(given[index])
        return [given[index] for index in self._order]

    def rates(self, rate: float) -> list[float]:
        """Return what each site gets of the group's rate."""
        if self._fixed is not None:
            return [rate * share for share in self._fixed]
        return self._as_rates(self._profile.rates(rate, self._widths))

    def _as_rates(self, given: Sequence[float]) -> list[float]:
        """Check what a profile gave, which may be somebody's own."""
        if len(given) != len(self._widths):
            msg = f"Expected {self._profile} to give a rate to each of {len(self._widths)} sites, "
            msg += f"got {len(given)}."
            raise ValueError(msg)
        return [check_rate(f"the rate that {self._profile} gives", rate) for rate in given]


def _is_plain(owner: object, attribute: str) -> bool:
    """Say whether a write to the instance's dictionary is all that setting the attribute does."""
    return (
        isinstance(owner, nn.Module)
        and type(owner).__setattr__ is nn.Module.__setattr__
        and attribute in vars(owner)
        and not hasattr(type(owner), attribute)
    )
