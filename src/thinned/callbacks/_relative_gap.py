"""How far apart two losses are, for their size. Numbers only, no torch."""

import math


def relative_gap(less: float, more: float) -> float | None:
    """The second loss minus the first, over the mean of their sizes: in [-2, 2].

    For losses above zero that are near each other this is the logarithm of their ratio. It is
    defined for losses below zero too (a likelihood of a density): -1.5 and -1.0 give 0.4, as 1.0
    and 1.5 do. Where the two have different signs it is 2 or -2. None if a loss is not finite.

    Example:
        >>> relative_gap(1.0, 1.5)
        0.4
        >>> relative_gap(-1.5, -1.0)
        0.4
        >>> relative_gap(0.0, 0.0)
        0.0
    """
    if not (math.isfinite(less) and math.isfinite(more)):
        return None
    size = (abs(less) + abs(more)) / 2
    return (more - less) / size if size > 0 else 0.0
