"""Random numbers: recomputed alike, different on each rank, and the same work on all of them."""

import ast
import contextlib
import functools
from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from thinned._generators import seed_everything
from thinned.diagnosis import _calls
from thinned.diagnosis._context import Context, drops, may_drop
from thinned.diagnosis._neutral import hooked
from thinned.diagnosis._rule import Hit, rule
from thinned.surgery import Site

FORWARDS = 8


@rule(
    "checkpoint-without-rng",
    severity="error",
    reference="https://github.com/allenai/OLMo-core/pull/828 (loss 2.495 instead of 2.195); "
    "torch.utils.checkpoint in the documentation of PyTorch",
    better_with_input=True,
)
def checkpoint_without_rng(context: Context) -> Iterator[Hit]:
    """Dropout under checkpointing with `preserve_rng_state=False`: backward has other masks."""
    if context.training is not None:
        for node in context.training.flow.nodes:
            if node.unsafe_checkpoint and node.random and node.rate != 0:
                yield _unsafe(node.path, f"{node.op} ran at rate {node.rate or 0:g} in it")
        return
    for path, module in context.modules.items():
        where = next(_unsafe_checkpoints(module), None)
        inside = [site.path for site in context.sites if drops(site) and _in(site, path)]
        if where and inside:
            yield _unsafe(path, f"{where}, with {len(inside)} live site(s) inside: {inside[0]}")


def _unsafe(path: str, evidence: str) -> Hit:
    return Hit(
        path=path,
        message="Activation checkpointing runs this part again for the backward pass, with a new "
        "mask: the gradient belongs to another network than the loss.",
        fix="checkpoint(..., preserve_rng_state=True), the default",
        evidence=(evidence,),
    )


def _unsafe_checkpoints(module: nn.Module) -> Iterator[str]:
    """Where a module says `preserve_rng_state=False`, in its source or in a partial it keeps."""
    for name, value in vars(module).items():
        if not isinstance(value, functools.partial) or value.func is not checkpoint:
            continue
        if value.keywords.get("preserve_rng_state") is False:
            yield f"the attribute {name}"
    for found in _calls.calls(module):
        for given in found.call.keywords:
            said = given.value.value if isinstance(given.value, ast.Constant) else None
            if given.arg == "preserve_rng_state" and said is False:
                yield f"at {found.where}"


def _in(site: Site, path: str) -> bool:
    return not path or site.path == path or site.path.startswith((f"{path}.", f"{path}:"))


@rule(
    "identical-masks-on-ranks",
    severity="error",
    reference="https://github.com/huggingface/transformers/issues/31412; "
    "https://github.com/Lightning-AI/pytorch-lightning/issues/16166",
    needs=("rank_generator_digests",),
)
def identical_masks_on_ranks(context: Context) -> Iterator[Hit]:
    """Ranks whose generators are alike: each draws the same masks, so they add no variety."""
    digests = context.rank_generator_digests or ()
    if len(set(digests)) == len(digests) or not may_drop(context):
        return
    yield Hit(
        path="",
        message=f"Of {len(digests)} ranks only {len(set(digests))} have a random state of their "
        "own: the others drop the same units at the same step. "
        "Lightning's seed_everything seeds all ranks alike.",
        fix="DropoutScheduler(..., decorrelate_ranks=True), the default, or "
        "torch.manual_seed(seed + rank) at train start",
        evidence=(f"fingerprints: {', '.join(digests)}",),
    )


@rule(
    "skipped-layers-with-ddp",
    severity="error",
    reference="https://github.com/pytorch/pytorch/issues/90171; "
    "https://github.com/mosaicml/composer/pull/48",
    needs=("world_size",),
    better_with_input=True,
)
def skipped_layers_with_ddp(context: Context) -> Iterator[Hit]:
    """Layers left out at random under DDP: their parameters get no gradient on some ranks."""
    strategy = (context.strategy or "ddp").lower()
    if (context.world_size or 1) < 2 or context.find_unused_parameters:
        return
    if not strategy.startswith("ddp"):
        return
    skipped = _skipped(context)
    named = [s.path for s in context.sites if s.kind == "layer_drop" and drops(s)]
    if not skipped and not named:
        return
    if skipped:
        evidence = f"ran in some of {FORWARDS} forwards only: {', '.join(sorted(skipped)[:4])}"
    else:
        evidence = f"layer drop at a rate above 0: {', '.join(named[:4])}"
    yield Hit(
        path=min(skipped) if skipped else named[0],
        message="DDP waits for a gradient of every parameter, and layers that are left out send "
        'none: "Expected to have finished reduction in the prior iteration".',
        fix='Trainer(strategy="ddp_find_unused_parameters_true"), or mask the branch instead of '
        'skipping it: thinned.layers.StochasticDepth(block, p, mode="mask")',
        evidence=(f"{context.world_size} processes, strategy {strategy}", evidence),
    )


def _skipped(context: Context) -> set[str]:
    """Modules with parameters that ran in some forwards in training mode, and not in all."""
    if context.training is None:
        return set()
    ran: list[set[str]] = []

    def note(path: str) -> Any:
        return lambda *_: ran[-1].add(path)

    holding = {p: m for p, m in context.modules.items() if m._parameters}
    hooks = (m.register_forward_pre_hook(note(path)) for path, m in holding.items())
    with (
        contextlib.suppress(ValueError),  # batch norm refuses a single value
        context.running(training=True) as call,
        hooked(hooks),
    ):
        for seed in range(FORWARDS):
            seed_everything(seed)
            ran.append(set())
            call()
        everywhere = {path for path in ran[0] if all(path in paths for paths in ran)}
        return {path for paths in ran for path in paths} - everywhere
    return set()
