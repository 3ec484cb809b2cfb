"""How modules are called: dotted paths that leave out what wraps a model."""

from collections.abc import Iterator

from torch import nn

from .patterns import WRAPPERS

# Whose child `module` is the model itself. Anybody else's is a module like others.
_HOLD_MODULE = frozenset(
    {
        "DistributedDataParallel",
        "DataParallel",
        "FullyShardedDataParallel",
        "AveragedModel",
        "DeepSpeedEngine",
    }
)


def wraps(parent: nn.Module, name: str) -> bool:
    """Say whether a child is what its parent wraps, and no part of a path.

    Example:
        >>> net = nn.ModuleDict({"module": nn.Dropout()})
        >>> wraps(net, "module"), wraps(nn.DataParallel(net), "module")
        (False, True)
    """
    if name == "module":
        return any(base.__name__ in _HOLD_MODULE for base in type(parent).__mro__)
    return name in WRAPPERS


def below(path: str, parent: nn.Module, name: str) -> str:
    """Return the path of a child of the module at ``path``."""
    if wraps(parent, name):
        return path
    return f"{path}.{name}" if path else name


def walk(model: nn.Module, *, remove_duplicate: bool = True) -> Iterator[tuple[str, nn.Module]]:
    """Yield paths and modules as ``named_modules`` does, without what wrappers put into paths.

    Example:
        >>> net = nn.DataParallel(nn.Sequential(nn.Linear(2, 2)))
        >>> [path for path, _ in walk(net)]
        ['', '', '0']
    """
    seen: dict[str, tuple[str, nn.Module]] = {}
    for full, module in model.named_modules(remove_duplicate=remove_duplicate):
        above, _, name = full.rpartition(".")
        path = below(*seen[above], name) if name else ""
        seen[full] = (path, module)
        yield path, module


def at(model: nn.Module, path: str) -> list[nn.Module]:
    """Return the modules that a path names, outermost first: a wrapper shares that of its model."""
    found = _unwrapped(model)
    for name in filter(None, path.split(".")):
        child = next(
            filter(None, (m._modules.get(name) for m in found if not wraps(m, name))), None
        )
        if child is None:
            return []
        found = _unwrapped(child)
    return found


def _unwrapped(module: nn.Module) -> list[nn.Module]:
    found = [module]
    while inner := [
        c for n, c in found[-1]._modules.items() if c is not None and wraps(found[-1], n)
    ]:
        found.append(inner[0])
    return found


def skipped(model: nn.Module) -> frozenset[str]:
    """Return the names that patterns on this model may hold and its paths do not.

    They are those of wrappers, there or not: a pattern may stem from the keys of a checkpoint. A
    name that the model gives to a part of its own means that part.
    """
    own = {n for _, m in model.named_modules() for n in m._modules if not wraps(m, n)}
    return WRAPPERS - own
