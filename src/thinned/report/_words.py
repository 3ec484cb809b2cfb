"""What a comparison comes to, in words."""

from typing import TYPE_CHECKING

from thinned.report._format import plus_minus, short, signed

if TYPE_CHECKING:
    from thinned.report._compare import Arm, Comparison


def conclusion(found: "Comparison") -> tuple[str, str]:
    """Say what was found, and what to do next."""
    base, best = found.arm(found.baseline), found.arm(found.best)
    if best is None:
        running = sum(arm.count("running") for arm in found.arms)
        rest = f"{running} of {len(found.runs)} still run" if running else "all ended early"
        return f"No run has come to its end yet: {rest}.", "Compare again when they have."
    if base is None:
        only = found.arms[0]
        told = f"{found.main.key} {_mean(found, only)}, over {_seeds(found, only)}."
        return told, "Nothing to compare with: add runs with another rate, and without dropout."
    if base.estimates.get(found.main.title) is None:
        told = f"The baseline {base.label} has no finished run, so nothing can be compared with it."
        return told, f"Run {base.label}, or name another baseline."
    if best is base:
        return _nothing_better(found, base)
    change = best.differences.get(found.main.title)
    told = f"{_verb(found)} {found.main.key}: {_mean(found, best)} against {_mean(found, base)}"
    if change is None or change.p is None:
        return (
            f"{best.label} {told} with {base.label}, but one seed has no error bar.",
            "Run several seeds, at least 3, better 5: seed=1,2,3,4,5.",
        )
    kind = "paired difference" if change.paired else "difference"
    numbers = (
        f"{kind} {signed(change.mean)}, 95% interval {signed(change.low)} to {signed(change.high)},"
        f" {change.n} seeds, p = {short(change.p, 2)}"
    )
    if not change.significant:
        told = (
            f"No significant difference: {best.label} has the best mean {found.main.key} "
            f"({_mean(found, best)}), but {base.label} is within the noise of the seeds "
            f"({numbers})."
        )
        return told, "Keep the simpler setting; add seeds if so small a difference would matter."
    chosen = found.arm(found.chosen) or best
    action = f"Use {chosen.label}"
    if chosen is not best:
        action += f": it is as good as {best.label} to one standard error, and interferes less"
    return f"{best.label} {told} with {base.label} ({numbers}).", f"{action}."


def _nothing_better(found: "Comparison", base: "Arm") -> tuple[str, str]:
    changes = [arm.differences.get(found.main.title) for arm in found.arms if arm is not base]
    known = [change for change in changes if change is not None and change.p is not None]
    told = f"Nothing beats {base.label}: it has the best mean {found.main.key}"
    if known and all(change.significant for change in known):
        return (
            f"{told} ({_mean(found, base)}), and all others are significantly worse.",
            "Leave it as it is; smaller rates are the only ones worth a further try.",
        )
    if not known:
        return (
            f"{told} ({_mean(found, base)}), but one seed has no error bar.",
            "Run several seeds, at least 3, better 5: seed=1,2,3,4,5.",
        )
    told = (
        f"No significant difference in favour of any other: {base.label} has the best mean "
        f"{found.main.key} ({_mean(found, base)})."
    )
    return told, "Leave it as it is, or try other rates."


def _verb(found: "Comparison") -> str:
    return "raises" if found.main.mode == "max" else "lowers"


def _mean(found: "Comparison", arm: "Arm") -> str:
    mean = arm.estimates.get(found.main.title)
    return plus_minus(mean.mean, mean.se) if mean else "no value"


def _seeds(found: "Comparison", arm: "Arm") -> str:
    n = arm.estimates[found.main.title].n
    return f"{n} seed{'s' if n != 1 else ''}"
