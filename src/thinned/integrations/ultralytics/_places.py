"""Where dropout goes in a YOLO or RT-DETR model: found by structure, class names and flags."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from thinned._errors import NoEffectError
from thinned.layers import DropPath, RateLayer, StochasticDepth
from thinned.layers import variant as find_variant
from thinned.surgery import as_patterns, find_sites, matches
from thinned.surgery._edits.inserted import AfterOutput, BeforeInput, Inserted, on_tensor
from thinned.surgery._inserting.layers import Chosen

#: Class -> the children whose output is added to the block's input, and the flag that says whether
#: it is (``None``: it always is). A subclass is known by its base.
_BRANCHES: dict[str, tuple[tuple[str, ...], str | None]] = {
    "Bottleneck": (("cv2",), "add"),
    "CIB": (("cv1",), "add"),
    "HGBlock": (("ec",), "add"),
    "SPPF": (("cv2",), "add"),
    "PSABlock": (("attn", "ffn"), "add"),
    "PSA": (("attn", "ffn"), None),
    "ABlock": (("attn", "mlp"), None),
    "A2C2f": (("cv2",), "gamma"),
    "GhostBottleneck": (("conv",), None),
    "ResNetBlock": (("cv3",), None),
    "Residual": (("m",), None),
    "TransformerLayer": (("ma", "fc2"), None),
}
_ROUTING = ("Concat", "Upsample", "Index", "Identity")


@dataclass(frozen=True)
class Place:
    """A module that will carry a hook.

    Attributes:
        path: its dotted path in the model.
        host: the module.
        kind: ``residual``, ``neck``, ``head`` or ``pattern``.
    """

    path: str
    host: nn.Module
    kind: str

    def hook(self, layer: RateLayer) -> Inserted:
        """Return the hook that drops there."""
        return EachInput(layer) if self.kind == "head" else AfterOutput(layer)


class EachInput(BeforeInput):
    """Drops in every map that a head is given, so in all of its branches alike."""

    def __call__(self, host: nn.Module, args: tuple[Any, ...]) -> Any:
        """Return the arguments with something dropped in each tensor of the first."""
        if not self.is_on(host) or not args:
            return None
        first = args[0]
        if isinstance(first, list | tuple):
            return (type(first)(on_tensor(value, self.layer) for value in first), *args[1:])
        return (on_tensor(first, self.layer), *args[1:])


def layer_of(variant: str) -> Callable[..., RateLayer]:
    """Return what makes a variant's layer from a rate.

    Raises:
        TypeError: if it cannot stand between modules, in a hook.
        ValueError: if the name is unknown.
    """
    layer: Any = find_variant(variant).layer
    if layer is StochasticDepth:
        return DropPath  # which is it, on the branch of a block
    Chosen.of(variant)
    if next(layer(0.1).parameters(), None) is not None:
        msg = f"Expected a variant without parameters, got {variant!r}: nothing would train them."
        raise TypeError(msg)
    return layer  # type: ignore[no-any-return]


def find_places(model: nn.Module, sites: str | Iterable[str]) -> list[Place]:
    """Return the places that ``sites`` asks for, each once.

    Args:
        model: the model that is trained, unwrapped.
        sites: ``"residual"``, ``"neck"``, ``"head"``, a glob pattern on module paths, or several.

    Raises:
        NoEffectError: if one of them finds nothing; the message says what the model holds.
    """
    found: dict[str, Place] = {}
    for asked in as_patterns(sites, "sites"):
        search = _SEARCHES.get(asked)
        places = list(search(model)) if search else list(_by_pattern(model, asked))
        if not places:
            raise NoEffectError(nothing_found(model, asked))
        found.update({place.path: place for place in places if place.path not in found})
    return list(found.values())


def nothing_found(model: nn.Module, asked: str) -> str:
    """Say what was asked for, and what the model holds instead."""
    counts = {name: len(list(search(model))) for name, search in _SEARCHES.items()}
    listed = ", ".join(f"{count} {name}" for name, count in counts.items())
    own = len(find_sites(model, kinds="dropout"))
    return (
        f"Expected `sites` to name places in this {type(model).__name__}, but {asked!r} finds "
        f"none. It holds: {own} dropout modules of its own ('modules'), {listed}; or give a "
        f"pattern on module paths, such as 'model.9.*'."
    )


def _residual(model: nn.Module) -> Iterable[Place]:
    for path, module in model.named_modules():
        for base in type(module).__mro__:
            if base.__name__ in _BRANCHES:
                names, flag = _BRANCHES[base.__name__]
                if flag is None or _is_on(getattr(module, flag, None)):
                    for name in names:
                        child = getattr(module, name, None)
                        if isinstance(child, nn.Module) and not isinstance(child, nn.Identity):
                            yield Place(f"{path}.{name}", child, "residual")
                break


def _neck(model: nn.Module) -> Iterable[Place]:
    """Yield the blocks between backbone and head: what comes after the first upsampling."""
    layers = _layers(model)
    first = next((i for i, m in enumerate(layers) if type(m).__name__ == "Upsample"), len(layers))
    for index, module in enumerate(layers[:-1]):
        if index > first and type(module).__name__ not in _ROUTING:
            yield Place(f"model.{index}", module, "neck")


def _head(model: nn.Module) -> Iterable[Place]:
    """Yield the head itself: its inputs are masked, before any of its branches reads them."""
    layers = _layers(model)
    if layers:
        yield Place(f"model.{len(layers) - 1}", layers[-1], "head")


def _by_pattern(model: nn.Module, pattern: str) -> Iterable[Place]:
    """Yield the topmost modules that a pattern names: their parts would be dropped twice."""
    taken: list[str] = []
    for path, module in model.named_modules():
        below = any(path.startswith(f"{above}.") for above in taken)
        if path and not below and matches(pattern, path):
            taken.append(path)
            yield Place(path, module, "pattern")


def _layers(model: nn.Module) -> list[nn.Module]:
    layers = getattr(model, "model", None)
    return list(layers) if isinstance(layers, nn.Sequential) else []


def _is_on(flag: Any) -> bool:
    """Say whether a flag is set: a bool, or a parameter that is there or not (``gamma``)."""
    return isinstance(flag, Tensor) or bool(flag)


_SEARCHES: dict[str, Callable[[nn.Module], Iterable[Place]]] = {
    "residual": _residual,
    "neck": _neck,
    "head": _head,
}
