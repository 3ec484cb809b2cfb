"""The source of somebody's classes, as syntax trees: what a forward would do, without a run."""

import ast
import functools
import inspect
import linecache
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import TypeAlias

from torch import nn

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

# What a forward never runs: building, initialising, printing, saving.
_NOT_FORWARD = (
    "__", "_init", "init_", "initialize", "_initialize", "reset_", "_reset", "extra_repr",
    "from_", "post_init", "configure_", "get_config", "_load", "_save", "group_matcher",
    "no_weight_decay",
)  # fmt: skip


def own_classes(module: nn.Module) -> tuple[type, ...]:
    """Return the classes that make a module what it is, torch's and Lightning's left out."""
    return tuple(
        cls
        for cls in type(module).__mro__
        if cls is not object and not f"{cls.__module__}.".startswith(_FRAMEWORKS)
    )


# Their forwards are in the table of known classes; what else they read, no forward follows
# (transformers' base class looks at a config's dropout before it allows a kernel).
_FRAMEWORKS = (
    "torch.",
    "lightning.",
    "pytorch_lightning.",
    "transformers.modeling_utils.",
    "transformers.generation.",
    "builtins.",
)


@functools.lru_cache(maxsize=512)
def _tree(module_name: str) -> tuple[ast.Module, str] | None:
    """Parse a Python module that is already imported; None where it has no source."""
    module = sys.modules.get(module_name)
    try:
        if module is None:
            return None
        source, file = inspect.getsource(module), inspect.getsourcefile(module)
        return ast.parse(source), file or module_name
    except (OSError, TypeError, SyntaxError):
        return None


@functools.lru_cache(maxsize=512)
def _classes(module_name: str) -> dict[str, ast.ClassDef]:
    """Return the classes of a Python module by qualified name, nested ones too."""
    found: dict[str, ast.ClassDef] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                found[prefix + child.name] = child
                visit(child, f"{prefix}{child.name}.")
            elif isinstance(child, FunctionNode):
                visit(child, f"{prefix}{child.name}.<locals>.")
            else:
                visit(child, prefix)

    parsed = _tree(module_name)
    if parsed is not None:
        visit(parsed[0], "")
    return found


@functools.lru_cache(maxsize=512)
def functions_of(module_name: str) -> tuple[FunctionNode, ...]:
    """Return the functions that stand at the top of a Python module."""
    parsed = _tree(module_name)
    return tuple(n for n in parsed[0].body if isinstance(n, FunctionNode)) if parsed else ()


def class_source(cls: type) -> ast.ClassDef | None:
    """Return the syntax tree of a class, None where it has no source.

    A class typed into a notebook has no file, but Python's line cache knows its cell.
    """
    found = _classes(cls.__module__).get(cls.__qualname__)
    if found is not None or cls.__module__ != "__main__":
        return found
    try:
        tree = ast.parse(inspect.cleandoc(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):
        return None
    return next((node for node in tree.body if isinstance(node, ast.ClassDef)), None)


def file_of(cls: type) -> str:
    """Return the file in which a class is written."""
    parsed = _tree(cls.__module__)
    return parsed[1] if parsed else cls.__module__


def line_of_class(cls: type) -> int:
    """Return the line at which a class begins, 0 where it has no source."""
    node = class_source(cls)
    return node.lineno if node is not None else 0


def line_of(file: str, line: int) -> str:
    """Return one line of a file, without its indentation."""
    return linecache.getline(file, line).strip()


def globals_of(cls: type) -> dict[str, object]:
    """Return the names that the methods of a class see at the top of their module."""
    module: ModuleType | None = sys.modules.get(cls.__module__)
    return vars(module) if module is not None else {}


def running_methods(node: ast.ClassDef) -> Iterator[FunctionNode]:
    """Yield the methods that a forward may run: all but building, initialising and printing."""
    for child in node.body:
        if isinstance(child, FunctionNode) and (
            child.name == "__call__" or not child.name.startswith(_NOT_FORWARD)
        ):
            yield child
