"""Tasks that are drawn by code, anew for every seed, so that no two seeds share a sample."""

import math

import sklearn.datasets
import torch
from torch import Tensor

WORDS = 300
CLASSES = 4  # of the texts
LONG = 12  # words in a text, steps in a sequence
_SIGNS = (
    ("..x..", "..x..", "xxxxx", "..x..", "..x.."),
    ("x...x", ".x.x.", "..x..", ".x.x.", "x...x"),
    ("xxxxx", "x...x", "x...x", "x...x", "xxxxx"),
    ("xxxxx", ".....", ".....", ".....", "xxxxx"),
    ("x...x", "x...x", "x...x", "x...x", "x...x"),
    ("x....", "x....", "x....", "x....", "xxxxx"),
)


def table(seed: int, number: int) -> tuple[Tensor, Tensor]:
    """Four classes of two clusters each; of 40 columns 10 say something, 10 repeat it."""
    x, y = sklearn.datasets.make_classification(
        number,
        n_features=40,
        n_informative=10,
        n_redundant=10,
        n_classes=4,
        random_state=seed,
    )
    return torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y)


def signs(seed: int, number: int) -> tuple[Tensor, Tensor]:
    """Six signs of 5 x 5 pixels anywhere on 8 x 8, of uneven brightness, in noise."""
    generator = torch.Generator().manual_seed(seed)
    ink = torch.tensor([[[float(c == "x") for c in row] for row in sign] for sign in _SIGNS])
    y = torch.randint(len(_SIGNS), (number,), generator=generator)
    x = torch.zeros(number, 8, 8)
    down, right = torch.randint(4, (2, number), generator=generator)
    bright = 0.5 + 0.5 * torch.rand(number, generator=generator)
    for place in range(number):
        top, left = int(down[place]), int(right[place])
        x[place, top : top + 5, left : left + 5] = ink[y[place]] * bright[place]
    x = x + 0.3 * torch.randn(x.shape, generator=generator)
    return x.clamp(0, 1)[:, None], y


def sequences(seed: int, number: int) -> tuple[Tensor, Tensor]:
    """Eight noisy sensors over twelve steps: three frequencies, seen through two mixtures."""
    generator = torch.Generator().manual_seed(seed)
    mixtures = torch.randn(2, 2, 8, generator=generator)
    y = torch.randint(6, (number,), generator=generator)
    phase = 2 * math.pi * torch.rand(number, 1, generator=generator)
    angle = (0.5 + 0.4 * (y % 3))[:, None] * torch.arange(LONG) + phase
    waves = torch.stack([angle.sin(), angle.cos()], dim=-1)
    x = waves @ mixtures[y // 3] + 1.2 * torch.randn(number, LONG, 8, generator=generator)
    return x[:, None], y


def topics(seed: int, number: int) -> tuple[Tensor, Tensor]:
    """Texts whose words are a little more or less frequent by topic; no single word decides."""
    generator = torch.Generator().manual_seed(seed)
    tilt = torch.randn(CLASSES, WORDS, generator=generator)
    y = torch.randint(CLASSES, (number,), generator=generator)
    chances = (_common() * tilt.exp())[y]
    return torch.multinomial(chances, LONG, replacement=True, generator=generator), y


def keys(seed: int, number: int) -> tuple[Tensor, Tensor]:
    """Texts in which one word of the rarer half decides, and all others say nothing."""
    generator = torch.Generator().manual_seed(seed)
    half = WORDS // 2
    x = torch.multinomial(
        _common()[:half].expand(number, half), LONG, replacement=True, generator=generator
    )
    key = half + torch.randint(half, (number,), generator=generator) % 40
    place = torch.randint(LONG, (number,), generator=generator)
    x[torch.arange(number), place] = key
    return x, key % CLASSES


def _common() -> Tensor:
    """How frequent each word is, as in a language: one over its rank (Zipf)."""
    return 1 / (torch.arange(WORDS) + 2.0)
