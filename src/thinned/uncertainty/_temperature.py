"""Temperature scaling: the rival of every other way to be calibrated, with one number."""

import math

from torch import Tensor
from torch.nn import functional

from ._forwards.output import check_target


def fit_temperature(logits: Tensor, target: Tensor) -> float:
    r"""Return the temperature :math:`\tau` that minimizes the loss of :math:`z / \tau`.

    Divide logits by it. Classes stay in their order, so accuracy does not change. Fit it on data
    that the model was not trained on, and not on the test set.

    Args:
        logits: shape ``(N, C)``.
        target: the true classes, shape ``(N,)``.

    Returns:
        Above 1 for a model that is too sure, below 1 for one that is not sure enough.

    Raises:
        TypeError: if the classes are not whole numbers.
        ValueError: for shapes that do not match, a class out of range, or if no temperature is the
            best: all rows right (the smaller the better), or none better than chance (the larger
            the better).

    Example:
        >>> import torch
        >>> logits = torch.tensor([[4.0, 0.0]] * 4)
        >>> tau = fit_temperature(logits, torch.tensor([0, 0, 0, 1]))  # sure, right in 3 of 4
        >>> round((logits / tau).softmax(1)[0, 0].item(), 4)
        0.75

    References:
        Guo, Pleiss, Sun, Weinberger (2017), *On Calibration of Modern Neural Networks*,
        equation 9, https://arxiv.org/abs/1706.04599
    """
    check_target(logits, target, "logits")
    z = logits.detach().double()
    low, high = math.log(1e-3), math.log(1e3)
    for _ in range(60):  # of 1 / tau the loss is convex: its slope changes sign once
        middle = (low + high) / 2
        if _slope(z, target, math.exp(-middle)) > 0.0:
            low = middle
        else:
            high = middle
    found = math.exp((low + high) / 2)
    if not 1.01e-3 < found < 0.99e3:
        msg = "Expected rows of which some are wrong and more are right, got none that tell a "
        raise ValueError(f"{msg}temperature. Give logits of held-out data, {found:g} was reached.")
    return found


def _slope(z: Tensor, target: Tensor, scale: float) -> float:
    """Derivative of the loss by the scale, the inverse temperature."""
    p = functional.softmax(z * scale, dim=1)
    chosen = z.gather(1, target[:, None]).squeeze(1)
    return float(((p * z).sum(1) - chosen).mean())
