"""Results thrown away."""

import pytest
from torch import nn
from torch.nn import functional

from helpers.diagnosing import found


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop, self.head = nn.Dropout(0.3), nn.Linear(4, 2)
        self.quiet = nn.Dropout(0.3, inplace=True)


class ThrowsAwayFunction(Base):
    def forward(self, x):
        functional.dropout(x, 0.3, self.training)
        return self.head(x)


class ThrowsAwayModule(Base):
    def forward(self, x):
        return self.head(self.features(x))

    def features(self, x):
        self.drop(x)
        return x


class Keeps(Base):
    def forward(self, x):
        x = functional.dropout(x, 0.3, self.training)
        return self.head(self.drop(x))


class WritesInPlace(Base):
    def forward(self, x):
        functional.dropout(x, 0.3, self.training, inplace=True)
        self.quiet(x)
        print(x.shape)
        return self.head(x)


@pytest.mark.parametrize("cls", [ThrowsAwayFunction, ThrowsAwayModule])
def test_a_result_thrown_away_is_found(cls):
    [finding] = found(cls())["result-discarded"]
    assert finding.severity == "error"
    assert "test_source.py:" in finding.evidence[0]


@pytest.mark.parametrize("cls", [Keeps, WritesInPlace, Base])
def test_a_result_kept_or_written_in_place_is_right(cls):
    assert "result-discarded" not in found(cls())
