"""The verdict's reasons and advice, in words."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ._verdict_features import LEAST_ROWS, Features

GO_ON = "Train on, and look again."
OTHER_PROBE = (
    "Pass a loader of training samples: OverfittingMonitor(probe=DataLoader(training_subset, "
    "...)). For one graph with masks, a copy whose validation mask is its training mask."
)
NO_GAP = (
    "Training data got worse along with validation: without a gap that is no overfitting, but "
    "training that came apart."
)
LARGE_GAP = (
    "It looks over-regularized, but the gap is large: that a lower rate would help was right too "
    "seldom of such runs."
)
LOOKS_HEALTHY = (
    "It looks healthy, as two in three such runs were: no change would have helped them."
)
NOT_LEARNED = (
    "It stands still, but validation has hardly fallen since it was first measured: a run that "
    "learns nothing looks like that too."
)
STEADY = "Lower the learning rate, or train on, and look again."
STEP = 0.2  # the change of rate that the verdict was calibrated on


def too_short(history: Sequence[Mapping[str, Any]], monitor: str) -> tuple[str, ...]:
    """Say why a history cannot be judged: too few rows, or figures that are none."""
    own = f"overfit/probe/{monitor}"
    rows = [row for row in history if monitor in row and own in row]
    broken = sum(not math.isfinite(row[monitor]) for row in rows)
    if broken:
        return (f"{monitor} is not finite in {broken} of {len(rows)} validations: it diverged.",)
    many = "validation" if len(rows) == 1 else "validations"
    return (f"{len(rows)} {many} with a probe; at least {LEAST_ROWS} are needed.",)


def same_samples(monitor: str) -> tuple[str, ...]:
    """Say why a probe shows nothing that gives what validation gives, to the last digit."""
    line = (
        f"{monitor} on the probe is that of validation, to the last digit: both are of the same "
        "samples. Either both loaders read them, or validation_step chooses them (by a mask)."
    )
    return (line,)


def evidence(found: Features, monitor: str) -> tuple[str, ...]:
    """Return the reasons, a line each."""
    what = monitor if found.is_loss else f"the error of {monitor}"
    lines = [_level(found, what), _course(found, what), _training(found)]
    if found.noisy is not None and (found.rate > 0.0 or found.drops_otherwise):
        lines.append(_noise(found, found.noisy))
    if found.new_probe is not None:
        lines.append(
            f"The probe holds other samples since epoch {found.new_probe}: its earlier figures do "
            "not compare, and are left out."
        )
    lines.append(_rate(found))
    if not found.is_loss:
        lines.append("The verdict was calibrated on losses; with this metric it is less certain.")
    return tuple(lines)


def rates(remedy: str, found: Features) -> tuple[float, ...]:
    """Return the rates to train with, as advice writes them: one, or several to compare."""
    low, high = max(0.0, found.rate - STEP), min(0.9, found.rate + STEP)
    several: tuple[float, ...] = (found.rate, high)
    if found.drops_otherwise:
        several = ()  # its rates are not known
    elif not found.hardly_drops:
        several = (low, *several)
    one = {"raise the rate": (high,), "lower the rate": (low,), "": several}
    written = (float(f"{rate:.2g}") for rate in one.get(remedy, ()))
    return tuple(dict.fromkeys(written))


def epochs(remedy: str, found: Features) -> int | None:
    """Return how many epochs to train, where the advice is to train longer or less."""
    return {"train longer": 2 * found.epochs, "train less": found.best_epoch + 1}.get(remedy)


def action(remedy: str, found: Features) -> str:
    """Return what to do, to be pasted."""
    if remedy == "raise the rate":
        (rate,) = rates(remedy, found)
        verb = "Raise the rate" if found.rate > 0.0 else "Add dropout"
        return f"{verb}: thinned.regularize(dropout={rate:.2g})"
    if remedy == "lower the rate":
        (rate,) = rates(remedy, found)
        return f"Lower the rate: thinned.regularize(dropout={rate:.2g})"
    if remedy == "train longer":
        return f"Train longer: Trainer(max_epochs={epochs(remedy, found)}); then look again."
    if remedy == "train less":
        return (
            "More dropout would not help: stop earlier, "
            f"Trainer(max_epochs={epochs(remedy, found)}), or get more training data."
        )
    return "Keep the rate."


def either(found: Features) -> str:
    """Return what to do about overfitting that more dropout may or may not cure."""
    return (
        f"Stop at epoch {found.best_epoch}, Trainer(max_epochs={epochs('train less', found)}); "
        f"whether more dropout would help too is open. {compare(found)}"
    )


def doubt(chances: Mapping[str, float]) -> str:
    """Say between what the verdict cannot decide."""
    first, second = sorted(chances, key=chances.__getitem__, reverse=True)[:2]
    return f"It could be {first} ({chances[first]:.0%}) or {second} ({chances[second]:.0%})."


def compare(found: Features) -> str:
    """Say which runs would decide."""
    tried = ",".join(f"{rate:.2g}" for rate in rates("", found))
    how = f"thinned.regularize(dropout=...) at {tried}"
    if found.drops_otherwise:
        how = "ScaleRates(factor, kinds='all') among the callbacks, at factor 0,0.5,1,1.5"
    return f"Compare: train with {how}, with several seeds."


def _level(found: Features, what: str) -> str:
    now = f"{what} is {found.validation:.4g} (median of the last three)"
    if found.best_epoch == found.epochs - 1:
        return f"{now}; its lowest, {found.best:.4g}, is of the last epoch."
    if found.rise <= 0.0:
        return f"{now}, at its lowest so far."
    above = f"{found.rise:.0%}" if found.rise >= 0.01 else "less than 1%"
    return f"{now}, {above} above its lowest ({found.best:.4g}, epoch {found.best_epoch})."


def _course(found: Features, what: str) -> str:
    if abs(found.trend) < 0.01:
        return f"Over the last third of training {what} stood still."
    verb = "rose" if found.trend > 0.0 else "fell"
    return f"Over the last third of training {what} {verb} by {abs(found.trend):.0%}."


def _training(found: Features) -> str:
    base = f"On training data with dropout off it is {found.probe:.4g}"
    if found.memorized:
        return f"{base}: the training data are learned by heart."
    if found.gap <= 0.0:
        return f"{base}: no gap."
    return f"{base}: the gap is {found.gap:.0%} of validation's."


def _rate(found: Features) -> str:
    if found.rate > 0.0:
        written = f"{found.rate:.2f}" if found.rate >= 0.01 else f"{found.rate:.1g}"
        return f"The mean dropout rate is {written}."
    if found.drops_otherwise:
        return (  # stochastic depth, drop blocks, ..., or a log without rates
            "Something drops, but no rate of single units is known: the verdict was not calibrated "
            "on that."
        )
    return "The mean dropout rate is 0: there is no dropout."


def _noise(found: Features, noisy: float) -> str:
    base = f"With dropout on, training data give {noisy:.4g}"
    if noisy <= found.probe:
        return f"{base}: dropout's noise costs nothing."
    if noisy > found.validation > found.probe:
        return f"{base}: training looks worse than validation only because dropout is on in it."
    if noisy > found.validation:
        return f"{base}: dropout's noise costs more than generalization does."
    return f"{base}: even with its noise, less than validation."
