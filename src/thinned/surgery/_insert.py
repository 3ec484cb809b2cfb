"""Put layers where none are, without moving a key."""

from collections.abc import Iterable
from typing import Any

from torch import nn

from thinned._checks import check_rate
from thinned._errors import NoEffectError

from ._edits.changes import Change
from ._edits.edit import Edit
from ._edits.editable import editable
from ._inserting.acting import acting
from ._inserting.after import plan_after
from ._inserting.blocks import drop_blocks, find_blocks
from ._inserting.layers import AUTO, Chosen, hooks
from ._inserting.placement import NO_TRACE, Plan
from ._inserting.placement_flow import plan_by_flow
from ._inserting.placement_structure import plan_by_structure
from ._models.keys import Key
from ._models.patterns import EVERYTHING
from ._models.places import Scope, holdings, places
from ._models.structure import is_chain
from ._running.flow import record
from ._running.run_example import as_arguments, evaluated

USUAL = 0.1  # the rate where nobody gives one


def insert(
    model: nn.Module,
    variant: Any = AUTO,
    rate: float | None = None,
    include: str | Iterable[str] = EVERYTHING,
    exclude: str | Iterable[str] = (),
    *,
    after: Key | Iterable[Key] | None = None,
    example_input: Any = None,
    force: bool = False,
) -> Edit:
    """Put dropout where none is, by hooks, so that no key of a checkpoint moves.

    ``"auto"`` follows the placement table (``docs/placement.md``): stochastic depth with the linear
    rule on residual blocks, and outside of them dropout after the activations of linear layers,
    whole channels after those of convolutions, one mask for all steps after recurrent layers. Never
    on the output layer, and never before a batch norm that would measure it. Residual blocks are
    recognised by running the model on ``example_input`` (a few times, in evaluation mode, leaving
    no trace); without it only what structure decides is done, and the rest listed in the edit's
    ``left_out``.

    Args:
        model: the model, not yet wrapped, nor compiled and run.
        variant: ``"auto"``, a name of the registry, a layer class, or a ``functools.partial`` of
            one with its options. A name puts that variant after the activations of linear and
            convolution layers; ``"stochastic_depth"`` on residual blocks (``mode="skip"`` saves
            their time).
        rate: probability of dropping, in [0, 1]; ``None`` is the ``p`` of the ``partial``, else
            0.1. With the linear rule it is the last block's.
        include: globs on dotted paths of the modules that get a layer, such as ``"backbone.*"``.
        exclude: globs of what to leave out; one that names nothing is no error, so that one list
            fits many models.
        after: put the layer after the output of these modules instead: a class, a class name, or
            several. ``"input"`` puts it before the modules that ``include`` names. With an
            ``example_input`` a run shows which of these places can act; the others are left out.
        example_input: what the model is called with: a tensor, a tuple of arguments, or a mapping
            of named ones.
        force: insert even what is refused as doing harm.

    Returns:
        The edit: print it, or ``undo()`` it.

    Raises:
        NoEffectError: if there is no such place, or none for one of several patterns; the message
            lists what the model holds.
        ValueError: if ``rate`` is none, an option of the variant has no such value, the variant
            would do harm or needs ``after``, or the model does not run on ``example_input``.
        TypeError: if ``variant`` is no layer or knows an option not, or the model is scripted.
        RuntimeError: if the model is wrapped, or compiled and already run.

    Example:
        >>> import torch, thinned
        >>> net = torch.nn.Sequential(
        ...     torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2)
        ... )
        >>> print(thinned.insert(net, rate=0.2))
        insert: 1 change
          1: after ReLU, Dropout(p=0.2, inplace=False)
        >>> list(net.state_dict())
        ['0.weight', '0.bias', '2.weight', '2.bias']
    """
    model = editable(model)
    scope = Scope.of(model, include, exclude)
    chosen = Chosen.of(variant, placed=after is not None)
    asked = chosen.rate if rate is None else rate
    rate = check_rate("rate", USUAL if asked is None else asked)
    plan = Plan()
    changes: list[Change] = []
    if after is not None:
        plan = plan_after(model, after, scope)
    elif example_input is None:
        if chosen.elements:
            plan = plan_by_structure(model, careful=chosen.layer is None)
        if chosen.blocks:
            if not is_chain(model):
                plan.left_out["residual blocks"] = NO_TRACE
            changes += drop_blocks(model, None, {}, rate, chosen.options, scope, plan)
    else:
        arguments = as_arguments(example_input, model)
        with evaluated(model, arguments):
            flow = record(model, arguments)
            blocks = find_blocks(model, flow, arguments, plan) if chosen.blocks else {}
        if chosen.blocks:
            changes += drop_blocks(model, flow, blocks, rate, chosen.options, scope, plan)
        if chosen.elements:
            whole = [block.module for block in blocks if scope.holds([block.path])]
            plan.extend(plan_by_flow(flow, whole, careful=chosen.layer is None))
    hung = hooks(model, plan, chosen, rate, scope, force=force)
    if after is not None and example_input is not None:
        hung, dead = acting(model, as_arguments(example_input, model), hung)
        plan.left_out |= dead
    changes += hung
    already = [path for path in plan.already if scope.holds([path])]
    left_out = {p: why for p, why in plan.left_out.items() if why == NO_TRACE or scope.holds([p])}
    if not changes and not already:
        raise _no_place(model, variant, chosen, scope, left_out)
    _refuse_idle(model, variant, chosen, scope, [*(c.path for c in changes), *already, *left_out])
    return Edit(model, "insert", changes, already, left_out)


def _refuse_idle(
    model: nn.Module, variant: Any, chosen: Chosen, scope: Scope, found: Iterable[str]
) -> None:
    paths = {place.path: place.paths for place in places(model)}
    if dead := scope.idle([paths.get(path, [path]) for path in found]):
        raise _no_place(model, variant, chosen, dead, {})


def _no_place(
    model: nn.Module, variant: Any, chosen: Chosen, scope: Scope, left_out: dict[str, str]
) -> NoEffectError:
    name = variant if isinstance(variant, str) else getattr(variant, "__name__", repr(variant))
    msg = f"Expected a place for {name!r} in {scope}, found none."
    shown = list(left_out.items())[:8]
    msg += "".join(f"\n  {path}: {reason}" for path, reason in shown)
    if len(left_out) > len(shown):
        msg += f"\n  ... ({len(left_out)} in all)"
    fix = (
        "Say where with `after=`, a class or its name."
        if chosen.elements
        else "A residual block is a module that adds its input to its result: an addition in the "
        "forward of the whole model has no module to hang on."
    )
    return NoEffectError(f"{msg}\nThe model holds: {holdings(model)}. {fix}")
