"""The beginning of a module's forwards once, over passes of somebody else's loop."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack
from torch.utils.flop_counter import FlopCounterMode

from helpers.sampling import conv
from thinned.uncertainty import active_sites, sampling
from thinned.uncertainty._cutting.once import Once


def batches(seed=3):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(rows, 3, 8, 8, generator=generator) for rows in (4, 2)]


@pytest.fixture
def model():
    torch.manual_seed(0)
    net = conv(tail=[nn.Dropout(0.5)]).eval()
    with torch.no_grad(), sampling(net, active_sites(net)):
        yield net
    assert _get_current_dispatch_mode_stack() == []
    assert not net._forward_hooks
    assert not net._forward_pre_hooks


def drawn(model, inputs, once=lambda one_pass: one_pass(), passes=3):
    """Return what some passes give, from one seed, and the multiply-adds of each."""
    torch.manual_seed(1)
    outputs, work = [], []
    for _ in range(passes):
        with FlopCounterMode(display=False) as counter:
            outputs.append(torch.cat(once(lambda: [model(x) for x in inputs])))
        work.append(counter.get_total_flops())
    return torch.stack(outputs), work


def test_later_passes_begin_where_the_first_has_drawn(model):
    plain, whole = drawn(model, batches())
    found, work = drawn(model, batches(), Once(model))
    assert torch.equal(found, plain)
    assert float(found.std(0).max()) > 0.0
    assert work[0] == whole[0]
    assert max(work[1:]) < 0.05 * whole[0]


def test_other_inputs_are_computed_anew(model):
    once = Once(model)
    drawn(model, batches(), once, passes=2)
    plain, whole = drawn(model, batches(seed=4))
    found, work = drawn(model, batches(seed=4), once)
    assert torch.equal(found, plain)
    assert work == whole


def test_what_finds_no_room_is_computed_anew(model):
    plain, whole = drawn(model, batches())
    found, work = drawn(model, batches(), Once(model, room=10))
    assert torch.equal(found, plain)
    assert work == whole


def test_calls_that_a_first_pass_did_not_make(model):
    once = Once(model)
    drawn(model, batches()[:1], once, passes=2)
    plain, whole = drawn(model, batches())
    found, work = drawn(model, batches(), once)
    assert torch.equal(found, plain)
    assert work[0] < whole[0]
    assert work[1] < 0.05 * whole[1]


def test_a_forward_that_draws_nothing_is_computed_anew(model):
    model[8].p = 0.0
    plain, whole = drawn(model, batches())
    found, work = drawn(model, batches(), Once(model))
    assert torch.equal(found, plain)
    assert work == whole


class Counts(nn.Module):
    """Writes into a buffer at every forward."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        self.count.add_(1.0)
        return x + self.count


def test_a_forward_with_a_memory_is_computed_anew(model):
    model.insert(0, Counts().eval())
    plain, whole = drawn(model, batches())
    model[0].count.zero_()
    found, work = drawn(model, batches(), Once(model))
    assert torch.equal(found, plain)
    assert work == whole


class Turns(nn.Module):
    """Goes another way when it is told to."""

    way = 1

    def forward(self, x):
        return x.relu() if self.way == 1 else x.sigmoid().add(1.0)


def test_a_forward_that_goes_another_way_is_computed_anew(model):
    model.insert(1, Turns())
    once = Once(model)
    drawn(model, batches(), once, passes=2)
    model[1].way = 2
    plain, _ = drawn(model, batches())
    found, _ = drawn(model, batches(), once)
    assert torch.equal(found, plain)


def test_an_error_of_a_pass_is_its_own(model):
    def failing():
        model(batches()[0])
        raise ValueError("the loop's own")

    with pytest.raises(ValueError, match="the loop's own"):
        Once(model)(failing)
    with pytest.raises(RuntimeError, match="expected input"):
        Once(model)(lambda: model(torch.randn(4, 2, 8, 8)))
