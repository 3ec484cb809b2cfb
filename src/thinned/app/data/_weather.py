"""Digits in weather that training never sees: how robust is a network?"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import TensorDataset

from thinned._checks import check_choice, check_number

from ._sklearn import SklearnData

Weather = Literal["all", "clear", "fog", "rain", "noise", "brightness"]


def fog(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Blend the images with a bright haze that is uneven over each of them."""
    haze = 0.5 + 0.5 * torch.rand(len(images), 1, 2, 2, generator=generator)
    size = images.shape[-2:]
    haze = functional.interpolate(haze, size, mode="bilinear", align_corners=True)
    return images * (1 - strength) + haze * strength


def rain(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Draw bright slanting streaks of three pixels over the images."""
    n, _, high, wide = images.shape
    drops = torch.rand(n, 1, high + 2, wide + 2, generator=generator) < 0.15 * strength
    streaks = torch.zeros(n, 1, high, wide, dtype=torch.bool)
    for step in range(3):
        streaks |= drops[..., step : step + high, 2 - step : 2 - step + wide]
    return torch.where(streaks, images.clamp_min(0.9), images)


def noise(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise of that deviation."""
    drawn = torch.randn(images.shape, generator=generator)
    return (images + strength * drawn).clamp(0, 1)


def brightness(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Make each image brighter or darker by up to that much."""
    shift = 2 * torch.rand(len(images), 1, 1, 1, generator=generator) - 1
    return (images + strength * shift).clamp(0, 1)


WEATHERS: dict[str, Callable[[Tensor, float, torch.Generator], Tensor]] = {
    "fog": fog,
    "rain": rain,
    "noise": noise,
    "brightness": brightness,
}


def in_weather(images: Tensor, weather: str, strength: float, seed: int = 0) -> Tensor:
    """Return the images as they look in that weather; the same ``seed`` draws the same weather.

    Args:
        images: pixels in [0, 1], shaped ``(N, C, H, W)``.
        weather: ``"clear"``, ``"fog"``, ``"rain"``, ``"noise"`` or ``"brightness"``.
        strength: in [0, 1]; at 0 all of it is clear.
        seed: of what is drawn.

    Example:
        >>> images = torch.zeros(4, 1, 8, 8)
        >>> in_weather(images, "fog", 0.5).mean() > 0.2
        tensor(True)
        >>> bool((in_weather(images, "rain", 0.0) == images).all())
        True
    """
    check_choice("weather", weather, ("clear", *WEATHERS))
    strength = check_number("strength", strength, 0.0, 1.0)
    if weather == "clear":
        return images
    return WEATHERS[weather](images, strength, torch.Generator().manual_seed(seed))


class WeatherData(SklearnData):
    """The digits, clear in training and validation, and in other weather in the test split.

    What ``test_acc`` falls below ``val_acc`` is the robustness gap.

    Args:
        weather: of the test split: ``"clear"``, ``"fog"``, ``"rain"``, ``"noise"``,
            ``"brightness"``, or ``"all"``, each image once in each of the four.
        strength: of the weather, in [0, 1].
        train_size: number of training samples, at least 1.
        val_size: number of validation samples, at least 1; the rest is the test split.
        batch_size: samples a batch, at least 1; validation and test run in one batch up to 1024.
        split_seed: of the split and of the weather.
        num_workers: processes that load, from 0 on; 0 loads in the training process.

    Raises:
        ValueError: if the weather is unknown or the splits leave no test sample.

    Example:
        >>> data = WeatherData("fog", train_size=30, val_size=60)
        >>> data.task, data.shape, data.outputs
        ('classification', (1, 8, 8), 10)
    """

    def __init__(
        self,
        weather: Weather = "all",
        strength: float = 0.5,
        train_size: int = 200,
        val_size: int = 500,
        batch_size: int = 32,
        split_seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__("digits", train_size, val_size, batch_size, split_seed, num_workers)
        self.weather = check_choice("weather", weather, ("all", "clear", *WEATHERS))
        self.strength = check_number("strength", strength, 0.0, 1.0)
        names = list(WEATHERS) if weather == "all" else [weather]
        images, labels = self._parts[2].tensors
        shown = [in_weather(images, name, self.strength, split_seed) for name in names]
        self._parts[2] = TensorDataset(torch.cat(shown), labels.repeat(len(names)))
