"""Fine-tuning for `scripts/adaptive`: half of the classes are learned first, then the others."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from _adaptive_data import Drawn, drawn
from _adaptive_nets import Networks, losses
from _adaptive_tasks import Task

OTHERS = ("adaptive", "by passes", "by first")
CHECKS, BATCH = 20, 16


@dataclasses.dataclass(frozen=True)
class TuningTask(Task):
    """The second half of the classes, with networks that have learned the first one."""

    def source(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and labels of the second half of the classes, counted from 0."""
        inputs, labels = super().source(seed)
        first = labels <= labels.max() // 2
        return inputs[~first], labels[~first] - labels[~first].min()

    def learned(self, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and labels of the first half."""
        inputs, labels = super().source(seed)
        first = labels <= labels.max() // 2
        inputs = inputs[first]
        if self.data != "digits":
            inputs = (inputs - inputs.mean(0)) / inputs.std(0)
        return torch.from_numpy(inputs).float(), torch.from_numpy(labels[first])

    def prepare(self, nets: Networks, generators: list[torch.Generator], copies: int) -> None:
        """Train networks on the first half; all layers but the last go on from theirs."""
        data = [self.learned(each.initial_seed()) for each in generators]
        x, y = (torch.stack(_as_long(part)) for part in zip(*data, strict=True))
        hidden = (self.hidden,) * self.layers
        before = Networks(x.shape[-1], int(y.max()) + 1, hidden, conv=self.conv)
        before.begin(generators, 1)
        optimizer = torch.optim.Adam(before.parameters(), lr=1e-3)
        rows = torch.arange(len(generators))[:, None]
        for _ in range(600):
            batch = torch.stack([torch.randint(x.shape[1], (64,), generator=g) for g in generators])
            draws = [
                torch.stack([torch.rand(64, w, generator=g) for g in generators])
                for w in before.sites
            ]
            masks = [(draw < 0.8).float() / 0.8 for draw in draws]
            losses(before(x[rows, batch], masks), y[rows, batch]).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        for mine, theirs in ((nets.weights, before.weights), (nets.biases, before.biases)):
            for new, old in zip(mine[:-1], theirs, strict=False):
                new.data = old.detach().repeat_interleave(copies, 0)


def _as_long(parts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Cut to the length of the shortest."""
    length = min(map(len, parts))
    return [part[:length] for part in parts]


def _task(data: str | Drawn, size: int, passes: int, **options: Any) -> TuningTask:
    every = max(1, size * passes // BATCH // CHECKS)
    noisy = "_ln20" if options.get("noise") else ""
    kind = "drawn" if data != "digits" else "cnn_digits" if options.get("conv") else "digits"
    return TuningTask(
        f"{kind}{size}{noisy}_x{passes}",
        data,
        size,
        test=400,
        lr=3e-4,
        steps=every * CHECKS,
        every=every,
        batch=BATCH,
        **options,
    )


_DRAWN = drawn(
    n_features=30,
    n_informative=12,
    n_redundant=8,
    n_classes=8,
    n_clusters_per_class=1,
    n_samples=3000,
    class_sep=1.5,
)
_ALL = [
    task
    for passes in (5, 20, 100)
    for task in (
        *(_task("digits", size, passes) for size in (40, 120, 300)),
        _task("digits", 120, passes, noise=0.2),
        *(_task("digits", size, passes, conv=True) for size in (40, 120)),
        *(_task(_DRAWN, size, passes) for size in (40, 120, 300)),
    )
]
TUNING: Mapping[str, Task] = {task.name: task for task in _ALL}
"""That a head's loss begins above chance was seen on them, at other seeds."""
