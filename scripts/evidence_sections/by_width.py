"""A rate that follows the width of the layer (`ByWidth`) against one rate for all."""

import dataclasses

from thinned.schedules import PROFILES, Constant, Profile, Proportional, as_profile

from ._arms import Arm, Group
from ._claim import Claim
from ._compare import Comparison
from ._mlp import dropped, plain
from ._results import Results
from ._table import BEST, ERROR
from ._tasks import FOUR

TITLE = "A rate that follows the width"
NETS = {"funnel": (256, 64, 16), "bottleneck": (128, 16, 128)}
ON = {"funnel": FOUR, "bottleneck": ("digits", "drawn")}


def profiles(widths: tuple[int, ...]) -> dict[str, Profile]:
    """Those that have a name, and the plain rival: no dropout behind the narrowest layer."""
    spared = Proportional(tuple(0.0 if wide == min(widths) else 1.0 for wide in widths))
    return {**{name: as_profile(name) for name in PROFILES}, "narrow spared": spared}


def _arm(profile: Profile, widths: tuple[int, ...]) -> Arm:
    build = dropped(*widths)
    return Arm(
        lambda data, _: build(data, 0.0),
        change=lambda recipe, rate: dataclasses.replace(
            recipe, schedule=Constant(rate), profile=profile, widths=widths
        ),
    )


def _arms(widths: tuple[int, ...]) -> dict[str, Arm]:
    made = {name: _arm(each, widths) for name, each in profiles(widths).items()}
    return {"none": plain(*widths), **made}


def rates_at_half(_results: Results) -> str:
    """What each profile makes of a rate of 0.5."""
    lines = ["| rates at a group rate of 0.5 | " + " | ".join(profiles((2, 1))) + " |"]
    lines += ["|---" * (len(profiles((2, 1))) + 1) + "|"]
    for shape, widths in NETS.items():
        cells = [
            ", ".join(f"{rate:.2f}" for rate in each.rates(0.5, widths))
            for each in profiles(widths).values()
        ]
        lines.append(f"| {shape}, {'-'.join(map(str, widths))} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


SECTION = Comparison(
    {
        f"{shape}, {task}": Group(task, _arms(widths))
        for shape, widths in NETS.items()
        for task in ON[shape]
    },
    base="uniform",
    claims=tuple(
        Claim(f"{shape}, {name}", says, arm, shape, **options)
        for shape in NETS
        for name, says, arm, options in (
            ("loss", "ByWidth has a lower loss than one rate for all", "by_width", {}),
            ("best", "also at the best checkpoint", "by_width", {"measure": BEST}),
            ("error", "It has a lower error", "by_width", {"measure": ERROR}),
            (
                "spared",
                "It has a lower loss than one rate for all but the narrowest layer",
                "by_width",
                {"base": "narrow spared"},
            ),
            ("none", "It has a lower loss than no dropout", "by_width", {"base": "none"}),
            ("depth", "LinearDepth has a lower loss than one rate for all", "linear_depth", {}),
        )
    ),
    cases={shape: f"{shape}: {'-'.join(map(str, widths))}" for shape, widths in NETS.items()},
    name="profile",
    more=rates_at_half,
)
