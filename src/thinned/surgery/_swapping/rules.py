"""What must not be swapped, and why."""

from collections.abc import Mapping

from torch import nn

from thinned.surgery._find import find_sites
from thinned.surgery._models.paths import walk
from thinned.surgery._models.places import Place
from thinned.surgery._models.structure import activation_before, neighbours

_CHANNELS_OF: dict[type[nn.Module], int] = {nn.Dropout1d: 3, nn.Dropout2d: 4, nn.Dropout3d: 5}
_AXES: dict[type[nn.Module], int] = {
    nn.Conv1d: 3,
    nn.BatchNorm1d: 3,
    nn.MaxPool1d: 3,
    nn.AvgPool1d: 3,
    nn.Conv2d: 4,
    nn.BatchNorm2d: 4,
    nn.MaxPool2d: 4,
    nn.AvgPool2d: 4,
    nn.Conv3d: 5,
    nn.BatchNorm3d: 5,
    nn.MaxPool3d: 5,
    nn.AvgPool3d: 5,
    nn.Linear: 2,
    nn.LayerNorm: 2,
}


def readers_of_rates(model: nn.Module) -> dict[int, str]:
    """Return, by identity of a module, which class reads its rate and may never call it."""
    classes = {path: type(m).__name__ for path, m in walk(model)}
    return {
        id(site.owner): classes.get(site.read_by[0], "the model")
        for site in find_sites(model)
        if site.read_by
    }


def never_called(place: Place, layer: type[nn.Module], readers: Mapping[int, str]) -> str | None:
    """Return why a module must not be replaced, since its rate is read and it is not called."""
    reader = readers.get(id(place.module))
    both_elementwise = isinstance(place.module, nn.Dropout) and issubclass(layer, nn.Dropout)
    if reader is None or both_elementwise:
        return None
    return (
        f"{reader} reads its rate for a fused attention and may never call it, so "
        f"{layer.__name__} would have no effect there"
    )


def refusal(model: nn.Module, place: Place, new: nn.Module) -> str | None:
    """Return why ``new`` must not take the place of a module, or ``None``."""
    return _rebound(place, new) or _alpha_without_selu(model, place, new) or _wrong_axes(place, new)


def _rebound(place: Place, new: nn.Module) -> str | None:
    old = place.module
    if "forward" not in vars(old) or old in set(new.modules()):
        return None
    return (
        f"somebody has set a forward on this {type(old).__name__} itself, which "
        f"{type(new).__name__} would not run; take that off first"
    )


def _alpha_without_selu(model: nn.Module, place: Place, new: nn.Module) -> str | None:
    if not isinstance(new, nn.AlphaDropout | nn.FeatureAlphaDropout):
        return None
    before = activation_before(model, place)
    if isinstance(before, nn.SELU) or (before is None and _calls_selu(model)):
        return None
    found = "no SELU is" if before is None else f"{type(before).__name__} is"
    return f"{type(new).__name__} keeps mean and variance after SELU only, and {found} before it"


def _calls_selu(model: nn.Module) -> bool:
    return any("selu" in type(m).forward.__code__.co_names for m in model.modules() if _coded(m))


def _coded(module: nn.Module) -> bool:
    return hasattr(type(module).forward, "__code__")


def _wrong_axes(place: Place, new: nn.Module) -> str | None:
    wanted = _CHANNELS_OF.get(type(new))
    if wanted is None:
        return None
    beside = {type(m).__name__: _AXES[type(m)] for m in neighbours(place) if type(m) in _AXES}
    wrong = [name for name, axes in beside.items() if axes != wanted]
    if not wrong:
        return None
    return (
        f"nn.{type(new).__name__} expects {wanted} axes, and beside it stands {wrong[0]}; on fewer "
        "axes torch silently drops along another one: take 'spatial' with its channel_dim"
    )
