"""Every variant, in one list: what it is called, what it replaces, and who invented it."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from thinned._checks import check_choice
from thinned.layers._alpha import AlphaDropout, FeatureAlphaDropout
from thinned.layers._drop_path import DropPath
from thinned.layers._dropconnect import DropConnectLinear
from thinned.layers._dropout import Dropout
from thinned.layers._rate import RateLayer
from thinned.layers._spatial import SpatialDropout
from thinned.layers._stochastic_depth import StochasticDepth


@dataclass(frozen=True)
class Variant:
    """One technique.

    Attributes:
        name: what it is called in ``swap``, ``insert`` and in configurations.
        layer: the class.
        replaces: what ``layer.from_module`` accepts, in words.
        paper: who invented it, and when.
        summary: what is dropped, in one line.
    """

    name: str
    layer: type[RateLayer]
    replaces: tuple[str, ...]
    paper: str
    summary: str

    @property
    def takes_neighbours(self) -> bool:
        """Whether ``layer.from_module`` takes ``neighbours=``, to see where the channels are."""
        return "neighbours" in inspect.signature(self.layer.from_module).parameters

    @property
    def kind(self) -> str:
        """What its sites drop: ``dropout``, ``drop_path``, ``drop_block``, ..."""
        return self.layer.kind


_DROPOUT = ("nn.Dropout, nn.Dropout1d/2d/3d, nn.AlphaDropout",)

_ROWS = (
    Variant("dropout", Dropout, _DROPOUT, "Srivastava 2014", "single elements"),
    Variant("spatial", SpatialDropout, _DROPOUT, "Tompson 2015", "whole channels"),
    Variant("alpha", AlphaDropout, _DROPOUT, "Klambauer 2017", "single elements, after SELU"),
    Variant(
        "feature_alpha",
        FeatureAlphaDropout,
        _DROPOUT,
        "Klambauer 2017",
        "whole channels, after SELU",
    ),
    Variant("dropconnect", DropConnectLinear, ("nn.Linear",), "Wan 2013", "weights"),
    Variant(
        "drop_path",
        DropPath,
        ("DropPath, StochasticDepth, nn.Identity",),
        "Huang 2016",
        "a residual branch",
    ),
    Variant(
        "stochastic_depth", StochasticDepth, ("a residual block",), "Huang 2016", "a residual block"
    ),
)

VARIANTS: Mapping[str, Variant] = MappingProxyType({row.name: row for row in _ROWS})


def variant(name: str) -> Variant:
    """Return the variant of this name.

    Raises:
        ValueError: if there is none; the message names the nearest.

    Example:
        >>> variant("spatial").layer.__name__
        'SpatialDropout'
        >>> variant("spacial")
        Traceback (most recent call last):
        ...
        ValueError: Expected `variant` to be one of 'dropout', ..., got 'spacial'. Did you mean
        'spatial'?
    """
    return VARIANTS[check_choice("variant", name, VARIANTS)]
