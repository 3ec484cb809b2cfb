"""What a LightningModule can be run on before it trains: the inputs of some training samples."""

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from thinned.surgery._running.run_example import as_arguments, evaluated, fresh, run_example

from ._generators.found import isolated
from ._probe.data import is_indexable, loader_over

SAMPLES = 4


@contextlib.contextmanager
def training_example(
    trainer: pl.Trainer, pl_module: pl.LightningModule, given: Any = None, *, run: bool = True
) -> Iterator[Any]:
    """Yield what a module can be run on before it trains; None where nothing is known.

    That is what was given, else its ``example_input_array``, else inputs of the first training
    samples, if it runs on them. These are read by index, so loaders and samplers stay as they are,
    and all generators are put back. A module without a forward of its own runs its one part with
    parameters meanwhile.

    Args:
        trainer: a Trainer that sets up its fit.
        pl_module: the module.
        given: what somebody has given as example.
        run: whether to look for training samples.
    """
    if given is None:
        given = getattr(pl_module, "example_input_array", None)
    if given is not None or not run:
        yield given
        return
    part = runnable_part(pl_module)
    with no_logging(pl_module), _forward_of(pl_module, part):
        example = None
        with contextlib.suppress(Exception):  # data and models may need what is not there yet
            found = inputs_of(_samples(trainer), pl_module, part)
            arguments = as_arguments(found, pl_module)
            with isolated(0), evaluated(pl_module, arguments):
                run_example(pl_module, fresh(arguments))
            example = found
        yield example


def inputs_of(batch: Any, pl_module: pl.LightningModule, part: nn.Module | None) -> Any:
    """Return what of a batch a forward takes: what it names, or as many first ones as it needs."""
    names = inspect.signature((part or pl_module).forward).parameters
    if isinstance(batch, Mapping):
        takes_all = any(p.kind is p.VAR_KEYWORD for p in names.values())
        return {key: value for key, value in batch.items() if takes_all or key in names}
    if not isinstance(batch, list | tuple) or not batch:
        return batch
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = sum(p.kind in places and p.default is p.empty for p in names.values())
    return tuple(batch[:needed]) if needed > 1 else batch[0]


def first_rows(batch: Any, rows: int) -> Any:
    """Return a batch with at most so many rows of each of its tensors."""
    return tree_map_only(Tensor, lambda tensor: tensor[:rows] if tensor.dim() else tensor, batch)


def runnable_part(pl_module: pl.LightningModule) -> nn.Module | None:
    """Return the one part with parameters of a module that has no forward of its own."""
    wrote = next(cls for cls in type(pl_module).__mro__ if "forward" in vars(cls))
    if wrote.__module__.partition(".")[0] not in ("pytorch_lightning", "lightning", "torch"):
        return None
    with_parameters = [c for c in pl_module.children() if next(c.parameters(), None) is not None]
    return with_parameters[0] if len(with_parameters) == 1 else None


@contextlib.contextmanager
def no_logging(pl_module: pl.LightningModule) -> Iterator[None]:
    """Let a forward that logs log nothing: these forwards are not the training's."""
    names = ("log", "log_dict")
    try:
        for name in names:
            vars(pl_module)[name] = lambda *_, **__: None
        yield
    finally:
        for name in names:
            vars(pl_module).pop(name, None)


@contextlib.contextmanager
def _forward_of(pl_module: pl.LightningModule, part: nn.Module | None) -> Iterator[None]:
    """Let a module that has no forward run a part of it."""
    if part is None or "forward" in vars(pl_module):
        yield
        return
    try:
        vars(pl_module)["forward"] = part
        yield
    finally:
        del vars(pl_module)["forward"]


def _samples(trainer: Any) -> Any:
    """Return a small batch of the training data, which need not have been asked for yet."""
    loader = trainer.fit_loop._data_source.dataloader()
    if not is_indexable(loader):
        msg = "Expected a loader whose samples have an index."
        raise TypeError(msg)
    count = min(SAMPLES, len(loader.dataset))
    with isolated(0, loader.dataset, loader.collate_fn):
        return next(iter(loader_over(loader, range(count), count, 0)))
