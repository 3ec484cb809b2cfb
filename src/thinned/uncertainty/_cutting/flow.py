"""How tensors flow through a forward: when each is made and last asked for, and by which modules.

This is followed once, on two rows and on three, to find where a forward may be cut.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from thinned.uncertainty._forwards.output import output_of
from thinned.uncertainty._forwards.rows import tensors

from .prefix import Operator, flops_of, is_composite, is_random

_OF_VALUES = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
INPUT = -1  # in the place of an operator's number


class UnlikeShownError(RuntimeError):
    """A forward goes another way than the one that was followed."""


@dataclass
class Life:
    """A tensor of a forward.

    Attributes:
        made: the number of the operator that made it, `INPUT` for the input's.
        index: which of that operator's results it is.
        shape: its shape.
        storage: what its memory is known by.
        asked: the last operator that was given it.
    """

    made: int
    index: int
    shape: tuple[int, ...]
    storage: int
    asked: int = INPUT


@dataclass
class Gate:
    """A module's call: what it was given, or what it returned.

    Attributes:
        module: the module.
        call: which of its calls this is, from 0.
        entering: whether it was given these tensors, or returned them.
        at: how many operators came before.
        lives: of each tensor; None for one that is none of this forward's (a parameter).
        until: how many operators had come when the module returned.
    """

    module: nn.Module
    call: int
    entering: bool
    at: int
    lives: list[Life | None]
    until: int = 0


class Flow(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Follows a forward operator by operator, and the calls of modules until the first random one.

    Args:
        x: the input.

    Attributes:
        operators: all that were called.
        work: multiply-adds of each.
        lives: the tensors of the input, then those that were made, in order.
        gates: the calls of modules before the first random operator.
        calls: how often each module was called in all.
        first: the number of the first random operator; None if there is none.
        draws: number of elements of each random call.
        written: storages that were written into from the first random operator on.
        public: the number of the last operator that read a value, made a shape of values, or wrote
            into something that the forward has not made; None if there was none.
    """

    def __init__(self, x: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.operators: list[Operator] = []
        self.work: list[int] = []
        self.lives: list[Life] = []
        self.gates: list[Gate] = []
        self.calls: Counter[nn.Module] = Counter()
        self.first: int | None = None
        self.draws: list[int] = []
        self.written: set[int] = set()
        self.public: int | None = None
        self._open: list[Gate] = []
        self._by_id: dict[int, Life] = {}
        self._by_storage: dict[int, Life] = {}
        for index, tensor in enumerate(tensors(x)):
            self._born(tensor, INPUT, index)
        self._inputs = set(self._by_storage)

    def __torch_dispatch__(
        self, func: Operator, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if is_composite(func):
            with self:
                return func.decompose(*args, **kwargs)
        now, given = len(self.operators), tensors((args, kwargs))
        self._ask(given, now)
        drawn = is_random(func, args, kwargs)
        if drawn and self.first is None:
            self.first = now
        if func._schema.is_mutable:
            self._note_writes(func, args)
        if _OF_VALUES & set(func.tags):
            self.public = now
        result = func(*args, **kwargs)
        for index, tensor in enumerate(tensors(result)):
            if not any(tensor is each for each in given):
                self._born(tensor, now, index)
        if drawn:
            self.draws.append(sum(tensor.numel() for tensor in tensors(result)))
        self.operators.append(func)
        self.work.append(flops_of(func, args, kwargs, result))
        return result

    @contextlib.contextmanager
    def following(self, model: nn.Module) -> Iterator[None]:
        """Follow what is called inside, the modules as well."""
        with contextlib.ExitStack() as stack:
            for module in model.modules():
                if isinstance(module, torch.jit.ScriptModule):
                    continue
                # Where a cut stands later: behind all other hooks, or before them.
                enter = module.register_forward_pre_hook(self._entered, with_kwargs=True)
                leave = module.register_forward_hook(self._left, prepend=True)
                stack.callback(enter.remove)
                stack.callback(leave.remove)
            stack.enter_context(self)
            yield

    @property
    def reads_what_is_random(self) -> bool:
        """Whether a value was read that a random operator may have made, or was written outside."""
        return self.first is not None and self.public is not None and self.public >= self.first

    def end(self, output: Any) -> None:
        """Note that the output is asked for by whoever has called."""
        self._ask([output_of(output)], len(self.operators))

    def _entered(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        gate = self._gate(module, True, (args, kwargs))
        self.calls[module] += 1
        self._open.append(gate)
        if self.first is None:
            self.gates.append(gate)

    def _left(self, module: nn.Module, _: Any, output: Any) -> None:
        while self._open and self._open[-1].module is not module:
            self._open.pop()  # its call was left by an exception that somebody has caught
        entered = self._open.pop()
        entered.until = len(self.operators)
        if self.first is None:
            gate = self._gate(module, False, output)
            gate.call = entered.call
            self.gates.append(gate)

    def _gate(self, module: nn.Module, entering: bool, value: Any) -> Gate:
        lives = [self._life_of(tensor) for tensor in tensors(value)]
        return Gate(module, self.calls[module], entering, len(self.operators), lives)

    def _born(self, tensor: Tensor, now: int, index: int) -> None:
        life = Life(now, index, tuple(tensor.shape), tensor.untyped_storage()._cdata)
        self._by_id[id(tensor)] = life  # an id is used again only when nobody can ask any more
        self._by_storage.setdefault(life.storage, life)
        self.lives.append(life)

    def _ask(self, given: list[Tensor], now: int) -> None:
        for tensor in given:
            life = self._life_of(tensor)
            if life is not None:
                life.asked = now

    def _life_of(self, tensor: Tensor) -> Life | None:
        found = self._by_id.get(id(tensor))
        if found is not None:
            return found
        return self._by_storage.get(tensor.untyped_storage()._cdata)  # as of ``x.data``

    def _note_writes(self, func: Operator, args: tuple[Any, ...]) -> None:
        for argument, value in zip(func._schema.arguments, args, strict=False):
            written = argument.alias_info is not None and argument.alias_info.is_write
            if written and isinstance(value, Tensor):
                storage = value.untyped_storage()._cdata
                if storage not in self._by_storage or storage in self._inputs:
                    self.public = len(self.operators)
                if self.first is not None:
                    self.written.add(storage)
