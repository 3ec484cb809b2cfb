"""Every variant, in one list: what it is called, what it replaces, and who invented it."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import nn

from thinned._checks import check_choice
from thinned.layers._alpha import AlphaDropout, FeatureAlphaDropout
from thinned.layers._concrete import ConcreteDropout
from thinned.layers._drop_block import DropBlock1d, DropBlock2d, DropBlock3d
from thinned.layers._drop_path import DropPath
from thinned.layers._dropconnect import DropConnectLinear
from thinned.layers._dropconnect_conv import (
    DropConnectConv1d,
    DropConnectConv2d,
    DropConnectConv3d,
)
from thinned.layers._dropout import Dropout
from thinned.layers._gaussian import GaussianDropout
from thinned.layers._layer_drop import LayerDrop
from thinned.layers._locked import LockedDropout
from thinned.layers._rate import RateLayer
from thinned.layers._spatial import SpatialDropout
from thinned.layers._stochastic_depth import StochasticDepth
from thinned.layers._token_drop import TokenDrop
from thinned.layers._variational import VariationalGRU, VariationalLSTM, VariationalRNN
from thinned.layers._weight_drop import WeightDropGRU, WeightDropLSTM, WeightDropRNN
from thinned.layers._word import WordDropout


@dataclass(frozen=True)
class Variant:
    """One technique.

    Attributes:
        name: what it is called in ``swap``, ``insert`` and in configurations.
        layer: the class.
        replaces: what ``layer.from_module`` accepts, in words.
        paper: who invented it, and when.
        summary: what is dropped, in one line.
        others: further classes of the technique, for other modules than ``layer`` replaces.
    """

    name: str
    layer: type[RateLayer]
    replaces: tuple[str, ...]
    paper: str
    summary: str
    others: tuple[type[RateLayer], ...] = ()

    @property
    def layers(self) -> tuple[type[RateLayer], ...]:
        """All classes of the technique."""
        return (self.layer, *self.others)

    def layer_for(self, module: nn.Module, neighbours: Iterable[nn.Module] = ()) -> type[RateLayer]:
        """Return the class that stands in for ``module``, by its class and its neighbours.

        Example:
            >>> variant("dropconnect").layer_for(nn.Conv1d(1, 1, 1)).__name__
            'DropConnectConv1d'
        """
        for layer in self.layers:
            if type(module) in layer.__mro__:
                return layer
        for near in (module, *neighbours):
            for layer in self.layers:
                if layer.__name__[-2:] == type(near).__name__[-2:] in ("1d", "2d", "3d"):
                    return layer
        return self.layer

    @property
    def takes_neighbours(self) -> bool:
        """Whether ``layer.from_module`` takes ``neighbours=``, to see where the channels are."""
        return "neighbours" in inspect.signature(self.layer.from_module).parameters

    @property
    def kind(self) -> str:
        """What its sites drop: ``dropout``, ``drop_path``, ``drop_block``, ..."""
        return self.layer.kind


_DROPOUT = ("nn.Dropout", "nn.Dropout1d", "nn.Dropout2d", "nn.Dropout3d", "nn.AlphaDropout")
_RECURRENT = ("nn.LSTM", "nn.GRU", "nn.RNN")

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
    Variant("gaussian", GaussianDropout, _DROPOUT, "Srivastava 2014", "Gaussian noise of mean 1"),
    Variant("concrete", ConcreteDropout, _DROPOUT, "Gal 2017", "single elements, rate learned"),
    Variant(
        "dropblock",
        DropBlock2d,
        (*_DROPOUT, "a library's drop block"),
        "Ghiasi 2018",
        "contiguous blocks of a feature map",
        others=(DropBlock1d, DropBlock3d),
    ),
    Variant(
        "dropconnect",
        DropConnectLinear,
        ("nn.Linear", "nn.Conv1d", "nn.Conv2d", "nn.Conv3d"),
        "Wan 2013",
        "weights",
        others=(DropConnectConv1d, DropConnectConv2d, DropConnectConv3d),
    ),
    Variant("locked", LockedDropout, _DROPOUT, "Gal 2016", "the same features at every time step"),
    Variant("word", WordDropout, ("nn.Embedding",), "Gal 2016", "whole words"),
    Variant(
        "variational",
        VariationalLSTM,
        _RECURRENT,
        "Gal 2016",
        "the same inputs, hidden units and outputs at every time step",
        others=(VariationalGRU, VariationalRNN),
    ),
    Variant(
        "weight_drop",
        WeightDropLSTM,
        _RECURRENT,
        "Merity 2018",
        "hidden-to-hidden weights",
        others=(WeightDropGRU, WeightDropRNN),
    ),
    Variant(
        "drop_path",
        DropPath,
        ("a library's drop path", "nn.Identity"),
        "Huang 2016",
        "a residual branch",
    ),
    Variant(
        "stochastic_depth", StochasticDepth, ("a residual block",), "Huang 2016", "a residual block"
    ),
    Variant(
        "token_drop",
        TokenDrop,
        ("a library's patch dropout", "nn.Identity"),
        "Liu 2022",
        "tokens: the sequence gets shorter",
    ),
    Variant(
        "layer_drop", LayerDrop, ("nn.ModuleList", "nn.Sequential"), "Fan 2019", "whole layers"
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
