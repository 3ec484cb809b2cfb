"""Which names the code of a forward reads, of attributes and of what stands beside the classes.

It is read off the compiled code, so classes without a source file are known as well. Too many names
do no harm: they only make more be compared. What code reaches by names that it makes up at run
time (``getattr(self, "a" + b)``) is not seen.
"""

import functools
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import nn

MOST = 500  # functions that are followed from one class
_LIBRARIES = ("torch", "numpy", "builtins")  # whose functions hold no switch of a user's


@dataclass(frozen=True)
class CodeReads:
    """What a class's forward may read.

    Attributes:
        names: of attributes and keys.
        beside: where else it reads: a holder (globals, a class, a closure's cell) and a name.
    """

    names: frozenset[str]
    beside: tuple[tuple[Any, str], ...]


def reads_of_all(classes: frozenset[Any]) -> CodeReads:
    """Return what the forwards of several classes read."""
    each = [code_reads(cls) for cls in classes]
    names: frozenset[str] = frozenset().union(*(reads.names for reads in each))
    beside = {(id(holder), name): (holder, name) for r in each for holder, name in r.beside}
    return CodeReads(names, tuple(beside.values()))


@functools.lru_cache(maxsize=2048)
def code_reads(cls: Any) -> CodeReads:
    """Return what instances of a class read when they are called: modules, or hooks."""
    follower = _Follower(cls)
    for name in ("forward", "__call__", "__getattr__", "__getattribute__"):
        if getattr(cls, name, None) is not getattr(nn.Module, name, None):
            follower.add(inspect.getattr_static(cls, name, None))
    return CodeReads(frozenset(follower.names), tuple(follower.beside.values()))


class _Follower:
    """Follows functions into those that they name."""

    def __init__(self, cls: "type[object]") -> None:
        self.names: set[str] = set()
        self.beside: dict[tuple[int, str], tuple[Any, str]] = {}
        self._cls = cls
        self._seen: set[int] = set()

    def add(self, value: Any) -> None:
        """Follow a function, or what wraps one."""
        waiting = [value]
        while waiting and len(self._seen) < MOST:
            function = _unwrapped(waiting.pop())
            if isinstance(function, FunctionType) and id(function) not in self._seen:
                self._seen.add(id(function))
                waiting += self._named_by(function)

    def _named_by(self, function: FunctionType) -> Iterator[Any]:
        names = names_in(function.__code__)
        self.names |= names
        for name in names:
            yield from self._look(self._cls, name)
        if _is_of_library(function):
            return
        for cell in function.__closure__ or ():
            yield from self._look(cell, "")
        beside = function.__globals__
        for name in names & beside.keys():
            yield from self._look(beside, name)
            if isinstance(beside[name], ModuleType) and not _is_of_library(beside[name]):
                for inner in names & vars(beside[name]).keys():
                    yield from self._look(vars(beside[name]), inner)

    def _look(self, holder: Any, name: str) -> Iterator[Any]:
        """Yield what may be followed; note what may be something else at the next call."""
        value = value_at(holder, name)
        if isinstance(value, type | ModuleType | BuiltinFunctionType | nn.Module):
            return
        function = _unwrapped(value)
        yield function
        if value is not None and not _is_of_library(function):
            self.beside[id(holder), name] = (holder, name)


def value_at(holder: Any, name: str) -> Any:
    """Return what a dictionary, a class or a closure's cell holds now, None where it is nothing."""
    if isinstance(holder, dict):
        return holder.get(name)
    if isinstance(holder, CellType):
        try:
            return holder.cell_contents
        except ValueError:  # not yet filled
            return None
    return next((vars(base)[name] for base in holder.__mro__ if name in vars(base)), None)


def _unwrapped(value: Any) -> Any:
    if isinstance(value, staticmethod | classmethod | MethodType):
        return value.__func__
    if isinstance(value, functools.cached_property | functools.partial):
        return value.func
    return value.fget if isinstance(value, property) else value


@functools.lru_cache(maxsize=4096)
def names_in(code: CodeType) -> frozenset[str]:
    """Return the names that code uses, as attributes, globals or strings, with what is inside."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= names_in(constant)
        elif isinstance(constant, str) and constant.isidentifier():
            names.add(constant)
    return frozenset(names)


def _is_of_library(value: Any) -> bool:
    name = getattr(value, "__module__", None) or getattr(value, "__name__", "")
    return str(name).partition(".")[0] in _LIBRARIES
