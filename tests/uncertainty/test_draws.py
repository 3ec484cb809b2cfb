"""Samples are those of the loop, however they are drawn; and what would not be right is noticed."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from helpers.distribution import assert_same_distribution
from helpers.sampling import Encoder, Functional, Recurrent, conv, loop
from thinned import layers
from thinned.uncertainty import active_sites, mc_predict, sampling
from thinned.uncertainty._cutting.prefix import Recorder
from thinned.uncertainty._drawing.draw import Draws

COUNT = 400


def rows(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


@pytest.fixture(autouse=True)
def _worth(monkeypatch):
    """Share the beginning of tiny models as well, operator by operator: test_cut has the cuts."""
    monkeypatch.setattr("thinned.uncertainty._drawing.copies.find_cut", lambda *_: None)
    monkeypatch.setattr("thinned.uncertainty._drawing.draw.FLOPS_A_STEP", 0)
    monkeypatch.setattr("thinned.uncertainty._drawing.draw.WORTH", 0.0)


def drawn(model, x, batched, count=COUNT):
    found = mc_predict(model, x, count, batched=batched, keep_samples=True)
    assert found.samples.shape[0] == count
    return found


class FromTheInput(nn.Module):
    """Asks for its input again after the dropout."""

    def __init__(self):
        super().__init__()
        self.one, self.drop, self.two = nn.Linear(6, 32), nn.Dropout(0.5), nn.Linear(32, 3)

    def forward(self, x):
        return self.two(self.drop(self.one(x))) * x[:, :3] + x[:, 3:]


MODELS = {
    "input again": (FromTheInput, rows(4, 6)),
    "head": (lambda: conv(tail=[nn.Dropout(0.5)]), rows(4, 3, 8, 8)),
    "middle": (lambda: conv(nn.Dropout2d(0.3)), rows(4, 3, 8, 8)),
    "start": (lambda: nn.Sequential(nn.Dropout(0.3), conv()), rows(4, 3, 8, 8)),
    "twice": (lambda: conv(nn.Dropout(0.2), tail=[nn.Dropout(0.5)]), rows(4, 3, 8, 8)),
    "drop block": (lambda: conv(layers.DropBlock2d(0.3, block_size=3)), rows(4, 3, 8, 8)),
    "lstm": (Recurrent, rows(4, 7, 6)),
    "lstm head": (lambda: Recurrent(rate=0.0, head=0.5), rows(4, 7, 6)),
    "encoder": (Encoder, rows(4, 7, 16)),
    "functional": (Functional, rows(4, 6)),
    "one row": (lambda: conv(tail=[nn.Dropout(0.5)]), rows(1, 3, 8, 8)),
}


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_samples_are_those_of_the_loop_in_distribution(name, batched):
    make, x = MODELS[name]
    model = make().eval()
    found = drawn(model, x, batched)
    assert ("as one batch" in found.method) == (batched and name != "drop block")
    assert_same_distribution(found.samples, loop(model, x, COUNT))


def test_each_copy_has_a_mask_of_its_own_and_rows_stay_in_order():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Dropout(0.5))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(2))
    x = torch.tensor([[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]])
    found = drawn(model, x, True, 64)
    assert "as one batch" in found.method
    assert ((found.samples == 0) | (found.samples == 2 * x)).all()
    assert len(found.samples.flatten(1).bool().unique(dim=0)) > 30  # of 64 possible masks


@pytest.mark.parametrize("inference", [True, False])
def test_nothing_depends_on_inference_mode(inference):
    model = conv(nn.Dropout2d(0.3), tail=[nn.Dropout(0.2)]).eval()
    with torch.inference_mode(inference):
        found = drawn(model, rows(4, 3, 8, 8), True)
    assert "as one batch" in found.method
    assert "of the work once" in found.method
    assert_same_distribution(found.samples, loop(model, rows(4, 3, 8, 8), COUNT))


class InPlace(nn.Module):
    """Writes into what stands at the boundary; ``where`` says how."""

    def __init__(self, where):
        super().__init__()
        self.where, self.one, self.two = where, nn.Linear(6, 16), nn.Linear(16, 3)
        self.drop = nn.Dropout(0.5, inplace=where == "dropout")

    def forward(self, x):
        hidden = self.one(x)
        if self.where == "view":
            part = hidden[:, :8]
            other = self.drop(hidden[:, 8:])
            part.add_(1.0)
            return self.two(torch.cat([hidden[:, :8], other], 1)) + hidden.sum()
        if self.where == "before":
            hidden.relu_().add_(0.5)
        dropped = self.drop(hidden)
        if self.where == "after":
            hidden.add_(dropped.mean())
        if self.where == "result":
            dropped.relu_()
        return self.two(dropped + hidden)


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("where", ["dropout", "view", "before", "after", "result"])
def test_writing_in_place_does_not_reach_what_is_kept(where, batched):
    model = InPlace(where).eval()
    found = drawn(model, rows(4, 6), batched)
    assert_same_distribution(found.samples, loop(model, rows(4, 6), COUNT))


class Interleaved(nn.Module):
    """Flattens heads before rows, so that copies of rows do not follow each other."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(6, 16), nn.Linear(8, 3)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        heads = self.one(x).view(len(x), 2, 8).transpose(0, 1).reshape(-1, 8)
        heads = self.drop(heads).view(2, len(x), 8)
        return self.two(heads[0] + 2 * heads[1])


class ReadsTheBatch(nn.Module):
    """Takes another way for batches with a large sum."""

    def __init__(self):
        super().__init__()
        self.one, self.drop = nn.Linear(6, 3), nn.Dropout(0.5)

    def forward(self, x):
        total = x.abs().sum().item()
        return self.drop(self.one(x)) * (1.0 if total < 60.0 else -1.0)


class SumsTheBatch(nn.Module):
    """Every row depends on all others."""

    def __init__(self):
        super().__init__()
        self.one, self.drop = nn.Linear(6, 3), nn.Dropout(0.5)

    def forward(self, x):
        hidden = self.drop(self.one(x))
        return hidden - hidden.sum(0, keepdim=True)


NOT_AS_ONE = {
    "first dimension is time": (lambda: Recurrent(batch_first=False), rows(7, 4, 6)),
    "one mask for the batch": (lambda: layers.DropConnectLinear(6, 3, p=0.5), rows(4, 6)),
    "heads before rows": (Interleaved, rows(4, 6)),
    "a value of the batch": (ReadsTheBatch, rows(4, 6)),
    "a sum over the batch": (SumsTheBatch, rows(4, 6)),
    "blocks, scaled by what the batch has lost": (
        lambda: conv(layers.DropBlock2d(0.3, block_size=3)),
        rows(4, 3, 8, 8),
    ),
    "batch statistics": (
        lambda: nn.Sequential(
            nn.Linear(6, 8),
            nn.BatchNorm1d(8, track_running_stats=False),
            nn.Dropout(0.5),
            nn.Linear(8, 3),
        ),
        rows(4, 6),
    ),
}


@pytest.mark.parametrize("name", NOT_AS_ONE)
def test_what_is_not_row_by_row_is_not_predicted_as_one_batch(name):
    make, x = NOT_AS_ONE[name]
    model = make().eval()
    found = drawn(model, x, True)
    assert "as one batch" not in found.method
    assert_same_distribution(found.samples, loop(model, x, COUNT))


class Branching(nn.Module):
    """Goes a way that is drawn: by torch, by numpy or by Python."""

    def __init__(self, draw):
        super().__init__()
        self.draw, self.drop = draw, nn.Dropout(0.5)
        self.one, self.two = nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x):
        chosen = self.one if self.draw() < 0.5 else self.two
        return self.drop(chosen(x)) + 5.0 * (chosen is self.one)


DRAWS = {
    "torch": lambda: torch.rand(()),
    "numpy": np.random.rand,
    "python": random.random,
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_way_that_is_drawn_is_drawn_for_every_sample(name):
    model = Branching(DRAWS[name]).eval()
    found = drawn(model, rows(4, 6), True)
    share = float((found.samples.mean(dim=(1, 2)) > 2.5).float().mean())
    assert 0.4 < share < 0.6
    assert_same_distribution(found.samples, loop(model, rows(4, 6), COUNT))


class ThroughNumpy(nn.Module):
    """Leaves torch in the middle of its forward."""

    def __init__(self, read):
        super().__init__()
        self.read, self.one, self.drop = read, nn.Linear(6, 3), nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(torch.as_tensor(self.read(self.one(x))))


@pytest.mark.parametrize("read", [torch.Tensor.numpy, torch.Tensor.tolist, np.asarray])
def test_values_that_are_read_outside_of_torch_are_the_real_ones(read):
    model = ThroughNumpy(read).eval()
    x = rows(4, 6)
    found = drawn(model, x, True, 40)
    with torch.no_grad():
        plain = model(x)
    assert torch.allclose(
        found.samples[found.samples != 0], (2 * plain).expand(40, 4, 3)[found.samples != 0]
    )


class Returning(nn.Module):
    """Returns its logits in some container."""

    def __init__(self, wrap):
        super().__init__()
        self.wrap, self.net = wrap, nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 3))

    def forward(self, x):
        return self.wrap(self.net(x))


class Output(dict):
    """As transformers' ModelOutput: a dict whose keys are attributes, loss before logits."""

    @property
    def logits(self):
        return self["logits"]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda y: (y, None),
        lambda y: [y, y],
        lambda y: {"logits": y},
        lambda y: Output(loss=y.mean(), logits=y),
    ],
)
def test_containers_of_outputs(wrap):
    assert drawn(Returning(wrap), rows(4, 6), True, 8).mean.shape == (4, 3)


def test_an_output_without_a_tensor_is_an_error():
    with pytest.raises(TypeError, match="Expected the model to return a tensor, got str"):
        mc_predict(Returning(lambda _: "nothing"), rows(4, 6))


class TwoInputs(nn.Module):
    """Called with two arguments, or by name."""

    def __init__(self):
        super().__init__()
        self.one, self.drop = nn.Linear(6, 3), nn.Dropout(0.5)

    def forward(self, x, scale):
        return self.drop(self.one(x)) * scale


@pytest.mark.parametrize(
    "x",
    [(rows(4, 6), rows(4, 1)), {"x": rows(4, 6), "scale": rows(4, 1)}, (rows(4, 6), 2.0)],
    ids=["tuple", "mapping", "a number beside"],
)
def test_several_inputs(x):
    assert "as one batch" in drawn(TwoInputs(), x, True, 8).method


def test_low_precision_is_summed_in_single_precision():
    model = conv(tail=[nn.Dropout(0.5)]).bfloat16().eval()
    found = drawn(model, rows(4, 3, 8, 8).bfloat16(), True, 32)
    assert found.samples.dtype is torch.bfloat16
    assert found.mean.dtype is torch.float32
    assert torch.allclose(found.mean, found.samples.float().mean(0), atol=1e-5)


def test_autocast():
    model = conv(tail=[nn.Dropout(0.5)]).eval()
    with torch.autocast("cpu", torch.bfloat16):
        found = drawn(model, rows(4, 3, 8, 8), True, 200)
        other = loop(model, rows(4, 3, 8, 8), 200)
    assert_same_distribution(found.samples.float(), other.float())


@pytest.mark.parametrize("inplace", [True, False])
def test_compiled_models(inplace):
    model = conv(tail=[nn.Dropout(0.5)]).eval()
    if inplace:
        model.compile(backend="eager")
        compiled = model
    else:
        compiled = torch.compile(model, backend="eager")
    found = drawn(compiled, rows(4, 3, 8, 8), True, 200)
    assert_same_distribution(found.samples, loop(model, rows(4, 3, 8, 8), 200))


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_chunks_bound_how_many_are_predicted_at_a_time(chunk):
    seen = []
    model = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 3))
    model[2].register_forward_hook(lambda _m, _a, out: seen.append(len(out)))
    mc_predict(model, rows(4, 6), 3)  # what is found out at first is kept
    mc_predict(model, rows(4, 6), 10, chunk=chunk)
    seen.clear()
    mc_predict(model, rows(4, 6), 10, chunk=chunk)
    assert max(seen) <= 4 * chunk
    assert sum(seen) == 4 * 10


def test_a_beginning_is_computed_once():
    seen = []
    model = conv(tail=[nn.Dropout(0.5)]).eval()
    x = rows(4, 3, 8, 8)
    sites = active_sites(model)
    with torch.no_grad(), sampling(model, sites):
        recorder = Recorder()
        with recorder:
            model(x)
        assert recorder.flops[0] > recorder.flops[1]
        draws = Draws(model, x, sites, None, batched=False)
        for samples in draws(6):
            seen.append(len(samples))
    assert seen == [1] * 6
    assert "of the work once" in draws.method
