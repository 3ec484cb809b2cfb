"""Places for dropout that the structure of a model decides: no run is needed."""

from torch import nn

from thinned.layers._rate import RateLayer
from thinned.surgery._placement import OUTPUT, SHARED, UNSEEN, Plan, Spot, row_of
from thinned.surgery._places import places
from thinned.surgery._structure import (
    ACTIVATIONS,
    DROPOUTS,
    NORMS,
    WEIGHTED,
    chains,
    output_layer,
)


def plan_by_structure(model: nn.Module) -> Plan:
    """Find activations of linear and convolution layers in chains that surely run in order.

    A chain is a plain ``Sequential``. The activation must follow the layer, with at most a norm
    between. What stands elsewhere is listed as not decided.
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
                    _place(plan, fed, chain[index : index + 2], final, stands)
                fed = None
            elif not isinstance(module, NORMS):
                fed = None
    for path, module in model.named_modules():
        if isinstance(module, (*ACTIVATIONS, nn.RNNBase)) and module not in seen:
            plan.left_out[path] = UNSEEN
    return plan


def _place(
    plan: Plan,
    fed: nn.Module,
    chain: list[tuple[str, nn.Module]],
    final: bool,
    stands: dict[nn.Module, int],
) -> None:
    (path, module), (next_path, following) = chain[0], [*chain, ("", nn.Module())][1]
    if isinstance(following, (*DROPOUTS, RateLayer)):
        plan.already.append(path)
    elif final:
        plan.left_out[path] = OUTPUT
    else:
        row = row_of(module, convolved=isinstance(fed, nn.modules.conv._ConvNd))
        host = (next_path, following) if isinstance(following, NORMS) else (path, module)
        if stands.get(host[1], 1) > 1:
            plan.left_out[path] = SHARED
        else:
            plan.spots.append(Spot(*host, row))
