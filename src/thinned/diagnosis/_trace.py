"""Record what follows what, by running a model once."""

import dataclasses
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from thinned.diagnosis import _ops
from thinned.diagnosis._flow import Flow, Node
from thinned.diagnosis._neutral import hooked

TORCH = str(Path(torch.__file__).parent)
OURS = str(Path(__file__).parents[1])
STANDARD = sysconfig.get_path("stdlib")
CHECKPOINT = str(Path(TORCH, "utils", "checkpoint.py"))
FUNCTIONAL = str(Path(TORCH, "nn", "functional.py"))


def record(
    call: Callable[[], Any],
    given: Any,
    paths: Mapping[int, str],
    black_boxes: Mapping[int, tuple[str, float]],
) -> tuple[Flow, Any]:
    """Run the model as it stands and return the flow, and what the model returned.

    Operations are seen before autograd takes them apart: ``aten.dropout`` instead of a Bernoulli
    draw, a division and a product.

    Args:
        call: runs the model.
        given: what it is called with.
        paths: the path of each module of the model, by the module's id.
        black_boxes: modules that count as one operation, by id: its name, and its rate.
    """
    recorder = _Recorder(paths, black_boxes)
    for tensor in _tensors(given):
        recorder.add("input", (tensor,), (tensor,))
    handles = (
        register_module_forward_pre_hook(recorder.enter),
        register_module_forward_hook(recorder.leave),
    )
    with hooked(handles), _below_autograd(), recorder:
        output = call()
    returned = [recorder.makers.get(tensor) for tensor in _tensors(output)]
    outputs = frozenset(maker for maker in returned if maker is not None)
    return Flow(recorder.nodes, outputs, traced=True), output


def _below_autograd() -> Any:
    """Composite operations reach us whole, and tensors made here are ordinary ones.

    ``torch.inference_mode`` would do the first only: a cache that somebody's forward fills would
    hold inference tensors, and fail in training later.
    """
    return torch._C._AutoDispatchBelowAutograd()


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch types it not
    """Makes a node of each operation, and knows which node made a tensor."""

    def __init__(
        self, paths: Mapping[int, str], black_boxes: Mapping[int, tuple[str, float]]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch types it not
        self.paths = paths
        self.black_boxes = black_boxes
        self.nodes: list[Node] = []
        self.makers: Any = WeakIdKeyDictionary()
        self.stack: list[nn.Module] = []
        self.box: _Box | None = None

    def enter(self, module: nn.Module, _: Any) -> None:
        """Note that a module begins."""
        self.stack.append(module)
        if self.box is None and id(module) in self.black_boxes:
            self.box = _Box(module)

    def leave(self, module: nn.Module, _: Any, output: Any) -> None:
        """Note that a module ends; a black box becomes one node."""
        while self.stack and self.stack.pop() is not module:
            pass  # a module inside was left by an exception that its caller caught
        if self.box is None or self.box.module is not module:
            return
        box, self.box = self.box, None
        self.stack.append(module)
        name, rate = self.black_boxes[id(module)]
        node = self.add(name, box.shapes, tuple(_tensors(output)), sources=box.sources)
        node.rate = rate if box.random else 0.0
        self._locate(node)
        self.stack.pop()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        read = tuple(_tensors((args, kwargs)))
        sources = [self.makers.get(tensor) for tensor in read]
        output = func(*args, **kwargs)
        name = func._schema.name.rpartition("::")[2]
        op = name.rstrip("_")
        if self.box is not None:
            rate = _rate(func, args, kwargs)
            self.box.add(sources, read, random=op in _ops.RANDOM or bool(rate))
            return output
        if op == "dropout" and output is (args[0] if args else None) and not name.endswith("_"):
            return output  # the rate is 0, or it is evaluation: nothing was done
        node = self.add(op, read, tuple(_tensors(output)))
        node.inplace = name.endswith("_") and not name.startswith("_")
        node.rate = _rate(func, args, kwargs)
        if op in _ops.CONVOLUTION and len(read) > 1:
            node.kernel = read[1].shape[2:].numel()
        if node.random:
            self._locate(node)
        return output

    def add(
        self,
        op: str,
        read: tuple[Tensor, ...],
        made: tuple[Tensor, ...],
        sources: list[int] | None = None,
    ) -> Node:
        """Add an operation that reads some tensors and makes others."""
        found = sources if sources is not None else [self.makers.get(tensor) for tensor in read]
        module = self.stack[-1] if self.stack else None
        node = Node(
            index=len(self.nodes),
            op=op,
            path=self._path(),
            sources=tuple(dict.fromkeys(maker for maker in found if maker is not None)),
            first=found[0] if found else None,
            weighted=any(isinstance(tensor, nn.Parameter) for tensor in read),
            trained=any(isinstance(t, nn.Parameter) and t.requires_grad for t in read),
            shape=tuple(read[0].shape) if read else None,
            unregistered=module is not None and id(module) not in self.paths,
        )
        self.nodes.append(node)
        for tensor in made:
            self.makers[tensor] = node.index
        return node

    def _path(self) -> str:
        """The innermost module's path; a module of no path is named below the one that has."""
        unknown: list[str] = []
        for module in reversed(self.stack):
            path = self.paths.get(id(module))
            if path is not None:
                return ".".join([path, *reversed(unknown)]).strip(".")
            unknown.append(type(module).__name__)
        return ".".join(reversed(unknown))

    @staticmethod
    def _locate(node: Node) -> None:
        """Find who asked for a random operation, and whether a recomputation would differ."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and frame.f_code is not record.__code__:
            file = frame.f_code.co_filename
            if file == FUNCTIONAL and not node.caller:
                node.caller = frame.f_code.co_name.removeprefix("_")
            if file == CHECKPOINT:
                kept = [frame.f_locals.get(n, True) for n in ("preserve", "preserve_rng_state")]
                node.unsafe_checkpoint = node.unsafe_checkpoint or not all(kept)
            if not node.where and _is_users(file):
                node.where = f"{Path(file).name}:{frame.f_lineno}"
            frame = frame.f_back


def _is_users(file: str) -> bool:
    """Say whether a file is neither torch's nor ours nor of the standard library."""
    if file.startswith((TORCH, OURS, "<")):
        return False
    return "site-packages" in file or not file.startswith(STANDARD)


@dataclasses.dataclass
class _Box:
    """What happens inside of a module that counts as one operation."""

    module: nn.Module
    sources: list[int] = dataclasses.field(default_factory=list)
    shapes: tuple[Tensor, ...] = ()
    random: bool = False

    def add(self, sources: list[int | None], read: tuple[Tensor, ...], *, random: bool) -> None:
        self.sources += [source for source in sources if source is not None]
        self.shapes = self.shapes or read[:1]
        self.random = self.random or random


def _rate(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float | None:
    """The rate with which an operation drops; None if it is none that can."""
    names = [argument.name for argument in func._schema.arguments]
    values = {**dict(zip(names, args, strict=False)), **kwargs}
    op = func._schema.name.rpartition("::")[2].rstrip("_")
    if op in _ops.DROP | _ops.CHANNEL_DROP:
        return float(values["p"]) if values["train"] in (True, None) else 0.0
    if op in _ops.ATTENTION:
        return float(values.get("dropout_p", 0.0))
    if op in _ops.RECURRENT:
        between = values["train"] and values["num_layers"] > 1
        return float(values["dropout"]) if between else 0.0
    return None


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists, mappings and output objects."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _tensors(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for f in dataclasses.fields(value):
            yield from _tensors(getattr(value, f.name, None))


def tensors(value: Any) -> list[Tensor]:
    """Return all tensors in nested tuples, lists, mappings and dataclasses."""
    return list(_tensors(value))
