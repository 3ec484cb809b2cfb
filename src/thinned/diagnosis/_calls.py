"""Calls of dropout in the source of somebody's forward, and whether they can be switched off."""

import ast
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from thinned.surgery._models import sources

DROPS = tuple(
    getattr(functional, name)
    for name in (
        "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout",
    )
)  # fmt: skip
TORCH_DROPS = (torch.dropout, torch.feature_dropout, torch.alpha_dropout)
ATTENTION = functional.scaled_dot_product_attention
MISSING = object()
ENTRANCES = ("forward", "__call__", "training_step", "validation_step", "predict_step")


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A call in a method of a class.

    Args:
        call: the syntax tree of the call.
        method: the method's name.
        where: ``file:line``.
        names: the global names that the method sees.
        discarded: nobody takes what it returns.
        guarded: it stands under a test that reads ``training``.
        switched: ``.train(...)`` or ``.eval()`` is called on what it returns.
    """

    call: ast.Call
    method: str
    where: str
    names: dict[str, object]
    discarded: bool
    guarded: bool
    switched: bool

    def target(self, module: nn.Module) -> Any:
        """Return the object that is called, `MISSING` where that cannot be told."""
        return _resolve(self.call.func, module, self.names)

    def argument(self, position: int, keyword: str) -> ast.expr | None:
        """Return the expression given for an argument; None if it was left out."""
        for given in self.call.keywords:
            if given.arg in (keyword, None):
                return given.value
        return self.call.args[position] if len(self.call.args) > position else None

    def constant(self, position: int, keyword: str, module: nn.Module) -> Any:
        """Return an argument's value if it is a constant or an attribute, else `MISSING`."""
        given = self.argument(position, keyword)
        if isinstance(given, ast.Constant):
            return given.value
        return MISSING if given is None else _resolve(given, module, self.names)


def calls(module: nn.Module) -> Iterator[Found]:
    """The calls in all methods that a module's forward may run; torch's own classes have none."""
    overridden: set[str] = set()
    for cls in sources.own_classes(module):
        found = _calls_of(cls)
        yield from (call for call in found if call.method not in overridden)
        overridden |= _overrides(cls)


def is_reachable(found: Found, module: nn.Module) -> bool:
    """Say whether a call stands in a method that forward, or a step of Lightning's, comes to."""
    methods = {name for cls in sources.own_classes(module) for name in _reached_in(cls)}
    return found.method in methods


@functools.lru_cache(maxsize=2048)
def _reached_in(cls: type) -> frozenset[str]:
    source = sources.class_source(cls)
    methods = {} if source is None else {m.name: m for m in sources.running_methods(source)}
    waiting, reached = [name for name in ENTRANCES if name in methods], set(ENTRANCES)
    while waiting:
        for node in ast.walk(methods[waiting.pop()]):
            name = node.attr if isinstance(node, ast.Attribute) else ""
            if name in methods and name not in reached:
                reached.add(name)
                waiting.append(name)
    return frozenset(reached)


@functools.lru_cache(maxsize=2048)
def _overrides(cls: type) -> frozenset[str]:
    """The methods of a class that do not go on to the same method of its bases."""
    source = sources.class_source(cls)
    methods = [] if source is None else list(sources.running_methods(source))
    return frozenset(m.name for m in methods if "super()" not in ast.unparse(m))


@functools.lru_cache(maxsize=2048)
def _calls_of(cls: type) -> tuple[Found, ...]:
    source = sources.class_source(cls)
    if source is None:
        return ()
    file = Path(sources.file_of(cls)).name
    names = sources.globals_of(cls)
    found: list[Found] = []

    def visit(node: ast.AST, parent: ast.AST, method: str, guarded: bool) -> None:
        guarded = guarded or (
            isinstance(node, ast.If | ast.IfExp) and "training" in ast.unparse(node.test)
        )
        if isinstance(node, ast.Call):
            switched = isinstance(parent, ast.Attribute) and parent.attr in {"train", "eval"}
            discarded = isinstance(parent, ast.Expr)
            where = f"{file}:{node.lineno}"
            found.append(Found(node, method, where, names, discarded, guarded, switched))
        for child in ast.iter_child_nodes(node):
            visit(child, node, method, guarded)

    for method in sources.running_methods(source):
        visit(method, source, method.name, guarded=False)
    return tuple(found)


def _resolve(node: ast.expr, module: nn.Module, names: dict[str, object]) -> Any:
    """Return the object that a dotted name stands for, `MISSING` if it is no such name."""
    if isinstance(node, ast.Name):
        return module if node.id == "self" else names.get(node.id, MISSING)
    if isinstance(node, ast.Attribute):
        base = _resolve(node.value, module, names)
        return MISSING if base is MISSING else getattr(base, node.attr, MISSING)
    return MISSING


def is_dropout_module(value: Any) -> bool:
    """Say whether something is a dropout layer that returns its result."""
    return isinstance(value, nn.modules.dropout._DropoutNd) and not value.inplace


def builds_dropout(value: Any) -> bool:
    """Say whether a call of this builds a dropout layer."""
    return isinstance(value, type) and issubclass(value, nn.modules.dropout._DropoutNd)
