"""The states of the random generators, as plain lists and back."""

import random
import sys
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from thinned._errors import ThinnedWarning

from .found import find_generators


def capture(loaders: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of every generator of this process, in plain types.

    Args:
        loaders: name to data loader; the generators that they, their samplers and their data sets
            own are kept too.
    """
    version, words, gauss = random.getstate()
    state: dict[str, Any] = {
        "python": [version, list(words), gauss],
        "torch": torch.get_rng_state().tolist(),
        "loaders": {
            name: generator.get_state().tolist() for name, generator in _owned(loaders).items()
        },
        "data": {
            name: [[type(each).__name__, _plain(each)] for each in of_data(loader)]
            for name, loader in loaders.items()
        },
    }
    if "numpy" in sys.modules:
        import numpy as np

        state["numpy"] = _legacy(np.random)
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

        _set_legacy(np.random, state["numpy"])
    if "cuda" in state and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([_as_bytes(each) for each in state["cuda"]])
    owned = _owned(loaders)
    for name, held in state["loaders"].items():
        if name in owned:
            owned[name].set_state(_as_bytes(held))
    for name, states in state.get("data", {}).items():
        found = of_data(loaders.get(name))
        if [type(each).__name__ for each in found] != [kind for kind, _ in states]:
            warnings.warn(
                f"The data set of the loader {name} keeps other random generators than when the "
                "checkpoint was written; they are left as they are, so this run will not end where "
                "the uninterrupted one would have.",
                ThinnedWarning,
                stacklevel=2,
            )
            continue
        for generator, (_, plain) in zip(found, states, strict=True):
            _set(generator, plain)


def of_data(loader: Any) -> list[Any]:
    """Return the generators that a loader's data set keeps, with its transforms, in fixed order."""
    return find_generators(getattr(loader, "dataset", None))


def _plain(generator: Any) -> Any:
    """Return a generator's state in plain types."""
    if isinstance(generator, torch.Generator):
        return generator.get_state().tolist()
    if isinstance(generator, random.Random):
        version, words, gauss = generator.getstate()
        return [version, list(words), gauss]
    if hasattr(generator, "bit_generator"):
        return _lists(generator.bit_generator.state)
    return _legacy(generator)


def _set(generator: Any, plain: Any) -> None:
    """Put a generator back to where its plain state says."""
    if isinstance(generator, torch.Generator):
        generator.set_state(_as_bytes(plain))
    elif isinstance(generator, random.Random):
        version, words, gauss = plain
        generator.setstate((version, tuple(words), gauss))
    elif hasattr(generator, "bit_generator"):
        generator.bit_generator.state = _arrays(plain, generator.bit_generator.state)
    else:
        _set_legacy(generator, plain)


def _legacy(generator: Any) -> list[Any]:
    kind, keys, *rest = generator.get_state(legacy=True)
    return [str(kind), [int(key) for key in keys], *rest]


def _set_legacy(generator: Any, plain: Any) -> None:
    import numpy as np

    kind, keys, *rest = plain
    generator.set_state((kind, np.array(keys, dtype=np.uint32), *rest))


def _lists(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _lists(each) for key, each in value.items()}
    return value.tolist() if hasattr(value, "tolist") else value


def _arrays(plain: Any, present: Any) -> Any:
    """Turn lists into arrays again where the present state has one."""
    if isinstance(plain, Mapping):
        return {key: _arrays(each, present[key]) for key, each in plain.items()}
    import numpy as np

    return np.array(plain, dtype=present.dtype) if isinstance(present, np.ndarray) else plain


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
