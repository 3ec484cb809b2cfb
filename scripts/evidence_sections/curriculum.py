"""Curriculum dropout: is it better to begin with the whole network (Morerio 2017)?"""

from collections.abc import Callable

from thinned.schedules import Constant, Curriculum, Linear, Schedule

from ._arms import Group
from ._claim import Claim
from ._compare import Comparison
from ._mlp import scheduled
from ._table import BEST, ERROR
from ._tasks import FIVE

TITLE = "Curriculum dropout"
SCHEDULES: dict[str, Callable[[float], Schedule]] = {
    "constant": Constant,
    "curriculum": Curriculum,
    "rising": lambda rate: Linear(0.0, rate),
    "falling": lambda rate: Linear(rate, 0.0),
}
SECTION = Comparison(
    {task: Group(task, scheduled(SCHEDULES)) for task in FIVE},
    base="constant",
    claims=(
        Claim("gain", "A constant rate has a lower loss than none", "constant", base="none"),
        Claim(
            "gain, best",
            "also at the best checkpoint",
            "constant",
            base="none",
            measure=BEST,
        ),
        Claim("curriculum", "A curriculum has a lower loss than a constant rate", "curriculum"),
        Claim("rising", "A rising rate has a lower loss than a constant one", "rising"),
        Claim(
            "falling",
            "A falling rate has a higher loss than a constant one",
            "falling",
            lower=False,
        ),
        Claim(
            "falling, best",
            "also at the best checkpoint",
            *("falling", "", "", BEST),
            lower=False,
        ),
        Claim(
            "curriculum, error",
            "A curriculum has a lower error than a constant rate",
            *("curriculum", "", "", ERROR),
        ),
    ),
    name="schedule",
)
