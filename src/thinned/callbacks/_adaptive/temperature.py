"""The temperature of a validation: read off its outputs and labels, or by running it again."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from thinned._log import logger
from thinned.callbacks._lightning.ranks import gathered
from thinned.callbacks._monitor.keys import loader_of
from thinned.callbacks._probe.snapshot import Snapshot

from .calibration import of_three
from .label_sums import NumberSums, Sums, readings, squeezed, tensors
from .outputs import Seen, outputs, seen_layers, trained_layers
from .scaled_outputs import Scaled

_CLOSE = 1e-4  # how near the loss of a reading has to come to the loss that was logged


class Temperature:
    """Finds the log of the temperature that the validation labels call for.

    A hook sees what the output layer gives in the user's own ``validation_step``; with the labels
    of the batch that gives losses at other temperatures, at no cost. Whether outputs and labels are
    read rightly is seen by the loss that was logged: theirs has to be the same. Where it is not
    (smoothed labels, weights of classes, layers behind the last one), the validation runs twice
    more, with smaller and with larger outputs; that leaves no trace, as :class:`Probe` does not.

    Args:
        whose: the callback that asks.

    Attributes:
        classes: number of classes that the outputs seem to tell apart; None if unknown.
        numbers: whether the labels are numbers, not classes; None if unknown.
        chance_loss: loss of outputs that do not look at their inputs; None if unknown.
    """

    def __init__(self, whose: str) -> None:
        self.whose = whose
        self.classes: int | None = None
        self.numbers: bool | None = None
        self.chance_loss: float | None = None
        self._layers: list[nn.Module] = []
        self._layer: nn.Module | None = None
        self._handles: list[Seen] = []
        self._output: Tensor | None = None
        self._snapshots: list[Snapshot] = []
        self._found: dict[int, dict[str, tuple[int, Sums]]] = {}  # by loader, by reading
        self._rows: dict[int, int] = {}
        self._numbers = self._classless = False
        self._misread: set[tuple[int, str]] = set()  # loader and reading
        self._known = False

    def start(self, module: nn.Module) -> None:
        """Find the layers that can give the outputs."""
        trained = trained_layers(module)
        self._layers = seen_layers(module, trained)
        self._layer = self._layers[-1] if self._layers else None
        self._misread, self._known = set(), False
        last = trained[-1] if trained else None
        width = getattr(last, "out_features", getattr(last, "out_channels", 1))
        self.classes, self.numbers = (width if width > 1 else None), None  # until more is seen

    def before_validation(self, module: nn.Module, *, sanity: bool) -> None:
        """Look at the outputs from now on: in a sanity check at which layer is called last."""
        self.stop()
        self._found, self._rows, self._snapshots = {}, {}, []
        self._numbers = self._classless = False
        if self._layer is None:
            return
        for layer in self._layers if sanity else [self._layer]:
            self._handles.append(Seen(layer, _Look(self)))
        if not sanity and not self._known:
            self._snapshots = [Snapshot(module), Snapshot(module)]  # each can be lent once

    def during_validation(self, batch: Any, loader: int, monitor: str | None) -> None:
        """Take a batch's outputs and labels, if it is of the loader whose loss is watched."""
        output, self._output = self._output, None
        if monitor is not None and loader_of(monitor)[1] not in (None, loader):
            return
        held = list(tensors(batch))
        self._numbers = bool(held) and _is_numbers(held[-1])
        self._classless = self._numbers and all(each.is_floating_point() for each in held)
        if output is None:
            return
        fits = readings(output, held)
        misread = {name for of, name in self._misread if of == loader}
        wanted = {name: each for name, each in fits.items() if name not in misread}
        found = self._found.setdefault(loader, wanted)
        for name, (place, sums) in list(found.items()):
            if name not in fits or not _added(sums, output, held[place]):
                del found[name]  # a coincidence of shapes, most likely
        self._rows[loader] = self._rows.get(loader, 0) + len(output)

    def after_sanity_check(self) -> None:
        """Say what was seen of the classes."""
        for _, sums in itertools.chain(*(found.values() for found in self._found.values())):
            of_numbers = isinstance(sums, NumberSums)
            self.numbers = of_numbers and self._numbers
            self.classes = 2 if of_numbers and not self._numbers else sums.classes or None
            return
        if self._classless:  # outputs cannot be seen, but there is nothing that could be a class
            self.numbers, self.classes = True, None

    def agree(self, trainer: Any) -> None:
        """Let all ranks think of the labels as the first one does."""
        self.classes, self.numbers = trainer.strategy.broadcast((self.classes, self.numbers))

    @property
    def labels(self) -> str:
        """What is known of the labels, in words."""
        known = "?" if self.classes is None else self.classes
        return "labels are numbers" if self.numbers else f"{known} classes"

    def stop(self) -> None:
        """Take the hooks out."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._output = [], None

    def read(self, trainer: Any, monitor: str, loss: float) -> float | None:
        """Return the log of the temperature when a validation ends; None where there is none.

        Args:
            trainer: the trainer, at the end of a validation.
            monitor: key of the validation loss.
            loss: its value.
        """
        _, index = loader_of(monitor)
        snapshots, self._snapshots, self.chance_loss = self._snapshots, [], None
        if self._layer is None or not math.isfinite(loss):
            return None
        apart: dict[tuple[int, str], float] = {}
        read: dict[tuple[int, str], tuple[Sums, list[Tensor]]] = {}
        for each, sums, state in self._of_all_ranks(trainer):
            apart[each] = min(abs(found - loss) for found in sums.losses(state))
            read[each] = sums, state
        right = [each for each in apart if apart[each] <= _CLOSE * abs(loss) + 1e-6]
        self._misread |= apart.keys() - set(right)
        self._known = bool(right)
        if right:
            sums, state = read[min(right, key=apart.__getitem__)]
            self.numbers, self.chance_loss = isinstance(sums, NumberSums), sums.chance_loss(state)
            return sums.log_temperature(state)
        if not snapshots:
            return None
        scaled = Scaled(self._layer, about_mean=self._numbers, whose=self.whose)
        losses = scaled.losses(trainer, snapshots, monitor)
        if losses is None:
            self._layer = None if scaled.failed else self._layer
            return None
        count = self._rows.get(index or 0, 0) * trainer.world_size
        unit = 2 * abs(loss) if self._numbers else 1.0
        return of_three(losses[0], loss, losses[1], count, unit)

    def see(self, layer: nn.Module, output: Any) -> None:
        """Take what a layer gave."""
        self._layer = layer
        self._output = outputs(output)

    def _of_all_ranks(self, trainer: Any) -> Iterator[tuple[tuple[int, str], Sums, list[Tensor]]]:
        """Of each loader that was read: a key without its number may be of any of them."""
        own = {
            (loader, name): sums
            for loader, readings in self._found.items()
            for name, (_, sums) in readings.items()
        }
        states = {key: sums.state() for key, sums in own.items()}
        every = gathered(states, trainer.world_size)
        for key, sums in own.items():
            if all(key in each for each in every):
                parts = zip(*(each[key] for each in every), strict=True)
                yield key, sums, [torch.stack(part).sum(0) for part in parts]


class _Look:
    """The hook; copies of the layer, and saved ones, have one that does nothing."""

    def __init__(self, temperature: Temperature | None = None) -> None:
        self._temperature = temperature

    def __call__(self, layer: nn.Module, inputs: Any, output: Any) -> None:
        if self._temperature is not None:
            self._temperature.see(layer, output)

    def __reduce__(self) -> tuple[type["_Look"], tuple[()]]:
        return _Look, ()


def _added(sums: Sums, output: Tensor, target: Tensor) -> bool:
    """Add a batch, if its tensors are of a kind that torch can do this with."""
    try:
        target = target.to(output.device)
        sums.add(squeezed(output, target), target)
    except RuntimeError as error:
        logger.debug("a tensor is not read as labels: %s", error)
        return False
    return True


def _is_numbers(target: Tensor) -> bool:
    return target.is_floating_point() and not bool(((target == 0) | (target == 1)).all())
