"""Rates that do not fit the layer, or the amount of data."""

from collections.abc import Iterator

from thinned.diagnosis import _ops
from thinned.diagnosis._context import Context, may_drop
from thinned.diagnosis._flow import Node
from thinned.diagnosis._rule import Hit, rule
from thinned.diagnosis.rules._placement import SRIVASTAVA, place_of

VERY_HIGH = 0.75
LOW, HIGH, HIGHEST_INPUT = 0.2, 0.5, 0.2  # Srivastava 2014, appendix A.4: hidden and input layers
FEW_UNITS = 8
WIDE = 256
SMALL_DATA = 10  # parameters per training example


@rule(
    "rate-too-high",
    severity="advice",
    reference=SRIVASTAVA + ", appendix A.4; UMLAUT, https://github.com/BerkeleyHCI/umlaut",
    better_with_input=True,
)
def rate_too_high(context: Context) -> Iterator[Hit]:
    """A rate above 0.5, or one that leaves a narrow layer only a few units."""
    for path, rate, width in _rates(context):
        noise = "infinite" if rate == 1 else f"{rate / (1 - rate):.2g}"
        evidence = [f"noise variance p/(1-p) is {noise} times the signal's square"]
        if width is not None:
            evidence.insert(0, f"{width} units, of which {width * (1 - rate):.3g} stay on average")
        fix = f'thinned.set_rate(model, {LOW if width and width < 64 else HIGH}, include="{path}")'
        if rate == 1:
            told, severity = "Rate 1 drops everything: nothing passes, and nothing learns.", "error"
        elif rate > HIGH:
            told = f"Rate {rate:g} drops more than half of the units."
            severity = "warning" if rate >= VERY_HIGH else "advice"
        elif width is not None and rate >= LOW and width * (1 - rate) < FEW_UNITS:
            told = f"Rate {rate:g} leaves a layer of {width} units fewer than {FEW_UNITS}."
            fix = f'thinned.set_rate(model, 0.0, include="{path}"), or a wider layer: width / (1-p)'
            severity = "advice"
        else:
            continue
        yield Hit(path=path, message=told, fix=fix, evidence=tuple(evidence), severity=severity)


def _rates(context: Context) -> Iterator[tuple[str, float, int | None]]:
    """Path, rate and width of what drops units: sites first, then calls that no site holds."""
    widths = {node.path: _width(node) for node in context.flow.drops()}
    seen = set()
    for site in context.sites:
        if site.kind == "dropout" and site.rate > 0 and site.live is not False:
            seen.add(site.path.partition(":")[0])
            yield site.path, site.rate, widths.get(site.path) or site.width  # seen, or by order
    for node in context.flow.drops():
        if node.path not in seen:
            yield node.path, node.rate or 0.0, _width(node)


def _width(node: Node) -> int | None:
    """Units at a dropout: channels of a map, features of a vector; tokens count as one sample."""
    if node.shape is None or len(node.shape) not in (2, 4):
        return None
    return node.shape[1]


@rule(
    "input-rate-too-high",
    severity="advice",
    reference=SRIVASTAVA + ", appendix A.4 (input layers keep 0.8)",
    needs=("example_input",),
)
def input_rate_too_high(context: Context) -> Iterator[Hit]:
    """Dropout on the model's input at a rate above 0.2."""
    for drop in context.flow.drops():
        before = context.flow.before(drop, lambda node: node.transparent)
        rate = drop.rate or 0.0
        if rate > HIGHEST_INPUT and before and all(node.op == "input" for node in before):
            yield Hit(
                path=drop.path,
                message=f"A share of {rate:g} of the input itself is lost at every step; what an "
                "example does not show cannot be learned from the others.",
                fix=f'thinned.set_rate(model, {HIGHEST_INPUT}, include="{drop.path}")',
                evidence=(f"{place_of(drop)} gets the input, with no layer between",),
            )


@rule(
    "rate-too-low",
    severity="advice",
    reference=SRIVASTAVA + ", appendix A.4 (hidden layers keep 0.5 to 0.8)",
    needs=("example_input", "dataset_size"),
)
def rate_too_low(context: Context) -> Iterator[Hit]:
    """A rate below 0.2 on a wide hidden layer, where parameters outnumber the examples by far."""
    parameters, examples = trainable(context), context.dataset_size or 1
    if parameters < SMALL_DATA * examples or context.scheduled or _is_transformer(context):
        return  # 0.1 on residual branches is what transformers are trained with
    for drop in context.flow.drops():
        width, rate = _width(drop), drop.rate or 0.0
        before = context.flow.before(drop, lambda node: node.elementwise)
        dense = any(node.op == "linear" for node in before)
        if rate < LOW and dense and width is not None and width >= WIDE:
            yield Hit(
                path=drop.path,
                message=f"Rate {rate:g} is below the usual {LOW:g} to {HIGH:g} on a wide layer, "
                "and the model has far more parameters than there are examples.",
                fix=f'thinned.set_rate(model, 0.3, include="{drop.path}")',
                evidence=(
                    f"{width} units",
                    f"{parameters} trainable parameters, {examples} training examples",
                ),
            )


@rule(
    "no-regularizer",
    severity="advice",
    reference=SRIVASTAVA + ", section 7.4 and figure 10 (size of the data set)",
    needs=("dataset_size",),
)
def no_regularizer(context: Context) -> Iterator[Hit]:
    """No dropout, no noise and no weight decay, on a data set small for the parameter count."""
    parameters, examples = trainable(context), context.dataset_size or 1
    if parameters < SMALL_DATA * examples or context.weight_decay:
        return
    if may_drop(context):
        return
    if any(node.random for node in context.flow.nodes):
        return
    decay = "unknown" if context.weight_decay is None else "0"
    yield Hit(
        path="",
        message="Nothing regularizes this model, and it has far more parameters than examples.",
        fix="Trainer(callbacks=thinned.regularize(dropout=0.1)), or thinned.insert(model)",
        evidence=(
            f"{parameters} trainable parameters, {examples} training examples",
            f"no rate above 0, no random operation; weight decay: {decay}",
        ),
    )


def trainable(context: Context) -> int:
    """Number of parameters that are trained."""
    return sum(p.numel() for p in context.model.parameters() if p.requires_grad)


def _is_transformer(context: Context) -> bool:
    ops = {node.op for node in context.flow.nodes}
    return bool(ops & (_ops.ATTENTION | _ops.SOFTMAX) and "layer_norm" in ops)
