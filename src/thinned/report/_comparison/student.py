"""Student's t distribution, in the few lines that a comparison needs."""

import math


def two_sided_p(t: float, freedom: float) -> float:
    """Probability of a |t| at least this large where there is no difference.

    ``p = I_x(v/2, 1/2)`` with ``x = v / (v + t**2)``, ``I`` the regularized incomplete beta
    function and ``v`` the degrees of freedom.

    Example:
        >>> round(two_sided_p(2.776445, 4), 4)
        0.05
    """
    if math.isinf(t):
        return 0.0
    square = t * t
    if square < freedom:  # x is so near to 1 that its digits are lost; 1 - x has them
        return 1.0 - _incomplete_beta(0.5, freedom / 2, square / (freedom + square))
    return _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + square))


def critical_t(freedom: float, level: float = 0.05) -> float:
    """The t that a fraction ``level`` of draws exceeds on either side.

    Example:
        >>> round(critical_t(4), 3)
        2.776
    """
    low, high = 0.0, 1.0
    while two_sided_p(high, freedom) > level:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        if two_sided_p(middle, freedom) > level:
            low = middle
        else:
            high = middle
    return high


def _incomplete_beta(a: float, b: float, x: float) -> float:
    if x <= 0.0 or x >= 1.0:
        return min(max(x, 0.0), 1.0)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(log_front + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, 1.0 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Lentz's evaluation of the beta function's continued fraction."""
    tiny = 1e-300
    c, d = 1.0, 1.0 / _away_from(1.0 - (a + b) * x / (a + 1), tiny)
    value = d
    for m in range(1, 300):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / _away_from(1.0 + term * d, tiny)
            c = _away_from(1.0 + term / c, tiny)
            value *= d * c
        if abs(d * c - 1.0) < 1e-14:
            break
    return value


def _away_from(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny
