"""What a comparison comes to, in words: a sentence, its evidence, and what to do next."""

from dataclasses import dataclass, field

from thinned.report._format import p_value, plus_minus, short, signed

from .arms import Arm, Comparison
from .statistics import Difference
from .table import LEFT_OUT

_MOST = 8  # arms in a line
_LONGER = "Train longer first, and compare again. As it stands: "
MORE_SEEDS = "Run several seeds, at least 3, better 5: seed=1,2,3,4,5."


@dataclass(slots=True)
class Told:
    """A conclusion with its evidence and the suggested action."""

    headline: str
    action: str
    evidence: list[str] = field(default_factory=list)


def conclusion(found: Comparison) -> Told:
    """Say what was found, and what to do next."""
    base, best = found.arm(found.baseline), found.arm(found.best)
    if found.other_data:
        told = _other_data(found)
    elif best is None:
        told = _nothing_finished(found)
    elif base is None:
        told = Told(
            f"{found.main.key} is {_mean(found, best)}, and there is nothing to compare it with",
            "Add runs with another rate, and some without dropout.",
        )
    elif found.main.title not in base.estimates:
        told = _nothing_of_the_baseline(found, base)
    elif not any(found.main.title in arm.estimates for arm in found.arms if arm is not base):
        told = _nothing_but_the_baseline(found, base)
    elif best is base:
        told = _nothing_better(found, base)
    else:
        told = _something_better(found, base, best)
    if best is not None and (early := [arm for arm in found.arms if arm.improving]):
        told.evidence.append(_early(early))
        if len(early) == sum(found.main.title in arm.estimates for arm in found.arms):
            told.action = _LONGER + told.action
    if best is not None or found.other_data:  # else the headline has it
        told.evidence += _left_out(found)
    return told


def _early(arms: list[Arm]) -> str:
    names = _listed([arm.label for arm in arms])
    return f"Still getting better at the end: {names}. Longer runs may change the order."


def _listed(of_arms: list[str]) -> str:
    more = f" and {len(of_arms) - _MOST} more" if len(of_arms) > _MOST else ""
    return ", ".join(of_arms[:_MOST]) + more


def _other_data(found: Comparison) -> Told:
    key = found.main.key
    return Told(
        f"The runs differ in their data: where validation does too, {key} does not compare",
        "Compare the runs of one data set at a time: give their folders.",
    )


def _nothing_of_the_baseline(found: Comparison, base: Arm) -> Told:
    if base.count("diverged"):
        return Told(
            f"The runs of the baseline {base.label} diverged, so nothing can be compared with it",
            "Lower its learning rate, or name another baseline.",
        )
    if base.count("unmeasured"):
        return Told(
            f"The baseline {base.label} has no run with {found.main.key}, so nothing can be "
            "compared with it",
            "Log it in all runs, or name another baseline.",
        )
    return Told(
        f"The baseline {base.label} has no finished run, so nothing can be compared with it",
        f"Run {base.label}, or name another baseline.",
    )


def _nothing_but_the_baseline(found: Comparison, base: Arm) -> Told:
    action = "See why the other runs did not finish, and run them again."
    if any(arm.count("unmeasured") for arm in found.arms):
        action = f"Log {found.main.key} in all runs, and run them again."
    if any(arm.count("diverged") for arm in found.arms):
        action = "Lower the learning rate of the runs that diverged, and run them again."
    return Told(
        f"{found.main.key} is {_mean(found, base)} with {base.label}, and no other arm has a "
        "finished run to compare",
        action,
        _untested(found),
    )


def _nothing_finished(found: Comparison) -> Told:
    running = sum(arm.count("running") for arm in found.arms)
    diverged = sum(arm.count("diverged") for arm in found.arms)
    if diverged and not running:
        return Told(
            f"No run ended with a finite {found.main.key}: {diverged} of {len(found.runs)} "
            "diverged",
            "Lower the learning rate, and train again.",
            _left_out(found) if diverged < len(found.runs) else [],
        )
    states = ", ".join(f"{count} {status}" for status, count in _lost(found))
    action = "Run them again, to their end."
    if any(arm.count("failed") for arm in found.arms):
        action = "See why they failed (`thinned report` and a run's folder), and run them again."
    if running:
        action = "Compare again when those that run have ended."
    which = f"None of the {len(found.runs)} runs" if len(found.runs) > 1 else "The run"
    not_yet = "has" if len(found.runs) > 1 else "has not"
    end = f"its end with {found.main.key}" if "unmeasured" in states else "its end"
    return Told(f"{which} {not_yet} come to {end}: {states}", action, _so_far(found))


def _so_far(found: Comparison) -> list[str]:
    """The best value of each arm that has one, though it is in no mean."""
    told = []
    for arm in found.arms:
        values = [
            (run.values[found.main.title], run.best_epoch)
            for run in arm.runs
            if found.main.title in run.values
        ]
        if values:
            value, epoch = (max if found.main.mode == "max" else min)(values)
            told.append(f"{arm.label} {short(value)} (epoch {short(epoch, 3)})")
    return [f"Best {found.main.key} so far, in no mean: {_listed(told)}."] if told else []


def _something_better(found: Comparison, base: Arm, best: Arm) -> Told:
    change = best.differences[found.main.title]
    means = f"{_mean(found, best)} against {_mean(found, base)}"
    if change.p is None:
        return Told(
            f"{best.label} has the better {found.main.key}, but one seed has no error bar",
            MORE_SEEDS,
            [f"{found.main.title}: {means}."],
        )
    evidence = [f"{found.main.title}: {means} (mean ± standard error).", _numbers(found, change)]
    evidence += _untested(found)
    if not found.significant:
        return Told(
            f"No significant difference: {best.label} has the best mean {found.main.key}, but "
            f"{base.label} is within the noise of the seeds",
            "Keep the simpler setting; add seeds if so small a difference would matter.",
            evidence,
        )
    chosen = found.arm(found.chosen) or best
    action = f"Use {chosen.label}"
    if chosen is not best:
        action += f": it is as good as {best.label} to one standard error, and interferes less"
    verb = "raises" if found.main.mode == "max" else "lowers"
    return Told(
        f"{best.label} {verb} {found.main.key} by {_amount(found, base, change)} against "
        f"{base.label}",
        f"{action}.",
        evidence,
    )


def _nothing_better(found: Comparison, base: Arm) -> Told:
    changes = [arm.differences.get(found.main.title) for arm in found.arms if arm is not base]
    known = [change for change in changes if change is not None and change.p is not None]
    best = f"{base.label} has the best {found.main.key}"
    evidence = [f"{found.main.title}: {_mean(found, base)} (mean ± standard error)."]
    if not known:
        return Told(f"{best}, but one seed has no error bar", MORE_SEEDS, evidence)
    untested = _untested(found)
    evidence += untested
    if all(change.significant for change in known):
        if untested:
            return Told(
                f"{best}, and {_rivals(len(known), ' that could be tested')} significantly worse",
                "Leave it as it is; what was not tested needs more finished runs.",
                evidence,
            )
        return Told(
            f"{best}, and {_rivals(len(known))} significantly worse",
            "Leave it as it is; only smaller changes are worth a further try.",
            evidence,
        )
    return Told(
        f"No significant improvement: {best}",
        "Leave it as it is, or try other rates.",
        evidence,
    )


def _rivals(count: int, which: str = "") -> str:
    """Say which arms are meant, and that they are."""
    return f"all others{which} are" if count > 1 else f"the only other{which} is"


def _untested(found: Comparison) -> list[str]:
    """Name the arms of which too few seeds are left for a test."""
    title = found.main.title
    named = []
    for arm in found.arms:
        change = arm.differences.get(title)
        if arm.label != found.baseline and (change is None or change.p is None):
            named.append(f"{arm.label} ({_why(arm, title)})")
    return [f"Not tested: {', '.join(named)}."] if named else []


def _why(arm: Arm, title: str) -> str:
    mean = arm.estimates.get(title)
    if mean is not None:
        return f"{mean.n} seed" + ("s" if mean.n > 1 else "")
    states = {run.state for run in arm.runs}
    told = next(iter(states)) if len(states) == 1 else ""
    return told if told in ("diverged", "unmeasured") else "no finished run"


def _left_out(found: Comparison) -> list[str]:
    lost = ", ".join(f"{count} {status}" for status, count in _lost(found))
    return [f"Not in the means: {lost}, of {len(found.runs)} runs."] if lost else []


def _lost(found: Comparison) -> list[tuple[str, int]]:
    """How many runs came to no end that counts, by state."""
    counts = [(status, sum(arm.count(status) for arm in found.arms)) for status in LEFT_OUT]
    return [(status, count) for status, count in counts if count]


def _numbers(found: Comparison, change: Difference) -> str:
    kind = "Paired difference" if change.paired else "Difference of the means"
    arms = sum(found.main.title in arm.differences for arm in found.arms)
    holm = f" (Holm's, of {arms} comparisons)" if arms > 1 else ""
    return (
        f"{kind} {signed(change.mean)}, 95% interval {signed(change.low)} to "
        f"{signed(change.high)}, {change.n} seeds, p {p_value(change.p)}{holm}."
    )


def _amount(found: Comparison, base: Arm, change: Difference) -> str:
    before = base.estimates[found.main.title].mean
    amount = short(abs(change.mean), 3)
    return f"{amount} ({abs(change.mean / before):.0%})" if before else amount


def _mean(found: Comparison, arm: Arm) -> str:
    mean = arm.estimates[found.main.title]
    return plus_minus(mean.mean, mean.se)
