"""Writing into a tensor that a backward pass still needs, with dropout at either end of it."""

from collections.abc import Iterator

from thinned.diagnosis import _ops
from thinned.diagnosis._context import Context
from thinned.diagnosis._flow import Flow, Node
from thinned.diagnosis._rule import Hit, rule
from thinned.diagnosis.rules._placement import place_of

CHANGED = "https://github.com/pytorch/pytorch/issues/28017"


@rule(
    "inplace-dropout",
    severity="error",
    reference=f"{CHANGED}; https://github.com/pytorch/vision/issues/7174",
    better_with_input=True,
)
def inplace_dropout(context: Context) -> Iterator[Hit]:
    """In-place dropout on the output of an activation whose backward still needs it."""
    flow = context.flow
    for drop in flow.nodes:
        if not drop.inplace or not (drop.drops or _will_drop(context, drop)):
            continue
        needed = _needed_by_backward(flow, drop)
        if needed is not None:
            when = "on the first step" if drop.drops else "once the schedule leaves rate 0"
            yield Hit(
                path=drop.path,
                message=f"It overwrites the output of {needed.op}, which the backward pass of "
                f"{needed.op} reads: training stops with an error {when}.",
                fix=f'model.get_submodule("{drop.path}").inplace = False',
                evidence=(f"{place_of(drop)} writes into what {needed.path or 'the model'} made",),
            )


@rule("inplace-after-dropout", severity="warning", reference=CHANGED, better_with_input=True)
def inplace_after_dropout(context: Context) -> Iterator[Hit]:
    """An in-place operation after dropout whose rate comes to 0: there both have one memory."""
    flow = context.flow
    for drop in flow.drops():
        needed, writer = _needed_by_backward(flow, drop), _writer(flow, drop)
        span = context.range_at(drop.path)
        if drop.inplace or needed is None or writer is None or span is None or span[0] > 0.0:
            continue
        yield Hit(
            path=drop.path,
            message=f"At rate 0 dropout hands on its input, the output of {needed.op}, and "
            f"{writer.op} writes into it, though the backward pass of {needed.op} reads it: "
            "training stops with an error once the schedule comes to rate 0.",
            fix=f"Let {writer.op} return a new tensor (inplace=False; `x = x + y` for `x += y`), "
            "or keep the schedule above 0.",
            evidence=(f"{place_of(drop)}, then {writer.op} in {writer.path or 'the model'}",),
        )


def _will_drop(context: Context, node: Node) -> bool:
    """Say whether dropout is at rate 0 only until a schedule moves it."""
    module = context.modules.get(node.path)
    at_rest = module is not None and not module.training and context.model.training
    span = context.range_at(node.path)
    moves = span is not None and span[1] > 0.0
    return moves and node.op in _ops.DROP | _ops.CHANNEL_DROP and not at_rest


def _needed_by_backward(flow: Flow, node: Node) -> Node | None:
    """The operation whose saved output a node takes; views share its memory."""
    for before in flow.before(node, lambda n: n.op in _ops.ALIAS):
        if before.op in _ops.SAVES_ITS_OUTPUT:
            return before
    return None


def _writer(flow: Flow, drop: Node) -> Node | None:
    """The first operation that writes into what a dropout hands on, or into a view of it."""
    shared = {drop.index}
    for node in flow.nodes[drop.index + 1 :]:
        if node.first in shared:
            if node.inplace:
                return node
            if node.op in _ops.ALIAS:
                shared.add(node.index)
    return None
