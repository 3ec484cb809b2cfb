"""Dropout that writes into its input."""

from collections.abc import Iterator

from thinned.diagnosis import _ops
from thinned.diagnosis._context import Context
from thinned.diagnosis._flow import Flow, Node
from thinned.diagnosis._rule import Hit, rule
from thinned.diagnosis.rules._placement import place_of


@rule(
    "inplace-dropout",
    severity="error",
    reference="https://github.com/pytorch/pytorch/issues/28017; "
    "https://github.com/pytorch/vision/issues/7174",
    better_with_input=True,
)
def inplace_dropout(context: Context) -> Iterator[Hit]:
    """In-place dropout on the output of an activation whose backward still needs it."""
    flow = context.flow
    for drop in flow.drops():
        if not drop.inplace or not drop.sources:
            continue
        needed = _needed_by_backward(flow, drop)
        if needed is not None:
            yield Hit(
                path=drop.path,
                message=f"It overwrites the output of {needed.op}, which the backward pass of "
                f"{needed.op} reads: training stops with an error on the first step.",
                fix=f'model.get_submodule("{drop.path}").inplace = False',
                evidence=(f"{place_of(drop)} writes into what {needed.path or 'the model'} made",),
            )


def _needed_by_backward(flow: Flow, drop: Node) -> Node | None:
    """The operation whose saved output is written into; views share its memory."""
    for node in flow.before(drop, lambda node: node.op in _ops.ALIAS):
        if node.op in _ops.SAVES_ITS_OUTPUT:
            return node
    return None
