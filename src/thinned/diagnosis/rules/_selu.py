"""Self-normalising networks: SELU and alpha dropout belong together."""

from collections.abc import Iterator

from thinned.diagnosis import _ops
from thinned.diagnosis._context import Context
from thinned.diagnosis._flow import Flow, Node
from thinned.diagnosis._rule import Hit, rule
from thinned.diagnosis.rules._placement import place_of

KLAMBAUER = "Klambauer et al. 2017, https://arxiv.org/abs/1706.02515"


def _passes(node: Node) -> bool:
    return node.transparent or node.drops or node.op in _ops.MAX_POOL | _ops.MEAN_POOL


def _around(flow: Flow, drop: Node) -> tuple[list[Node], list[Node]]:
    return flow.before(drop, _passes), flow.after(drop, _passes)


@rule(
    "alpha-dropout-without-selu",
    severity="warning",
    reference=KLAMBAUER + "; gc-os-ai/pyaptamer pull request 362",
    better_with_input=True,
)
def alpha_dropout_without_selu(context: Context) -> Iterator[Hit]:
    """Alpha dropout on what SELU did not make: it sets units to a value that fits SELU only."""
    for drop in context.flow.drops():
        if drop.op not in _ops.ALPHA:
            continue
        before, after = _around(context.flow, drop)
        made = [node for node in before if node.op != "input"]
        if not made or any(node.op == "selu" for node in (*made, *after)):
            continue
        plain = "Dropout" if drop.op == "alpha_dropout" else "Dropout2d"
        yield Hit(
            path=drop.path,
            message="Alpha dropout sets dropped units to -1.758, where SELU saturates, and "
            "rescales for inputs of mean 0 and variance 1. Here no SELU stands beside it.",
            fix=f"Use nn.{plain} here, or SELU before it with LeCun-normal weights.",
            evidence=(f"{place_of(drop)} gets the output of {made[0].op} at {made[0].path}",),
        )


@rule(
    "dropout-with-selu",
    severity="warning",
    reference=KLAMBAUER + ' ("new dropout technique")',
    better_with_input=True,
)
def dropout_with_selu(context: Context) -> Iterator[Hit]:
    """Plain dropout beside SELU: it moves mean and variance, which SELU keeps by itself."""
    for drop in context.flow.drops():
        if drop.op in _ops.ALPHA:
            continue
        before, after = _around(context.flow, drop)
        selus = [node for node in (*before, *after) if node.op == "selu"]
        if not selus:
            continue
        plain = "FeatureAlphaDropout" if drop.op in _ops.CHANNEL_DROP else "AlphaDropout"
        fix = f"Use nn.{plain}, at rates of 0.05 to 0.1"
        if plain == "AlphaDropout":
            fix += f': thinned.swap(model, {{"Dropout": "alpha"}}, include="{drop.path}")'
        yield Hit(
            path=drop.path,
            message="SELU keeps mean 0 and variance 1 from layer to layer; plain dropout sets "
            "units to 0, which is not SELU's low value, and the variance grows by 1/(1-p).",
            fix=fix + ".",
            evidence=(f"{place_of(drop)} stands beside selu at {selus[0].path}",),
        )
