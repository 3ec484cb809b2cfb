"""What rate, when: pure functions from progress to rate."""

from ._base import Schedule as Schedule
from ._coerce import Function as Function
from ._coerce import as_schedule as as_schedule
from ._compose import Sequence as Sequence
from ._compose import Warmup as Warmup
from ._constant import Constant as Constant
from ._curriculum import Curriculum as Curriculum
from ._cyclic import Cyclic as Cyclic
from ._early_late import Early as Early
from ._early_late import Late as Late
from ._profiles import PROFILES as PROFILES
from ._profiles import ByWidth as ByWidth
from ._profiles import LinearDepth as LinearDepth
from ._profiles import Profile as Profile
from ._profiles import Proportional as Proportional
from ._profiles import Uniform as Uniform
from ._profiles import as_profile as as_profile
from ._ramps import Cosine as Cosine
from ._ramps import Exponential as Exponential
from ._ramps import Linear as Linear
from ._ramps import Polynomial as Polynomial
from ._registry import SCHEDULES as SCHEDULES
from ._steps import Piecewise as Piecewise
from ._steps import Step as Step

__all__ = [
    "PROFILES",
    "SCHEDULES",
    "ByWidth",
    "Constant",
    "Cosine",
    "Curriculum",
    "Cyclic",
    "Early",
    "Exponential",
    "Function",
    "Late",
    "Linear",
    "LinearDepth",
    "Piecewise",
    "Polynomial",
    "Profile",
    "Proportional",
    "Schedule",
    "Sequence",
    "Step",
    "Uniform",
    "Warmup",
    "as_profile",
    "as_schedule",
]
