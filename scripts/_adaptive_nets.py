"""Many small networks of one shape, side by side: every weight has a leading dimension of runs."""

import itertools
import math

import torch
from torch.nn import functional as F  # noqa: N812 - PyTorch's own habit

CHANNELS = (8, 16)


class Networks:
    """``runs`` networks, each with its own weights, that see the same kind of input.

    Args:
        features: size of one input.
        classes: size of one output.
        hidden: units of each hidden layer; dropout follows each of them.
        conv: whether two 3 x 3 convolutions with pooling come first (8 x 8 images); dropout
            follows their flat output too.
    """

    def __init__(self, features: int, classes: int, hidden: tuple[int, ...], *, conv: bool) -> None:
        self.conv = conv
        shapes = []
        if conv:
            shapes = [(9, CHANNELS[0]), (9 * CHANNELS[0], CHANNELS[1])]
            features = CHANNELS[1] * 4
        sizes = (features, *hidden, classes)
        self.shapes = [*shapes, *itertools.pairwise(sizes)]
        self.sites = ((features,) if conv else ()) + hidden
        self.weights: list[torch.Tensor] = []
        self.biases: list[torch.Tensor] = []

    def begin(self, generators: list[torch.Generator], copies: int) -> None:
        """Draw each generator's weights as `torch.nn.Linear` does, for ``copies`` runs each."""
        self.weights, self.biases = [], []
        for rows, columns in self.shapes:
            bound = 1 / math.sqrt(rows)
            drawn = [torch.rand(rows + 1, columns, generator=g) for g in generators]
            both = (torch.stack(drawn) * 2 - 1) * bound
            both = both.repeat_interleave(copies, 0)
            self.weights.append(both[:, :rows].contiguous().requires_grad_())
            self.biases.append(both[:, rows:].contiguous().requires_grad_())

    def parameters(self) -> list[torch.Tensor]:
        """All weights and biases."""
        return [*self.weights, *self.biases]

    def __call__(self, x: torch.Tensor, masks: list[torch.Tensor] | None = None) -> torch.Tensor:
        """Logits [runs, batch, classes] of inputs [runs, batch, features].

        Args:
            x: the inputs.
            masks: for each site what its units are multiplied by; None for evaluation.
        """
        layers = list(zip(self.weights, self.biases, strict=True))
        left = list(masks) if masks is not None else None
        if self.conv:
            x = x.unflatten(-1, (1, 8, 8))
            for weight, bias in layers[:2]:
                x = convolve(x, weight, bias)
            x = x.flatten(2)
            if left is not None:
                x = x * left.pop(0)
            layers = layers[2:]
        for weight, bias in layers[:-1]:
            x = torch.baddbmm(bias, x, weight).relu_()
            if left is not None:
                x = x * left.pop(0)
        return torch.baddbmm(layers[-1][1], x, layers[-1][0])


def convolve(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """3 x 3 convolution of images [runs, batch, channels, side, side], ReLU, 2 x 2 maximum."""
    runs, batch, channels, side, _ = x.shape
    images = x.transpose(0, 1).reshape(batch, runs * channels, side, side)
    kernels = weight.transpose(1, 2).reshape(-1, channels, 3, 3)
    out = F.conv2d(images, kernels, bias.flatten(), padding=1, groups=runs)
    out = F.max_pool2d(out, 2).relu()
    return out.view(batch, runs, -1, side // 2, side // 2).transpose(0, 1)


def losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean loss of each run: outputs [runs, batch, classes], labels [runs, batch].

    Cross-entropy of classes; the squared error where labels are numbers.
    """
    if labels.is_floating_point():
        return (logits[..., 0] - labels).square().mean(1)
    each = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return each.view(labels.shape).mean(1)
