"""Which axis holds the channels: shown by a neighbouring layer, never guessed from the rank."""

from collections.abc import Iterable

from torch import nn

_FIRST = (  # (N, C, *)
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,  # batch norm and instance norm
    nn.GroupNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.FeatureAlphaDropout,
)
_LAST = (nn.Linear, nn.LayerNorm, nn.RMSNorm, nn.Embedding)  # (N, *, C)


def channel_dim(neighbours: Iterable[nn.Module]) -> int | None:
    """Return the axis that holds the channels between these modules, or ``None``.

    Convolutions, batch, group and instance norms and poolings have their channels at axis 1; linear
    layers, layer norms and embeddings at the last one. ``None`` means that nothing shows it, or
    that the neighbours disagree (as around a flatten or a permute).

    Example:
        >>> channel_dim([nn.Conv2d(3, 8, 3), nn.ReLU()])
        1
        >>> channel_dim([nn.LayerNorm(8)])
        -1
        >>> channel_dim([nn.Conv1d(3, 8, 3), nn.Linear(8, 2)])  # nothing printed: they disagree
    """
    shown = {
        1 if isinstance(module, _FIRST) else -1
        for module in neighbours
        if isinstance(module, (*_FIRST, *_LAST))
    }
    return shown.pop() if len(shown) == 1 else None


def require_channel_dim(name: str, module: nn.Module, neighbours: Iterable[nn.Module]) -> int:
    """Return the channel axis at ``module``, or raise a ``ValueError`` that says what to give."""
    own = getattr(module, "channel_dim", None)
    if isinstance(own, int):
        return own
    around = list(neighbours)
    found = channel_dim([module])
    if found is None:
        found = channel_dim(around)
    if found is None:
        seen = ", ".join(type(m).__name__ for m in around) or "none given"
        msg = (
            f"{name} cannot tell the channel axis at this {type(module).__name__} (neighbours: "
            f"{seen}): (B, T, C) tokens and (B, C, L) signals look alike. Pass channel_dim=1 where "
            "channels follow the batch, channel_dim=-1 where they come last."
        )
        raise ValueError(msg)
    return found
