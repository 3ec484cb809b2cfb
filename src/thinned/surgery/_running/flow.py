"""Record what flows where when a model runs: values, operations, and the calls of its modules."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from thinned.surgery._models.ops import REORDERS
from thinned.surgery._models.paths import walk

from .run_example import Arguments, fresh, run_example


@dataclass
class Value:
    """What a tensor holds at one time: what made it, from which values, and where.

    Attributes:
        op: the name of the operation (``add``, ``convolution``), or ``""`` for a given tensor.
        inputs: indices of the values it was made from.
        call: index of the innermost module call, or -1.
        shape: its shape.
        users: indices of the values made from it.
        again: does to another tensor what was done to the first input, where that only reorders.
    """

    op: str
    inputs: tuple[int, ...]
    call: int
    shape: tuple[int, ...]
    users: list[int] = field(default_factory=list)
    again: Callable[[Tensor], Tensor] | None = None


@dataclass
class ModuleCall:
    """One call of one module.

    Attributes:
        index: the position in the order of calls.
        path: the first path of the module.
        module: the module.
        parent: index of the call in which it was called, or -1.
        inputs: (position or keyword, value) of each tensor given.
        given: all values it was given, nested ones too.
        first: index of the first value made in the call.
        end: index of the first value made after it.
        outputs: (key, value) of each tensor returned; the key is ``None`` for a bare tensor, else
            its position or name in the tuple, list or mapping that was returned.
        rewritten: values of inputs that were written to during the call.
    """

    index: int
    path: str
    module: nn.Module
    parent: int
    inputs: list[tuple[int | str, int]]
    given: frozenset[int]
    first: int
    end: int = 0
    outputs: list[tuple[int | str | None, int]] = field(default_factory=list)
    rewritten: set[int] = field(default_factory=set)


class Flow:
    """Values and module calls of one run.

    Attributes:
        values: all values, in the order in which they came to be.
        calls: all module calls, in the order in which they began; the first is the model's.
        dropped: values that a functional dropout was given.
        results: values that the model returned.
    """

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.calls: list[ModuleCall] = []
        self.dropped: set[int] = set()
        self.results: set[int] = set()

    def calls_of(self, module: nn.Module) -> list[ModuleCall]:
        """Return the calls of one module."""
        return [call for call in self.calls if call.module is module]

    def within(self, call: int, outer: int) -> bool:
        """Say whether a call is another one, or was made inside of it."""
        while call > outer:
            call = self.calls[call].parent
        return call == outer

    def reaches(self, source: int, target: int) -> bool:
        """Say whether a value was made from another one."""
        waiting, seen = [target], {target}
        while waiting:
            for index in self.values[waiting.pop()].inputs:
                if index == source:
                    return True
                if index > source and index not in seen:
                    seen.add(index)
                    waiting.append(index)
        return False


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
    """Sees every operation, composite ones taken apart, and numbers the values."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no types here
        self.flow = flow
        self.stack: list[int] = []
        self._known: Any = WeakIdKeyDictionary()
        self._written: dict[int, int] = {}  # storage -> the value of the last write into it

    def value(self, tensor: Tensor) -> int:
        """Return the index of what a tensor holds now."""
        index = self._known.get(tensor)
        if index is None:
            index = self._add("", (), tensor)
        write = self._written.get(_storage(tensor), -1)
        if write > index:  # written through another view of the same memory
            index = self._add("alias", (index, write), tensor)
        return int(index)

    def _add(self, op: str, inputs: tuple[int, ...], tensor: Tensor) -> int:
        values = self.flow.values
        index = len(values)
        call = self.stack[-1] if self.stack else -1
        values.append(Value(op, inputs, call, tuple(tensor.shape)))
        for each in set(inputs):
            values[each].users.append(index)
        self._known[tensor] = index
        return index

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        inputs = tuple(self.value(tensor) for tensor in given)
        out = func(*args, **kwargs)
        op = func.overloadpacket.__name__.rstrip("_")
        if op == "add" and kwargs.get("alpha", 1) != 1:
            op = "add_scaled"
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                index = self._add(op, inputs, tensor)
                if op in REORDERS:
                    self.flow.values[index].again = lambda other: func(other, *args[1:], **kwargs)
                if any(tensor is each for each in given):
                    self._written[_storage(tensor)] = index
        return out


class _Functions(TorchFunctionMode):
    """Sees functional dropout, which leaves no operation behind in evaluation."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if "dropout" in getattr(func, "__name__", ""):
            for tensor in [*args[:1], kwargs.get("input")]:
                if isinstance(tensor, Tensor):
                    self._recorder.flow.dropped.add(self._recorder.value(tensor))
        return func(*args, **kwargs)


def record(model: nn.Module, arguments: Arguments) -> Flow:
    """Run the model, inside ``evaluated``, and return what flowed where."""
    flow = Flow()
    recorder = _Recorder(flow)
    arguments = fresh(arguments)
    paths = {module: path for path, module in reversed(list(walk(model)))}
    handles = []

    def begin(module: nn.Module, args: Any, kwargs: Any) -> None:
        inputs = [(key, recorder.value(tensor)) for key, tensor in _given(args, kwargs)]
        leaves = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        given = frozenset(recorder.value(tensor) for tensor in leaves)
        parent = recorder.stack[-1] if recorder.stack else -1
        recorder.stack.append(len(flow.calls))
        call = ModuleCall(
            len(flow.calls), paths[module], module, parent, inputs, given, len(flow.values)
        )
        flow.calls.append(call)

    def end(_: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        call = flow.calls[recorder.stack.pop()]
        now = {key: recorder.value(tensor) for key, tensor in _given(args, kwargs)}
        call.rewritten = {value for key, value in call.inputs if now.get(key) != value}
        call.outputs = [(key, recorder.value(tensor)) for key, tensor in _entries(output)]
        call.end = len(flow.values)

    try:
        for module in paths:
            handles.append(module.register_forward_pre_hook(begin, with_kwargs=True))
            handles.append(module.register_forward_hook(end, with_kwargs=True, prepend=True))
        with _Functions(recorder), recorder:
            out = run_example(model, arguments)
        flow.results = {recorder.value(t) for t in tree_leaves(out) if isinstance(t, Tensor)}
    finally:
        for handle in handles:
            handle.remove()
    return flow


def _given(args: Any, kwargs: Any) -> Iterator[tuple[int | str, Tensor]]:
    for key, value in [*enumerate(args), *kwargs.items()]:
        if isinstance(value, Tensor):
            yield key, value


def _entries(output: Any) -> Iterator[tuple[int | str | None, Tensor]]:
    if isinstance(output, Tensor):
        yield None, output
    elif isinstance(output, tuple | list):
        yield from ((i, t) for i, t in enumerate(output) if isinstance(t, Tensor))
    elif hasattr(output, "items"):
        yield from ((str(k), t) for k, t in output.items() if isinstance(t, Tensor))


def _storage(tensor: Tensor) -> int:
    try:
        return int(tensor.untyped_storage()._cdata)
    except (RuntimeError, NotImplementedError):  # a tensor without one, such as a sparse tensor
        return -id(tensor)
