"""What ranks tell each other, and different masks on each of them."""

import weakref
from typing import Any, TypeVar

import torch

from thinned._log import logger

T = TypeVar("T")

_DONE: "weakref.WeakSet[Any]" = weakref.WeakSet()


def gathered(own: T, ranks: int) -> list[T]:
    """Return what each rank gives, in their order. All of them have to call this."""
    every = [own] * ranks
    if ranks > 1:
        torch.distributed.all_gather_object(every, own)
    return every


def decorrelate(trainer: Any) -> bool:
    """Fold the rank into torch's generators, once per trainer, where there is more than one rank.

    Lightning's ``seed_everything`` seeds all ranks alike, and then all of them draw the same masks,
    which makes a batch's noise less varied the more ranks there are. Python's and NumPy's
    generators are left alone: no mask comes from them.

    Returns:
        Whether it was done now.
    """
    if trainer.world_size < 2 or trainer in _DONE:
        return False
    _DONE.add(trainer)
    drawn = int(torch.randint(2**40, ()).item())
    torch.manual_seed(drawn * trainer.world_size + trainer.global_rank)
    logger.info(
        "folded the rank into torch's generators, so that %d ranks draw different masks "
        "(decorrelate_ranks=False leaves them as they are)",
        trainer.world_size,
    )
    return True


def mark_decorrelated(trainer: Any) -> None:
    """Leave the generators as they are: their states were restored, and have the rank in them."""
    _DONE.add(trainer)
