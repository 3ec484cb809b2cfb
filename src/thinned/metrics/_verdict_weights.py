"""Weights of the verdict, by `scripts/evidence-verdict --calibrate`; not by hand.

240 runs. First the bias, then one weight for each of `Features.numbers`.
"""

WEIGHTS = {  # bias, margin, gap, memorized, rise, trend, direction, rate, no dropout
    "keep": (0.882, -0.623, 2.194, 0.890, -10.278, 0.109, -0.095, 0.331, 0.062),
    "lower the rate": (0.140, 0.580, -2.504, 0.048, 5.034, -4.361, -1.077, 2.538, -2.770),
    "raise the rate": (-0.086, -0.194, 1.981, -0.836, 3.514, 6.299, 0.666, -0.737, 0.869),
    "train less": (-1.374, 0.358, 0.042, 0.596, 4.766, -0.499, 1.095, -0.668, 0.347),
    "train longer": (0.437, -0.122, -1.712, -0.699, -3.035, -1.548, -0.590, -1.464, 1.492),
}

WEIGHTS_WITHOUT_NOISE = {  # bias, gap, memorized, rise, trend, direction, rate, no dropout
    "keep": (0.721, 1.357, 0.084, -10.443, -0.645, -0.066, 0.732, 0.026),
    "lower the rate": (0.360, -1.857, 0.742, 5.330, -3.487, -1.101, 2.140, -2.721),
    "raise the rate": (-0.103, 1.667, -1.057, 3.361, 6.196, 0.668, -0.659, 0.867),
    "train less": (-1.375, 0.632, 1.025, 4.815, -0.431, 1.091, -0.786, 0.366),
    "train longer": (0.397, -1.799, -0.794, -3.063, -1.632, -0.592, -1.427, 1.462),
}
