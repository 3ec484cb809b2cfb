"""Dropout that is written into a forward: out of reach, so it is listed with file and line."""

import ast
import dataclasses
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

# Function name -> position of its rate, its keyword, and the rate if it is left out.
_TAKES_RATE = {
    "dropout": (1, "p", 0.5),
    "dropout1d": (1, "p", 0.5),
    "dropout2d": (1, "p", 0.5),
    "dropout3d": (1, "p", 0.5),
    "alpha_dropout": (1, "p", 0.5),
    "feature_alpha_dropout": (1, "p", 0.5),
    "feature_dropout": (1, "p", 0.5),
    "native_dropout": (1, "p", 0.5),
    "drop_path": (1, "drop_prob", 0.0),
    "stochastic_depth": (1, "p", 0.0),
    "drop_block2d": (1, "p", 0.0),
    "drop_block3d": (1, "p", 0.0),
    "drop_block_2d": (1, "drop_prob", 0.1),
    "scaled_dot_product_attention": (4, "dropout_p", 0.0),
}

_DRAWS = frozenset({"rand", "random", "uniform", "rand_like"})


@dataclasses.dataclass(frozen=True)
class HardCoded:
    """A line that drops with a rate that nothing holds."""

    cls: type
    file: str
    line: int


@dataclasses.dataclass(frozen=True)
class OutOfReach:
    """Dropout that no site controls.

    Attributes:
        path: the first module whose forward does it.
        cls: that module's class name.
        file: where it is written.
        line: the line in that file.
        code: what stands there.
    """

    path: str
    cls: str
    file: str
    line: int
    code: str

    def __str__(self) -> str:
        parts = Path(self.file).parts
        short = (
            "/".join(parts[parts.index("site-packages") + 1 :])
            if ("site-packages" in parts)
            else self.file
        )
        return f"{self.path or '(the model)'} ({self.cls}): {short}:{self.line}: {self.code}"


@dataclasses.dataclass(frozen=True)
class RateArgument:
    """The expression that a call of functional dropout takes its rate from."""

    value: ast.expr


def rate_argument(call: ast.Call, names: dict[str, object]) -> RateArgument | None:
    """Return where a call takes its rate from, None if it is no call of functional dropout.

    Args:
        call: any call in a forward.
        names: the global names that the forward sees.
    """
    target = _global(call.func, names)
    if isinstance(target, type) and issubclass(target, nn.modules.dropout._DropoutNd):
        return RateArgument(_argument(call, 0, "p") or ast.Constant(0.5))  # built in forward
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if target is None or isinstance(target, type) or name not in _TAKES_RATE:
        return None
    training = _argument(call, 2, "training")
    if isinstance(training, ast.Constant) and training.value is False:
        return None
    position, keyword, default = _TAKES_RATE[name]
    return RateArgument(_argument(call, position, keyword) or ast.Constant(default))


def is_noise_call(node: ast.AST, names: dict[str, object]) -> bool:
    """Say whether a random number is compared with a number: ``np.random.rand() > 0.5``."""
    if not isinstance(node, ast.Compare) or len(node.comparators) != 1:
        return False
    sides = (node.left, node.comparators[0])
    constants = [s.value for s in sides if isinstance(s, ast.Constant)]
    draws = [s for s in sides if isinstance(s, ast.Call) and isinstance(s.func, ast.Attribute)]
    if len(constants) != 1 or len(draws) != 1:
        return False
    number, function = constants[0], draws[0].func
    return (
        isinstance(number, float)
        and 0.0 < number < 1.0
        and isinstance(function, ast.Attribute)
        and function.attr in _DRAWS
        and _global(function, names) is not None
    )


def _argument(call: ast.Call, position: int, keyword: str) -> ast.expr | None:
    for given in call.keywords:
        if given.arg == keyword:
            return given.value
    if any(given.arg is None for given in call.keywords):  # **kwargs may hold it
        return ast.Name("_unknown")
    return call.args[position] if len(call.args) > position else None


def _global(node: ast.expr, names: dict[str, object]) -> Any:
    """Return the object that a dotted global name stands for, None if it is no such name."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        base = _global(node.value, names)
        return getattr(base, node.attr, None) if isinstance(base, ModuleType) else None
    return None
