"""Early and late dropout: does it help to drop in one half of the training only (Liu 2023)?"""

from collections.abc import Callable

from thinned.schedules import Constant, Early, Late, Schedule

from ._arms import Group
from ._claim import Claim
from ._compare import VIEWS, Comparison, View
from ._mlp import scheduled
from ._table import BEST, Measure
from ._tasks import FOUR

TITLE = "Early and late dropout"
SCHEDULES: dict[str, Callable[[float], Schedule]] = {
    "constant": Constant,
    "early": lambda rate: Early(rate, until=0.5),
    "early, falling": lambda rate: Early(rate, until=0.5, shape="linear"),
    "late": lambda rate: Late(rate, begin=0.5),
}
TRAINED = Measure("train_loss", "training loss, dropout off", quote="training loss")
SMALL = {"digits": (1000, (12, 12)), "drawn": (1000, (12, 12)), "signs": (1000, (12, 12))}
OVER, UNDER = "overfits", "underfits"


def _claim(
    name: str, says: str, arm: str, case: str, *, base: str = "", **options: object
) -> Claim:
    return Claim(f"{case}, {name}", says, arm, case, base, **options)


SECTION = Comparison(
    {f"{OVER}, {task}": Group(task, scheduled(SCHEDULES)) for task in FOUR}
    | {
        f"{UNDER}, {task}": Group(task, scheduled(SCHEDULES, widths), train=train)
        for task, (train, widths) in SMALL.items()
    },
    base="none",
    claims=(
        _claim("late", "Late dropout lowers the loss", "late", OVER),
        _claim("late, best", "also at the best checkpoint", "late", OVER, measure=BEST),
        _claim(
            "late, constant",
            "Late dropout has a higher loss than a constant rate",
            *("late", OVER),
            base="constant",
            lower=False,
        ),
        _claim(
            "early, constant",
            "Early dropout has a higher loss than a constant rate",
            *("early", OVER),
            base="constant",
            lower=False,
        ),
        _claim("early", "Early dropout lowers the loss", "early", UNDER),
        _claim("early, training", "It lowers the training loss", "early", UNDER, measure=TRAINED),
        _claim("falling", "Falling early dropout lowers the loss", "early, falling", UNDER),
        _claim("constant", "A constant rate raises the loss", "constant", UNDER, lower=False),
    ),
    cases={
        OVER: "A network that overfits: two layers of 128",
        UNDER: "A network that underfits: 1,000 samples, two layers of 12",
    },
    views=(View(VIEWS[0].by, (*VIEWS[0].measures, TRAINED), VIEWS[0].told), VIEWS[1]),
    name="schedule",
)
