"""Set the rates of many layers in one go: what a schedule does at every step."""

from collections.abc import Iterable, Sequence

import torch

from thinned.layers._rate import RateLayer


class ManyRates:
    """Layers whose rates are set together, some hundred in some microseconds.

    One by one, each layer checks the rate and makes a tensor of it; here both are done once. The
    layers of one device share the tensor, always the same ones: compiled code notices which of its
    inputs are one object, and would be compiled anew if that changed.

    Args:
        layers: the layers; each must have the rate of :class:`RateLayer` (see :meth:`takes`).

    Example:
        >>> from thinned.layers import Dropout
        >>> layers = [Dropout(0.5), Dropout(0.5)]
        >>> ManyRates(layers).set(0.25)
        >>> [layer.p for layer in layers]
        [0.25, 0.25]
    """

    def __init__(self, layers: Iterable[RateLayer]) -> None:
        self._by_device: dict[torch.device, tuple[list[int], list[dict[str, object]]]] = {}
        for index, layer in enumerate(layers):
            indices, held = self._by_device.setdefault(layer._rate.device, ([], []))
            indices.append(index)
            held.append(vars(layer))

    @staticmethod
    def takes(layer: object) -> bool:
        """Say whether a layer's rate is the plain one, which no subclass has made its own."""
        return isinstance(layer, RateLayer) and type(layer).p is RateLayer.p

    def set(self, rate: float) -> None:
        """Set one checked rate everywhere."""
        for device, (_, layers) in self._by_device.items():
            with torch.inference_mode(mode=False):
                tensor = torch.full((), rate, dtype=torch.float32, device=device)
            for held in layers:
                held["_p"] = rate
                held["_rate"] = tensor

    def set_each(self, rates: Sequence[float]) -> None:
        """Set one checked rate a layer, in the order of the layers."""
        for device, (indices, layers) in self._by_device.items():
            chosen = [rates[index] for index in indices]
            with torch.inference_mode(mode=False):
                tensors = torch.tensor(chosen, dtype=torch.float32, device=device).unbind()
            for held, rate, tensor in zip(layers, chosen, tensors, strict=True):
                held["_p"] = rate
                held["_rate"] = tensor
