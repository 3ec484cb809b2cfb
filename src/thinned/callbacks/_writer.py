"""Writes a group's rates to its sites, cheaply enough for every step."""

from collections.abc import Sequence

from torch import nn

from thinned._checks import check_rate
from thinned.layers._many import ManyRates
from thinned.schedules import Profile, Uniform
from thinned.surgery import Site
from thinned.surgery._inserted import Inserted


class GroupWriter:
    """Sets the sites of a group to a rate, each to its share of it by a depth profile.

    ``Site.set`` checks and converts at each site, which for 200 sites costs more than a small
    training step may. Here the rate is checked once, and then goes to where the site would put it.

    Args:
        sites: the group's sites, in depth order.
        profile: how the rate varies over them.
    """

    def __init__(self, sites: Sequence[Site], profile: Profile) -> None:
        self._profile = profile
        self._widths = [site.width for site in sites]
        self._layers: list[int] = []
        # By attribute, as two plain lists: 200 sites are 200 places in memory as it is.
        self._plain: dict[str, tuple[list[int], list[dict[str, object]]]] = {}
        self._others: list[tuple[int, Site]] = []
        layers = []
        for index, site in enumerate(sites):
            owner = site.owner.layer if isinstance(site.owner, Inserted) else site.owner
            if site.levels is not None:  # compiled code: the site itself takes the nearest of few
                self._others.append((index, site))
            elif site.attribute == "p" and ManyRates.takes(owner):
                self._layers.append(index)
                layers.append(owner)
            elif _is_plain(owner, site.attribute):
                indices, attributes = self._plain.setdefault(site.attribute, ([], []))
                indices.append(index)
                attributes.append(vars(owner))
            else:
                self._others.append((index, site))
        self._many = ManyRates(layers)

    def write(self, rate: float) -> None:
        """Write the rate of the group, in [0, 1]."""
        rate = check_rate("rate", rate)
        if isinstance(self._profile, Uniform):
            self._many.set(rate)
            for name, (_, owners) in self._plain.items():
                for attributes in owners:
                    attributes[name] = rate
            for _, site in self._others:
                site.set(rate)
            return
        rates = self.shares(rate)
        self._many.set_each([rates[index] for index in self._layers])
        for name, (indices, owners) in self._plain.items():
            for index, attributes in zip(indices, owners, strict=True):
                attributes[name] = rates[index]
        for index, site in self._others:
            site.set(rates[index])

    def shares(self, rate: float) -> tuple[float, ...]:
        """Return each site's share of the group's rate."""
        return self._profile.rates(rate, self._widths)


def _is_plain(owner: object, attribute: str) -> bool:
    """Say whether a write to the instance's dictionary is all that setting the attribute does."""
    return (
        isinstance(owner, nn.Module)
        and type(owner).__setattr__ is nn.Module.__setattr__
        and attribute in vars(owner)
        and not hasattr(type(owner), attribute)
    )
