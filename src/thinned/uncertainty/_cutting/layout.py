"""How the tensors of a recorded beginning grow with the rows of the batch."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from thinned.surgery._running.trace import call
from thinned.uncertainty._forwards.rows import are_close

from .prefix import Recorder, Shape, Step


@dataclass(frozen=True)
class Layout:
    """How the tensors of the recorded beginning grow with the rows of the batch.

    Attributes:
        dims: for each step and tensor, the dimension of the batch; None for a tensor without.
        two: for each step and tensor, shape and strides for two rows.
        three: the same for three. (One row would not do: its strides say nothing.)
    """

    dims: tuple[tuple[int | None, ...], ...]
    two: tuple[tuple[Shape, ...], ...]
    three: tuple[tuple[Shape, ...], ...]

    def shapes(self, rows: int) -> list[list[Shape]]:
        """Return all shapes and strides for a number of rows: they grow by the same each row."""
        return [
            [_extended(a, b, rows) for a, b in zip(two, three, strict=True)]
            for two, three in zip(self.two, self.three, strict=True)
        ]


def _extended(two: Shape, three: Shape, rows: int) -> Shape:
    shape, strides = (
        tuple(a + (b - a) * (rows - 2) for a, b in zip(*pair, strict=True))
        for pair in zip(two, three, strict=True)
    )
    return shape, strides


def find_layout(
    model: nn.Module, pair: Any, triple: Any, whole: Recorder, rows: int
) -> Layout | None:
    """Find the dimension that grows with the rows; None where that is not one alone.

    Args:
        model: the model, whose sites are on.
        pair: two rows.
        triple: three.
        whole: what was recorded of the batch.
        rows: of the batch.
    """
    two, three = Recorder(), Recorder()
    for recorder, x in ((two, pair), (three, triple)):
        with recorder:
            call(model, x)
    names = [[step.operator for step in each.steps] for each in (whole, two, three)]
    if names[0] != names[1] or names[0] != names[2]:
        return None
    dims: list[tuple[int | None, ...]] = []
    written = max((i for i, s in enumerate(two.steps) if s.operator._schema.is_mutable), default=-1)
    for number, steps in enumerate(zip(whole.steps, two.steps, three.steps, strict=True)):
        many, a, b = steps
        blank = number > written and "empty" in str(a.operator)  # without a value, to be compared
        if not _numbers(many) == _numbers(a) == _numbers(b):
            return None  # a value that was read from the whole batch
        try:
            found = [_dim(many, a, b, index, rows) for index in range(len(a.shapes))]
        except ValueError:
            return None
        pairs = zip(b.kept, a.kept, found, strict=True)
        if not blank and not all(_begins_with(*each) for each in pairs):
            return None  # the rows are interleaved: repeating would mix them up
        dims.append(tuple(found))
    shapes = (tuple(tuple(step.shapes) for step in each.steps) for each in (two, three))
    return Layout(tuple(dims), *shapes)


def _dim(many: Step, a: Step, b: Step, index: int, rows: int) -> int | None:
    """Return the dimension of a tensor that grows with the rows, if it is one alone."""
    if all(step.kept[index] is None for step in (many, a, b)):
        return None  # never asked for, whatever its shape
    (whole, _), (shape, _), (more, _) = (step.shapes[index] for step in (many, a, b))
    grown = [d for d, (s, m) in enumerate(zip(shape, more, strict=True)) if s != m]
    if len(grown) > 1 or any(2 * more[dim] != 3 * shape[dim] for dim in grown):
        msg = f"two rows make {shape}, three {more}"
        raise ValueError(msg)
    if whole != _extended(a.shapes[index], b.shapes[index], rows)[0]:
        msg = f"{rows} rows make {whole}"
        raise ValueError(msg)
    return grown[0] if grown else None


def _numbers(step: Step) -> list[Any]:
    return [v for v in tree_flatten(step.result)[0] if isinstance(v, bool | int | float | complex)]


def _begins_with(longer: Tensor | None, shorter: Tensor | None, dim: int | None) -> bool:
    if longer is None or shorter is None or dim is None:
        return True
    if longer.dim() != shorter.dim() or longer.shape[dim] < shorter.shape[dim]:
        return False  # something has given it another shape in place
    return are_close(longer.narrow(dim, 0, shorter.shape[dim]), shorter)
