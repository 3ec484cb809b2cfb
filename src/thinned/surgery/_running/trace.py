"""What a forward draws at random, call by call."""

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils._python_dispatch import TorchDispatchMode

from thinned._generators import seed_everything

from .run_example import fresh


@dataclasses.dataclass(frozen=True)
class Draw:
    """One random call.

    Attributes:
        name: the operator's.
        numbers: the numbers it was given; a rate or its complement is among them.
        file: where somebody's code made the call.
        line: the line there.
        module: the module whose method that was.
    """

    name: str
    numbers: tuple[float, ...]
    file: str = ""
    line: int = 0
    module: nn.Module | None = None

    @property
    def drops(self) -> bool:
        """Whether the operator drew a mask, and not just numbers or noise."""
        if "attention" in self.name:
            return self.numbers[:1] > (0.0,)
        return "dropout" in self.name or "bernoulli" in self.name

    def carries(self, rate: float) -> bool:
        """Say whether the call was given this rate, or the share that is kept."""
        return any(abs(n - rate) < 1e-9 or abs(n - (1.0 - rate)) < 1e-9 for n in self.numbers)


@dataclasses.dataclass(frozen=True)
class Trace:
    """One forward: its random calls, and a fingerprint of what came out."""

    draws: tuple[Draw, ...]
    result: tuple[Any, ...]

    def same_draws(self, other: "Trace") -> bool:
        """Say whether both made the same random calls with the same numbers."""
        return [(d.name, d.numbers) for d in self.draws] == [
            (d.name, d.numbers) for d in other.draws
        ]


def trace(
    model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, seed: int = 0
) -> Trace:
    """Run a forward in training mode from a fixed seed, and write down what it drew."""
    model.train()
    args, kwargs = fresh((args, kwargs))
    seed_everything(seed)
    with _Recorder() as recorder:
        output = model(*args, **kwargs)
    return Trace(tuple(recorder.draws), tuple(_fingerprint(output)))


def call(model: nn.Module, example_input: Any) -> Any:
    """Call a model as Lightning does: a tuple is spread, a mapping gives keywords."""
    if isinstance(example_input, Mapping):
        return model(**example_input)
    if isinstance(example_input, tuple) and not isinstance(example_input, PackedSequence):
        return model(*example_input)
    return model(example_input)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.draws: list[Draw] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            numbers = _numbers(func, args, kwargs or {})
            self.draws.append(Draw(str(func), numbers, *_caller(sys._getframe(1))))
        return func(*args, **(kwargs or {}))


def _numbers(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[float, ...]:
    """Return the numbers among a call's arguments; of a fused attention kernel, only its rate."""
    names = [argument.name for argument in func._schema.arguments]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    if "dropout_p" in names:
        return (float(given.get("dropout_p", 0.0)),)
    return tuple(float(value) for value in given.values() if type(value) in (float, int))


def _caller(frame: FrameType | None) -> tuple[str, int, nn.Module | None]:
    """Return the innermost line of somebody's own code, and the module it runs for."""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] not in ("torch", "thinned"):
            break
        frame = frame.f_back
    if frame is None:
        return "", 0, None
    file, line = frame.f_code.co_filename, frame.f_lineno
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.Module):
            return file, line, owner
        frame = frame.f_back
    return file, line, None


def _fingerprint(value: Any, depth: int = 0) -> Iterator[Any]:
    """Yield numbers that differ when two results differ."""
    if isinstance(value, Tensor) and value.is_nested:
        yield from _fingerprint(value.unbind(), depth + 1)
    elif isinstance(value, Tensor):
        value = value if value.layout is torch.strided else value.to_dense()
        yield tuple(value.shape)
        if value.device.type != "meta" and value.numel():
            flat = value.detach().to(torch.float64 if not value.is_complex() else value.dtype)
            flat = torch.nan_to_num(torch.view_as_real(flat) if flat.is_complex() else flat)
            weights = torch.arange(1, flat.numel() + 1, device=flat.device, dtype=flat.dtype)
            yield flat.sum().item(), (flat.flatten() * weights).sum().item()
    elif isinstance(value, Mapping):
        yield from _fingerprint(list(value.values()), depth + 1)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _fingerprint(entry, depth + 1)
    elif isinstance(value, int | float | str):
        yield value
    elif hasattr(value, "__dict__") and depth < 8 and not isinstance(value, nn.Module):
        yield from _fingerprint(vars(value), depth + 1)
