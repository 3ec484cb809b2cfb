"""The modules of a model with all the places where each of them stands."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from thinned.surgery._patterns import any_matches, normalize


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
        return [normalize(f"{path}.{name}".lstrip(".")) for path, _, name in self.slots]

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
    for path, parent in model.named_modules():
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

    def holds(self, paths: Sequence[str]) -> bool:
        """Say whether one of a module's paths is included and none excluded."""
        return any_matches(self.include, paths) and not any_matches(self.exclude, paths)

    def names(self, paths: Sequence[str], candidates: Sequence[Sequence[str]]) -> bool:
        """Say whether a pattern means this module in particular.

        It does if it has no wildcard, or leaves out another of the candidates.
        """
        return any(
            any_matches([pattern], paths)
            and (
                not set(pattern) & set("*?[")
                or not all(any_matches([pattern], other) for other in candidates)
            )
            for pattern in self.include
        )

    def __str__(self) -> str:
        text = f"include={_shown(self.include)}"
        return text + (f", exclude={_shown(self.exclude)}" if self.exclude else "")


def _shown(patterns: tuple[str, ...]) -> str:
    return repr(patterns[0]) if len(patterns) == 1 else repr(list(patterns))


def holdings(model: nn.Module) -> str:
    """Say in a line what a model holds: its leaf classes and how many of each."""
    leaves = [type(m).__name__ for m in model.modules() if not any(True for _ in m.children())]
    return ", ".join(f"{name} x{count}" for name, count in Counter(leaves).items())
