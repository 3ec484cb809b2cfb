"""Predictions from several networks that were trained apart: the rival with many trainings."""

import functools
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from thinned._errors import NoEffectError
from thinned.surgery._running.trace import call
from thinned.uncertainty._prediction import Moments, Prediction, is_logits

from ._forwards.inputs import Inputs
from ._forwards.output import check_values
from ._forwards.sampling import sampling


def ensemble_predict(
    models: Iterable[nn.Module],
    x: Any,
    *,
    classes: bool | None = None,
    keep_samples: bool = False,
) -> Prediction:
    r"""Predict with each of several networks, and return mean and spread (deep ensemble).

    .. math:: \bar y = \frac{1}{M} \sum_{m=1}^{M} f_m(x)

    Train the same network some times (5, say) from other seeds; the spread of what they say is the
    doubt. Every network is in evaluation mode for its forward, without dropout, and gets its modes
    back. One network after the other is asked, so a generator that loads them needs the memory of
    one.

    Args:
        models: the networks, at least 2.
        x: what each is called with: a tensor, a tuple (arguments) or a mapping (keywords).
        classes: whether the outputs are logits of shape :math:`(N, C, *)`; None takes them for
            logits if they have two dimensions and at least two columns.
        keep_samples: keep all outputs in the prediction, shape :math:`(M, N, *)`.

    Returns:
        The same `Prediction` that `thinned.mc_predict` gives, ``count`` being the networks.

    Raises:
        NoEffectError: if all networks say the same.
        TypeError: if a network returns no tensor, or one of integers.
        ValueError: if there are fewer than 2, or their outputs are empty or differ in shape.

    Example:
        >>> members = [nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)) for _ in range(5)]
        >>> found = ensemble_predict(members, torch.randn(6, 4))
        >>> found.probabilities.shape, found.count
        (torch.Size([6, 3]), 5)

    References:
        Lakshminarayanan, Pritzel, Blundell (2017), *Simple and Scalable Predictive Uncertainty
        Estimation using Deep Ensembles*, section 2.4, https://arxiv.org/abs/1612.01474
    """
    moments: Moments | None = None
    first: Tensor | None = None
    differs, inputs = False, Inputs(x)
    for model in models:
        with torch.no_grad(), sampling(model, ()):
            output = inputs.output(functools.partial(call, model, x))
        if moments is None or first is None:
            first = output
            check_values(first)
            moments = Moments(classes=is_logits(output, classes), keep=keep_samples)
        if output.shape != first.shape:
            msg = "Expected networks whose outputs have one shape, got "
            raise ValueError(f"{msg}{tuple(first.shape)} and {tuple(output.shape)}.")
        differs = differs or bool((output != first).any())
        moments.update(output.unsqueeze(0))
    if moments is None or moments.count < 2:
        count = 0 if moments is None else 1
        msg = f"Expected at least 2 networks, got {count}. For the samples of "
        raise ValueError(msg + "one network with dropout use thinned.mc_predict.")
    if not differs:
        msg = f"Expected networks that differ, got {moments.count} whose outputs are the same. "
        raise NoEffectError(msg + "Train each from a seed of its own; a list of one object is one.")
    return moments.prediction(f"{moments.count} networks")
