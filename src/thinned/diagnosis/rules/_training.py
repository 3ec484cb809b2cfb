"""How the parts stand when training begins: modes, frozen parameters, compilation."""

from collections.abc import Iterator

from torch import nn

from thinned.diagnosis._context import Context, drops, has_parameters
from thinned.diagnosis._rule import Hit, rule
from thinned.layers._rate import RateLayer
from thinned.surgery import Site, walk
from thinned.surgery._models.compiled import is_compiled


def _host(context: Context, site: Site) -> nn.Module | None:
    """The module at which a site stands: its owner, or the one that carries its hook or config."""
    if isinstance(site.owner, nn.Module):
        return site.owner
    return context.modules.get(site.path.partition(":")[0])


@rule(
    "eval-at-fit-start",
    severity="error",
    reference="https://github.com/Lightning-AI/pytorch-lightning/issues/20216",
    needs=("at_fit_start",),
)
def eval_at_fit_start(context: Context) -> Iterator[Hit]:
    """Dropout in evaluation mode when training begins: Lightning leaves it so."""
    if not context.at_fit_start:
        return
    if not context.model.training:
        yield Hit(
            path="",
            message="The model is in evaluation mode, and Lightning keeps the mode it finds: no "
            "dropout, and batch norm with its stored statistics.",
            fix="model.train() before trainer.fit(model)",
            evidence=("model.training is False",),
        )
        return
    for site in context.sites:
        host = _host(context, site)
        if not drops(site) or host is None or host.training:
            continue
        if _is_frozen(_block_of(context, site.path)):
            continue  # a frozen part is put into evaluation on purpose
        yield Hit(
            path=site.path,
            message=f"{site.path} has rate {site.rate:g} and is in evaluation mode, where it does "
            "nothing, while what it stands in is trained.",
            fix=f'model.get_submodule("{site.path.partition(":")[0]}").train()',
            evidence=("training is False here and True for the model",),
            severity="warning",
        )


@rule(
    "frozen-with-dropout",
    severity="warning",
    reference="https://github.com/OpenNMT/OpenNMT-tf/pull/627; "
    "https://github.com/Lightning-AI/pytorch-lightning/issues/18930",
)
def frozen_with_dropout(context: Context) -> Iterator[Hit]:
    """Live dropout in a part whose parameters are all frozen: noise in fixed features."""
    if not any(p.requires_grad for p in context.model.parameters()):
        return
    parts: dict[str, list[Site]] = {}
    for site in context.sites:
        host = _host(context, site)
        switched_off = context.model.training and host is not None and not host.training
        if not drops(site) or switched_off:
            continue
        part = _frozen_part(context, site.path)
        if part is not None and not _gets_trained_features(context, site):
            parts.setdefault(part, []).append(site)
    for part, sites in parts.items():
        first = f"{sites[0].path} ({sites[0].rate:g})"
        yield Hit(
            path=part,
            message=f"All parameters of {part} are frozen, and its dropout still drops: what the "
            "trained part gets is noisy, and nothing before it can adapt.",
            fix=f'model.get_submodule("{part}").eval(), or thinned.set_rate(model, 0.0, '
            f'include="{part}", kinds="all")',
            evidence=(f"{len(sites)} site(s) with a rate above 0, such as {first}",),
        )


def _is_frozen(module: nn.Module | None) -> bool:
    parameters = [] if module is None else list(module.parameters())
    return bool(parameters) and not any(p.requires_grad for p in parameters)


def _ancestors(path: str) -> Iterator[str]:
    """The paths above a site, the outermost first, the model itself left out."""
    names = path.partition(":")[0].split(".")
    for length in range(1, len(names) + 1):
        yield ".".join(names[:length])


def _frozen_part(context: Context, path: str) -> str | None:
    """The largest part around a site whose parameters are all frozen."""
    return next((p for p in _ancestors(path) if _is_frozen(context.modules.get(p))), None)


def _gets_trained_features(context: Context, site: Site) -> bool:
    """Say whether something that is trained feeds the site: then it is no fixed feature."""
    flow = context.flow
    nodes = [node for node in flow.nodes if node.path == site.path.partition(":")[0]]
    return any(other.trained for node in nodes for other in flow.all_before(node))


def _block_of(context: Context, path: str) -> nn.Module | None:
    """The smallest module around a site that has parameters."""
    around = [context.modules.get(p) for p in _ancestors(path)]
    holding = [m for m in around if m is not None and has_parameters(m)]
    return holding[-1] if holding else None


@rule(
    "compiled-with-float-rates",
    severity="warning",
    reference="https://github.com/pytorch/pytorch/issues/149405",
)
def compiled_with_float_rates(context: Context) -> Iterator[Hit]:
    """A compiled model whose rates are Python floats, while something changes them."""
    if context.scheduled is False:
        return
    compiled = [path for path, module in walk(context.model) if is_compiled(module)]
    if not compiled:
        return
    floats = [
        site
        for site in context.sites
        if drops(site)
        and not isinstance(getattr(site.owner, "layer", site.owner), RateLayer)
        and any(_within(site.path, path) for path in compiled)
    ]
    if not floats:
        return
    yield Hit(
        path=floats[0].path if len(floats) == 1 else "",
        message="torch.compile burns a float rate into the graph: each new rate compiles anew, and "
        "after eight it silently runs eagerly.",
        fix='thinned.swap(model, {"Dropout": "dropout"}) before compiling: these layers keep the '
        "rate in a tensor.",
        evidence=(
            f"{len(floats)} site(s) keep a float, such as {floats[0].path} ({floats[0].cls})",
        ),
        severity="warning" if context.scheduled else "note",
    )


def _within(path: str, part: str) -> bool:
    return not part or path == part or path.startswith((f"{part}.", f"{part}:"))
