"""Every schedule by name, for configuration files and the command line."""

from collections.abc import Callable
from functools import partial

from thinned._checks import check_choice

from ._base import Schedule
from ._compose import Sequence, Warmup
from ._constant import Constant
from ._curriculum import Curriculum
from ._cyclic import Cyclic
from ._early_late import Early, Late
from ._ramps import Cosine, Exponential, Linear, Polynomial
from ._steps import Piecewise, Step

SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "linear": Linear,
    "cosine": Cosine,
    "exponential": Exponential,
    "polynomial": Polynomial,
    "step": Step,
    "piecewise": Piecewise,
    "cyclic": Cyclic,
    "curriculum": Curriculum,
    "early": Early,
    "late": Late,
    "warmup": Warmup,
    "sequence": Sequence,
}

# What a bare name means, given the one rate that it goes to or holds.
_FROM_RATE: dict[str, Callable[[float], Schedule]] = {
    "constant": Constant,
    "linear": partial(Linear, 0.0),
    "cosine": partial(Cosine, 0.0),
    "exponential": partial(Exponential, 0.0),
    "polynomial": partial(Polynomial, 0.0),
    "cyclic": partial(Cyclic, 0.0),
    "curriculum": Curriculum,
    "early": Early,
    "late": Late,
    "warmup": Warmup,
}


def from_name(name: str, rate: float) -> Schedule:
    """Return the schedule of that name which goes to or holds ``rate``."""
    check_choice("schedule", name, SCHEDULES)
    if name not in _FROM_RATE:
        cls = SCHEDULES[name].__name__
        msg = (
            f"Expected `schedule` to be a name that needs no more than a rate, got {name!r}. "
            f"Give its arguments: thinned.schedules.{cls}(..., at=...)."
        )
        raise TypeError(msg)
    return _FROM_RATE[name](rate)
