"""One mask of each sample for all rows of a batch, as one set of weights would give."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from thinned._generators import generators_kept, seed_everything
from thinned._log import logger
from thinned.surgery._running.run_example import fresh
from thinned.surgery._running.state import own_generators_kept
from thinned.surgery._running.trace import call
from thinned.uncertainty._cutting.flow import UnlikeShownError
from thinned.uncertainty._cutting.prefix import Operator, is_composite, is_random
from thinned.uncertainty._forwards.kept import Kept
from thinned.uncertainty._forwards.output import output_of
from thinned.uncertainty._forwards.rows import are_equal, is_pair, joined, tensors, two_rows
from thinned.uncertainty._forwards.sampling import sampling


@dataclass(frozen=True)
class Drawn:
    """One random call, as two rows have shown it.

    Attributes:
        shape: of what is drawn for two rows.
        dim: the dimension that grows with the rows; None where nothing does.
    """

    shape: tuple[int, ...]
    dim: int | None


_KNOWN: Kept[tuple[Drawn, ...] | None] = Kept()


class Shapes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Writes down the shape of what each random call draws."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.shapes: list[tuple[int, ...]] = []

    def __torch_dispatch__(
        self, func: Operator, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if is_composite(func):
            with self:
                return func.decompose(*args, **(kwargs or {}))
        result = func(*args, **(kwargs or {}))
        if is_random(func, args, kwargs or {}):
            self.shapes.append(tuple(tensors(result)[0].shape))
        return result


class OneMask(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Draws for one row at every random call, and gives all rows the same.

    So as many numbers are drawn as for a row by itself, and a batch of any size gets from the same
    seed what each of its rows would get alone. One object serves one forward.

    Args:
        drawn: the random calls, as a trial has shown them.
        rows: number of rows of the batch.
    """

    def __init__(self, drawn: Sequence[Drawn], rows: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.drawn, self.rows = drawn, rows
        self._next = 0

    def __torch_dispatch__(
        self, func: Operator, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if is_composite(func):
            with self:
                return func.decompose(*args, **kwargs)
        if not is_random(func, args, kwargs):
            return func(*args, **kwargs)
        if self._next >= len(self.drawn):
            msg = f"{func} is one random call more than shown"
            raise UnlikeShownError(msg)
        shown = self.drawn[self._next]
        self._next += 1
        return func(*args, **kwargs) if shown.dim is None else self._once(func, shown, args, kwargs)

    def _once(
        self, func: Operator, shown: Drawn, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        dim = shown.dim or 0
        one = [n // 2 if d == dim else n for d, n in enumerate(shown.shape)]
        full = [n * self.rows if d == dim else n for d, n in enumerate(one)]

        def narrowed(value: Any) -> Any:
            if isinstance(value, Tensor) and value.dim() > dim and value.shape[dim] == full[dim]:
                return value.narrow(dim, 0, one[dim]).clone()
            return one if isinstance(value, list | tuple) and list(value) == full else value

        if func is torch.ops.aten.native_dropout.default:
            x, rate, train = args
            _, mask = func(torch.ones(one, dtype=x.dtype, device=x.device), rate, train)
            mask = repeated(mask, dim, self.rows)
            return x * mask * (0.0 if rate == 1.0 else 1.0 / (1.0 - rate)), mask
        first = args[0] if args else None
        if isinstance(first, Tensor) and list(first.shape) != full:
            msg = f"{func} draws for {tuple(first.shape)}, not for {full}"
            raise UnlikeShownError(msg)
        result = func(*map(narrowed, args), **{k: narrowed(v) for k, v in kwargs.items()})
        result = repeated(result, dim, self.rows)
        if func._schema.is_mutable and isinstance(first, Tensor):
            return first.copy_(result)
        if list(result.shape) != full:
            msg = f"{func} has drawn {tuple(result.shape)}, not {full}"
            raise UnlikeShownError(msg)
        return result


def repeated(tensor: Tensor, dim: int, rows: int) -> Tensor:
    return torch.cat([tensor] * rows, dim=dim)


def drawn_by(model: nn.Module, x: Any, state: Any, form: Any) -> tuple[Drawn, ...] | None:
    """Return what a forward draws, or None where its rows have to be predicted one by one.

    The answer is found with two rows, and is kept for the model's state and the input's form.

    Raises:
        ValueError: if a row's prediction depends on the other rows.
    """
    key = (state, form)
    if state is not None and (model, key) in _KNOWN:
        return _KNOWN.get(model, key)
    first, last = two_rows(x)
    found = None
    if not are_equal(first, last):  # such rows could not show that they depend on each other
        with generators_kept(seed=0), own_generators_kept(model):
            _check_apart(model, first, last)
            found = _find(model, first, last)
    return found if state is None else _KNOWN.put(model, key, found)


def _check_apart(model: nn.Module, first: Any, last: Any) -> None:
    """Refuse a model whose rows, without dropout, are not what each is by itself."""
    with sampling(model, ()):
        apart = [_output(model, each) for each in (first, last)]
        together = _output(model, joined(first, last))
    if not is_pair(apart[0], apart[1], together):
        msg = "Expected a model that predicts each row by itself, with the rows in the first "
        msg += "dimension, got one whose rows depend on each other. One mask for all rows means "
        msg += "nothing there: use masks='row'."
        raise ValueError(msg)


def _find(model: nn.Module, first: Any, last: Any) -> tuple[Drawn, ...] | None:
    pair = joined(first, last)
    try:
        seen = []
        for each in (pair, joined(first, last, first)):
            seed_everything(0)
            with Shapes() as shapes:
                _output(model, each)
            seen.append(shapes.shapes)
        drawn = tuple(_shown(two, three) for two, three in zip(*seen, strict=True))
        apart = [_seeded(model, each) for each in (first, last)]
        with OneMask(drawn, 2):
            together = _seeded(model, pair)
    except Exception as error:  # whatever an operator says to other shapes than it expects
        logger.debug("masks are shared row by row: %r", error)
        return None
    return drawn if is_pair(apart[0], apart[1], together) else None


def _shown(two: tuple[int, ...], three: tuple[int, ...]) -> Drawn:
    grown = [d for d, (a, b) in enumerate(zip(two, three, strict=True)) if a != b]
    if len(grown) > 1 or any(3 * two[d] != 2 * three[d] for d in grown):
        msg = f"two rows draw {two}, three {three}"
        raise UnlikeShownError(msg)
    return Drawn(two, grown[0] if grown else None)


def _seeded(model: nn.Module, x: Any) -> Tensor:
    seed_everything(0)
    return _output(model, x)


def _output(model: nn.Module, x: Any) -> Tensor:
    return output_of(call(model, fresh(x)))  # it may write into its input, which is asked again
