"""How a group's rate varies over the depth of the network: the layer axis, beside the time axis."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from thinned._checks import check_choice, check_number, check_rate

from ._steps import check_items


@dataclass(frozen=True)
class Profile(ABC):
    """A pure function from a group's rate to the rate of each of its sites.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class LastOnly(Profile):
        ...     def rates(self, rate, widths):
        ...         return (0.0,) * (len(widths) - 1) + (rate,)
        >>> LastOnly().rates(0.3, [64, 64, 10])
        (0.0, 0.0, 0.3)
    """

    @abstractmethod
    def rates(self, rate: float, widths: Sequence[int | None]) -> tuple[float, ...]:
        """Return the rate of each site, in the order of depth.

        Args:
            rate: the group's rate, in [0, 1].
            widths: number of units at each site, None where it is not known.
        """

    def fixed_shares(self, widths: Sequence[int | None]) -> tuple[float, ...] | None:  # noqa: ARG002 - a subclass may need them
        """Return what each site gets of any rate, in [0, 1]; None where that depends on the rate.

        A scheduler that knows them sets many sites in a fraction of the time.
        """
        return None


class _Shared(Profile):
    """A profile in which each site gets a fixed share of the group's rate."""

    @abstractmethod
    def fixed_shares(self, widths: Sequence[int | None]) -> tuple[float, ...]:
        """Return what each site gets of any rate, in the order of depth."""

    def rates(self, rate: float, widths: Sequence[int | None]) -> tuple[float, ...]:
        """Return the rate of each site, in the order of depth."""
        rate = check_rate("rate", rate)
        return tuple(rate * share for share in self.fixed_shares(widths))


@dataclass(frozen=True)
class Uniform(_Shared):
    r"""Give every site the group's rate: :math:`p_l = p`.

    Example:
        >>> Uniform().rates(0.3, [64, 32])
        (0.3, 0.3)
    """

    def fixed_shares(self, widths: Sequence[int | None]) -> tuple[float, ...]:
        """Return what each site gets of any rate, in the order of depth."""
        return (1.0,) * len(widths)


@dataclass(frozen=True)
class LinearDepth(_Shared):
    r"""Drop more the deeper: the linear rule of stochastic depth.

    .. math:: p_l = \frac{l}{L}\,p, \quad l = 1, \dots, L

    The last site has the group's rate, the first one an :math:`L`-th of it.

    Example:
        >>> LinearDepth().rates(0.4, [None, None, None, None])
        (0.1, 0.2, 0.30000000000000004, 0.4)

    References:
        Huang, Sun, Liu, Sedra, Weinberger, "Deep Networks with Stochastic Depth" (2016),
        equation 4, https://arxiv.org/abs/1603.09382.
    """

    def fixed_shares(self, widths: Sequence[int | None]) -> tuple[float, ...]:
        """Return what each site gets of any rate, in the order of depth."""
        depth = len(widths)
        return tuple(level / depth for level in range(1, depth + 1))


@dataclass(frozen=True)
class ByWidth(_Shared):
    r"""Drop more where there are more units.

    .. math:: p_l = p \left(\frac{n_l}{\max_k n_k}\right)^{power}

    The widest site has the group's rate. Narrow layers lose much of what they carry when a unit
    goes, and wide ones have units to spare.

    Args:
        power: how much width counts, in [0, 10]; 0 is :class:`Uniform`.

    Raises:
        ValueError: from ``rates`` and ``fixed_shares``, where the width of a site is not known.

    Example:
        >>> ByWidth().rates(0.4, [128, 64, 32])
        (0.4, 0.2, 0.1)
    """

    _: KW_ONLY
    power: float = 1.0

    def __post_init__(self) -> None:
        """Check the power."""
        object.__setattr__(self, "power", check_number("power", self.power, 0.0, 10.0))

    def fixed_shares(self, widths: Sequence[int | None]) -> tuple[float, ...]:
        """Return what each site gets of any rate, in the order of depth."""
        known = [width for width in widths if width is not None]
        if len(known) < len(widths):
            missing = [index for index, width in enumerate(widths) if width is None]
            msg = (
                f"Expected `widths` to be known at every site, got None at {missing}. "
                "Leave these sites out with `exclude`, or use LinearDepth."
            )
            raise ValueError(msg)
        return tuple((width / max(known)) ** self.power for width in known)


@dataclass(frozen=True)
class Proportional(_Shared):
    r"""Give each site its own share of the group's rate: :math:`p_l = p\,s_l`.

    One factor then moves all rates and keeps their ratios.

    Args:
        shares: one share a site, each in [0, 1], in the order of depth.

    Raises:
        ValueError: if a share lies outside [0, 1]; from ``rates`` and ``fixed_shares``, if there
            are not as many sites.

    Example:
        >>> Proportional((0.25, 0.5, 1.0)).rates(0.4, [None, None, None])
        (0.1, 0.2, 0.4)
    """

    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the shares."""
        items = check_items("shares", self.shares, "(0.5, 1.0)")
        checked = (check_number(f"shares[{i}]", s, 0.0, 1.0) for i, s in enumerate(items))
        object.__setattr__(self, "shares", tuple(checked))

    def fixed_shares(self, widths: Sequence[int | None]) -> tuple[float, ...]:
        """Return what each site gets of any rate, in the order of depth."""
        if len(widths) != len(self.shares):
            msg = (
                f"Expected as many sites as `shares`, {len(self.shares)}, got {len(widths)}. "
                "Give one share a site."
            )
            raise ValueError(msg)
        return self.shares


PROFILES: dict[str, type[Profile]] = {
    "uniform": Uniform,
    "linear_depth": LinearDepth,
    "by_width": ByWidth,
}


def as_profile(value: Any) -> Profile:
    """Make a profile of None (:class:`Uniform`), a name of :data:`PROFILES`, or a profile.

    Raises:
        TypeError: if ``value`` is none of these.
        ValueError: if a name is unknown.

    Example:
        >>> as_profile("linear_depth")
        LinearDepth()
    """
    if value is None:
        return Uniform()
    if isinstance(value, Profile):
        return value
    if isinstance(value, str):
        return PROFILES[check_choice("profile", value, PROFILES)]()
    msg = (
        f"Expected `profile` to be None, one of {', '.join(map(repr, PROFILES))} or a profile, "
        f"got {value!r}. Write LinearDepth()."
    )
    raise TypeError(msg)
