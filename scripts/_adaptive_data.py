"""The data of `scripts/adaptive`: what scikit-learn ships, and what it draws."""

import functools
from typing import Any

import numpy as np
import sklearn.datasets

Drawn = tuple[tuple[str, Any], ...]


@functools.cache
def source(data: str | Drawn, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """All inputs and labels of a data set; drawn data are drawn anew for every seed."""
    if not isinstance(data, str):
        options = {"n_samples": 1000, "random_state": seed, **dict(data)}
        make = getattr(sklearn.datasets, f"make_{options.pop('make', 'classification')}")
        return make(**options)
    if data in ("moons", "circles"):
        make = getattr(sklearn.datasets, f"make_{data}")
        inputs, labels = make(1000, noise=0.3 if data == "moons" else 0.15, random_state=seed)
        return inputs, labels
    if data == "hastie":
        inputs, labels = sklearn.datasets.make_hastie_10_2(1000, random_state=seed)
        return inputs, (labels > 0).astype(int)
    if data == "quantiles":
        return sklearn.datasets.make_gaussian_quantiles(
            n_samples=1000, n_features=10, n_classes=4, random_state=seed
        )
    return real(data)


MEASURED = {  # a column to tell from the others
    "color": ("wine", "color_intensity"),
    "concavity": ("breast_cancer", "mean concavity"),
    "petal": ("iris", "petal width (cm)"),
}


@functools.cache
def real(data: str) -> tuple[np.ndarray, np.ndarray]:
    """A data set that scikit-learn ships."""
    if data == "progression":  # of diabetes, as a number
        found = sklearn.datasets.load_diabetes()
        return found.data, found.target
    if data == "digit":  # how much it stands for
        found = sklearn.datasets.load_digits()
        return found.data / 16, found.target.astype(float)
    if data in MEASURED:
        name, column = MEASURED[data]
        found = getattr(sklearn.datasets, f"load_{name}")()
        place = list(found.feature_names).index(column)
        return np.delete(found.data, place, 1), found.data[:, place]
    if data == "diabetes":  # progression of the disease, in three equal parts
        found = sklearn.datasets.load_diabetes()
        return found.data, np.searchsorted(np.quantile(found.target, (1 / 3, 2 / 3)), found.target)
    found = getattr(sklearn.datasets, f"load_{data}")()
    if data == "digits":
        return found.data / 16, found.target
    return found.data, found.target


def drawn(**options: Any) -> Drawn:
    """Arguments of ``make_classification``, or another ``make``, in a form that can be compared."""
    return tuple(sorted(options.items()))


def is_numbers(labels: np.ndarray) -> bool:
    """Whether labels are numbers, not classes."""
    return labels.dtype.kind == "f"
