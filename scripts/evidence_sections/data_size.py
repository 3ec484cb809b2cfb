"""Data set size: does dropout help with little data, some, plenty (Srivastava 2014, fig. 10)?"""

from ._arms import Arm, Group
from ._axis import Axis
from ._claim import crossed
from ._mlp import dropped, plain
from ._table import BEST, ERROR, LOSS

TITLE = "Data set size"
SIZES = {
    "digits": (50, 100, 200, 400, 800),
    "cancer": (50, 100, 200, 400),
    "diabetes": (50, 100, 200),
    "drawn": (50, 200, 800, 3200),
}
ALL = tuple(sorted({size for sizes in SIZES.values() for size in sizes}))
TUNED = "rate by validation"
ARMS = {
    "none": plain(128, 128),
    "rate 0.5": Arm(dropped(128, 128), (0.5,)),
    TUNED: Arm(dropped(128, 128)),
}
SECTION = Axis(
    {f"{n}, {task}": Group(task, ARMS, train=n) for task, sizes in SIZES.items() for n in sizes},
    base="none",
    claims=tuple(
        claim
        for n in ALL
        for claim in crossed(
            [(f"{n}", TUNED)],
            (
                ("loss", f"{n} samples: a tuned rate lowers the loss", LOSS),
                ("best", "also at the best checkpoint", BEST),
                ("error", "and the error", ERROR),
            ),
        )
        + crossed(
            [(f"{n}", "rate 0.5")], (("loss", f"{n} samples: a rate of 0.5 lowers the loss", LOSS),)
        )
    ),
    cases={f"{n}": "" for n in ALL},
    axis="samples",
    drawn=(
        ("rate 0.5", "rate 0.5", LOSS),
        (TUNED, TUNED, LOSS),
        (f"{TUNED}, best checkpoint", TUNED, BEST),
    ),
)
