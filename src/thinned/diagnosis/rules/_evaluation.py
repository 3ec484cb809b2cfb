"""Dropout that is still alive in evaluation."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from thinned.diagnosis import _calls, _ops
from thinned.diagnosis._context import Context, unregistered
from thinned.diagnosis._flow import Node
from thinned.diagnosis._rule import Hit, rule

GATED = {
    "attention": "F.scaled_dot_product_attention(..., dropout_p=self.p if self.training else 0.0)",
    "function": "F.dropout(x, self.p, self.training)",
    "module": "Let `eval()` reach it: do not override `train()`, do not call `.train()` on it.",
}
INTENDED = "If it is meant (Monte Carlo dropout, the prenet of Tacotron): ignore this rule."


@rule(
    "alive-in-eval",
    severity="error",
    reference="https://github.com/pytorch/pytorch/issues/124464; "
    "https://github.com/huggingface/pytorch-image-models/pull/1978",
    better_with_input=True,
)
def alive_in_eval(context: Context) -> Iterator[Hit]:
    """Dropout that still drops after `model.eval()`, as attention with a bare `dropout_p` does."""
    if context.evaluation is None:
        yield from _by_source(context)
        return
    flow = context.evaluation.flow
    for node in flow.nodes:
        mask = node.op == "bernoulli"  # a mask drawn by hand, or sampling that is meant so
        if not (node.rate or mask) or _has_its_own_rule(context, node):
            continue
        yield Hit(
            path=node.path,
            message="Dropout drops in evaluation too: validation and predictions are noisy.",
            fix=f"{_fix(context, node)} {INTENDED}",
            evidence=(
                f"{node.op} ran {_at(node)} after eval(), {node.where}".rstrip(", "),
                f"two forwards in evaluation differ: {not context.evaluation.same}",
            ),
            severity="warning" if mask else None,
        )


def _has_its_own_rule(context: Context, node: Node) -> bool:
    """Say whether it ran in a layer kept in a list, or built in forward."""
    if not node.unregistered:
        return False
    around = [
        path for path in context.modules if f"{node.path}.".startswith(f"{path}.") or not path
    ]
    module = context.modules[max(around, key=len)]
    built = any(_calls.builds_dropout(found.target(module)) for found in _calls.calls(module))
    return built or bool(unregistered(module))


def _at(node: Node) -> str:
    return f"at rate {node.rate:g}" if node.rate is not None else "as a mask of its own"


def _fix(context: Context, node: Node) -> str:
    if node.op in _ops.ATTENTION:
        return GATED["attention"]
    layer = context.modules.get(node.path)
    is_layer = layer is not None and not layer._modules
    is_site = any(site.owner is layer for site in context.sites)
    return GATED["module"] if is_layer and is_site else GATED["function"]


def _by_source(context: Context) -> Iterator[Hit]:
    """Without a run: calls that say training=True, or nothing, where True is the default."""
    for path, module in context.modules.items():
        for found in _calls.calls(module):
            if found.guarded:
                continue
            target = found.target(module)
            fix = ""
            if any(target is drop for drop in _calls.DROPS) and _always_on(found, module):
                fix = GATED["function"]
            elif target is _calls.ATTENTION and _positive(found.constant(4, "dropout_p", module)):
                fix = GATED["attention"]
            if fix:
                yield Hit(
                    path=path,
                    message=f"{type(module).__name__} calls dropout without asking whether it is "
                    "in training: it drops in evaluation too.",
                    fix=f"{fix} {INTENDED}",
                    evidence=(f"read in the source at {found.where}",),
                )


def _always_on(found: _calls.Found, module: nn.Module) -> bool:
    if found.constant(1, "p", module) == 0:
        return False
    if found.argument(2, "training") is None:
        return True
    return found.constant(2, "training", module) is True and not _reads_training(found)


def _reads_training(found: _calls.Found) -> bool:
    given = found.argument(2, "training")
    return getattr(given, "attr", "") == "training"


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


@rule(
    "unregistered-dropout",
    severity="error",
    reference="https://github.com/namisan/mt-dnn/issues/45",
)
def unregistered_dropout(context: Context) -> Iterator[Hit]:
    """Dropout kept in a plain list or dict: `eval()` never reaches it, and it drops for ever."""
    for path, module in context.modules.items():
        for name, hidden in unregistered(module).items():
            drops = [
                inner
                for inner in hidden.modules()
                if isinstance(inner, nn.modules.dropout._DropoutNd) and inner.training and inner.p
            ]
            if drops:
                yield Hit(
                    path=f"{path}.{name}".strip("."),
                    message="A module with dropout is kept where torch does not look: eval(), "
                    "rates, devices and checkpoints all pass it by.",
                    fix="Keep it in nn.ModuleList or nn.ModuleDict.",
                    evidence=(
                        f"{len(drops)} dropout layer(s) in training mode, rate {drops[0].p:g}",
                    ),
                )


@rule(
    "eval-not-repeatable",
    severity="note",
    reference="https://pytorch.org/docs/stable/notes/randomness.html",
    needs=("example_input",),
)
def eval_not_repeatable(context: Context) -> Iterator[Hit]:
    """Two forwards in evaluation differ, and no random operation of torch was seen."""
    run = context.evaluation
    if run is None or run.same or any(node.random for node in run.flow.nodes):
        return
    yield Hit(
        path="",
        message="Two forwards in evaluation returned different values, though torch drew no random "
        "number: numpy's or Python's generator is used, or a state moves.",
        fix="Draw from torch's generator, and only where self.training is true.",
        evidence=("two forwards in evaluation differ",),
    )
