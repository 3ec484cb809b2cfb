"""Predictions from many masks: dropout as an ensemble (Gal & Ghahramani 2016)."""

import contextlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from thinned._checks import check_choice, check_count
from thinned._errors import NoEffectError
from thinned._generators import generators_kept
from thinned.uncertainty._prediction import Moments, Prediction, is_logits

from ._cutting.fingerprint import fingerprint
from ._drawing.draw import Draws
from ._drawing.shared_draws import SharedDraws
from ._forwards.output import check_values
from ._forwards.sampling import known_sites, sampling

MASKS = ("row", "batch")
ROUNDING = 1000  # steps between two numbers that copies in one batch may be apart, masks or not
ALONE = 8  # forwards of their own that decide where samples are no further apart


def mc_predict(
    model: nn.Module,
    x: Any,
    samples: int = 20,
    *,
    include: str | Iterable[str] = "*",
    seed: int | None = None,
    chunk: int | None = None,
    batched: bool = True,
    masks: str = "row",
    classes: bool | None = None,
    keep_samples: bool = False,
) -> Prediction:
    r"""Predict with dropout on, many times, and return mean and spread (Monte Carlo dropout).

    .. math:: \bar y = \frac{1}{T} \sum_{t=1}^{T} f(x; m_t), \quad m_t \text{ a new mask}

    Only stochastic sites are on. Norms and everything else are in evaluation mode, and every mode
    is put back, after an error as well. No gradient is recorded.

    What comes before the first active site is computed once. The rest is predicted for several
    samples at a time, where that is shown to be the same: each row by itself, each with a mask of
    its own. Where it is not, every sample is a forward; ``Prediction.method`` says how it was.

    Args:
        model: any module. A LightningModule is called as it is: by its ``forward``.
        x: what the model is called with: a tensor, a tuple (arguments) or a mapping (keywords).
        samples: number of samples, :math:`T`, at least 2.
        include: globs on dotted paths of what is on, or ``"last"``: the last site alone.
        seed: draw from this seed and put the global generators back; None draws from them.
        chunk: samples that are predicted at a time, as copies of the batch; None takes as many
            as keep the largest tensor small. It bounds the memory.
        batched: predict copies of the batch together, where rows and masks are independent;
            False predicts one sample at a time.
        masks: who shares one. ``"row"``: nobody, each row has a mask of its own. ``"batch"``: all
            rows of a sample have the same, as from one set of weights, which joint scores need
            (`thinned.uncertainty.batch_bald`, `thinned.uncertainty.epig`). Then calls with the same
            seed have the same masks, whatever the batch and its size: so ``seed=`` makes it one
            mask for a whole pass over the data. Samples are then predicted one at a time.
        classes: whether the outputs are logits of shape :math:`(N, C, *)`; None takes them for
            logits if they have two dimensions and at least two columns.
        keep_samples: keep all samples in the prediction, shape :math:`(T, N, *)`.

    Returns:
        The `Prediction`: ``mean``, ``std``, and for classifiers ``probabilities``, ``entropy``,
        ``mutual_information`` and ``variation_ratio``.

    Raises:
        NoEffectError: if nothing in the model is stochastic, or all samples are identical.
        TypeError: if the model returns no tensor, or one of integers, or with ``classes=True`` one
            that is not of real numbers.
        ValueError: if ``samples`` is below 2 or ``seed`` no whole number from 0 on, if the output
            is empty, with ``classes=True`` if it has no axis of classes, or with
            ``masks="batch"`` if a row's prediction depends on the other rows.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> _ = torch.manual_seed(0)
        >>> net = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 3))
        >>> found = mc_predict(net, torch.randn(5, 4), samples=50, seed=1)
        >>> found.mean.shape, bool((found.std > 0).all()), net.training
        (torch.Size([5, 3]), True, True)

    References:
        Gal, Ghahramani (2016), *Dropout as a Bayesian Approximation*, equation 6,
        https://arxiv.org/abs/1506.02142
    """
    count = check_count("samples", samples, 2, what="a number of samples")
    size = None if chunk is None else check_count("chunk", chunk, what="a number of samples")
    seed = None if seed is None else check_count("seed", seed, 0)
    state = fingerprint(model)
    sites = known_sites(model, include, state)
    check_choice("masks", masks, MASKS)
    shared = masks == "batch"
    draws = (
        SharedDraws(model, x, sites, state)
        if shared
        else Draws(model, x, sites, size, batched, state)
    )
    moments: Moments | None = None
    first: Tensor | None = None
    differs = False
    with torch.no_grad(), sampling(model, sites), _from_seed(seed, shared):
        for batch in draws(count):
            if moments is None or first is None:
                first = batch[0]
                check_values(first)
                moments = Moments(classes=is_logits(first, classes), keep=keep_samples)
            differs = differs or _apart(batch[-1:], first) or _apart(batch, first)
            moments.update(batch)
        if first is not None and not differs:
            alone = [draws.plain(number) for number in range(min(count, ALONE))]
            differs = any(not torch.equal(each, alone[0]) for each in alone)
    if moments is None or not differs:
        named = ", ".join(f"{site.path} ({site.rate:g})" for site in sites)
        msg = f"Expected samples that differ, got {count} identical ones with these sites on: "
        msg += f"{named}. No forward follows them: thinned.find_sites(model, example_input=x) "
        msg += "shows which are live, thinned.insert(model, rate=0.1) adds some. Or what they drop "
        msg += "is zero, as residual branches are before training."
        raise NoEffectError(msg)
    return moments.prediction(draws.method)


def _apart(samples: Tensor, first: Tensor) -> bool:
    """Say whether samples are further from the first than rounding, or not numbers."""
    if first.dtype is torch.bool:
        return bool((samples != first).any())
    most = min(ROUNDING * torch.finfo(first.dtype).eps, 0.05) * first.abs().max()
    return not bool(((samples - first).abs() <= most).all())


def _from_seed(seed: int | None, shared: bool) -> contextlib.AbstractContextManager[None]:
    """Draw from a seed and put the generators back; shared masks always have one."""
    if shared and seed is None:
        seed = int(torch.randint(2**62, ()))
    return contextlib.nullcontext() if seed is None else generators_kept(seed)
