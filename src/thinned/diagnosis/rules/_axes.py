"""Channel dropout: on tensors of the right rank, and along the right axis."""

from collections.abc import Iterator

from thinned.diagnosis import _ops
from thinned.diagnosis._context import Context
from thinned.diagnosis._flow import Flow, Node
from thinned.diagnosis._rule import Hit, rule
from thinned.diagnosis.rules._placement import place_of

RANKS = {"dropout1d": 3, "dropout2d": 4, "dropout3d": 5}
CHANNELS_LAST = frozenset({"linear", "embedding", "layer_norm", "addmm"})


@rule(
    "channel-dropout-rank",
    severity="error",
    reference="https://github.com/pytorch/pytorch/issues/69801; torch.nn.Dropout1d, Dropout2d, "
    "Dropout3d in the documentation of PyTorch",
    better_with_input=True,
)
def channel_dropout_rank(context: Context) -> Iterator[Hit]:
    """Dropout1d, 2d or 3d on a tensor of another rank: it drops something else than channels."""
    flow = context.flow
    for drop in flow.drops():
        expected = RANKS.get(drop.caller)
        if expected is None:
            continue
        given = _rank(flow, drop)
        if given == expected:
            continue
        if given is None:
            made = flow.before(drop, lambda node: node.op in _ops.ACTIVATION)
            flat = [node for node in made if node.op in {"linear", "flatten"}]
            if not flat:
                continue
            evidence = f"{place_of(drop)} follows {flat[0].op} at {flat[0].path}"
        else:
            evidence = f"{place_of(drop)} gets {given} axes, and expects {expected}"
        yield Hit(
            path=drop.path,
            message=f"{drop.caller.capitalize()} is for tensors of {expected} axes (batch, "
            f"channels, positions). {_what_happens(drop.caller, given)}",
            fix=_fix(drop, given),
            evidence=(evidence,),
        )


def _rank(flow: Flow, drop: Node) -> int | None:
    """The rank of what the user gave; torch adds an axis to what it takes for a single sample."""
    if drop.shape is None:
        return None
    source = flow.nodes[drop.sources[0]] if drop.sources else None
    added = source is not None and source.op == "unsqueeze" and source.index == drop.index - 1
    return len(drop.shape) - added


def _what_happens(caller: str, given: int | None) -> str:
    if given is None:
        return "After a linear layer there are no positions, and whole samples are dropped."
    if given == RANKS[caller] - 1 and caller != "dropout2d":
        return "This one is taken for a single sample: its first axis, the batch, is dropped."
    if caller == "dropout2d" and given == 3:
        return "With three, torch takes the second axis for the channels, and warns."
    return "What it drops here is not what its name says."


def _fix(drop: Node, given: int | None) -> str:
    right = {2: "nn.Dropout", 3: "nn.Dropout1d", 4: "nn.Dropout2d", 5: "nn.Dropout3d"}
    name = right.get(given or 2, "nn.Dropout")
    return f"Use {name} at {drop.path or 'this place'}."


@rule(
    "channel-dropout-axis",
    severity="warning",
    reference="https://github.com/PetrochukM/PyTorch-NLP/issues/71; Gal, Ghahramani 2016, "
    "https://arxiv.org/abs/1512.05287",
    needs=("example_input",),
)
def channel_dropout_axis(context: Context) -> Iterator[Hit]:
    """Channel dropout on (batch, time, features): it drops whole time steps, not features."""
    flow = context.flow
    for drop in flow.drops():
        if drop.caller not in RANKS or drop.shape is None or len(drop.shape) < 3:
            continue
        made = flow.before(drop, lambda node: node.op in _ops.ACTIVATION)
        last = [n for n in made if n.op in CHANNELS_LAST and len(n.shape or ()) >= 2]
        if last and _rank(flow, drop) == len(drop.shape):
            yield Hit(
                path=drop.path,
                message="Axis 1 is dropped whole, and here it is not the features: the layer "
                "before writes them to the last axis. So whole time steps or positions vanish.",
                fix="thinned.layers.SpatialDropout(p, channel_dim=-1), or transpose before and "
                "after.",
                evidence=(f"{place_of(drop)} gets {drop.shape} from {last[0].op}",),
            )
