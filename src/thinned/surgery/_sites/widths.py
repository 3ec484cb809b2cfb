"""How many units a site has, where the structure says it."""

from collections.abc import Iterable

from torch import nn

_OUT = ("out_features", "out_channels", "num_features", "embedding_dim", "embed_dim")
_IN = ("in_features", "in_channels", "num_features", "input_size", "embed_dim")


def width_of(module: nn.Module) -> int | None:
    """Return how many units a layer puts out, None where its attributes do not say.

    Example:
        >>> width_of(nn.Linear(3, 7)), width_of(nn.GRU(3, 5, bidirectional=True))
        (7, 10)
    """
    if isinstance(module, nn.RNNBase):
        size = module.proj_size or module.hidden_size
        return int(size) * (2 if module.bidirectional else 1)
    return _first_of(module, _OUT)


def width_into(module: nn.Module) -> int | None:
    """Return how many units a layer is given, None where its attributes do not say.

    Example:
        >>> width_into(nn.Linear(3, 7)), width_into(nn.GRU(3, 5))
        (3, 3)
    """
    return _first_of(module, _IN)


def _first_of(module: nn.Module, names: Iterable[str]) -> int | None:
    if isinstance(module, nn.LayerNorm):
        return int(module.normalized_shape[-1])
    found = (getattr(module, name, None) for name in names)
    return next((width for width in found if isinstance(width, int) and width > 0), None)


def widths(model: nn.Module) -> dict[int, int]:
    """Return the width at each module, by its id: its own, or that of the layer before it.

    Only neighbours within one parent count: their order is that of the calls in a ``Sequential``,
    and nearly always elsewhere. In an attention block it is not: what is dropped there is no
    layer's output, and so nothing is said.
    """
    found: dict[int, int] = {}
    _walk(model, found)
    return found


def _walk(module: nn.Module, found: dict[int, int]) -> int | None:
    """Note the widths below a module, and return that of its output."""
    own = width_of(module)
    attention = any(word in type(module).__name__.lower() for word in ("attention", "attn"))
    last: int | None = None
    for child in _once(module.children()):
        after = _walk(child, found)
        if after is not None:
            last = after
        elif last is not None and not attention:
            found.setdefault(id(child), last)
    if own is not None:
        found[id(module)] = own
    return own if own is not None else last


def _once(modules: Iterable[nn.Module]) -> list[nn.Module]:
    return list(dict.fromkeys(modules))
