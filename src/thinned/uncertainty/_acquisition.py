"""Which rows to label next: scores of active learning, from the samples of `mc_predict`."""

import torch
from torch import Tensor

from thinned._checks import check_number
from thinned.uncertainty._prediction import entropy

OUTCOMES = 10**6  # of a joint distribution that is summed exactly
ROUNDING = 0.02  # what the sum of many classes may lose in half precision


def bald(probabilities: Tensor) -> Tensor:
    r"""Return the mutual information of each row's label and the weights, in nats (BALD).

    .. math:: H\big[\tfrac{1}{T} \sum_t p_t\big] - \tfrac{1}{T} \sum_t H[p_t]

    Args:
        probabilities: of each sample, shape ``(T, N, C)``:
            ``mc_predict(..., keep_samples=True).samples.softmax(-1)``.

    Returns:
        Shape ``(N,)``, from 0 to :math:`\log C`.

    Example:
        >>> agree, contradict = [[0.5, 0.5], [0.5, 0.5]], [[1.0, 0.0], [0.0, 1.0]]
        >>> bald(torch.tensor([agree, contradict]).transpose(0, 1))
        tensor([0.0000, 0.6931])

    References:
        Houlsby, Huszár, Ghahramani, Lengyel (2011), equation 2, https://arxiv.org/abs/1112.5745
    """
    p = _checked(probabilities)
    return (entropy(p.mean(0)) - entropy(p, dim=2).mean(0)).clamp(min=0.0).to(probabilities.dtype)


def batch_bald(probabilities: Tensor, count: int) -> tuple[list[int], list[float]]:
    r"""Choose rows that together say the most about the weights, one after the other (BatchBALD).

    .. math:: I[y_{1:k}; w] = H[y_{1:k}] - \sum_i \tfrac{1}{T} \sum_t H[p_t(y_i)]

    The joint entropy is summed exactly, so at most as many rows can be chosen as keep
    :math:`C^{k-1}` below a million outcomes.

    The rows need samples of the same weights, so draw them with one mask for all rows, or take the
    members of an ensemble. With a mask for each row, as `mc_predict` draws, rows are independent
    and this is close to taking the largest `bald`.

    Args:
        probabilities: of each sample, shape ``(T, N, C)``.
        count: how many rows to choose.

    Returns:
        The chosen rows in order, and the information of the first, the first two, and so on.

    Example:
        >>> same, other = [[1.0, 0.0], [0.0, 1.0]] * 2, [[0.9, 0.1]] * 2 + [[0.1, 0.9]] * 2
        >>> p = torch.tensor([same, same, other]).transpose(0, 1)  # the second repeats the first
        >>> batch_bald(p, 2)[0]
        [0, 2]

    References:
        Kirsch, van Amersfoort, Gal (2019), *BatchBALD*, equation 8 and algorithm 1,
        https://arxiv.org/abs/1906.08158
    """
    p = _checked(probabilities)
    samples, rows, classes = p.shape
    wanted = int(check_number("count", count, 1, rows, what="a number of rows"))
    if classes ** (wanted - 1) > OUTCOMES:
        msg = (
            f"Expected at most {OUTCOMES:,} outcomes, got {classes}^{wanted - 1} for count={count} "
        )
        raise ValueError(f"{msg}and {classes} classes. Choose fewer rows at a time.")
    conditional = entropy(p, dim=2).mean(0)
    joint = p.new_ones(samples, 1)  # p_t of all outcomes of the rows chosen so far
    chosen: list[int] = []
    information: list[float] = []
    spent = p.new_zeros(())
    for _ in range(wanted):
        gain = torch.stack([_joint_entropy(joint, p[:, row]) for row in range(rows)]) - conditional
        gain[chosen] = -torch.inf
        best = int(gain.argmax())
        chosen.append(best)
        information.append(max(0.0, float(gain[best] - spent)))
        spent = spent + conditional[best]
        joint = (joint[:, :, None] * p[:, best][:, None, :]).flatten(1)
    return chosen, information


def _joint_entropy(joint: Tensor, row: Tensor) -> Tensor:
    """Entropy of what is chosen and one more row."""
    mean = joint.T @ row / len(joint)
    return entropy(mean.flatten()[None])[0]


def epig(pool: Tensor, target: Tensor) -> Tensor:
    r"""Return how much each row's label is expected to say about predictions elsewhere (EPIG).

    .. math:: \frac{1}{M} \sum_{j} I[y_i; y^*_j], \quad
        p(y_i, y^*_j) = \tfrac{1}{T} \sum_t p_t(y_i) \, p_t(y^*_j)

    Both need samples of the same weights (see `batch_bald`).

    Args:
        pool: probabilities of each sample on what may be labelled, shape ``(T, N, C)``.
        target: probabilities of the same samples where predictions matter, shape ``(T, M, C)``.

    Returns:
        Shape ``(N,)``, in nats.

    Example:
        >>> unsure, still = [[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.5], [0.5, 0.5]]
        >>> pool = torch.tensor([unsure, still]).transpose(0, 1)
        >>> epig(pool, torch.tensor([unsure]).transpose(0, 1))
        tensor([0.6931, 0.0000])

    References:
        Bickford Smith, Kirsch, Farquhar, Gal, Foster, Rainforth (2023), *Prediction-Oriented
        Bayesian Active Learning*, equation 7, https://arxiv.org/abs/2304.08151
    """
    p, q = _checked(pool), _checked(target)
    if len(p) != len(q):
        msg = f"Expected the same samples of pool and target, got {len(p)} and {len(q)} of them."
        raise ValueError(msg)
    marginal = entropy(q.mean(0))
    scores = []
    for row in p.unbind(1):  # one at a time: memory does not grow with N
        joint = torch.einsum("tc,tmd->mcd", row, q) / len(p)
        together = entropy(joint.flatten(1))
        scores.append((entropy(row.mean(0)[None]) + marginal - together).mean())
    return torch.stack(scores).clamp(min=0.0).to(pool.dtype)


def _checked(probabilities: Tensor) -> Tensor:
    if probabilities.dim() != 3:
        msg = f"Expected probabilities of shape (T, N, C), got {tuple(probabilities.shape)}."
        raise ValueError(msg)
    p = probabilities.double()
    if not (bool((p >= 0.0).all()) and bool(((p.sum(2) - 1.0).abs() < ROUNDING).all())):
        msg = "Expected probabilities of 0 and more that sum to 1 over the classes, got others. Of "
        raise ValueError(f"{msg}logits take probabilities.softmax(-1).")
    return p
