"""The states of the random generators, as plain lists and back."""

import random
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import torch


def capture(loaders: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of every generator of this process, in plain types.

    Args:
        loaders: name to data loader; the generators that they and their samplers own are kept too.
    """
    version, words, gauss = random.getstate()
    state: dict[str, Any] = {
        "python": [version, list(words), gauss],
        "torch": torch.get_rng_state().tolist(),
        "loaders": {
            name: generator.get_state().tolist() for name, generator in _owned(loaders).items()
        },
    }
    if "numpy" in sys.modules:
        import numpy as np

        kind, keys, *rest = np.random.get_state(legacy=True)
        state["numpy"] = [str(kind), [int(key) for key in keys], *rest]
    if torch.cuda.is_available():
        state["cuda"] = [each.tolist() for each in torch.cuda.get_rng_state_all()]
    return state


def restore(state: Mapping[str, Any], loaders: Mapping[str, Any]) -> None:
    """Put the generators where :func:`capture` found them."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    torch.set_rng_state(_as_bytes(state["torch"]))
    if "numpy" in state:
        import numpy as np

        kind, keys, *rest = state["numpy"]
        np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    if "cuda" in state and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([_as_bytes(each) for each in state["cuda"]])
    owned = _owned(loaders)
    for name, held in state["loaders"].items():
        if name in owned:
            owned[name].set_state(_as_bytes(held))


def _as_bytes(values: Iterable[int]) -> torch.Tensor:
    return torch.tensor(list(values), dtype=torch.uint8)


def _owned(loaders: Mapping[str, Any]) -> dict[str, torch.Generator]:
    """Return the generators that loaders, their samplers and batch samplers hold."""
    found: dict[str, torch.Generator] = {}
    for name, loader in loaders.items():
        batches = getattr(loader, "batch_sampler", None)
        parts = {
            "loader": loader,
            "sampler": getattr(loader, "sampler", None),
            "batch_sampler": batches,
            "batch_sampler.sampler": getattr(batches, "sampler", None),
        }
        for part, owner in parts.items():
            generator = getattr(owner, "generator", None)
            if isinstance(generator, torch.Generator):
                found[f"{name}.{part}"] = generator
    return found
