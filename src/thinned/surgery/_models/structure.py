"""What the structure of a model shows without running it."""

from collections.abc import Iterator

from torch import nn

from thinned.layers._axes import channel_dim
from thinned.layers._rate import RateLayer

from .known import rules_of
from .paths import walk
from .places import Place, places

WEIGHTED: tuple[type[nn.Module], ...] = (
    nn.Linear,
    nn.Bilinear,
    nn.modules.conv._ConvNd,
)
NORMS: tuple[type[nn.Module], ...] = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.LocalResponseNorm,
    nn.CrossMapLRN2d,
)
ACTIVATIONS: tuple[type[nn.Module], ...] = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.RReLU,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Softplus,
    nn.Softsign,
    nn.Tanh,
)
RECURRENT: tuple[type[nn.Module], ...] = (nn.RNNBase, nn.RNNCellBase)
PASSES: tuple[type[nn.Module], ...] = (  # the values move or are summed up: nothing is learned
    nn.Identity,
    nn.Flatten,
    nn.Unflatten,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
)
_KEEP_AXES = {
    f"torch.nn.modules.{name}" for name in ("activation", "dropout", "padding", "upsampling")
}
DROPOUTS: tuple[type[nn.Module], ...] = (nn.modules.dropout._DropoutNd,)


def output_layer(model: nn.Module) -> Place | None:
    """Return the last layer with weights, in the order of registration.

    It is what the structure shows: a model that registers its layers in another order than it
    calls them needs ``exclude=`` or an example input.
    """
    found = [place for place in places(model) if isinstance(place.module, WEIGHTED)]
    return found[-1] if found else None


def is_plain_sequential(module: nn.Module) -> bool:
    """Say whether a module calls its children one after the other, and does nothing else."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def is_chain(model: nn.Module) -> bool:
    """Say whether a model is nothing but layers of torch, one after the other."""
    return all(
        is_plain_sequential(module) or not module._modules
        for module in model.modules()
        if not isinstance(module, DROPOUTS)
    ) and not any(isinstance(module, nn.RNNBase) for module in model.modules())


def chain(module: nn.Sequential, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules that a plain ``Sequential`` calls, nested ones flattened."""
    for name, child in module.named_children():
        below = f"{path}.{name}".lstrip(".")
        if isinstance(child, nn.Sequential) and is_plain_sequential(child):
            yield from chain(child, below)
        else:
            yield below, child


def chains(model: nn.Module) -> Iterator[list[tuple[str, nn.Module]]]:
    """Yield each outermost chain of a model: modules that are surely called in this order."""
    inside: set[nn.Module] = set()
    for path, module in walk(model):
        if module in inside or not isinstance(module, nn.Sequential):
            continue
        if is_plain_sequential(module):
            inside.update(m for m in module.modules() if is_plain_sequential(m))
            yield list(chain(module, path))


def neighbours(place: Place) -> list[nn.Module]:
    """Return the layers around a module that may show where the channels are.

    In a plain ``Sequential`` the nearest before and after count, as far as nothing stands between
    that may move the axes. Elsewhere the order of calls is not known, and so all layers beside the
    module: they show something where they agree.
    """
    _, parent, name = place.slots[0]
    beside = list(parent.named_children())
    if not is_plain_sequential(parent):
        return [child for key, child in beside if key != name and not child._modules]
    at = [key for key, _ in beside].index(name)
    before = [m for _, child in beside[:at] for m in _steps(child)]
    after = [m for _, child in beside[at + 1 :] for m in _steps(child)]
    return [*_nearest(reversed(before)), *_nearest(iter(after))]


def _steps(module: nn.Module) -> list[nn.Module]:
    if isinstance(module, nn.Sequential) and is_plain_sequential(module):
        return [child for _, child in chain(module)]
    return [module]


def _nearest(modules: Iterator[nn.Module]) -> list[nn.Module]:
    for module in modules:
        if channel_dim([module]) is not None:
            return [module]
        if not _keeps_axes(module):
            break
    return []


def _keeps_axes(module: nn.Module) -> bool:
    """Say whether a layer surely leaves the axes where they are; a module of the user's may not."""
    if isinstance(module, nn.MultiheadAttention):
        return False
    kept = (nn.Identity, nn.LocalResponseNorm, nn.CrossMapLRN2d)
    if type(module) in kept or type(module).__module__ in _KEEP_AXES:
        return True
    leaf = not module._modules and not module._parameters
    return leaf and (isinstance(module, RateLayer) or bool(rules_of(type(module))))


def activation_before(model: nn.Module, place: Place) -> nn.Module | None:
    """Return the last activation registered before a module."""
    last = None
    for module in model.modules():
        if module is place.module:
            return last
        if isinstance(module, (*ACTIVATIONS, nn.Sigmoid, nn.Softmax)):
            last = module
    return None
