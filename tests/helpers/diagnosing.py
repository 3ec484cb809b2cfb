"""What a diagnosis found, by rule, and models that have one thing wrong with them."""

from torch import nn

from thinned.diagnosis import diagnose


def found(model, example_input=None, **context):
    """Return the findings of a diagnosis by rule; a rule that failed fails the test."""
    findings = {}
    for finding in diagnose(model, example_input, **context):
        assert "could not be checked" not in finding.message, finding
        findings.setdefault(finding.rule, []).append(finding)
    return findings


class Calls(nn.Module):
    """A linear layer, then a function of the module and the tensor, then a linear layer."""

    def __init__(self, function, width=32, **held):
        super().__init__()
        self.before, self.after = nn.Linear(16, width), nn.Linear(width, 2)
        self.function = function
        for name, value in held.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.after(self.function(self, self.before(x).relu()))


def mlp(*middle, width=64, inputs=16):
    """Linear, ReLU, what is given, Linear."""
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), *middle, nn.Linear(width, 2))
