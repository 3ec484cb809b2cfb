"""Outputs of all kinds: complex ones, several, and those that have no mean."""

import pytest
import torch
from torch import nn

from thinned import layers
from thinned.uncertainty import ensemble_predict, mc_predict


class Spectrum(nn.Module):
    """Returns complex numbers."""

    def __init__(self):
        super().__init__()
        self.one, self.drop = nn.Linear(8, 8), nn.Dropout(0.5)

    def forward(self, x):
        return torch.fft.fft(self.drop(self.one(x)))


@pytest.mark.parametrize("batched", [True, False])
def test_spread_of_complex_outputs(batched):
    found = mc_predict(Spectrum(), torch.randn(6, 8), 40, batched=batched, keep_samples=True)
    assert found.probabilities is None
    assert found.samples.is_complex()
    assert found.std.dtype is torch.float32
    assert torch.allclose(found.mean, found.samples.mean(0), atol=1e-5)
    assert torch.allclose(found.std, found.samples.std(0), atol=1e-5)
    assert ("as one batch" in found.method) == batched
    with pytest.raises(ValueError, match="Expected real samples for a quantile"):
        found.quantile(0.5)


class Turned(nn.Module):
    """Looks at all rows, in the imaginary part alone."""

    def __init__(self):
        super().__init__()
        self.one, self.drop = nn.Linear(8, 8), nn.Dropout(0.5)

    def forward(self, x):
        x = self.drop(self.one(x))
        return torch.complex(x, x - x.mean(0))


def test_rows_that_depend_on_each_other_in_the_imaginary_part_are_no_copies():
    found = mc_predict(Turned(), torch.randn(6, 8), 20)
    assert "as one batch" not in found.method
    with pytest.raises(ValueError, match="rows depend on each other"):
        mc_predict(Turned(), torch.randn(6, 8), 4, masks="batch")


class WithNorm(nn.Module):
    """Returns logits, and a number that is no row's."""

    def __init__(self):
        super().__init__()
        self.one, self.drop, self.two = nn.Linear(8, 16), nn.Dropout(0.3), nn.Linear(16, 2)

    def forward(self, x):
        return self.two(self.drop(self.one(x))), self.one.weight.norm()


SEVERAL = {
    "logits and a number": (WithNorm, torch.randn(4, 8)),
    "output and state": (
        lambda: layers.VariationalGRU(6, 4, batch_first=True, p=0.3),
        torch.randn(4, 5, 6),
    ),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_of_several_outputs_only_the_one_that_is_used_has_to_have_rows(name):
    make, x = SEVERAL[name]
    model = make().eval()
    options = {"masks": "batch", "seed": 1, "keep_samples": True}
    together = mc_predict(model, x, 5, **options)
    alone = [mc_predict(model, x[i : i + 1], 5, **options).samples for i in range(4)]
    assert torch.allclose(together.samples, torch.cat(alone, 1), atol=1e-5)
    assert "a row" not in together.method


def test_a_second_output_without_rows_leaves_copies_as_they_are():
    assert "as one batch" in mc_predict(WithNorm(), torch.randn(4, 8), 20).method


class Labels(nn.Module):
    """Returns classes in the place of logits."""

    def __init__(self):
        super().__init__()
        self.one, self.drop = nn.Linear(8, 8), nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.one(x)).argmax(1)


def test_integers_are_refused():
    x = torch.randn(6, 8)
    with pytest.raises(TypeError, match=r"got torch\.int64.*Return logits"):
        mc_predict(Labels(), x, 4)
    with pytest.raises(TypeError, match=r"got torch\.int64.*Return logits"):
        ensemble_predict([Labels(), Labels()], x)


def test_an_empty_batch_is_refused():
    model, x = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5)), torch.randn(0, 8)
    with pytest.raises(ValueError, match=r"shape \(0, 8\)\. Give the model at least one row"):
        mc_predict(model, x, 4)
    with pytest.raises(ValueError, match=r"shape \(0, 8\)\. Give the model at least one row"):
        ensemble_predict([model, model], x)


class Given(nn.Module):
    """Returns what a function makes of three features that dropout has gone over."""

    def __init__(self, made):
        super().__init__()
        self.one, self.drop, self.made = nn.Linear(8, 3), nn.Dropout(0.5), made

    def forward(self, x):
        return self.made(self.one(self.drop(x)))


@pytest.mark.parametrize(
    ("made", "error", "match"),
    [
        (lambda y: torch.complex(y, y), TypeError, "real numbers, got torch.complex64"),
        (lambda y: y > 0, TypeError, r"real numbers, got torch\.bool"),
        (lambda y: y[:, 0], ValueError, r"at least two classes .*, got \(5,\)"),
        (lambda y: y[:, :1], ValueError, r"got \(5, 1\)\. One logit z"),
    ],
    ids=["complex", "yes or no", "no axis", "one class"],
)
def test_what_is_said_to_be_logits_has_to_be(made, error, match):
    x, model = torch.randn(5, 8), Given(made)
    with pytest.raises(error, match=match):
        mc_predict(model, x, 8, classes=True)
    with pytest.raises(error, match=match):
        ensemble_predict([model, Given(made)], x, classes=True)
    assert mc_predict(model, x, 8).probabilities is None


def test_one_logit_as_two_is_a_classifiers():
    model = Given(lambda y: torch.cat([0 * y[:, :1], y[:, :1]], 1))
    found = mc_predict(model, torch.randn(5, 8), 20, classes=True, keep_samples=True)
    expected = found.samples[..., 1].sigmoid().mean(0)
    torch.testing.assert_close(found.probabilities[:, 1], expected)
