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
    """In-place dropout on a tensor that backward or another branch still needs."""
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
        for reader in _other_readers(flow, drop):
            yield Hit(
                path=drop.path,
                message="It overwrites a tensor that is read again afterwards, as on the other "
                "side of a residual connection: that side is dropped too.",
                fix=f'model.get_submodule("{drop.path}").inplace = False',
                evidence=(f"{reader.op} at {reader.path or 'the model'} reads the same tensor",),
                severity="warning",
            )


def _needed_by_backward(flow: Flow, drop: Node) -> Node | None:
    """The operation whose saved output is written into; views share its memory."""
    for node in flow.before(drop, lambda node: node.op in _ops.VIEW):
        if node.op in _ops.SAVES_ITS_OUTPUT:
            return node
    return None


def _other_readers(flow: Flow, drop: Node) -> list[Node]:
    """Who reads, after the dropout has run, what it wrote into."""
    if not flow.traced:
        return []
    made = [flow.nodes[index] for index in drop.sources]
    return [
        reader
        for node in made
        for reader in flow.readers(node)
        if reader.index > drop.index and reader.op not in _ops.VIEW
    ]
