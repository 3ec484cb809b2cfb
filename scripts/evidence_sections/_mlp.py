"""The network of most sections: two hidden layers of 128 for whatever the data are."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

from torch import nn

from thinned import layers
from thinned.schedules import Schedule

from . import _nets as nets
from ._arms import Arm
from ._data import Data
from ._size import RATES


def dropped(
    *widths: int, layer: Callable[[float], nn.Module] = layers.Dropout
) -> Callable[[Data, float], nn.Module]:
    """Return what builds an MLP with dropout behind each hidden activation."""

    def build(data: Data, rate: float) -> nn.Module:
        return nets.mlp(data.inputs, widths, data.outputs, functools.partial(layer, rate))

    return build


def plain(*widths: int) -> Arm:
    """No dropout, and as many tries as others have rates."""
    return Arm(lambda data, _: nets.mlp(data.inputs, widths, data.outputs), rates=())


def scheduled(
    schedules: Mapping[str, Callable[[float], Schedule]], widths: Sequence[int] = (128, 128)
) -> dict[str, Arm]:
    """No dropout, and each schedule at each of the rates that it may lead to."""

    def arm(schedule: Callable[[float], Schedule]) -> Arm:
        build = dropped(*widths)
        return Arm(
            lambda data, rate: build(data, schedule(rate)(0.0)),
            RATES,
            lambda recipe, rate: dataclasses.replace(recipe, schedule=schedule(rate)),
        )

    return {"none": plain(*widths), **{name: arm(each) for name, each in schedules.items()}}
