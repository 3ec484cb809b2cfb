"""Which samples the probe holds, and a loader that reads them without touching training's own."""

import copy
import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from thinned.callbacks._generators.found import isolated

CLEAN_LOADER = (
    "Pass a loader of your own: OverfittingMonitor(probe=DataLoader(training_subset, ...)), with "
    "batches of the format that validation_step reads and without augmentation."
)


def is_indexable(loader: Any) -> bool:
    """Say whether a loader's samples can be chosen by index."""
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return False
    automatic = loader.batch_size is not None or loader.batch_sampler is not None
    return automatic and hasattr(loader.dataset, "__getitem__")


def pool(loader: DataLoader[Any], batches: float, seed: int) -> tuple[list[Any], bool]:
    """List the indices that training draws from.

    Not simply all of the data set: a sampler may hold a part of it back, for validation.

    Args:
        loader: the training loader.
        batches: training batches in an epoch; fewer where the trainer limits them.
        seed: for samplers that have to be tried.

    Returns:
        The indices, and whether they are the same on every process.
    """
    size = batch_size(loader)
    sampler = _innermost(loader)
    fixed = _known(sampler, loader.dataset)
    if fixed is not None:
        in_order = isinstance(sampler, SequentialSampler)
        return (fixed[: int(batches) * size] if in_order and batches < len(loader) else fixed), True
    return _tried(loader, batches, size, seed), False


def choose(candidates: Sequence[Any], wanted: float, seed: int, world: int = 1) -> list[Any]:
    """Choose the probe, the same at each validation and on each process.

    The processes can share it in equal parts: a collective operation in a forward would wait for
    ever otherwise.

    Args:
        candidates: indices to choose from.
        wanted: a fraction of them (float), or a number of samples (int).
        seed: of the choice.
        world: number of processes.
    """
    count = wanted if isinstance(wanted, int) else round(wanted * len(candidates))
    count = min(len(candidates), max(world, int(count)))
    count -= count % world
    if count == 0:
        msg = (
            f"Expected at least {world} training samples, one for each process, got "
            f"{len(candidates)}. {CLEAN_LOADER}"
        )
        raise ValueError(msg)
    places = sorted(random.Random(seed).sample(range(len(candidates)), count))
    return [candidates[p] for p in places]


def loader_over(
    loader: DataLoader[Any], indices: Sequence[Any], size: int, seed: int
) -> DataLoader[Any]:
    """Build a loader of some of another loader's samples, with nothing shared but the data set."""
    return DataLoader(
        loader.dataset,
        batch_size=size,
        sampler=_Listed(indices),
        collate_fn=loader.collate_fn,
        worker_init_fn=loader.worker_init_fn,
        generator=torch.Generator().manual_seed(seed),
    )


def batch_size(loader: DataLoader[Any]) -> int:
    """The batch size of a loader, also of one that got a batch sampler."""
    size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None)
    return int(size) if size else 1


def in_order(indices: Iterable[Any]) -> list[Any]:
    """Return indices once each, sorted: the order of an epoch must not decide what is chosen."""
    found = list(dict.fromkeys(indices))
    try:
        return sorted(found)
    except TypeError:  # keys that have no order
        return found


def augments(loader: DataLoader[Any], indices: Sequence[Any], seed: int, samples: int = 4) -> bool:
    """Say whether the data set gives a sample differently each time, as augmentation does."""
    dataset, collate = loader.dataset, loader.collate_fn
    draws = []
    for draw in range(3):
        with isolated(seed + draw, dataset, collate):
            # twice, since a generator that the data set keeps is put back after each block
            draws += [_flat(collate([dataset[i] for i in indices[:samples]])) for _ in range(2)]
    return any(not _same(draws[0], other) for other in draws[1:])


class Recorder:
    """Keeps the first training batches, where a loader cannot be indexed.

    Args:
        samples: how many samples to keep.
    """

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.batches: list[Any] = []
        self._count = 0

    def record(self, batch: Any) -> None:
        """Keep a copy of a batch on the CPU, until there are enough."""
        if self._count >= self.samples:
            return
        sizes = []

        def kept(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(len(tensor) if tensor.ndim else 1)
            return tensor.detach().to("cpu", copy=True)

        self.batches.append(apply_to_collection(batch, torch.Tensor, kept))
        self._count += next((size for size in sizes if size > 1), 1)

    def freeze(self) -> DataLoader[Any]:
        """Stop keeping, and return a loader of the batches."""
        self.samples = 0
        kept: Any = self.batches
        return DataLoader(kept, batch_size=None, collate_fn=_as_is)


class _Listed(torch.utils.data.Sampler[Any]):
    """Indices in the order in which they are listed."""

    def __init__(self, indices: Sequence[Any]) -> None:
        self.indices = indices

    def __iter__(self) -> Any:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


def _innermost(loader: DataLoader[Any]) -> Any:
    """The sampler that decides on samples, below batching and Lightning's share-out."""
    sampler: Any = loader.sampler
    batches = loader.batch_sampler
    if batches is not None and not _is_default(loader):
        sampler = batches
        if _is_a(batches, BatchSampler):
            sampler = getattr(batches, "sampler", batches)
    wrapped: Any = getattr(sampler, "dataset", None)
    if type(wrapped).__name__ == "_DatasetSamplerWrapper":
        sampler = wrapped._sampler  # Lightning's DistributedSamplerWrapper
    return sampler


def _is_default(loader: DataLoader[Any]) -> bool:
    own = loader.batch_sampler
    return _is_a(own, BatchSampler) and getattr(own, "sampler", None) is loader.sampler


def _is_a(sampler: Any, *kinds: type) -> bool:
    """Say whether a sampler is of one of torch's kinds, or torchdata's that keeps its place."""
    cls, names = type(sampler), {kind.__name__ for kind in kinds}
    stateful = cls.__module__ == "torchdata.stateful_dataloader.sampler"
    return cls in kinds or (stateful and cls.__name__.removeprefix("Stateful") in names)


def _known(sampler: Any, dataset: Any) -> list[Any] | None:
    if _is_a(sampler, SequentialSampler, RandomSampler, DistributedSampler) or (
        isinstance(sampler, DistributedSampler) and type(sampler).__iter__ is _DISTRIBUTED_ITER
    ):
        source = getattr(sampler, "data_source", getattr(sampler, "dataset", dataset))
        return list(range(len(source)))
    if type(sampler) is SubsetRandomSampler:
        return list(sampler.indices)
    if type(sampler) is WeightedRandomSampler:
        return [i for i, w in enumerate(sampler.weights.tolist()) if w > 0]
    return None


_DISTRIBUTED_ITER = DistributedSampler.__iter__


def _tried(loader: DataLoader[Any], batches: float, size: int, seed: int) -> list[Any]:
    """Run a copy of an unknown sampler for an epoch, and see what it gives."""
    with isolated(seed, loader.dataset, loader.batch_sampler):
        twin = _twin(loader.batch_sampler, loader.dataset)
        most = int(batches) if batches != float("inf") else max(1, len(loader.dataset) // size)  # type: ignore[arg-type]  # sized: it is indexable
        drawn = itertools.chain.from_iterable(itertools.islice(iter(twin), most))
        return in_order(drawn)


def _twin(sampler: Any, dataset: Any) -> Any:
    try:
        return copy.deepcopy(sampler, {id(dataset): dataset})
    except Exception as error:
        msg = (
            f"Cannot copy the training sampler {type(sampler).__name__} to see which samples it "
            f"draws ({error}). {CLEAN_LOADER}"
        )
        raise TypeError(msg) from error


def parts(value: Any) -> list[Any] | None:
    """Return what a collection holds, or the fields of a dataclass; None of anything else."""
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, list | tuple):
        return list(value)
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in fields(value)]
    return None


def _flat(value: Any) -> list[Any]:
    held = parts(value)
    return [value] if held is None else [leaf for each in held for leaf in _flat(each)]


def _same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(map(_equal, one, other))


def _equal(one: Any, other: Any) -> bool:
    if "__eq__" not in {name for cls in type(one).__mro__[:-1] for name in vars(cls)}:
        return True  # such objects differ whatever they hold
    try:
        a, b = torch.as_tensor(one), torch.as_tensor(other)
        return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())  # NaN as well
    except (TypeError, ValueError, RuntimeError):  # strings, images, objects without a tensor
        try:
            return bool(one == other)
        except Exception:  # what cannot be compared says nothing of augmentation
            return True


def _as_is(batch: Any) -> Any:
    return batch
