"""What a run's history says, in a word, with its reasons and what to do."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import _verdict_words as words
from ._verdict_features import Features, features
from ._verdict_weights import WEIGHTS, WEIGHTS_WITHOUT_NOISE

VERDICTS = (
    "not enough evidence",
    "underfitting",
    "healthy",
    "overfitting",
    "over-regularized",
)
CONFIDENT = 0.7  # below, the verdict is that there is not enough evidence
WORDS = {  # what to do, and what that calls the run
    "raise the rate": "overfitting",
    "train less": "overfitting",
    "lower the rate": "over-regularized",
    "train longer": "underfitting",
    "keep": "healthy",
}
_UNCALIBRATED = 0.9
LARGE_GAP = 0.6  # of validation's error: above, hardly any run of the calibration dropped too much
LOOKS_HEALTHY = 0.5
MOST_HEALTHY = 0.65  # of the runs that look healthy, however much, no more were
_MOST = 0.99  # no more can be learned of a few hundred runs


@dataclass(frozen=True)
class Verdict:
    """A word on a run, with its reasons.

    Attributes:
        word: one of `VERDICTS`.
        confidence: estimated probability that running again would confirm the word, in [0, 1];
            where there is not enough evidence, that of the likeliest word.
        evidence: the reasons, a line each.
        action: what to do, to be pasted.
        remedy: what would lower validation loss: ``"raise the rate"``, ``"lower the rate"``,
            ``"train longer"``, ``"train less"`` or ``"keep"``; empty where that is not clear (of
            an overfitting run, whether more dropout would help or only less training).
        rates: the dropout rates that the action names: one to train with, or several to compare.
        epochs: the length of training that the action names, if it does.
    """

    word: str
    confidence: float
    evidence: tuple[str, ...]
    action: str
    remedy: str = ""
    rates: tuple[float, ...] = ()
    epochs: int | None = None

    def __str__(self) -> str:
        """Write it for the terminal: the word, the reasons, and what to do."""
        head = self.word
        if self.word != VERDICTS[0]:
            head += f" (confidence {self.confidence:.0%})"
        return "\n".join([head, *(f"  - {line}" for line in self.evidence), f"  -> {self.action}"])


def verdict(history: Sequence[Mapping[str, Any]], monitor: str, mode: str = "min") -> Verdict:
    """Judge a run as if it ended now.

    Each word is a claim about what running again would show. *overfitting*: a higher rate, or
    less training, would end at lower validation loss. *over-regularized*: a lower rate would.
    *underfitting*: longer training would, and another rate would not. *healthy*: none of them
    would. Their probabilities come from figures of the history by a logistic model that was
    calibrated on several hundred small runs with known truth (`docs/evidence.md` has how often it
    is right, and where it was never tried); where validation is noisy, they are nearer to each
    other. Where none reaches 70%, it is *not enough evidence*; so is a probe that holds
    validation's own samples, *overfitting* without a gap, and *over-regularized* with one above 60%
    of validation's loss. *Healthy* is in the evidence, never the word: that no change would help
    cannot be seen in one run with 70%.

    Args:
        history: rows as `OverfittingMonitor.history` has them, with ``rate`` where dropout is used.
        monitor: the watched key. The calibration is for losses and for dropout of single units;
            with other metrics, and where only something else drops, the confidence is lowered.
        mode: ``"min"`` or ``"max"``.

    Returns:
        The `Verdict`.

    Example:
        >>> rows = [
        ...     {"epoch": e, "val_loss": 0.5 + 0.02 * e, "overfit/probe/val_loss": 0.4 * 0.8**e}
        ...     for e in range(12)
        ... ]
        >>> found = verdict(rows, "val_loss")
        >>> found.word, found.remedy
        ('overfitting', 'raise the rate')
        >>> found.action
        'Add dropout: thinned.regularize(dropout=0.2)'
        >>> verdict(rows[:2], "val_loss").word
        'not enough evidence'
    """
    found = features(history, monitor, mode)
    if found is None:
        return Verdict(VERDICTS[0], 0.0, words.too_short(history, monitor), words.GO_ON)
    if found.same_samples:
        return Verdict(VERDICTS[0], 0.0, words.same_samples(monitor), words.OTHER_PROBE)
    chances = remedies(found)
    by_word: dict[str, float] = {}
    for remedy, chance in chances.items():
        by_word[WORDS[remedy]] = by_word.get(WORDS[remedy], 0.0) + chance
    word = max(by_word, key=by_word.__getitem__)
    calibrated = found.is_loss and not found.drops_otherwise
    confidence = min(_MOST, by_word[word] * (1.0 if calibrated else _UNCALIBRATED))
    evidence = words.evidence(found, monitor)
    if word == "overfitting" and found.gap <= 0.0:  # no such run was among those of the calibration
        return Verdict(VERDICTS[0], 0.0, (*evidence, words.NO_GAP), words.STEADY)
    told, tried = words.compare(found), words.rates("", found)
    if word == "healthy" and confidence >= LOOKS_HEALTHY:
        why = words.LOOKS_HEALTHY if found.learned else words.NOT_LEARNED
        confidence = min(confidence, MOST_HEALTHY)
        return Verdict(VERDICTS[0], confidence, (*evidence, why), told, rates=tried)
    if confidence < CONFIDENT:
        doubt = words.doubt(by_word)
        return Verdict(VERDICTS[0], confidence, (*evidence, doubt), told, rates=tried)
    if word == "over-regularized" and found.gap > LARGE_GAP:
        return Verdict(VERDICTS[0], 0.0, (*evidence, words.LARGE_GAP), told, rates=tried)
    remedy = max((r for r in chances if WORDS[r] == word), key=chances.__getitem__)
    if chances[remedy] < CONFIDENT:  # two remedies go by this word
        length = words.epochs("train less", found)
        return Verdict(word, confidence, evidence, words.either(found), "", tried, length)
    tried, length = words.rates(remedy, found), words.epochs(remedy, found)
    return Verdict(word, confidence, evidence, words.action(remedy, found), remedy, tried, length)


def remedies(found: Features) -> dict[str, float]:
    """Return the probability of each remedy: that it is the one that running again would favour."""
    weights = WEIGHTS if found.margin is not None else WEIGHTS_WITHOUT_NOISE
    numbers = found.numbers()
    shares = {  # the numbers are bounded, and so what they are the power of
        remedy: math.exp(
            found.certainty * (bias + math.fsum(w * n for w, n in zip(own, numbers, strict=True)))
        )
        for remedy, (bias, *own) in weights.items()
        if remedy != "lower the rate" or not found.hardly_drops
    }
    total = math.fsum(shares.values())
    return {remedy: share / total for remedy, share in shares.items()}
