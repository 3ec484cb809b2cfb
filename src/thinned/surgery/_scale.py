"""One multiplier over many rates, which keeps their ratios (fastai's ``drop_mult``)."""

import math
from collections.abc import Callable, Iterable, Mapping

from torch import nn

from thinned._checks import check_number
from thinned._errors import NoEffectError
from thinned.surgery._set import chosen

from ._models.patterns import EVERYTHING
from ._sites.site import Site
from ._sites.site_list import SiteList


class RateScale:
    """Remembers the rates of some sites, and sets them to multiples of what they were.

    Factors do not add up: ``scale(0.5)`` twice is half of the remembered rates, not a quarter. So
    it can follow a schedule, and a resumed run comes to the same rates.

    Args:
        model_or_sites: a model, or sites that were found in one.
        include: globs on dotted paths, as for ``set_rate``.
        exclude: globs of what to leave out.
        kinds: a kind, several, or ``"all"``.
        schedule: any function of progress in [0, 1] that returns a factor; for :meth:`at`.
        base: path to rate at factor 1, where the rates have been scaled before.

    Attributes:
        sites: the sites whose rate is not 0.
        factor: the factor that was set last; NaN if it is not known.
        base: path to rate at factor 1.

    Raises:
        NoEffectError: if there is no such site, or all of them are at rate 0.

    Example:
        >>> import torch, thinned
        >>> net = torch.nn.Sequential(torch.nn.Dropout(0.1), torch.nn.Dropout(0.4))
        >>> scale = thinned.surgery.RateScale(net, schedule=lambda progress: 1 - progress)
        >>> scale(0.5), scale(0.5), scale.rates
        (2, 2, {'0': 0.05, '1': 0.2})
        >>> scale.at(0.0), scale.rates
        (2, {'0': 0.1, '1': 0.4})
    """

    def __init__(
        self,
        model_or_sites: nn.Module | Iterable[Site],
        include: str | Iterable[str] = EVERYTHING,
        exclude: str | Iterable[str] = (),
        *,
        kinds: str | Iterable[str] | None = None,
        schedule: Callable[[float], float] | None = None,
        base: Mapping[str, float] | None = None,
    ) -> None:
        sites = chosen(model_or_sites, include, exclude, kinds)
        known = base or {}
        pairs = [(site, known.get(site.path, site.rate)) for site in sites]
        pairs = [(site, rate) for site, rate in pairs if rate > 0.0]
        self.sites = SiteList((site for site, _ in pairs), named=True)
        if not self.sites:
            listed = ", ".join(site.path for site in sites[:8])
            msg = f"Expected a site with a rate above 0 to scale, got only rates of 0 ({listed}). "
            msg += "Set them first: `thinned.set_rate(model, 0.1)`."
            raise NoEffectError(msg)
        self._base = [rate for _, rate in pairs]  # two sites may read the same without wrappers
        self.base = {site.path: rate for site, rate in pairs}
        self._schedule = schedule
        self.factor = 1.0 if base is None else math.nan

    @property
    def rates(self) -> dict[str, float]:
        """Path to rate, read back."""
        return self.sites.rates

    @property
    def highest(self) -> float:
        """The largest factor that leaves every rate at or below 1."""
        return 1.0 / max(self._base)

    def __call__(self, factor: float) -> int:
        """Set every rate to ``factor`` times what it was, and return how many were set.

        Raises:
            ValueError: if a rate would exceed 1; nothing is set then.
            TypeError: if ``factor`` is not a number.
        """
        rate, path = max((r, s.path) for s, r in zip(self.sites, self._base, strict=True))
        hint = f"Above it, {path!r} (rate {rate:g}) would exceed 1."
        factor = check_number("factor", factor, 0.0, self.highest, what="a factor", hint=hint)
        for site, rate in zip(self.sites, self._base, strict=True):
            site.set(min(1.0, rate * factor))
        self.factor = factor
        return sum(site.live is not False for site in self.sites)

    def at(self, progress: float) -> int:
        """Set the factor that the schedule has at ``progress``.

        Raises:
            ValueError: if there is no schedule.
        """
        if self._schedule is None:
            msg = (
                "Expected a schedule for the factor, got none. Pass `schedule=`, or call the scale "
            )
            msg += "with a factor."
            raise ValueError(msg)
        return self(self._schedule(progress))


def scale_rates(
    model_or_sites: nn.Module | Iterable[Site],
    factor: float,
    include: str | Iterable[str] = EVERYTHING,
    exclude: str | Iterable[str] = (),
    *,
    kinds: str | Iterable[str] | None = None,
) -> int:
    """Multiply all chosen rates by one factor, which keeps their ratios.

    It multiplies what is there: twice 0.5 is a quarter. A factor that moves during training is a
    ``RateScale``, which remembers where it began.

    Args:
        model_or_sites: a model, or sites that were found in one.
        factor: what to multiply with, at least 0; no rate may exceed 1.
        include: globs on dotted paths, as for ``set_rate``.
        exclude: globs of what to leave out.
        kinds: a kind, several, or ``"all"``; without it, and without a pattern, ``dropout`` only.

    Returns:
        How many sites were scaled, at least one.

    Raises:
        ValueError: if a rate would exceed 1; the message says which factor is possible.
        TypeError: if ``factor`` is not a number.
        NoEffectError: if there is no such site, or all of them are at rate 0.

    Example:
        >>> import torch, thinned
        >>> net = torch.nn.Sequential(torch.nn.Dropout(0.1), torch.nn.Dropout(0.4))
        >>> thinned.surgery.scale_rates(net, 0.5)
        2
        >>> net[0].p, net[1].p
        (0.05, 0.2)

    References:
        Howard, Gugger (2020), *fastai: A Layered API for Deep Learning*, section 4.2
        (``drop_mult``), https://arxiv.org/abs/2002.04688
    """
    return RateScale(model_or_sites, include, exclude, kinds=kinds)(factor)
