"""Where dropout stands: after what, before what, and how often on one path."""

from collections.abc import Iterator

from torch import nn

from thinned.diagnosis import _ops
from thinned.diagnosis._context import Context
from thinned.diagnosis._flow import Node
from thinned.diagnosis._rule import Hit, rule

LAST_LAYERS = _ops.CONVOLUTION | {"linear", "addmm", "bilinear"}
SRIVASTAVA = "Srivastava et al. 2014, JMLR 15, https://jmlr.org/papers/v15/srivastava14a.html"


def place_of(node: Node) -> str:
    """Where a reader finds an operation: its module, and the line if it is a function call."""
    return f"{node.path} ({node.where})".strip() if node.where else node.path


def near(path: str) -> str:
    """Return code that switches the dropout at a path off."""
    return f'thinned.set_rate(model, 0.0, include="{path or "*"}")'


@rule(
    "dropout-on-output",
    severity="warning",
    reference=SRIVASTAVA + ", section 4",
    better_with_input=True,
)
def dropout_on_output(context: Context) -> Iterator[Hit]:
    """Dropout on what the model returns: predictions are zeroed before the loss sees them."""
    flow = context.flow
    for drop in flow.drops():
        if not flow.is_output(drop, lambda node: node.elementwise or node.op in _ops.SOFTMAX):
            continue
        made = flow.before(drop, lambda node: node.elementwise)
        if not any(node.op in LAST_LAYERS for node in made):
            continue  # features of a body without a head, or attention weights beside the result
        yield Hit(
            path=drop.path,
            message=f"A share of {drop.rate:g} of the model's own outputs is set to zero in "
            "training, and the rest scaled up: the loss compares noise with the targets.",
            fix=f"Put the dropout before the last layer; now: {near(drop.path)}",
            evidence=(f"{place_of(drop)} is followed by no layer with weights",),
        )


@rule(
    "double-dropout",
    severity="warning",
    reference=SRIVASTAVA + ", appendix A.4 (rates of a layer)",
    better_with_input=True,
)
def double_dropout(context: Context) -> Iterator[Hit]:
    """Two dropouts with no layer between: together a higher rate than either."""
    flow = context.flow
    for second in flow.drops():
        for first in flow.before(second, lambda node: node.elementwise):
            if not first.drops:
                continue
            both = 1 - (1 - (first.rate or 0)) * (1 - (second.rate or 0))
            yield Hit(
                path=second.path,
                message=f"{place_of(first)} and {place_of(second)} drop the same units one after "
                f"the other: rates {first.rate:g} and {second.rate:g} make {both:.2g}.",
                fix=f"Keep one of the two; now: {near(second.path)}",
                evidence=("between them there is no layer with weights",),
            )


@rule(
    "stacked-stochastic-depth",
    severity="advice",
    reference="Huang et al. 2016, https://arxiv.org/abs/1603.09382; Touvron et al. 2021 (DeiT, "
    "table 9: dropout off where stochastic depth is on), https://arxiv.org/abs/2012.12877",
    better_with_input=True,
)
def stacked_stochastic_depth(context: Context) -> Iterator[Hit]:
    """Stochastic depth right after dropout on the same branch: two regularizers for one place."""
    flow = context.flow
    for path_drop in flow.nodes:
        if path_drop.op != "drop_path" or not path_drop.rate:
            continue
        for drop in flow.before(path_drop, lambda node: node.elementwise):
            if drop.drops:
                yield Hit(
                    path=path_drop.path,
                    message=f"The branch is dropped whole at rate {path_drop.rate:g}, and its "
                    f"output elementwise at rate {drop.rate:g} just before.",
                    fix=f"Keep stochastic depth: {near(drop.path)}",
                    evidence=(f"{place_of(drop)} feeds {path_drop.path}",),
                )


@rule(
    "dropout-before-pooling",
    severity="advice",
    reference="Wu, Gu 2015, https://arxiv.org/abs/1512.00242; also a rule of NeuraLint (Nikanjam "
    "et al. 2021), https://arxiv.org/abs/2105.08095",
    better_with_input=True,
)
def dropout_before_pooling(context: Context) -> Iterator[Hit]:
    """Elementwise dropout right before pooling, which undoes part of it."""
    flow = context.flow
    for drop in flow.drops():
        if drop.op in _ops.CHANNEL_DROP or (drop.shape is not None and len(drop.shape) < 3):
            continue
        for pool in flow.after(drop, lambda node: node.elementwise):
            if pool.op in _ops.MAX_POOL:
                what = "takes the largest of what is left, so hardly a unit is really dropped"
            elif pool.op in _ops.MEAN_POOL - {"mean"}:
                what = "averages the noise away"
            else:
                continue
            yield Hit(
                path=drop.path,
                message=f"Single elements are dropped, and then the pooling {pool.path!r} {what}.",
                fix=f"Drop after the pooling, or whole channels: {_spatial(context, drop)}",
                evidence=(f"{place_of(drop)} feeds {pool.op} at {pool.path}",),
            )


@rule(
    "elementwise-on-feature-map",
    severity="advice",
    reference="Tompson et al. 2015, section 3.2, https://arxiv.org/abs/1411.4280; Ghiasi et al. "
    "2018 (DropBlock), https://arxiv.org/abs/1810.12890",
    better_with_input=True,
)
def elementwise_on_feature_map(context: Context) -> Iterator[Hit]:
    """Elementwise dropout on the map of a convolution, where neighbours hold the same."""
    flow = context.flow
    for drop in flow.drops():
        if drop.op != "dropout" or not _is_map(drop.shape):
            continue
        made = flow.before(drop, _keeps_map)
        if any(node.op in _ops.CONVOLUTION and node.kernel > 1 for node in made):
            size = "x".join(map(str, drop.shape[2:])) if drop.shape else "an unknown size"
            yield Hit(
                path=drop.path,
                message="Single elements of a convolution's map are dropped; their neighbours "
                "overlap with them and still carry what was dropped.",
                fix=_spatial(context, drop),
                evidence=(f"{place_of(drop)} gets a map of {size} from {made[0].path}",),
            )


def _spatial(context: Context, drop: Node) -> str:
    """Code that drops whole channels instead: a swap where a layer can be swapped."""
    if isinstance(context.modules.get(drop.path), nn.Dropout):
        return f'thinned.swap(model, {{"Dropout": "spatial"}}, include="{drop.path}")'
    host, colon, _ = drop.path.partition(":")
    if colon:  # a hook that somebody inserted
        return f'Insert channel dropout at {host!r} instead: thinned.insert(model, "spatial", ...)'
    return "F.dropout2d(x, p, self.training)"


def _is_map(shape: tuple[int, ...] | None) -> bool:
    return shape is None or (len(shape) == 4 and shape[2] * shape[3] > 1)


def _keeps_map(node: Node) -> bool:
    if node.shape is None and node.op == "flatten":
        return False
    return node.elementwise or node.op in _ops.NORM | _ops.MAX_POOL
