"""The rows of whatever a model is called with: a tensor, or a tree of them."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map


def tensors(value: Any) -> list[Tensor]:
    """Return the tensors in what an operator or a module is given, or returns."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return []
    return [tensor for each in value for tensor in tensors(each)]


def rows_of(x: Any) -> int:
    """Return the size that all tensors of an input share in their first dimension, else 0."""
    leaves = [x] if isinstance(x, Tensor) else tree_flatten(x)[0]
    sizes = {len(t) if t.dim() else 0 for t in leaves if isinstance(t, Tensor)}
    return sizes.pop() if len(sizes) == 1 else 0


def two_rows(x: Any) -> tuple[Any, Any]:
    """Return the first and the last row; if they are equal, one of them backwards."""
    first, last = rows_at(x, [0]), rows_at(x, [-1])
    if are_equal(first, last):
        last = tree_map(lambda v: v.flip(-1) if isinstance(v, Tensor) and v.dim() > 1 else v, last)
    return first, last


def are_equal(x: Any, y: Any) -> bool:
    pairs = zip(tree_flatten(x)[0], tree_flatten(y)[0], strict=True)
    return all(torch.equal(a, b) for a, b in pairs if isinstance(a, Tensor))


def joined(*parts: Any) -> Any:
    return tree_map(lambda *v: torch.cat(v) if isinstance(v[0], Tensor) else v[0], *parts)


def rows_at(x: Any, rows: list[int]) -> Any:
    return tree_map(lambda v: v[rows] if isinstance(v, Tensor) else v, x)


def is_pair(one: Tensor, other: Tensor, pair: Tensor) -> bool:
    """Say whether two rows predicted together are what each is by itself."""
    if not one.dim() or one.shape != other.shape:
        return False
    return are_close(torch.cat([one, other]), pair)


def are_close(a: Tensor, b: Tensor) -> bool:
    """Say whether tensors are the same up to rounding."""
    if a.shape != b.shape or a.is_complex() != b.is_complex():
        return False
    exact = torch.complex64 if a.is_complex() else torch.float32
    return torch.allclose(a.to(exact), b.to(exact), rtol=1e-3, atol=1e-4)
