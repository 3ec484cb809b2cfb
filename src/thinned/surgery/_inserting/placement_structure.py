"""Places for dropout that the structure of a model decides: no run is needed."""

from torch import nn

from thinned.layers._rate import RateLayer
from thinned.surgery._models.paths import walk
from thinned.surgery._models.places import places
from thinned.surgery._models.structure import (
    ACTIVATIONS,
    DROPOUTS,
    NORMS,
    PASSES,
    WEIGHTED,
    chains,
    output_layer,
)

from .placement import OUTPUT, SHARED, SHIFT, UNSEEN, Plan, Spot, row_of

_BATCH_NORMS = nn.modules.batchnorm._BatchNorm


def plan_by_structure(model: nn.Module, *, careful: bool = True) -> Plan:
    """Find activations of linear and convolution layers in chains that surely run in order.

    A chain is a plain ``Sequential``. The activation must follow the layer, with at most a norm
    between. What stands elsewhere is listed as not decided.

    Args:
        model: the model.
        careful: leave out what a batch norm further on in the chain would notice, and what dropout
            behind a pooling or a flattening drops already.
    """
    plan = Plan()
    last = output_layer(model)
    stands = {place.module: len(place.slots) for place in places(model)}
    seen: set[nn.Module] = set()
    for chain in chains(model):
        fed: nn.Module | None = None
        for index, (_, module) in enumerate(chain):
            if isinstance(module, WEIGHTED):
                fed = module
            elif isinstance(module, ACTIVATIONS):
                seen.add(module)
                if fed is not None:
                    final = last is not None and fed is last.module
                    rest = [m for _, m in chain[index + 1 :]]
                    shifts = careful and any(isinstance(m, _BATCH_NORMS) for m in rest[1:])
                    reason = OUTPUT if final else SHIFT if shifts else None
                    if _drops(rest, further=careful):
                        plan.already.append(chain[index][0])
                    else:
                        _place(plan, fed, chain[index : index + 2], reason, stands)
                fed = None
            elif not isinstance(module, NORMS):
                fed = None
    for path, module in walk(model):
        if isinstance(module, (*ACTIVATIONS, nn.RNNBase)) and module not in seen:
            plan.left_out[path] = UNSEEN
    return plan


def _drops(following: list[nn.Module], *, further: bool) -> bool:
    """Say whether dropout comes next, or, ``further``, with nothing that is trained before it."""
    for module in following:
        if isinstance(module, (*DROPOUTS, RateLayer)):
            return True
        if not (further and isinstance(module, PASSES)):
            return False
    return False


def _place(
    plan: Plan,
    fed: nn.Module,
    chain: list[tuple[str, nn.Module]],
    reason: str | None,
    stands: dict[nn.Module, int],
) -> None:
    (path, module), (next_path, following) = chain[0], [*chain, ("", nn.Module())][1]
    if reason is not None:
        plan.left_out[path] = reason
    else:
        row = row_of(module, convolved=isinstance(fed, nn.modules.conv._ConvNd))
        host = (next_path, following) if isinstance(following, NORMS) else (path, module)
        if stands.get(host[1], 1) > 1:
            plan.left_out[path] = SHARED
        else:
            plan.spots.append(Spot(*host, row))
