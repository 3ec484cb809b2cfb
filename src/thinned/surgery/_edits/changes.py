"""The two things an edit does to a model: exchange a module, and hang a hook on one."""

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from thinned.surgery._models.paths import at

from .hand_over import extras, hand_over, share_hooks, shell, take_off
from .inserted import Inserted


class Exchanged:
    """A module put in the place of another, under every parent that holds it.

    Args:
        path: the first path of the module.
        slots: all the places, as (path of the parent, parent, name).
        old: what was there; ``None`` where a library left ``None``.
        new: what is there now.
    """

    def __init__(
        self,
        path: str,
        slots: list[tuple[str, nn.Module, str]],
        old: nn.Module,
        new: nn.Module,
    ) -> None:
        self.path, self.slots, self.old, self.new = path, slots, old, new
        self._hooks: dict[str, tuple[int, ...]] = {}  # keys of the hooks that `new` came with
        for name, value in extras(old, new).items():
            setattr(new, name, value)
        self._held = {module: _names(module) for module in self.brought}

    def apply(self) -> None:
        """Put ``new`` in."""
        if self.old not in set(self.new.modules()):
            self._hooks = share_hooks(self.old, self.new)
        for _, parent, name in self.slots:
            parent._modules[name] = self.new

    def undo(self) -> None:
        """Put ``old`` back, with the live state of ``new``."""
        if self.old not in set(self.new.modules()):
            hand_over(self.new, self.old)
            take_off(self.old, self._hooks)
        for _, parent, name in self.slots:
            parent._modules[name] = self.old

    def strip(self, model: nn.Module) -> int:
        """Put a copy of ``old`` into a copy of the model; return how many were put back."""
        made: dict[nn.Module, nn.Module] = {}
        for path, _, name in self.slots:
            for parent in at(model, path):
                new = parent._modules.get(name)
                if type(new) is not type(self.new):
                    continue
                if new not in made:
                    made[new] = shell(self.old, hooks_of=new)
                    hand_over(new, made[new])
                    take_off(made[new], self._hooks)
                parent._modules[name] = made[new]
        return len(made)

    def covered(self, live: set[nn.Module]) -> bool:
        """Say whether somebody has put something else in these places meanwhile."""
        return any(
            parent not in live or parent._modules.get(name) is not self.new
            for _, parent, name in self.slots
        )

    def altered(self) -> list[str]:
        """Return the parameters and buffers that what it put there has gained or lost since.

        Pruning and parametrizations exchange them; what stood there before knows nothing of that.
        """
        return sorted(name for module, held in self._held.items() for name in held ^ _names(module))

    @property
    def touched(self) -> set[nn.Module]:
        """The modules whose contents this change has written."""
        return {parent for _, parent, _ in self.slots}

    @property
    def removed(self) -> set[nn.Module]:
        """The modules that stood there before."""
        return set(self.old.modules())

    @property
    def brought(self) -> set[nn.Module]:
        """The modules that are in the model because of this change."""
        return set(self.new.modules()) - set(self.old.modules())

    @property
    def owners(self) -> tuple[Any, ...]:
        """The objects that may own a rate that this change brought."""
        return tuple(self.brought)

    def __str__(self) -> str:
        return f"{self.path}: {type(self.old).__name__} -> {self.new!r}"


class Hooked:
    """A hook of ours that a module carries."""

    def __init__(self, path: str, host: nn.Module, hook: Inserted, where: str) -> None:
        self.path, self.host, self.hook, self.where = path, host, hook, where
        self.handles: tuple[RemovableHandle, ...] = ()

    def apply(self) -> None:
        """Hang the hook on."""
        self.handles = self.hook.attach(self.host)

    def undo(self) -> None:
        """Take the hook off."""
        for handle in self.handles:
            handle.remove()

    def strip(self, model: nn.Module) -> int:
        """Take the copied hook off a copy of the model; return how many were taken off."""
        hosts = at(model, self.path)
        return int(sum(drop_hook(host, each.id) for host in hosts for each in self.handles) > 0)

    def covered(self, live: set[nn.Module]) -> bool:
        """Say whether the module that carries the hook is no longer in the model."""
        return self.host not in live

    def altered(self) -> list[str]:
        """Return nothing: a hook does not care what its module holds."""
        return []

    @property
    def touched(self) -> set[nn.Module]:
        """The modules whose contents this change has written."""
        return {self.host}

    @property
    def removed(self) -> set[nn.Module]:
        """The modules that stood there before: a hook takes nothing out."""
        return set()

    @property
    def brought(self) -> set[nn.Module]:
        """The modules that are in the model because of this change: a hook is none."""
        return set()

    @property
    def owners(self) -> tuple[Any, ...]:
        """The objects that may own a rate that this change brought."""
        return (self.hook,)

    def __str__(self) -> str:
        return f"{self.path}: {self.where} {type(self.host).__name__}, {self.hook.layer!r}"


Change = Exchanged | Hooked


def _names(module: nn.Module) -> set[str]:
    return {*module._parameters, *module._buffers}


def drop_hook(host: nn.Module, key: int) -> bool:
    """Remove the hook of ours that has this key, before or after the forward of ``host``."""
    found = False
    for name in ("_forward_pre_hooks", "_forward_hooks"):
        hooks: Mapping[int, Any] = host.__dict__[name]
        holder = getattr(hooks.get(key), "__self__", hooks.get(key))
        if isinstance(holder, Inserted):
            for each in (name, f"{name}_with_kwargs", f"{name}_always_called"):
                host.__dict__.get(each, {}).pop(key, None)
            found = True
    return found
