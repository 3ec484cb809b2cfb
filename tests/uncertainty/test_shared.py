"""One mask of each sample for all rows: what each row gets alone from the same seed."""

import pytest
import torch
from torch import nn

from helpers.sampling import DropPath, Encoder, Functional, Recurrent, conv
from thinned import layers
from thinned.uncertainty import batch_bald, epig, mc_predict
from thinned.uncertainty._drawing.shared import Drawn, OneMask


def rows(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def between(module):
    return lambda: nn.Sequential(nn.Linear(6, 8), module, nn.Linear(8, 3))


MODELS = {
    "head": (lambda: conv(tail=[nn.Dropout(0.5)]), rows(4, 3, 8, 8)),
    "middle": (lambda: conv(nn.Dropout2d(0.3)), rows(4, 3, 8, 8)),
    "alpha": (between(nn.AlphaDropout(0.4)), rows(4, 6)),
    "gaussian": (between(layers.GaussianDropout(0.3)), rows(4, 6)),
    "drop path": (between(DropPath()), rows(4, 6)),
    "drop connect": (lambda: layers.DropConnectLinear(6, 3, p=0.3), rows(4, 6)),
    "functional": (Functional, rows(4, 6)),
    "lstm": (Recurrent, rows(4, 7, 6)),
    "attention": (Encoder, rows(4, 7, 16)),
    "block, scaled by its batch": (
        lambda: conv(layers.DropBlock2d(0.3, block_size=3)),
        rows(4, 3, 8, 8),
    ),
    "rows that are equal": (between(nn.Dropout(0.5)), torch.zeros(4, 6)),
}


def shared(model, x, count=6, seed=1):
    found = mc_predict(model, x, count, masks="batch", seed=seed, keep_samples=True)
    assert found.samples.shape[:2] == (count, len(x))
    return found


@pytest.mark.parametrize("once", [True, False], ids=["beginning once", "whole forwards"])
@pytest.mark.parametrize("name", MODELS)
def test_a_row_has_the_same_masks_in_every_batch(name, once, monkeypatch):
    if once:
        monkeypatch.setattr("thinned.uncertainty._drawing.draw.FLOPS_A_STEP", 0)
        monkeypatch.setattr("thinned.uncertainty._drawing.draw.WORTH", 0.0)
    make, x = MODELS[name]
    model = make().eval()
    together = shared(model, x)
    alone = [shared(model, x[i : i + 1]).samples for i in range(len(x))]
    pairs = [shared(model, x[i : i + 2]).samples for i in (0, 2)]
    assert torch.allclose(together.samples, torch.cat(alone, 1), atol=1e-5)
    assert torch.allclose(together.samples, torch.cat(pairs, 1), atol=1e-5)
    if "equal" not in name:
        assert float(together.samples.std(0).min()) > 0.0
        assert ("a row" in together.method) == ("scaled by its batch" in name)


def test_rows_of_a_sample_share_it_and_samples_do_not():
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(32, 2, bias=False)).eval()
    with torch.no_grad():
        model[1].weight.copy_(torch.arange(64.0).view(2, 32) + 1)
    x = rows(1, 32).expand(5, 32) + torch.tensor([0.0, 0, 0, 0, 1e-6])[:, None]
    found = shared(model, x, count=16).samples
    assert torch.allclose(found, found[:, :1].expand_as(found), atol=1e-2)
    assert len(found[:, 0].unique(dim=0)) == 16
    apart = mc_predict(model, x, 16, seed=1, keep_samples=True).samples
    assert len(apart.flatten(0, 1).unique(dim=0)) == 80


def test_without_a_seed_the_next_call_has_other_masks_and_the_stream_goes_on():
    model, x = conv(tail=[nn.Dropout(0.5)]).eval(), rows(4, 3, 8, 8)
    torch.manual_seed(7)
    one, two = (shared(model, x, seed=None).samples for _ in range(2))
    assert not torch.allclose(one, two)
    torch.manual_seed(7)
    assert torch.equal(one, shared(model, x, seed=None).samples)


def test_joint_scores_need_shared_masks():
    """Two copies of one row say nothing new together; with masks of their own it looks so."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 2)).eval()
    with torch.no_grad():
        model[3].weight.mul_(4000.0)  # samples that are sure, and contradict each other
    x = rows(1, 4).repeat(2, 1)
    x[1] += 1e-5
    found = {}
    for masks in ("row", "batch"):
        samples = mc_predict(model, x, 400, masks=masks, seed=0, keep_samples=True).samples
        found[masks] = samples.softmax(-1)
    first, second = zip(*(batch_bald(p, 2)[1] for p in found.values()), strict=True)
    assert second[0] > 1.7 * first[0]  # of its own masks: as much again
    assert second[1] < 1.3 * first[1]
    about = {name: float(epig(p[:, :1], p[:, 1:])) for name, p in found.items()}
    assert about["batch"] > 0.2
    assert about["row"] < 0.02


def test_rows_that_depend_on_each_other_are_refused_every_time():
    model = Recurrent(batch_first=False).eval()
    for _ in range(2):
        with pytest.raises(ValueError, match="one whose rows depend on each other"):
            shared(model, rows(7, 4, 6))


@pytest.mark.parametrize("wrap", ["inference", "autocast", "compiled"])
def test_rows_share_masks_in_one_forward_in_every_mode(wrap):
    model, x = conv(nn.Dropout2d(0.3), tail=[nn.Dropout(0.5)]).eval(), rows(4, 3, 8, 8)
    if wrap == "compiled":
        model = torch.compile(model, backend="aot_eager")
    with (
        torch.inference_mode(wrap == "inference"),
        torch.autocast("cpu", enabled=wrap == "autocast"),
    ):
        found = shared(model, x)
        alone = [shared(model, x[i : i + 1]).samples for i in range(4)]
    assert "a row" not in found.method
    assert torch.allclose(found.samples.float(), torch.cat(alone, 1).float(), atol=1e-2)
    assert float(found.samples.float().std(0).min()) > 0.0


def test_an_input_without_rows_is_refused():
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3))
    with pytest.raises(ValueError, match="rows in their first dimension"):
        mc_predict(model, torch.tensor(1.0), 4, masks="batch")


def test_an_unknown_word_is_refused():
    with pytest.raises(ValueError, match="masks"):
        mc_predict(nn.Dropout(0.5), rows(2, 3), 4, masks="rows")


class Changing(nn.Module):
    """Draws more often in one forward than in another."""

    def __init__(self):
        super().__init__()
        self.one, self.drop, self.two = nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 3)

    def forward(self, x):
        hidden = self.one(x)
        for _ in range(1 + int(torch.rand(()) < 0.5)):
            hidden = self.drop(hidden)
        return self.two(hidden)


@pytest.mark.filterwarnings("ignore:While samples are drawn")  # it compares with a number
def test_a_forward_that_draws_otherwise_goes_on_row_by_row():
    model, x = Changing().eval(), rows(4, 6)
    found = shared(model, x, count=12)
    alone = [shared(model, x[i : i + 1], count=12).samples for i in range(4)]
    assert torch.allclose(found.samples, torch.cat(alone, 1), atol=1e-5)


CALLS = {
    "native_dropout of all": lambda x: torch.native_dropout(x, 1.0, True)[0],
    "native_dropout": lambda x: torch.native_dropout(x, 0.5, True)[0],
    "bernoulli of rates": lambda x: torch.bernoulli(torch.full_like(x, 0.5)),
    "bernoulli into": lambda x: torch.empty_like(x).bernoulli_(torch.full_like(x, 0.5)),
    "rand of a size": lambda x: torch.rand(x.shape),
    "rand_like": torch.rand_like,
    "normal_": lambda x: torch.empty_like(x).normal_(),
}


@pytest.mark.parametrize("name", CALLS)
def test_each_random_call_draws_once_for_all_rows(name):
    call = CALLS[name]
    for dim, shape in ((0, (8, 5)), (1, (5, 8))):
        two = tuple(4 if d == dim else n for d, n in enumerate(shape))
        one = tuple(2 if d == dim else n for d, n in enumerate(shape))
        torch.manual_seed(0)
        alone = call(torch.ones(one))
        torch.manual_seed(0)
        with OneMask([Drawn(two, dim)], 4):
            found = call(torch.ones(shape))
        assert torch.equal(found, torch.cat([alone] * 4, dim))
