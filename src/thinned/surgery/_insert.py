"""Put layers where none are, without moving a key."""

from collections.abc import Iterable
from typing import Any

from torch import nn

from thinned._checks import check_rate
from thinned._errors import NoEffectError
from thinned.layers._rate import RateLayer
from thinned.surgery._changes import Hooked
from thinned.surgery._edit import Edit
from thinned.surgery._editable import editable
from thinned.surgery._inserted import AfterOutput
from thinned.surgery._patterns import EVERYTHING, as_patterns
from thinned.surgery._places import Scope, holdings
from thinned.surgery._structure import ACTIVATIONS, DROPOUTS, NORMS, WEIGHTED, chains, output_layer
from thinned.surgery._swap_values import Key, as_value


def insert(
    model: nn.Module,
    variant: Any = "auto",
    rate: float = 0.1,
    include: str | Iterable[str] = EVERYTHING,
    exclude: str | Iterable[str] = (),
    *,
    after: Key | Iterable[Key] | None = None,
    example_input: Any = None,
) -> Edit:
    """Put dropout after the activations of linear and convolution layers, by hooks."""
    model = editable(model)
    rate = check_rate("rate", rate)
    scope = Scope(as_patterns(include), as_patterns(exclude, "exclude"))
    value = as_value("dropout" if variant == "auto" else variant)
    last = output_layer(model)
    changes, already, left_out = [], [], {}
    for chain in chains(model):
        fed: nn.Module | None = None
        for index, (path, module) in enumerate(chain):
            if isinstance(module, WEIGHTED):
                fed = module
            elif isinstance(module, ACTIVATIONS) and fed is not None and scope.holds([path]):
                following = chain[index + 1][1] if index + 1 < len(chain) else None
                if last is not None and fed is last.module:
                    left_out[path] = "after the output layer"
                elif isinstance(following, (*DROPOUTS, RateLayer)):
                    already.append(path)
                else:
                    layer = value.layer(rate, **value.options)
                    changes.append(Hooked(path, module, AfterOutput(layer), "after"))
                fed = None
            elif not isinstance(module, NORMS):
                fed = None
    if not changes and not already:
        msg = (
            f"Expected an activation after a linear or convolution layer in {scope}, found none by "
        )
        msg += f"structure. Pass `example_input=`. The model holds: {holdings(model)}."
        raise NoEffectError(msg)
    return Edit(model, "insert", changes, already, left_out)
