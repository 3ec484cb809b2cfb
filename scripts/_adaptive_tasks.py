"""The tasks of `scripts/adaptive`: small data, small networks, and the split that a seed makes."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from _adaptive_data import Drawn, drawn, is_numbers, source
from _adaptive_nets import Networks

from thinned.callbacks._adaptive.highest import OF_SGD
from thinned.callbacks._adaptive.law import AdaptiveLaw


@dataclasses.dataclass(frozen=True)
class Split:
    """Inputs and labels of one seed's training, validation and test part."""

    train: tuple[torch.Tensor, torch.Tensor]
    val: tuple[torch.Tensor, torch.Tensor]
    test: tuple[torch.Tensor, torch.Tensor]


@dataclasses.dataclass(frozen=True)
class Task:
    """Data and how a network is trained on it.

    Args:
        data: a name that `source` knows, or how to draw them.
        size: training examples.
        val: validation examples.
        test: the most test examples.
        noise: share of labels drawn anew, in training and validation; the test set is clean.
        hidden: units of each hidden layer.
        conv: whether two convolutions come first (digits only).
        optimizer: "adam"; or "adamw" or "sgd" (momentum 0.9), warmed up over a twentieth of the
            steps and then along a cosine to 0.
    """

    name: str
    data: str | Drawn
    size: int
    val: int = 50
    test: int = 800
    noise: float = 0.0
    hidden: int = 128
    layers: int = 2
    conv: bool = False
    lr: float = 1e-3
    weight_decay: float = 0.0
    steps: int = 600
    batch: int = 32
    every: int = 20
    optimizer: str = "adam"

    @property
    def planned(self) -> int:
        """Steps that are planned."""
        return self.steps

    @property
    def epochs(self) -> float:
        """How often each training example is planned to be seen."""
        return self.planned * self.batch / self.size

    @property
    def moves(self) -> float | None:
        """How far Adam can move a weight, as the callback sees it; of SGD nothing is known."""
        if self.optimizer == "sgd":
            return None
        return self.planned * self.lr / (1 if self.optimizer == "adam" else 2)  # with a schedule

    @property
    def highest(self) -> float:
        """The highest rate that the callback tries on networks without recurrent layers."""
        return OF_SGD if self.optimizer == "sgd" else AdaptiveLaw.high

    @property
    def classes(self) -> int | None:
        """Number of classes; None where the labels are numbers."""
        labels = self.source(0)[1]
        return None if is_numbers(labels) else int(labels.max()) + 1

    def source(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """All inputs and labels."""
        return source(self.data, seed)

    def prepare(self, nets: Networks, generators: list[torch.Generator], copies: int) -> None:
        """Change new networks, ``copies`` of each generator's, before they are trained."""

    def split(self, seed: int) -> Split:
        """Draw the seed's split.

        Inputs and numbers are standardized with the training part's statistics.
        """
        inputs, labels = self.source(seed)
        draw = np.random.default_rng((seed, len(labels), self.size))
        order = draw.permutation(len(labels))
        cuts = (self.size, self.size + self.val, self.size + self.val + self.test)
        parts = [order[a:b] for a, b in zip((0, *cuts[:-1]), cuts, strict=True)]
        if is_numbers(labels):
            known = labels[parts[0]]
            labels = ((labels - known.mean()) / (known.std() + 1e-6)).astype(np.float32)
        noisy = labels.copy()
        if self.noise:
            hit = draw.random(len(labels)) < self.noise
            noisy[hit] = draw.integers(0, labels.max() + 1, hit.sum())
        if self.data not in ("digits", "digit"):  # pixels share a scale
            inputs = inputs - inputs[parts[0]].mean(0)
            inputs = inputs / (inputs[parts[0]].std(0) + 1e-6)
        tensors = [
            (torch.from_numpy(inputs[part]).float(), torch.from_numpy(given[part]))
            for part, given in zip(parts, (noisy, noisy, labels), strict=True)
        ]
        return Split(*tensors)


TEN: Mapping[str, Task] = {
    task.name: dataclasses.replace(task, test=400)
    for task in (
        Task("digits60", "digits", 60),
        Task("digits100", "digits", 100),
        Task("digits200", "digits", 200),
        Task("digits500", "digits", 500),
        Task("digits200_ln20", "digits", 200, noise=0.2),
        Task("bc40", "breast_cancer", 40),
        Task("bc100", "breast_cancer", 100),
        Task("wine40", "wine", 40),
        Task(
            "mkc200",
            drawn(n_features=40, n_informative=10, n_redundant=10, n_classes=4),
            200,
        ),
        Task("cnn_digits100", "digits", 100, conv=True),
    )
}
"""The tasks of the goal, like those of the feasibility study. No constant was chosen on them."""

DEVELOPMENT: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("iris30", "iris", 30, val=40),
        Task("diabetes100", "diabetes", 100),
        Task("diabetes200_wide", "diabetes", 200, hidden=256, steps=400),
        Task("moons60", "moons", 60),
        Task("circles100", "circles", 100, lr=3e-3),
        Task("hastie200", "hastie", 200),
        Task("quantiles150", "quantiles", 150, hidden=64),
        Task(
            "drawn_easy",
            drawn(n_features=20, n_informative=5, n_classes=2, class_sep=1.5),
            80,
        ),
        Task(
            "drawn_hard",
            drawn(n_features=60, n_informative=20, n_classes=3, class_sep=0.7),
            300,
            hidden=64,
        ),
        Task(
            "drawn_noisy",
            drawn(n_features=20, n_informative=8, n_classes=3, flip_y=0.2),
            150,
            lr=5e-4,
        ),
        Task(
            "drawn_many",
            drawn(n_features=30, n_informative=15, n_classes=8, n_clusters_per_class=1),
            400,
            batch=64,
        ),
        Task(
            "drawn_rare",
            drawn(n_features=15, n_informative=6, n_classes=2, weights=(0.85,)),
            120,
        ),
        Task("digits40_narrow", "digits", 40, hidden=64, lr=2e-3, val=40),
        Task("digits150_decay", "digits", 150, hidden=256, weight_decay=1e-4, steps=400),
        Task("digits300_ln10", "digits", 300, noise=0.1, hidden=64, val=80),
        Task("digits800_deep", "digits", 800, layers=3, hidden=96, val=100),
        # for the third law: noisier labels, more data, convolutions
        Task("wine60_ln20", "wine", 60, noise=0.2, val=40),
        Task("bc150_ln30", "breast_cancer", 150, noise=0.3, hidden=96),
        Task("digits400_ln40", "digits", 400, noise=0.4, val=80),
        Task(
            "drawn_ln20",
            drawn(n_features=30, n_informative=12, n_classes=5),
            250,
            noise=0.2,
            hidden=96,
        ),
        Task("digits1000", "digits", 1000, hidden=64, val=80, test=700),
        Task("digits700_short", "digits", 700, hidden=192, steps=400, val=80),
        Task("cnn_digits60", "digits", 60, hidden=64, conv=True, val=40, test=400),
        Task("cnn_digits250", "digits", 250, hidden=96, conv=True, lr=2e-3, test=400),
    )
}
"""The tasks that the law's constants were chosen on."""
