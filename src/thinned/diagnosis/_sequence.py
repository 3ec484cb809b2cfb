"""Read what follows what from ``nn.Sequential`` containers, where nothing can be run."""

from collections.abc import Iterator

from torch import nn

from thinned.diagnosis import _ops
from thinned.diagnosis._flow import Flow, Node
from thinned.surgery._models.structure import is_plain_sequential

OPS: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.AlphaDropout, "alpha_dropout"),
    (nn.FeatureAlphaDropout, "feature_alpha_dropout"),
    (nn.Dropout1d, "feature_dropout"),
    (nn.Dropout2d, "feature_dropout"),
    (nn.Dropout3d, "feature_dropout"),
    (nn.Dropout, "dropout"),
    (nn.modules.batchnorm._BatchNorm, "batch_norm"),
    (nn.LayerNorm, "layer_norm"),
    (nn.GroupNorm, "group_norm"),
    (nn.RMSNorm, "rms_norm"),
    (nn.Conv1d, "conv1d"),
    (nn.Conv2d, "conv2d"),
    (nn.Conv3d, "conv3d"),
    (nn.Linear, "linear"),
    (nn.Embedding, "embedding"),
    (nn.Identity, "alias"),
    (nn.Flatten, "flatten"),
    (nn.Unflatten, "unflatten"),
    (nn.ReLU, "relu"),
    (nn.SELU, "selu"),
    (nn.Softmax, "softmax"),
    (nn.LogSoftmax, "log_softmax"),
    (nn.modules.pooling._MaxPoolNd, "max_pool2d"),
    (nn.modules.pooling._AvgPoolNd, "avg_pool2d"),
    (nn.modules.pooling._AdaptiveAvgPoolNd, "adaptive_avg_pool2d"),
)


def read(model: nn.Module, paths: dict[int, str]) -> Flow:
    """Return the chains of all outermost ``nn.Sequential``, as far as they are known.

    What stands between two chains is not known, so each begins with no source. Only where the
    whole model is one chain is its end known to be the output.
    """
    flow = Flow()
    for container in _outermost(model):
        previous: tuple[int, ...] = ()
        for module in _leaves(container):
            node = _node(len(flow.nodes), module, paths.get(id(module), ""), previous)
            flow.nodes.append(node)
            previous = (node.index,)
        if container is model and previous:
            flow.outputs = frozenset(previous)
    return flow


def _outermost(module: nn.Module) -> Iterator[nn.Sequential]:
    if isinstance(module, nn.Sequential) and is_plain_sequential(module):
        yield module
    else:
        for child in module.children():
            yield from _outermost(child)


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if is_plain_sequential(child):
            yield from _leaves(child)
        else:
            yield child


def _node(index: int, module: nn.Module, path: str, sources: tuple[int, ...]) -> Node:
    op = next((name for cls, name in OPS if isinstance(module, cls)), None)
    if op is None:
        op = type(module).__name__.lower() if _is_activation(module) else "unknown"
    rate = getattr(module, "p", None) if op in _ops.DROP | _ops.CHANNEL_DROP else None
    window = getattr(module, "kernel_size", ()) if op in _ops.CONVOLUTION else ()
    return Node(
        index=index,
        op=op,
        path=path,
        sources=sources,
        first=next(iter(sources), None),
        rate=rate,
        weighted=next(module.parameters(), None) is not None,
        inplace=bool(getattr(module, "inplace", False)),
        kernel=_product(window),
        caller=_caller(module),
    )


def _is_activation(module: nn.Module) -> bool:
    return type(module).__module__ == "torch.nn.modules.activation"


def _caller(module: nn.Module) -> str:
    name = type(module).__name__.lower()
    return name if isinstance(module, nn.Dropout1d | nn.Dropout2d | nn.Dropout3d) else ""


def _product(sizes: tuple[int, ...]) -> int:
    product = 1 if sizes else 0
    for size in sizes:
        product *= size
    return product
