"""Places for dropout that a run of the model shows."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from torch import nn

from thinned.layers._rate import RateLayer
from thinned.surgery._models.ops import (
    ACTIVATES,
    BATCH_NORMS,
    GATES,
    MOVES,
    NORMALIZES,
    SAME,
    WEIGHS,
)
from thinned.surgery._models.structure import NORMS, RECURRENT
from thinned.surgery._running.flow import Flow, ModuleCall
from thinned.surgery._swapping.values import own_rate

from .placement import (
    BATCH_FIRST,
    FEATURE_MAP,
    GATE,
    NO_TAKER,
    NORM_FOLLOWS,
    OUTPUT,
    PACKED,
    SELF_NORMALIZING,
    SHARED,
    SHIFT,
    TIME_FIRST,
    UNITS,
    UNUSED,
    Plan,
    Row,
    Spot,
    row_of,
)

_OPAQUE = (*RECURRENT, nn.MultiheadAttention)


def plan_by_flow(flow: Flow, whole: Iterable[nn.Module] = (), *, careful: bool = True) -> Plan:
    """Find the activations of linear and convolution layers, and the outputs of recurrent ones.

    Args:
        flow: what a run of the model recorded.
        whole: residual blocks that are dropped as a whole: nothing goes inside of them.
        careful: leave out what a batch norm further on would notice, and what dropout behind a
            pooling or a view drops already.
    """
    return _Finder(flow, {m for block in whole for m in block.modules()}, careful).plan()


class _Finder:
    def __init__(self, flow: Flow, covered: set[nn.Module], careful: bool) -> None:
        self.flow, self.covered, self.careful = flow, covered, careful
        self.found = Plan()
        self.times: dict[nn.Module, int] = {}
        for call in flow.calls:
            self.times[call.module] = self.times.get(call.module, 0) + 1
        self.takers: dict[int, list[ModuleCall]] = {}
        for call in flow.calls:
            for _, value in call.inputs:
                self.takers.setdefault(value, []).append(call)
        self.trained = self._leads_to(WEIGHS)
        self.normed = self._leads_to(BATCH_NORMS, NORMALIZES)

    def plan(self) -> Plan:
        for index, value in enumerate(self.flow.values):
            call = self.flow.calls[value.call] if value.call >= 0 else None
            if value.op in ACTIVATES and call is not None:
                if isinstance(call.module, _OPAQUE) or call.module in self.covered:
                    continue
                fed = self._fed_by(value.inputs[0])
                if fed is not None:
                    row = row_of(call.module, convolved="conv" in self.flow.values[fed].op)
                    self._place(index, call, SELF_NORMALIZING if value.op == "selu" else row)
        for call in self.flow.calls:
            if isinstance(call.module, nn.RNNBase) and call.module not in self.covered:
                self._place_recurrent(call)
        return self.found

    def _leads_to(self, ops: AbstractSet[str], stop: AbstractSet[str] = frozenset()) -> list[bool]:
        """Say of each value whether one of these operations makes something of it."""
        values = self.flow.values
        leads = [False] * len(values)
        for index in range(len(values) - 1, -1, -1):
            leads[index] = any(
                values[user].op in ops or (leads[user] and values[user].op not in stop)
                for user in values[index].users
            )
        return leads

    def _fed_by(self, index: int) -> int | None:
        """Return the linear or convolution operation behind a value, a norm between allowed."""
        values = self.flow.values
        while True:
            value = values[index]
            if value.op in WEIGHS:
                return index
            if value.op == "add":  # a bias
                made = [i for i in value.inputs if values[i].op]
                if len(made) != 1:
                    return None
                index = made[0]
            elif value.op in SAME or value.op in NORMALIZES:
                index = value.inputs[0]
            elif value.op == "cat":  # dense connections: the newest comes last
                index = value.inputs[-1]
            else:
                return None

    def _place(self, index: int, call: ModuleCall, row: Row) -> None:
        path = call.path or "(model)"
        if self._is_dropped(index):
            self.found.already.append(path)
        elif not self.trained[index]:
            self.found.left_out[path] = OUTPUT
        elif self._is_gate(index):
            self.found.left_out[path] = GATE
        elif norm := self._norm_after(index):
            if self.careful and self.normed[norm.outputs[0][1]]:
                self.found.left_out[path] = SHIFT
            elif self.times[norm.module] == 1:
                self.found.spots.append(Spot(norm.path, norm.module, row))
            else:
                self.found.left_out[path] = NORM_FOLLOWS
        elif self.careful and self.normed[index]:
            self.found.left_out[path] = SHIFT
        elif self._is_its_module(index, call):
            self.found.spots.append(Spot(path, call.module, row))
        else:
            self._place_before_user(index, path, row)

    def _is_its_module(self, index: int, call: ModuleCall) -> bool:
        """Say whether a module exists for nothing but this activation, and is called once."""
        alone = next(call.module.children(), None) is None
        only = [value for _, value in call.outputs] == [index]
        weights = list(call.module.parameters())
        small = not weights or isinstance(call.module, nn.PReLU)
        return alone and only and small and self.times[call.module] == 1

    def _place_before_user(self, index: int, path: str, row: Row) -> None:
        """Put the layer before the one module that takes the activation's result."""
        start = len(self.flow.values[index].shape)
        while True:
            taker = self._only_taker(index)
            if taker is not None:
                if self.times[taker.module] > 1:
                    break
                flat = row is FEATURE_MAP and len(self.flow.values[index].shape) != start
                row = UNITS if flat else row
                self.found.spots.append(Spot(taker.path, taker.module, row, before=True))
                return
            users = self.flow.values[index].users
            ops = {self.flow.values[user].op for user in users}
            if not users or len(ops) != 1 or not ops <= MOVES:
                break
            if self._is_dropped_here(users[0]):
                self.found.already.append(path)
                return
            if ops <= {"permute", "transpose", "expand"} and row is not UNITS:
                break  # the channels are on another axis from here on
            index = users[0]
        self.found.left_out[path] = SHARED if self._many_users(index) else NO_TAKER

    def _many_users(self, index: int) -> bool:
        return len(self.flow.values[index].users) > 1

    def _only_taker(self, index: int) -> ModuleCall | None:
        """Return the innermost module that takes a value first, if nobody else uses it."""
        users = self.flow.values[index].users
        taking = [c for c in self.takers.get(index, []) if c.inputs[0] == (0, index)]
        for call in reversed(taking):
            if all(call.first <= user < call.end for user in users):
                return call
        return None

    def _is_dropped(self, index: int) -> bool:
        """Say whether dropout is there already, perhaps behind what moves or sums up the values."""
        if self._is_dropped_here(index):
            return True
        if not self.careful:
            return False
        values = self.flow.values
        read = [u for u in values[index].users if values[u].op in WEIGHS or self.trained[u]]
        return bool(read) and all(values[u].op in MOVES and self._is_dropped(u) for u in read)

    def _is_dropped_here(self, index: int) -> bool:
        """Say whether a module or a function drops this value."""
        return index in self.flow.dropped or any(
            isinstance(call.module, RateLayer) or own_rate(call.module) is not None
            for call in self.takers.get(index, [])
            if next(call.module.children(), None) is None
            and next(call.module.parameters(), None) is None
        )

    def _is_gate(self, index: int) -> bool:
        """Say whether a value scales another one, itself or through one layer and a sigmoid."""
        values = self.flow.values
        waiting, weighted = [(index, 0)], 1
        while waiting:
            at, crossed = waiting.pop()
            for user in values[at].users:
                op = values[user].op
                if (op == "mul" and crossed == 0) or (op in GATES and crossed == 1):
                    return True
                if op in WEIGHS and crossed < weighted:
                    waiting.append((user, crossed + 1))
                elif op in MOVES or (op == "add" and crossed):
                    waiting.append((user, crossed))
        return False

    def _norm_after(self, index: int) -> ModuleCall | None:
        """Return the norm that alone takes a value."""
        taker = self._only_taker(index)
        return taker if taker is not None and isinstance(taker.module, NORMS) else None

    def _place_recurrent(self, call: ModuleCall) -> None:
        if self.times[call.module] > 1:
            self.found.left_out[call.path] = SHARED
            return
        made = self.flow.values[call.first : call.end]
        sequence = next((value for key, value in call.outputs if key == 0), None)
        if sequence is None:
            self.found.left_out[call.path] = PACKED
        elif not self.flow.values[sequence].users:
            self.found.left_out[call.path] = UNUSED
        elif self._is_dropped(sequence):
            self.found.already.append(call.path)
        elif not self.trained[sequence]:
            self.found.left_out[call.path] = OUTPUT
        elif self.careful and self.normed[sequence]:
            self.found.left_out[call.path] = SHIFT
        elif made:
            row = BATCH_FIRST if call.module.batch_first else TIME_FIRST
            self.found.spots.append(Spot(call.path, call.module, row))
