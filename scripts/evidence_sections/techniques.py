"""Each technique on the family of networks it is for, against none, tuned alike."""

from ._arms import Group
from ._claim import crossed
from ._compare import VIEWS, Comparison
from ._families import FAMILIES
from ._results import Results
from ._table import BEST, ERROR, LOSS, placebo

TITLE = "Each technique on its family"


def placebos(results: Results) -> str:
    """Say how often the same statistics see a difference between runs without any technique."""
    tries = {
        f"{key}/none": [
            dict(enumerate(rows))
            for arm, rows in results.arms.items()
            if arm.startswith(f"{key}/none/")
        ]
        for key in SECTION.groups
    }
    told = ", ".join(
        f"{seen} of {of} in {each.head.removesuffix(', %')}"
        for each in (LOSS, BEST, ERROR)
        for seen, of in (placebo(tries, each),)
    )
    return (
        "**Placebo**: networks without any technique, compared with each other, differ in their "
        f"initial weights only. Uncorrected p is below 0.05 in {told}; chance alone gives one in "
        "twenty."
    )


SECTION = Comparison(
    {
        f"{name}, {task}": Group(task, family.arms, recipe)
        for name, family in FAMILIES.items()
        for task, recipe in family.recipes.items()
    },
    base="none",
    claims=crossed(
        [(name, arm) for name, each in FAMILIES.items() for arm in each.arms if arm != "none"],
        (
            ("loss", "*{}* lowers the loss", LOSS),
            ("best", "also at the best checkpoint", BEST),
            ("error", "and the error", ERROR),
        ),
    )
    + crossed(
        [("text", "Word"), ("text", "Word, by text")],
        (("dropout", "*{}* has a lower loss than *Dropout*", LOSS),),
        base="Dropout",
    )
    + crossed(
        [("residual", "DropPath")],
        (("rule", "*{}* by the linear rule has a lower loss than at one rate", LOSS),),
        base="DropPath, one rate",
    ),
    cases={name: family.told for name, family in FAMILIES.items()},
    views=VIEWS,
    more=placebos,
)
