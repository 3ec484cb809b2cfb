"""What the four families share: the two parts, the head, and the names of activations."""

from torch import Tensor, nn

from thinned._checks import check_choice, check_count, check_rate

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "selu": nn.SELU,
    "tanh": nn.Tanh,
}


class Network(nn.Module):
    """A body that makes features and a head that reads them; each has a dropout site."""

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Return logits or predictions, shaped ``(N, outputs)``."""
        output: Tensor = self.head(self.body(x))
        return output


def activation_layer(name: str) -> nn.Module:
    """Return a new layer of that name."""
    return ACTIVATIONS[check_choice("activation", name, ACTIVATIONS)]()


def check_size(name: str, value: int, least: int = 1) -> int:
    """Return ``value`` if it is a number of units or layers, at least ``least``."""
    return check_count(name, value, least)


def head(features: int, hidden: int, outputs: int, activation: str, rate: float) -> nn.Module:
    """Return a head of one hidden layer, with dropout after its activation."""
    return nn.Sequential(
        nn.Linear(features, check_size("hidden", hidden)),
        activation_layer(activation),
        nn.Dropout(check_rate("dropout", rate)),
        nn.Linear(hidden, outputs),
    )
