"""Rates that are set and do nothing."""

from collections.abc import Iterator

from torch import nn

from thinned.diagnosis._context import Context
from thinned.diagnosis._rule import Hit, rule
from thinned.surgery import Site, find_sites

RUN_KINDS = frozenset({"dropout", "drop_path", "drop_block", "token_drop"})


@rule(
    "dead-site",
    severity="warning",
    reference="https://github.com/pytorch/pytorch/issues/5985; "
    "https://github.com/huggingface/transformers/issues/14914",
    better_with_input=True,
)
def dead_site(context: Context) -> Iterator[Hit]:
    """A rate above 0 that no forward follows, such as the dropout of a one-layer LSTM."""
    for site in context.sites:
        if site.live is not False or site.rate == 0:
            continue
        excuse = _excuse(context, site)
        yield Hit(
            path=site.path,
            message=f"{site.cls}.{site.attribute} is {site.rate:g}, and nothing is dropped by it."
            + excuse,
            fix=_fix(site, excuse),
            evidence=(site.note or "a forward with another rate here drew the same numbers",),
            severity="note" if excuse else None,
        )


def _excuse(context: Context, site: Site) -> str:
    """Why a dead rate may be meant so; empty if nothing speaks for it."""
    live = [other for other in context.sites if other.live and other is not site]
    if site.kind != "dropout" and any(o.kind == site.kind and o.cls == site.cls for o in live):
        return " Others of its class are live: here the block may have no residual connection."
    of_torch = type(site.owner).__module__.startswith("torch.")
    if ":" in site.path and not of_torch and any(o.rate == site.rate for o in live):
        return " A live site has the same rate: this one may only record how that was built."
    return ""


def _fix(site: Site, excuse: str) -> str:
    if isinstance(site.owner, nn.RNNBase):
        return (
            "Drop its output, or its recurrent weights: "
            f'thinned.swap(model, {{"{type(site.owner).__name__}": "variational"}}), '
            "or num_layers=2 and more."
        )
    if excuse:
        return "Nothing, if it is so."
    return "Let the forward use it, or remove it; thinned.insert(model) puts dropout where it acts."


@rule(
    "placeholder",
    severity="note",
    reference="https://github.com/qubvel-org/segmentation_models.pytorch/issues/686",
)
def placeholder(context: Context) -> Iterator[Hit]:
    """Places that a library left empty, built with rate 0: no rate can be set there."""
    empty = [site for site in context.sites if site.kind == "placeholder"]
    if not empty or any(site.rate > 0 for site in context.sites):
        return  # single blocks at rate 0 are the linear rule of stochastic depth
    shown = ", ".join(site.path for site in empty[:3]) + (", ..." if len(empty) > 3 else "")
    yield Hit(
        path="",
        message=f"Places for dropout or stochastic depth are empty ({len(empty)}), since the model "
        "was built with rate 0. Setting rates does not reach them.",
        fix='thinned.insert(model, "auto"), or build the model with a rate above 0.',
        evidence=(shown,),
    )


@rule(
    "silent-in-training",
    severity="error",
    reference="https://github.com/evintunador/templateGPT/issues/1; "
    "https://github.com/Lightning-AI/pytorch-lightning/issues/20216",
    needs=("example_input",),
)
def silent_in_training(context: Context) -> Iterator[Hit]:
    """The model has rates above 0, and a forward in training mode draws no random number."""
    run = context.training
    rates = [
        site
        for site in find_sites(context.model)  # by structure: those that ought to drop
        if site.kind in RUN_KINDS and site.rate > 0 and site.live is not False
    ]
    if run is None or not rates or not run.same or any(node.random for node in run.flow.nodes):
        return
    yield Hit(
        path="",
        message="Two forwards in training mode returned the same, though rates are above 0.",
        fix="See that forward calls these layers, and that `train()` reaches them.",
        evidence=(f"rates above 0: {', '.join(site.path for site in rates[:4])}",),
    )
