"""Dropout of whole layers of a stack (Fan 2019)."""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling

from thinned.layers._rate import RateLayer
from thinned.layers._transforms import under_transform


class LayerDrop(RateLayer, nn.ModuleList):
    r"""A stack of layers, some of which are left out.

    .. math:: x_{l + 1} = m_l\, f_l(x_l) + (1 - m_l)\, x_l, \quad m_l \sim \mathrm{Bernoulli}(1 - p)

    In training each layer is left out with probability ``p``, for the whole batch, and not
    computed; nothing is scaled. In evaluation all layers run. It is an ``nn.ModuleList`` with the
    same parameter names: whether its owner calls it or iterates over it (``for layer in layers: x =
    layer(x)``), or over a slice of it, left-out layers are left out.

    In training, then, whatever iterates gets some of the layers: ``zip(layers, norms)`` pairs them
    wrongly, and ``nn.ModuleList(layers)`` or ``layers + others`` copies what one draw left. To
    reach all layers at any time, use ``children()``, ``reversed()``, ``in`` or an index, which
    counts positions whatever the names are.

    Compiled code cannot leave out a layer by chance: there all layers are computed and
    ``torch.where`` chooses. A layer left out has no gradient, so under DDP say
    ``find_unused_parameters=True``. Saved for backward: nothing of its own.

    Args:
        layers: the layers, each with an output of its input's shape.
        p: the rate, in [0, 1].

    Shape:
        - Input: what the layers take; further arguments are handed to each.
        - Output: as the input.

    Raises:
        ValueError: if ``p`` is outside [0, 1].
        TypeError: if ``p`` is not a number.

    Example:
        >>> layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        >>> encoder = nn.TransformerEncoder(layer, num_layers=6, enable_nested_tensor=False)
        >>> encoder.layers = LayerDrop.from_module(encoder.layers, 0.5)
        >>> _ = torch.manual_seed(0)
        >>> len(encoder.layers), len(list(encoder.layers))
        (6, 2)

    References:
        Fan, Grave, Joulin (2019), *Reducing Transformer Depth on Demand with Structured Dropout*,
        section 3.2, https://arxiv.org/abs/1909.11556
    """

    kind: ClassVar[str] = "layer_drop"

    def __init__(self, layers: Iterable[nn.Module] = (), p: float = 0.1) -> None:
        super().__init__()
        self.p = p
        self.extend(layers)

    @classmethod
    def from_module(cls, module: nn.Module, rate: float, **options: Any) -> Self:
        """Return a stack of the very layers of ``module``, under the same names.

        Args:
            module: an ``nn.ModuleList`` or ``nn.Sequential``.
            rate: the rate, in [0, 1].
            **options: none so far.

        Raises:
            TypeError: if ``module`` is something else.
        """
        if type(module) not in (nn.ModuleList, nn.Sequential, cls):
            msg = (
                "LayerDrop takes the place of nn.ModuleList or nn.Sequential, got "
                f"{type(module).__name__}."
            )
            raise TypeError(msg)
        made = cls((), rate, **options)
        for name, layer in module.named_children():
            made.add_module(name, layer)
        return made.adopt(module)

    def __iter__(self) -> Iterator[Any]:
        """Go through the layers, leaving out some in training."""
        layers = list(self.children())
        if not self._drops():
            return iter(layers)
        if is_compiling() or under_transform():
            return iter([_Gate(self, layer) for layer in layers])
        draws = torch.rand(len(layers)).tolist()
        return iter([layer for layer, u in zip(layers, draws, strict=True) if u >= self._p])

    def __getitem__(self, index: Any) -> Any:
        """Return a layer, or some layers as a stack of the same rate and mode."""
        if not isinstance(index, slice):
            return super().__getitem__(index)
        layers = list(self.children())
        if layers[index] == layers:  # `self.layers[:depth]`: compiled code can make no module
            return self
        return type(self)(layers[index], self._p).adopt(self)

    def __contains__(self, layer: object) -> bool:
        """Say whether a layer is in the stack, left out or not."""
        return any(layer is each for each in self.children())

    def _get_abs_string_index(self, idx: Any) -> str:
        # torch takes positions for names, but the layers of an nn.Sequential may have others.
        position: str = super()._get_abs_string_index(idx)  # type: ignore[no-untyped-call]  # torch's
        return list(self._modules)[int(position)]

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Run the layers one after the other."""
        for layer in self:
            x = layer(x, *args, **kwargs)
        return x

    def __repr__(self) -> str:
        return nn.Module.__repr__(self)  # a ModuleList leaves out what extra_repr says


class _Gate:
    """A layer that is computed and then chosen or not, where no value may decide."""

    def __init__(self, owner: LayerDrop, layer: nn.Module) -> None:
        self.owner = owner
        self.layer = layer

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        keep = self.owner._keep(x, ())
        return torch.where(keep, self.layer(x, *args, **kwargs), x)
