"""Layer size: how does width change what dropout does, and the rate that is best?"""

from ._arms import Arm, Group
from ._axis import Axis
from ._claim import crossed
from ._mlp import dropped, plain
from ._table import BEST, ERROR, LOSS

TITLE = "Layer size"
WIDTHS = (8, 24, 72, 216)
TASKS = ("digits", "diabetes", "drawn")
SECTION = Axis(
    {
        f"{wide}, {task}": Group(
            task, {"none": plain(wide, wide), "Dropout": Arm(dropped(wide, wide))}
        )
        for task in TASKS
        for wide in WIDTHS
    },
    base="none",
    claims=tuple(
        claim
        for wide in WIDTHS
        for claim in crossed(
            [(f"{wide}", "Dropout")],
            (
                ("loss", f"{wide} units: dropout lowers the loss", LOSS),
                ("best", "also at the best checkpoint", BEST),
                ("error", "and the error", ERROR),
            ),
        )
    ),
    cases={f"{wide}": "" for wide in WIDTHS},
    axis="units",
    drawn=(("after the last step", "Dropout", LOSS), ("best checkpoint", "Dropout", BEST)),
)
