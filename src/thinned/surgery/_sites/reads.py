"""What the methods of a class read off ``self``, found in their source."""

import ast
import dataclasses
import functools
from collections.abc import Iterator
from typing import TypeAlias

from torch import nn

from thinned.surgery._models import sources

from .functional import HardCoded, is_noise_call, rate_argument

Chain: TypeAlias = tuple[str, ...]
"""``self.config.drop`` is ``("config", "drop")``; ``self.cfg["p"]`` is ``("cfg", "[p]")``."""


@dataclasses.dataclass(frozen=True)
class ClassReads:
    """What one class reads in the methods that a forward may run.

    Attributes:
        chains: attributes read off ``self``, and off what hangs on it.
        rates: those of them that stand where a function takes its rate.
        others: names of attributes read off anything else than ``self``.
        hard_coded: calls of functional dropout with a rate that no attribute holds.
        known: False if there is no source to read.
    """

    chains: frozenset[Chain] = frozenset()
    rates: frozenset[Chain] = frozenset()
    others: frozenset[str] = frozenset()
    hard_coded: tuple[HardCoded, ...] = ()
    known: bool = True


@functools.lru_cache(maxsize=2048)
def _class_reads(cls: "type[object]") -> ClassReads:
    node = sources.class_source(cls)
    if node is None:
        return ClassReads(known=False)
    chains: set[Chain] = set()
    rates: set[Chain] = set()
    others: set[str] = set()
    hard_coded: list[HardCoded] = []
    for method in sources.running_methods(node):
        reader = _MethodReads(method)
        chains |= reader.chains
        others |= reader.others
        for call in (n for n in ast.walk(method) if isinstance(n, ast.Call | ast.Compare)):
            names = sources.globals_of(cls)
            found = rate_argument(call, names) if isinstance(call, ast.Call) else None
            if found is not None:
                leaves = list(reader.leaves(found.value))
                rates |= {leaf for leaf in leaves if isinstance(leaf, tuple)}
                if leaves and all(isinstance(leaf, float) and leaf > 0 for leaf in leaves):
                    hard_coded.append(HardCoded(cls, sources.file_of(cls), call.lineno))
            elif is_noise_call(call, names):
                hard_coded.append(HardCoded(cls, sources.file_of(cls), call.lineno))
    return ClassReads(frozenset(chains), frozenset(rates), frozenset(others), tuple(hard_coded))


class _MethodReads(ast.NodeVisitor):
    """Walks one method; follows names that stand for something on ``self``."""

    def __init__(self, method: sources.FunctionNode) -> None:
        self.chains: set[Chain] = set()
        self.others: set[str] = set()
        self._me = method.args.args[0].arg if method.args.args else "self"
        self._values: dict[str, list[ast.expr]] = {}
        for node in ast.walk(method):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        self._values.setdefault(target.id, []).append(node.value)
        for statement in method.body:
            self.visit(statement)

    def chain(self, node: ast.expr, depth: int = 0) -> Chain | None:
        """Return what an expression reads off ``self``, None if it begins elsewhere."""
        if isinstance(node, ast.Name):
            if node.id == self._me:
                return ()
            values = self._values.get(node.id, [])
            return self.chain(values[0], depth + 1) if len(values) == 1 and depth < 3 else None
        if isinstance(node, ast.Attribute):
            base = self.chain(node.value, depth)
            return None if base is None else (*base, node.attr)
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            base = self.chain(node.value, depth)
            key = node.slice.value
            return (*base, f"[{key}]") if base and isinstance(key, str) else None
        return None

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.ctx, ast.Load):
            chain = self.chain(node)
            if chain is not None:
                self.chains.add(chain)
            if chain is None or len(chain) > 1:
                self.others.add(node.attr)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        chain = self.chain(node)
        if chain is not None and isinstance(node.ctx, ast.Load):
            self.chains.add(chain)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(node.args) > 1:
            name = node.args[1]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                chain = self.chain(node.args[0])
                self.others.add(name.value)
                if chain is not None:
                    self.chains.add((*chain, name.value))
        self.generic_visit(node)

    def leaves(self, node: ast.expr, depth: int = 0) -> Iterator[Chain | float | None]:
        """Yield what a rate can come from: chains off self, numbers, None for what is unknown.

        A rate of 0 in a branch (``self.p if self.training else 0.0``) says nothing and is left out.
        """
        chain = self.chain(node)
        if chain:
            yield chain
        elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            if node.value:
                yield float(node.value)
        elif isinstance(node, ast.IfExp):
            yield from self.leaves(node.body, depth)
            yield from self.leaves(node.orelse, depth)
        elif isinstance(node, ast.Name) and depth < 3 and node.id in self._values:
            for value in self._values[node.id]:
                yield from self.leaves(value, depth + 1)
        elif isinstance(node, ast.Call):  # float(self.drop_rate)
            for argument in node.args:
                yield from self.leaves(argument, depth)
        else:
            yield None


def reads_of(module: nn.Module) -> ClassReads:
    """Return what a module's class and its bases read, torch's own classes left out."""
    parts = [_class_reads(c) for c in sources.own_classes(module)]
    return ClassReads(
        frozenset().union(*(part.chains for part in parts)),
        frozenset().union(*(part.rates for part in parts)),
        frozenset().union(*(part.others for part in parts)),
        tuple(found for part in parts for found in part.hard_coded),
        all(part.known for part in parts),
    )


@functools.lru_cache(maxsize=512)
def names_read_by_functions(module_name: str) -> frozenset[str]:
    """Return the attribute names that the functions at the top of a Python module read."""
    return frozenset(
        node.attr
        for function in sources.functions_of(module_name)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute)
    )
