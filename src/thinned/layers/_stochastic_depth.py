"""Stochastic depth around a whole residual block, by a mask or by skipping (Huang 2016)."""

from typing import Any, ClassVar, Self

from torch import Tensor, nn
from torch.compiler import is_compiling

from thinned._checks import check_choice
from thinned.layers._counted import CountedLayer
from thinned.layers._residual import apply_mask, keep_mask, kept_rows, put_back


class StochasticDepth(CountedLayer):
    r"""Drop a residual block for some samples: they keep the block's input.

    .. math:: y = x + \frac{m}{1 - p}\,(\mathrm{block}(x) - x), \quad
        m \sim \mathrm{Bernoulli}(1 - p)

    ``mode="mask"`` computes the block for all samples and draws for each. ``mode="skip"`` computes
    it for :math:`n = \max(1, \mathrm{round}((1 - p) B))` samples drawn without replacement, scales
    by :math:`B / n`, and so saves the share ``p`` of the time; every weight has a gradient. Rate 1
    and a batch of one are masked. In evaluation it is the block alone.

    Compiled, a moving rate costs no recompilation with masks. Skipping costs one more graph, since
    the number of rows becomes dynamic, and one each where it is 1, where all rows are kept, and at
    rate 1. Saved for backward: one number a sample; skipping, the positions of the rows kept.

    For a model of your own. In somebody else's, ``thinned.insert`` does the same without this
    wrapper, which would rename the block's parameters.

    Args:
        block: a module with :math:`y = x + \mathrm{branch}(x)`: one tensor in, one of the same
            shape out.
        p: the rate, in [0, 1].
        mode: ``"mask"`` (for each sample), ``"batch"`` (one draw for all samples) or ``"skip"``.
        scale_by_keep: divide the branch by 1 - p. Say ``False`` for a block that ends in a norm or
            an activation (post-norm): scaled values would leave the range of its output.

    Shape:
        - Input: :math:`(N, *)`.
        - Output: as the input.

    Raises:
        ValueError: if ``p`` is outside [0, 1], ``mode`` is another word, or the block changes the
            shape.
        TypeError: if ``p`` is not a number.

    Example:
        >>> import torch
        >>> class Residual(nn.Linear):
        ...     def forward(self, x):
        ...         return x + super().forward(x)
        >>> layer = StochasticDepth(Residual(3, 3), 0.5, mode="skip")
        >>> x = torch.randn(8, 3)
        >>> int((layer(x) == x).all(dim=1).sum())
        4
        >>> bool((layer.eval()(x) == layer.block(x)).all())
        True

    References:
        Huang, Sun, Liu, Sedra, Weinberger (2016), *Deep Networks with Stochastic Depth*, equation
        2, https://arxiv.org/abs/1603.09382; Oquab et al. (2023), *DINOv2*, section 5 ("Efficient
        stochastic depth"), https://arxiv.org/abs/2304.07193
    """

    kind: ClassVar[str] = "drop_path"

    def __init__(
        self, block: nn.Module, p: float = 0.1, mode: str = "mask", *, scale_by_keep: bool = True
    ) -> None:
        super().__init__()
        self.mode = check_choice("mode", mode, ("mask", "batch", "skip"))
        self.counts = mode == "skip"
        self.p = p
        self.block = block
        self.scale_by_keep = scale_by_keep

    @classmethod
    def from_module(cls, module: nn.Module, rate: float, **options: Any) -> Self:
        """Return a wrapper around the residual block ``module``, whose parameters it shares."""
        return cls(module, rate, **options).adopt(module)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Run the block on ``x``, and drop it for some samples in training."""
        if not self._drops():
            return self.block(x, *args, **kwargs)  # type: ignore[no-any-return]  # nn.Module is Any
        batch = x.shape[0]
        if self.mode == "skip" and batch > 1 and (count := self.kept_of(batch)) > 0:
            return self._skip(x, count, *args, **kwargs)
        y = self._checked(x, self.block(x, *args, **kwargs))
        rate = self._rate if is_compiling() else self._p
        keep = keep_mask(x, rate, "batch" if self.mode == "batch" else "row")
        return apply_mask(x, y, keep, rate, scale=self.scale_by_keep)

    def _skip(self, x: Tensor, count: int, *args: Any, **kwargs: Any) -> Tensor:
        if count == x.shape[0]:
            return self.block(x, *args, **kwargs)  # type: ignore[no-any-return]  # nn.Module is Any
        rows = kept_rows(x, count)
        kept = x.index_select(0, rows)
        y = self._checked(kept, self.block(kept, *args, **kwargs))
        return put_back(x, y, rows, scale=self.scale_by_keep)

    def _checked(self, x: Tensor, y: Any) -> Tensor:
        if isinstance(y, Tensor) and y.shape == x.shape:
            return y
        got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        msg = (
            f"Expected the block {type(self.block).__name__} to return one tensor of its input's "
            f"shape {tuple(x.shape)}, got {got}. Only a residual block can be dropped."
        )
        raise ValueError(msg)

    def extra_repr(self) -> str:
        """The rate and the mode."""
        scale = "" if self.scale_by_keep else ", scale_by_keep=False"
        return f"p={self.p:g}, mode={self.mode!r}{scale}"
