"""Compile-safe twins of other people's layers: the same distribution, a rate that costs nothing."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn.functional import dropout1d, dropout2d, dropout3d

from thinned import layers
from thinned.surgery._sites.attributes import is_rate


class _ChannelTwin(layers.RateLayer):
    """What torch's channel dropouts do, to the bit when eager."""

    unbatched: ClassVar[int] = 0  # number of axes at which torch takes the batch to be missing
    function: ClassVar[Callable[..., Tensor]]
    inplace: bool

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name
        """Drop channels of ``input`` in training."""
        if self.training and is_compiling():
            kept = 1 if input.dim() == self.unbatched else 2
            shape = [*input.shape[:kept], *[1] * (input.dim() - kept)]
            return input * self._noise(input, shape)
        if is_compiling():
            return input  # asking for the float would compile anew at each new rate
        return type(self).function(input, self._p, self.training, self.inplace)


class Dropout1d(_ChannelTwin, nn.Dropout1d):
    """``nn.Dropout1d`` whose rate may move in compiled code."""

    unbatched = 2
    function = staticmethod(dropout1d)


class Dropout2d(_ChannelTwin, nn.Dropout2d):
    """``nn.Dropout2d`` whose rate may move in compiled code."""

    function = staticmethod(dropout2d)


class Dropout3d(_ChannelTwin, nn.Dropout3d):
    """``nn.Dropout3d`` whose rate may move in compiled code."""

    unbatched = 4
    function = staticmethod(dropout3d)


_SAME: dict[type[nn.Module], type[layers.RateLayer]] = {
    nn.Dropout: layers.Dropout,
    nn.Dropout1d: Dropout1d,
    nn.Dropout2d: Dropout2d,
    nn.Dropout3d: Dropout3d,
    nn.AlphaDropout: layers.AlphaDropout,
    nn.FeatureAlphaDropout: layers.FeatureAlphaDropout,
}
_BLOCKS = {"DropBlock2d": layers.DropBlock2d, "DropBlock3d": layers.DropBlock3d}


def twin_of(module: nn.Module) -> layers.RateLayer | None:
    """Return a layer of ours that does what ``module`` does, None where none is known to.

    torch's own layers go by their exact class. A drop path of any library, whatever it is
    called, is known by what it does to a batch of ones. torchvision's DropBlock follows the paper's
    equation.

    Args:
        module: a module without parameters that holds its rate as a float.
    """
    rate = _rate_of(module)
    if rate is None or next(module.parameters(), None) is not None or list(module.children()):
        return None
    if type(module) in _SAME:
        twin = _SAME[type(module)]
        return twin(rate, inplace=getattr(module, "inplace", False)).adopt(module)
    if type(module).__module__.startswith("torchvision.") and type(module).__name__ in _BLOCKS:
        block = _BLOCKS[type(module).__name__]
        return block(rate, getattr(module, "block_size", 7), gamma="paper").adopt(module)
    return _drop_path_twin(module, rate)


def _rate_of(module: nn.Module) -> float | None:
    for name in ("p", "drop_prob"):
        rate = vars(module).get(name)
        if is_rate(rate):
            return float(rate)
    return None


def _drop_path_twin(module: nn.Module, rate: float) -> layers.DropPath | None:
    """Try the module on ones: rows all 0 or all alike are a drop path, for samples or the batch."""
    name = "p" if "p" in vars(module) else "drop_prob"
    before, training = vars(module)[name], module.training
    ones = torch.ones(64, 2, 1, 1)
    try:
        with torch.random.fork_rng([]), torch.no_grad():
            torch.manual_seed(0)
            vars(module)[name] = 0.5
            module.train()
            results = [module(ones) for _ in range(16)]
            module.eval()
            still = module(ones)
    except Exception:  # another number of axes, another signature: no drop path that we know
        return None
    finally:
        vars(module)[name] = before
        module.train(training)
    if not all(isinstance(y, Tensor) and y.shape == ones.shape for y in (*results, still)):
        return None
    rows = torch.stack(results)[:, :, 0, 0]
    whole = all((y == y[:, :1]).all() for y in results) and torch.equal(still, ones)
    values = set(rows.flatten().tolist())
    if not whole or values not in ({0.0, 1.0}, {0.0, 2.0}):
        return None
    by_batch = bool((rows == rows[:, :1]).all())
    mode = "batch" if by_batch else "row"
    return layers.DropPath(rate, mode, scale_by_keep=2.0 in values).adopt(module)
