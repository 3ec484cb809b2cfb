"""A site: one place in a model that holds a rate, an owner and its attribute."""

import dataclasses
from collections.abc import Iterable, MutableMapping
from typing import Any

from thinned._checks import check_rate
from thinned.surgery._models.compiled import Levels
from thinned.surgery._models.patterns import WRAPPERS, any_matches

PLACEHOLDER = "placeholder"


@dataclasses.dataclass(frozen=True, eq=False)
class Site:
    """One place in a model that holds a rate; made by ``find_sites``.

    Attributes:
        path: the dotted path of the module, plus ``:attribute`` where the owner is no dropout
            layer itself (``lstm:dropout``, ``encoder:config.layerdrop``).
        kind: what is dropped: ``dropout``, ``drop_path``, ``drop_block``, ``layer_drop``,
            ``token_drop``; or ``placeholder``, where a library left an ``Identity`` or ``None``.
        owner: the object that holds the rate: a module, a hook, or a config that a forward reads.
        attribute: the owner's attribute (or key).
        cls: the owner's class name; of a hook that holds a layer, the layer's.
        live: True if a forward was seen to follow the rate, False if it cannot or was seen not to,
            None if nobody has looked (``unverified``).
        width: number of units at the site, None where the structure does not say.
        group: logged name of the group it was selected in.
        note: what to know before setting it; empty for most.
        aliases: further paths of the same owner (a module under several parents, a shared config).
        read_by: paths of modules that read the rate off this module and may never call it: here
            setting works, and replacing or hooking the module does not.
        levels: in compiled code, the few values that the rate takes there; else None.
        skip: names of wrappers, which a pattern may hold although the path does not.
    """

    path: str
    kind: str
    owner: Any
    attribute: str
    cls: str
    live: bool | None = None
    width: int | None = None
    group: str = "all"
    note: str = ""
    aliases: tuple[str, ...] = ()
    read_by: tuple[str, ...] = ()
    levels: Levels | None = None
    skip: frozenset[str] = dataclasses.field(default=WRAPPERS, repr=False)

    @property
    def rate(self) -> float:
        """The rate, read back from the owner; 0 for a placeholder."""
        return 0.0 if self.kind == PLACEHOLDER else float(self.raw)

    @property
    def raw(self) -> Any:
        """What the owner holds, as it is (some hold the integer 0)."""
        if isinstance(self.owner, MutableMapping):
            return self.owner[self.attribute]
        return getattr(self.owner, self.attribute)

    @property
    def key(self) -> tuple[int, str]:
        """What makes it this site and no other: the owner's identity and the attribute."""
        return id(self.owner), self.attribute

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths under which a pattern may name it."""
        return (self.path, *self.aliases)

    def named_by(self, patterns: Iterable[str]) -> bool:
        """Say whether one of the patterns names this site."""
        return any_matches(patterns, self.paths, self.skip)

    def set(self, rate: float) -> None:
        """Write a rate to the owner; in compiled code, the nearest of its levels.

        Args:
            rate: probability of dropping, in [0, 1].

        Raises:
            ValueError: if ``rate`` is none, or the site is a placeholder, which holds no rate.
            TypeError: if ``rate`` is not a number.
        """
        rate = check_rate("rate", rate)
        if self.kind == PLACEHOLDER:
            msg = f"Expected a site that holds a rate, got the placeholder {self.path!r} "
            msg += f"({self.cls}). Fill it with `thinned.insert`."
            raise ValueError(msg)
        self.write(rate if self.levels is None else self.levels.nearest(rate))

    def write(self, value: Any) -> None:
        """Write a value to the owner, whatever it is."""
        if isinstance(self.owner, MutableMapping):
            self.owner[self.attribute] = value
        else:
            setattr(self.owner, self.attribute, value)
