"""What follows what in a model: the operations of one forward, and who feeds whom."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from thinned.diagnosis import _ops


@dataclass(slots=True, kw_only=True)
class Node:
    """One operation of a forward.

    Args:
        index: its place in the order of execution.
        op: its name in ATen without the trailing underscore, or the kind of the site it stands for.
        path: the innermost module that ran it.
        sources: the indices of the operations that made what it reads.
        first: the one of them that made its first input, which an operation in place writes into;
            None where that came from elsewhere, such as a buffer.
        rate: the rate it dropped with; None if it dropped nothing.
        weighted: it read a parameter.
        trained: it read a parameter that is trained.
        inplace: it wrote into its input.
        shape: the shape of its first input; None where only the structure was read.
        where: ``file:line`` of the code that asked for it (only of random operations).
        caller: name of the function of torch through which it was asked (``dropout2d``).
        unregistered: it ran in a module that is no submodule of the model.
        unsafe_checkpoint: it ran in activation checkpointing that keeps no generator state.
        kernel: size of a convolution's window in elements; 0 for all else.
    """

    index: int
    op: str
    path: str = ""
    sources: tuple[int, ...] = ()
    first: int | None = None
    rate: float | None = None
    weighted: bool = False
    trained: bool = False
    inplace: bool = False
    shape: tuple[int, ...] | None = None
    where: str = ""
    caller: str = ""
    unregistered: bool = False
    unsafe_checkpoint: bool = False
    kernel: int = 0

    @property
    def drops(self) -> bool:
        """It drops elements or channels at a rate above 0."""
        return bool(self.rate) and self.op in _ops.DROP | _ops.CHANNEL_DROP

    @property
    def random(self) -> bool:
        """It draws random numbers."""
        return self.rate is not None or self.op in _ops.RANDOM

    @property
    def switched_off(self) -> bool:
        """It would drop, but its rate is 0 or it is in evaluation."""
        return self.rate == 0 and self.op not in _ops.RECURRENT | _ops.ATTENTION

    @property
    def transparent(self) -> bool:
        """It reshapes or scales by a constant, and mixes nothing."""
        single = self.op in _ops.SCALE and len(self.sources) <= 1
        return self.op in _ops.VIEW or single or self.switched_off

    @property
    def elementwise(self) -> bool:
        """It reshapes, scales or bends single elements."""
        return self.transparent or self.op in _ops.ACTIVATION


@dataclass(slots=True)
class Flow:
    """The operations of one forward, in order.

    Args:
        nodes: the operations.
        outputs: indices of those that made what the model returned.
        traced: whether the model was run; else only the order in ``nn.Sequential`` is known.
    """

    nodes: list[Node] = field(default_factory=list)
    outputs: frozenset[int] = frozenset()
    traced: bool = False
    _readers: dict[int, list[Node]] | None = None

    def drops(self) -> Iterator[Node]:
        """The operations that drop elements or channels at a rate above 0."""
        return (node for node in self.nodes if node.drops)

    def readers(self, node: Node) -> list[Node]:
        """The operations that read what ``node`` made."""
        if self._readers is None:
            self._readers = {}
            for reader in self.nodes:
                for source in set(reader.sources):
                    self._readers.setdefault(source, []).append(reader)
        return self._readers.get(node.index, [])

    def before(self, node: Node, through: Callable[[Node], bool]) -> list[Node]:
        """The nearest operations upstream that ``through`` does not let pass, nearest first."""
        return self._walk(node, through, lambda n: [self.nodes[i] for i in n.sources])

    def after(self, node: Node, through: Callable[[Node], bool]) -> list[Node]:
        """The nearest operations downstream that ``through`` does not let pass, nearest first."""
        return self._walk(node, through, self.readers)

    def all_before(self, node: Node) -> list[Node]:
        """Everything upstream."""
        found: list[Node] = []

        def note(other: Node) -> bool:
            found.append(other)
            return True

        self.before(node, note)
        return found

    def is_output(self, node: Node, through: Callable[[Node], bool]) -> bool:
        """Say whether what ``node`` made is returned, and read by nothing ``through`` stops at."""
        seen, waiting, returned = {node.index}, [node], False
        while waiting:
            current = waiting.pop()
            returned = returned or current.index in self.outputs
            for reader in self.readers(current):
                if not through(reader):
                    return False
                if reader.index not in seen:
                    seen.add(reader.index)
                    waiting.append(reader)
        return returned

    @staticmethod
    def _walk(
        start: Node, through: Callable[[Node], bool], step: Callable[[Node], list[Node]]
    ) -> list[Node]:
        found: list[Node] = []
        seen, waiting = {start.index}, [start]
        while waiting:
            following: list[Node] = []
            for current in waiting:
                for node in step(current):
                    if node.index in seen:
                        continue
                    seen.add(node.index)
                    (following if through(node) else found).append(node)
            waiting = following
        return found
