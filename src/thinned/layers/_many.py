"""Set the rates of many layers in one go: what a schedule does at every step."""

from collections.abc import Sequence

import torch

from thinned.layers._counted import CountedLayer
from thinned.layers._rate import HeldRate, RateLayer, rate_tensor


class ManyRates:
    """Layers whose rates are set together: hundreds of them by one write.

    The layers of one device hold one rate, and each its share of it. Which layers hold one tensor
    never changes: compiled code notices that, and would be compiled anew. A layer that is set by
    itself in between holds a rate alone, until the next write here.

    Args:
        layers: the layers; each must have the rate of :class:`RateLayer` (see :meth:`takes`).
        shares: what each layer gets of the rate, in [0, 1]; None is all of it.

    Example:
        >>> from thinned.layers import Dropout
        >>> layers = [Dropout(0.5), Dropout(0.5)]
        >>> ManyRates(layers).set(0.25)
        >>> [layer.p for layer in layers]
        [0.25, 0.25]
        >>> ManyRates(layers, [0.5, 1.0]).set(0.5)
        >>> [layer.p for layer in layers]
        [0.25, 0.5]
    """

    def __init__(self, layers: Sequence[RateLayer], shares: Sequence[float] | None = None) -> None:
        self._layers = list(layers)
        self._held: dict[torch.device, HeldRate] = {}
        self._shares = [1.0] * len(self._layers) if shares is None else list(shares)
        self._shared = shares is not None
        self._counting = [each for each in self._layers if isinstance(each, CountedLayer)]

    @staticmethod
    def takes(layer: object) -> bool:
        """Say whether a layer's rate is the plain one, which no subclass has made its own."""
        return isinstance(layer, RateLayer) and type(layer).p is RateLayer.p

    def set(self, rate: float) -> None:
        """Set one checked rate, of which each layer gets its share."""
        if not self._held or any(held.left for held in self._held.values()):
            self._join(rate)
        else:
            for device, held in self._held.items():
                held.set(rate, device)
        for layer in self._counting:
            layer.note()

    def set_each(self, rates: Sequence[float]) -> None:
        """Set one rate a layer, in the order of the layers."""
        for layer, rate in zip(self._layers, rates, strict=True):
            layer.p = rate

    def get(self) -> list[float]:
        """Return the rate of each layer, read back from it."""
        return [layer._held.rate * layer._share for layer in self._layers]

    def _join(self, rate: float) -> None:
        """Let all layers of a device hold one rate; of the device where they are now."""
        self._held = {}
        for layer, share in zip(self._layers, self._shares, strict=True):
            device = layer._held.tensor.device
            if device not in self._held:
                self._held[device] = HeldRate(rate, device)
            layer._held.left = True
            layer._held, layer._share = self._held[device], share
            if self._shared or layer._share_tensor is not None:
                layer._share_tensor = rate_tensor(share, device)
