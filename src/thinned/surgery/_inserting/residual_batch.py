"""See which axis of a residual block's tensors holds the samples, by changing one sample."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.hooks import RemovableHandle

from thinned._generators import seed_everything
from thinned.surgery._running.run_example import Arguments, fresh, run_example

from .residual import Block


def batch_axes(model: nn.Module, arguments: Arguments, blocks: Iterable[Block]) -> dict[Block, int]:
    """Return the axis of each block's samples, for those where it is axis 0 or 1.

    The first sample of the example is changed, and with it must change the first row of what a
    block returns, and no other. Where the example has one sample, or nothing changes, its size
    decides.

    Args:
        model: the model, inside ``evaluated``.
        arguments: the arguments of the example.
        blocks: the residual blocks.
    """
    blocks = list(blocks)
    plain = _outputs(model, arguments, blocks)
    found: dict[Block, int] = {}
    for samples in (0, 1):  # the axis in the example
        size = _size(arguments, samples)
        open_ = [block for block in blocks if block not in found]
        if size is None or not open_:
            continue
        moved = _outputs(model, _changed(arguments, samples), open_) if size > 1 else {}
        for block in open_:
            for axis in (samples, 1 - samples):  # the axis in the block
                if len(block.shape) <= max(axis, 1) or block.shape[axis] != size:
                    continue
                if block not in moved or _only_first(plain[block], moved[block], axis):
                    found[block] = axis
                    break
    return found


def _size(arguments: Arguments, axis: int) -> int | None:
    """Return the size of an axis of the example's first tensor."""
    for leaf in tree_leaves(arguments):
        if isinstance(leaf, Tensor) and leaf.dim() > axis:
            return int(leaf.shape[axis])
    return None


def _changed(arguments: Arguments, axis: int) -> Arguments:
    size = _size(arguments, axis)

    def change(tensor: Tensor) -> Tensor:
        if tensor.dim() <= axis or tensor.shape[axis] != size or tensor.dtype == torch.bool:
            return tensor
        tensor = tensor.clone()
        other = tensor.select(axis, -1).clone()
        if tensor.is_floating_point():
            other += 0.1 * torch.randn_like(other)
        tensor.select(axis, 0).copy_(other)
        return tensor

    changed: Arguments = tree_map_only(Tensor, change, arguments)
    return changed


def _outputs(model: nn.Module, arguments: Arguments, blocks: list[Block]) -> dict[Block, Tensor]:
    """Run the model and return what each block made, at its first call."""
    found: dict[Block, Tensor] = {}
    handles: list[RemovableHandle] = []

    def keep(block: Block) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            value = output if block.result is None else output[block.result]
            found.setdefault(block, value.detach().clone())

        return hook

    try:
        handles += [
            block.module.register_forward_hook(keep(block), prepend=True) for block in blocks
        ]
        seed_everything(0)  # a forward may draw numbers in evaluation too
        run_example(model, fresh(arguments))
    finally:
        for handle in handles:
            handle.remove()
    return found


def _only_first(plain: Tensor, moved: Tensor, axis: int) -> bool:
    if plain.shape != moved.shape:
        return False
    difference = (plain - moved).abs().float().movedim(axis, 0).flatten(1).amax(1)
    first, others = difference[0], difference[1:]
    return bool((others <= 1e-3 * first).all()) or bool(difference.max() == 0)
