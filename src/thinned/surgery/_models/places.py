"""The modules of a model with all the places where each of them stands."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from .paths import below, skipped, walk
from .patterns import WRAPPERS, any_matches, as_patterns


@dataclass
class Place:
    """A module and where it stands: under one parent, or under several that share it.

    Attributes:
        module: the module.
        slots: (path of the parent, parent, name) of each place.
    """

    module: nn.Module
    slots: list[tuple[str, nn.Module, str]] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        """The paths under which a pattern may name it."""
        return [below(*slot) for slot in self.slots]

    @property
    def path(self) -> str:
        """The first path."""
        return self.paths[0]

    @property
    def device(self) -> torch.device | None:
        """Where the nearest tensors live: its own, or those of its parents."""
        for module in (self.module, *(parent for _, parent, _ in reversed(self.slots))):
            for tensor in itertools.chain(module.parameters(), module.buffers()):
                return tensor.device
        return None


def places(model: nn.Module) -> list[Place]:
    """Return each module below ``model`` once, in the order of registration."""
    found: dict[nn.Module, Place] = {}
    for path, parent in walk(model):
        for name, child in parent._modules.items():
            if child is not None:
                place = found.setdefault(child, Place(child))
                place.slots.append((path, parent, name))
    order = {module: index for index, module in enumerate(model.modules())}
    return sorted(found.values(), key=lambda place: order[place.module])


@dataclass(frozen=True)
class Scope:
    """What `include` and `exclude` leave."""

    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    skip: frozenset[str] = WRAPPERS

    @classmethod
    def of(cls, model: nn.Module, include: Any, exclude: Any) -> "Scope":
        """Return what somebody asked for on a model."""
        return cls(as_patterns(include), as_patterns(exclude, "exclude"), skipped(model))

    def holds(self, paths: Sequence[str]) -> bool:
        """Say whether one of a module's paths is included and none excluded."""
        return self._any(self.include, paths) and not self._any(self.exclude, paths)

    def idle(self, found: Sequence[Sequence[str]]) -> "Scope | None":
        """Return the patterns of ``include`` that name nothing of what was found, if any do."""
        dead = [p for p in self.include if not any(self._any([p], paths) for paths in found)]
        return replace(self, include=tuple(dead)) if dead else None

    def names(self, paths: Sequence[str], candidates: Sequence[Sequence[str]]) -> bool:
        """Say whether a pattern means this module in particular.

        It does if it has no wildcard, or leaves out another of the candidates.
        """
        return any(
            self._any([pattern], paths)
            and (
                not set(pattern) & set("*?[")
                or not all(self._any([pattern], other) for other in candidates)
            )
            for pattern in self.include
        )

    def _any(self, patterns: Sequence[str], paths: Sequence[str]) -> bool:
        return any_matches(patterns, paths, self.skip)

    def __str__(self) -> str:
        text = f"include={_shown(self.include)}"
        return text + (f", exclude={_shown(self.exclude)}" if self.exclude else "")


def _shown(patterns: tuple[str, ...]) -> str:
    return repr(patterns[0]) if len(patterns) == 1 else repr(list(patterns))


def holdings(model: nn.Module) -> str:
    """Say in a line what a model holds: its leaf classes and how many of each."""
    leaves = [type(m).__name__ for m in model.modules() if not any(True for _ in m.children())]
    return ", ".join(f"{name} x{count}" for name, count in Counter(leaves).items())
