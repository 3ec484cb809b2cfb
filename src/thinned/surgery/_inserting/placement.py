"""The placement table: where `insert` puts what, and why. In prose: docs/placement.md."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        name: what stands there.
        variant: the name of what is put in, in the registry.
        options: what the place shows about the layer's options.
    """

    name: str
    variant: str
    options: Mapping[str, Any] = field(default_factory=dict)


FEATURE_MAP = Row("activation of a convolution", "spatial", {"channel_dim": 1})
UNITS = Row("activation of a linear layer", "dropout", {"channel_dim": -1})
SELF_NORMALIZING = Row("SELU", "alpha")
BATCH_FIRST = Row(
    "recurrent layer, batch first", "spatial", {"channel_dim": -1, "batch_dim": 0, "time_dim": 1}
)
TIME_FIRST = Row(
    "recurrent layer, time first", "spatial", {"channel_dim": -1, "batch_dim": 1, "time_dim": 0}
)
NAMED = Row("a module that was named", "dropout")

NORM_FOLLOWS = "a norm follows, which would measure the dropped values"
SHIFT = "a batch norm further on would learn a variance that it does not meet in evaluation"
OUTPUT = "the output layer: dropout there is noise in the answer itself"
SHARED = "its module is called in several places"
GATE = "a gate: it scales other values, and a dropped gate closes"
PACKED = "it returns a packed sequence, whose values are not followed; swap it for a variant"
UNUSED = "nothing that is trained reads this output"
NO_TAKER = "no single module takes its result"
UNSEEN = "structure does not show where its result goes; pass example_input="
NO_TRACE = "residual blocks and recurrent layers are recognised by a run; pass example_input="


@dataclass(frozen=True)
class Spot:
    """One place: before or after the call of one module.

    Attributes:
        path: the module's path.
        host: the module.
        row: the row of the table.
        before: whether it is before the call.
    """

    path: str
    host: nn.Module
    row: Row
    before: bool = False


@dataclass
class Plan:
    """What is going to be put where.

    Attributes:
        spots: the places.
        already: paths where dropout is there already.
        left_out: path to reason.
    """

    spots: list[Spot] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def extend(self, other: "Plan") -> None:
        """Take over what another plan holds."""
        self.spots += other.spots
        self.already += other.already
        self.left_out |= other.left_out


def row_of(activation: nn.Module, *, convolved: bool) -> Row:
    """Return the row for what an activation makes of a convolution's or a linear layer's result."""
    if isinstance(activation, nn.SELU):
        return SELF_NORMALIZING
    return FEATURE_MAP if convolved else UNITS
