"""Exchange layers for variants, at their own names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from thinned._checks import check_rate
from thinned._errors import NoEffectError
from thinned.layers._stochastic_depth import StochasticDepth

from ._edits.changes import Change, Exchanged
from ._edits.edit import Edit
from ._edits.editable import editable
from ._edits.hand_over import same_state
from ._models.keys import Key, key_matches, none_of
from ._models.patterns import EVERYTHING
from ._models.places import Place, Scope, places
from ._models.structure import output_layer
from ._swapping.rules import never_called, readers_of_rates, refusal
from ._swapping.values import Policy, Value, as_value


def swap(
    model: nn.Module,
    mapping: Mapping[str | type[nn.Module], Any] | Policy,
    include: str | Iterable[str] = EVERYTHING,
    exclude: str | Iterable[str] = (),
    *,
    rate: float | None = None,
    force: bool = False,
) -> Edit:
    """Exchange modules for another variant, at their own names.

    The new layer has the very parameters, buffers, hooks, mode, device and dtype of the old one, so
    that checkpoint and optimizer notice nothing, and the attributes that somebody set on it and its
    class knows nothing of. A module that stands in several places is exchanged in all of them. The
    output layer is left alone where the variant has weights, unless a pattern names it: one that
    does not match all other candidates too.

    Args:
        model: the model, not yet wrapped, nor compiled and run.
        mapping: what for what; the first key that matches a module wins. A key is a class (and its
            subclasses), or a class name (exact, or a glob). A value is a name of the registry
            (``"spatial"``), a layer class, a ``functools.partial`` of one with its options, or a
            policy ``module -> module | None``, where ``None`` leaves the module as it is. A policy
            alone is asked about every module.
        include: globs on dotted paths, such as ``"backbone.*"``.
        exclude: globs of what to leave out; one that names nothing is no error, so that one list
            fits many models.
        rate: probability of dropping, in [0, 1]; ``None`` is each site's own. It is required where
            there is none: on layers with weights, and recurrent ones built without dropout.
        force: swap even where it is refused as doing harm.

    Returns:
        The edit: print it, or ``undo()`` it.

    Raises:
        NoEffectError: if a key matches no module, or a pattern none that a key matches; the message
            lists what the model holds.
        ValueError: if a rate is missing or none, or a variant would do harm where it was asked for.
        TypeError: if a variant cannot stand in for a module, or the model is scripted.
        RuntimeError: if the model is wrapped, or compiled and already run.

    Example:
        >>> import functools, torch, thinned
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Dropout(0.2))
        >>> print(thinned.swap(net, {"Dropout": "spatial"}))
        swap: 1 change
          1: Dropout -> SpatialDropout(p=0.2, channel_dim=1)
        >>> locked = functools.partial(thinned.layers.SpatialDropout, channel_dim=-1)
        >>> print(thinned.swap(net, {"SpatialDropout": locked}, rate=0.1))
        swap: 1 change
          1: SpatialDropout -> SpatialDropout(p=0.1, channel_dim=-1)
    """
    model = editable(model)
    scope = Scope.of(model, include, exclude)
    rate = None if rate is None else check_rate("rate", rate)
    rows = _rows(mapping)
    matched = _match(model, rows, scope, rate)
    shielded = _shielded_output(model, matched, scope)
    done = _Outcome({} if force else readers_of_rates(model))
    for place, value in matched:
        if value.made(place.module, rate):
            done.already.append(place.path)
        elif place is shielded:
            done.left_out[place.path] = "the output layer; name it in `include` to swap it too"
        else:
            done.exchange(model, place, value, rate, force=force)
    done.raise_if_refused()
    if not done.changes and not done.already:
        raise _no_change(done.left_out, [value.label for _, value in matched])
    return Edit(model, "swap", done.changes, done.already, done.left_out)


@dataclass
class _Outcome:
    """What becomes of the modules that were matched.

    Attributes:
        readers: who reads the rate of a module, by the module's identity.
        changes: what will be exchanged.
        already: paths that were as asked before.
        left_out: path to reason, for what stays.
        unfit: path to reason, for what a variant cannot stand in for.
        refused: path to reason, for what it could, but must not.
    """

    readers: Mapping[int, str]
    changes: list[Change] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    unfit: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def exchange(
        self, model: nn.Module, place: Place, value: Value, rate: float | None, *, force: bool
    ) -> None:
        """Make the new module, or note why there is none."""
        if value.layer is not None and (why := never_called(place, value.layer, self.readers)):
            self.refused[place.path] = why
            return
        try:
            new = value.make(place, rate)
        except TypeError as error:
            self.unfit[place.path] = str(error)
            return
        if new is None:
            return
        reason = never_called(place, type(new), self.readers) or refusal(model, place, new)
        if reason and not force:
            self.refused[place.path] = reason
        else:
            self.changes.append(_exchanged(place, new))

    def raise_if_refused(self) -> None:
        """Raise one error for all that cannot or must not be swapped."""
        if self.unfit:
            raise TypeError(_listed("that a variant cannot stand in for", self.unfit))
        if self.refused:
            listed = _listed("that must not be", self.refused)
            raise ValueError(f"{listed} Or pass force=True.")


def _rows(mapping: Any) -> list[tuple[Key, Value]]:
    if isinstance(mapping, Mapping):
        if not mapping:
            msg = "Expected `mapping` to say what for what, got an empty one. Write {'Dropout': "
            msg += "'spatial'}."
            raise ValueError(msg)
        for key in mapping:
            if not isinstance(key, str) and not (
                isinstance(key, type) and issubclass(key, nn.Module)
            ):
                msg = f"Expected the keys of `mapping` to be module classes or names, got {key!r}."
                raise TypeError(msg)
        return [(key, as_value(value)) for key, value in mapping.items()]
    if callable(mapping) and not isinstance(mapping, type | nn.Module):
        return [(nn.Module, as_value(mapping))]
    msg = "Expected `mapping` to be a mapping such as {'Dropout': 'spatial'} or a policy, got "
    msg += f"{mapping!r}."
    raise TypeError(msg)


def _match(
    model: nn.Module, rows: list[tuple[Key, Value]], scope: Scope, rate: float | None
) -> list[tuple[Place, Value]]:
    """Return each module in scope that a key means, or that is as its value would make it."""
    matched: list[tuple[Place, Value]] = []
    idle = {id(value): key for key, value in rows}
    for place in places(model):
        if not scope.holds(place.paths):
            continue
        for key, value in rows:
            if key_matches(key, place.module) or value.made(place.module, rate):
                matched.append((place, value))
                idle.pop(id(value), None)
                break
    if idle:
        raise none_of(model, idle.values(), scope)
    if dead := scope.idle([place.paths for place, _ in matched]):
        raise none_of(model, [key for key, _ in rows], dead)
    return matched


def _shielded_output(
    model: nn.Module, matched: list[tuple[Place, Value]], scope: Scope
) -> Place | None:
    """Return the place of the output layer, unless a pattern names it."""
    output = output_layer(model)
    if output is None:
        return None
    paths = [place.paths for place, _ in matched]
    if scope.names(output.paths, paths):
        return None
    return next((place for place, _ in matched if place.module is output.module), None)


def _exchanged(place: Place, new: nn.Module) -> Exchanged:
    old = place.module
    if problem := same_state(old, new):
        msg = f"{type(new).__name__} in the place of {type(old).__name__} at {place.path!r} would "
        msg += f"change the checkpoint: {problem}. "
        if isinstance(new, StochasticDepth):
            msg += "It wraps a block; `thinned.insert(model, 'stochastic_depth')` moves no key."
        else:
            msg += "Share the parameters of the module it replaces, or leave it out by `exclude`."
        raise ValueError(msg)
    new.training = old.training
    for child in set(new.modules()) - set(old.modules()):
        child.training = old.training
    if not list(new.parameters()) and (device := place.device) is not None:
        new.to(device=device)
    return Exchanged(place.path, place.slots, old, new)


def _listed(what: str, reasons: dict[str, str]) -> str:
    lines = "".join(f"\n  {path}: {reason}" for path, reason in reasons.items())
    msg = f"Expected modules that can be swapped, got {len(reasons)} {what}:{lines}\n"
    return f"{msg}Leave them out with exclude={list(reasons)}."


def _no_change(left_out: dict[str, str], labels: list[str]) -> NoEffectError:
    if left_out:
        lines = "".join(f"\n  {path}: {reason}" for path, reason in left_out.items())
        return NoEffectError(
            f"Expected something to swap, but all that matches was left out:{lines}"
        )
    return NoEffectError(f"Expected something to swap, but {labels[0]!r} returned None every time.")
