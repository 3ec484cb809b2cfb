"""Stochastic depth on somebody's residual block, by hooks: no wrapper, and so no key moves."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.hooks import RemovableHandle

from thinned.layers._counted import CountedLayer
from thinned.layers._residual import apply_mask, keep_mask, kept_rows, put_back
from thinned.surgery._edits.inserted import Inserted, rebuild
from thinned.surgery._models.argument import picked, place_and_name


class BlockDrop(CountedLayer):
    r"""Drops a residual block for some samples: they keep what the block was given.

    .. math:: y = x + \frac{m}{1 - p}\,(\mathrm{block}(x) - x), \quad m \sim \mathrm{Bernoulli}(1 -
    p)

    Where a norm or an activation follows the addition, the whole block is skipped and nothing is
    scaled: :math:`y = m\,\mathrm{block}(x) + (1 - m)\,x`. In training; in evaluation, and where
    nothing is dropped, the block's own output.

    Args:
        p: the rate, in [0, 1].
        mode: ``"mask"`` computes all samples, ``"batch"`` draws once for all of them, ``"skip"``
            computes the kept ones only.
        scale_by_keep: divide the branch by 1 - p.
        batch_dim: the axis of the samples.
    """

    kind: ClassVar[str] = "drop_path"

    def __init__(self, p: float, mode: str, scale_by_keep: bool, batch_dim: int) -> None:
        super().__init__()
        self.mode = mode
        self.counts = mode == "skip"
        self.p = p
        self.scale_by_keep = scale_by_keep
        self.batch_dim = batch_dim

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the block's output ``y`` where it is kept, its input ``x`` elsewhere."""
        if not is_compiling() and self._p == 0.0:
            return y
        rows, made = x.movedim(self.batch_dim, 0).to(y.dtype), y.movedim(self.batch_dim, 0)
        rate = self._rate if is_compiling() else self._p
        keep = keep_mask(rows, rate, "batch" if self.mode == "batch" else "row")
        kept = apply_mask(rows, made, keep, rate, scale=self.scale_by_keep)
        return kept.movedim(0, self.batch_dim)

    def extra_repr(self) -> str:
        """The rate and the mode."""
        axis = f", batch_dim={self.batch_dim}" if self.batch_dim else ""
        scale = "" if self.scale_by_keep else ", scale_by_keep=False"
        return f"p={self.p:g}, mode={self.mode!r}{scale}{axis}"


class AroundBlock(Inserted):
    """Drops a whole block: keeps its input for some samples.

    Args:
        layer: the rate, and what is done.
        source: position or keyword of the argument that the shortcut starts from.
        result: key of the returned tensor that it ends in, ``None`` for a bare tensor.
    """

    layer: BlockDrop

    def __init__(self, layer: BlockDrop, source: int | str, result: int | str | None) -> None:
        super().__init__(layer)
        self.source, self.result = source, result
        self._either: tuple[int | None, str | None] = (None, None)  # the source's place and name
        self._rows: tuple[Tensor, Tensor] | None = None  # the whole input, and the kept rows of it

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the rows of a forward that was left by an exception: they cannot be copied."""
        return {**self.__dict__, "_rows": None}

    def _register(self, host: nn.Module) -> tuple[RemovableHandle, ...]:
        self._either = place_and_name(host, self.source)
        after = host.register_forward_hook(self.after, with_kwargs=True)
        if self.layer.mode != "skip":
            return (after,)
        return (after, host.register_forward_pre_hook(self.before, with_kwargs=True))

    def before(
        self, host: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Draw the rows to keep, and give the block those rows only of all that it is given."""
        self._rows = None
        x = picked(args, kwargs, *self._either)
        axis = self.layer.batch_dim
        if (
            not self.is_on(host)
            or not isinstance(x, Tensor)
            or not _can_cut((args, kwargs), x, axis)
        ):
            return None
        batch = x.shape[axis]
        count = self.layer.kept_of(batch)
        if batch < 2 or count in (0, batch):
            return None
        rows = kept_rows(x.movedim(axis, 0), count)

        def cut(tensor: Tensor) -> Tensor:
            whole = tensor.dim() <= axis or tensor.shape[axis] != batch
            return tensor if whole else tensor.index_select(axis, rows)

        self._rows = (x, rows)
        cut_down: tuple[tuple[Any, ...], dict[str, Any]] = tree_map_only(
            Tensor, cut, (args, kwargs)
        )
        return cut_down

    def after(
        self, host: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> Any:
        """Put the result together."""
        skipped, self._rows = self._rows, None
        if not self.is_on(host):
            return None
        y = output if self.result is None else output[self.result]
        if skipped is not None:
            return self._returned(output, self._put_back(*skipped, y))
        if self.layer.mode == "skip" and self._keeps_all(args, kwargs):
            return None
        x = picked(args, kwargs, *self._either)
        if not isinstance(x, Tensor) or x.shape != y.shape:
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            msg = f"Expected the residual block {type(host).__name__} to be given, as argument "
            msg += f"{self.source!r}, a tensor of its output's shape {tuple(y.shape)}, got {got}. "
            msg += "It was another in the example: leave this block out with `exclude=`."
            raise ValueError(msg)
        return self._returned(output, self.layer(x, y))

    def _keeps_all(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Say whether skipping would have computed all rows, since a share rounds to none."""
        x = picked(args, kwargs, *self._either)
        batch = x.shape[self.layer.batch_dim] if isinstance(x, Tensor) else 0
        return batch > 1 and self.layer.kept_of(batch) == batch

    def _put_back(self, x: Tensor, rows: Tensor, y: Tensor) -> Tensor:
        axis = self.layer.batch_dim
        whole, made = x.movedim(axis, 0).to(y.dtype), y.movedim(axis, 0)
        return put_back(whole, made, rows, scale=self.layer.scale_by_keep).movedim(0, axis)

    def _returned(self, output: Any, y: Tensor) -> Any:
        """Return the block's output with one tensor exchanged."""
        if self.result is None:
            return y
        if isinstance(output, tuple) and isinstance(self.result, int):
            return rebuild(output, self.result, y)
        output = output.copy()
        output[self.result] = y
        return output


def _can_cut(arguments: Any, x: Tensor, axis: int) -> bool:
    """Say whether all that holds samples can be cut: tensors can, a cache of keys cannot.

    Where another axis of the input is as long as the batch, such as that of time, nobody knows of
    another tensor which of the two its axis is: a mask of attention (T, T) must stay whole.
    """
    leaves = tree_leaves(arguments)
    plain = (Tensor, int, float, bool, str, torch.dtype, torch.device, type(None))
    if not all(isinstance(leaf, plain) for leaf in leaves):
        return False
    batch, tensors = x.shape[axis], [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    if not any(t.dim() > axis and t.shape[axis] == batch and t.shape != x.shape for t in tensors):
        return True
    return sum(size == batch for size in x.shape) == 1
