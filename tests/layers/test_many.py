"""Layers that are set together hold one rate, and each is still a layer of its own."""

import copy
import pickle

import pytest
import torch
from torch import nn

from helpers.layer_contract import counting
from thinned import layers
from thinned.layers._many import ManyRates


def made(*rates):
    return [layers.Dropout(rate) for rate in rates]


def both(layer):
    """Return the rate of eager code and that of compiled code."""
    return layer.p, pytest.approx(layer._rate.item(), abs=1e-7)


def test_one_write_sets_all_and_the_tensor_is_one():
    three = made(0.1, 0.2, 0.3)
    many = ManyRates(three)
    assert [layer.p for layer in three] == [0.1, 0.2, 0.3]
    many.set(0.4)
    held = three[0]._held
    for rate in (0.5, 0.25, 0.0, 1.0):
        many.set(rate)
        assert all(layer._held is held for layer in three)  # they are not gone through again
        assert [both(layer) for layer in three] == [(rate, rate)] * 3
        assert many.get() == [rate] * 3
    assert len({id(layer._rate) for layer in three}) == 1


def test_each_gets_its_share():
    three = made(0.1, 0.2, 0.3)
    many = ManyRates(three, [0.0, 0.25, 1.0])
    for rate in (0.5, 1.0, 0.0):
        many.set(rate)
        assert [both(layer) for layer in three] == [
            (0.0, 0.0),
            (rate / 4, rate / 4),
            (rate, rate),
        ]


def test_a_layer_that_is_set_alone_leaves_the_others_and_comes_back():
    three = made(0.1, 0.1, 0.1)
    many = ManyRates(three, [1.0, 0.5, 1.0])
    many.set(0.4)
    three[1].p = 0.9
    assert [both(layer) for layer in three] == [(0.4, 0.4), (0.9, 0.9), (0.4, 0.4)]
    many.set(0.6)
    assert [both(layer) for layer in three] == [(0.6, 0.6), (0.3, 0.3), (0.6, 0.6)]
    assert three[0]._held is three[1]._held


def test_groups_may_take_each_others_layers_over():
    three = made(0.1, 0.1, 0.1)
    first, second = ManyRates(three[:2], [0.5, 0.25]), ManyRates(three[1:])
    first.set(0.4)
    second.set(0.8)
    assert [both(layer) for layer in three] == [(0.2, 0.2), (0.8, 0.8), (0.8, 0.8)]
    first.set(0.4)
    assert [both(layer) for layer in three] == [(0.2, 0.2), (0.1, 0.1), (0.8, 0.8)]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_are_of_their_own(copied):
    net = nn.Sequential(*made(0.1, 0.1))
    many = ManyRates(list(net), [0.5, 1.0])
    many.set(0.4)
    other = copied(net)
    many.set(0.8)
    other[1].p = 0.1
    assert [layer.p for layer in net] == [0.4, 0.8]
    assert [both(layer) for layer in other] == [(0.2, 0.2), (0.1, 0.1)]


def test_another_dtype_or_device_keeps_the_rates():
    net = nn.Sequential(*made(0.1, 0.1))
    many = ManyRates(list(net), [0.1, 1.0])
    many.set(0.3)
    net.half()
    assert [both(layer) for layer in net] == [(0.3 * 0.1, 0.3 * 0.1), (0.3, 0.3)]
    assert all(layer._rate.dtype == torch.float32 for layer in net)
    net.to("meta")
    assert all(layer._rate.device.type == "meta" for layer in net)
    net.to_empty(device="cpu")
    assert [both(layer) for layer in net] == [(0.3 * 0.1, 0.3 * 0.1), (0.3, 0.3)]


def test_a_write_after_a_move_is_for_the_new_device():
    net = nn.Sequential(*made(0.1, 0.1))
    many = ManyRates(list(net), [0.5, 1.0])
    many.set(0.3)
    net.to("meta")
    many.set(0.4)
    assert many.get() == [0.2, 0.4]
    assert all(layer._rate.device.type == "meta" for layer in net)
    assert net[0]._held is net[1]._held


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.dropout = nn.Linear(4, 4), layers.Dropout(0.1)

    def forward(self, x):
        return self.dropout(self.linear(x))


@pytest.mark.parametrize("shares", [None, [0.25, 0.5, 0.75, 1.0]])
def test_moving_rates_compile_nothing_anew_be_it_region_by_region(shares):
    graphs = []

    def backend(graph, example_inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    blocks = [Block() for _ in range(4)]
    many = ManyRates([block.dropout for block in blocks], shares)
    for block in blocks:
        block.compile(backend=backend)
    for step in range(12):
        many.set(step / 12)
        if step == 6:
            blocks[2].dropout.p = 0.5  # it is set alone
            many.set(step / 12)
        for block in blocks:
            block(torch.ones(2, 4)).sum().backward()
    torch._dynamo.reset()
    assert len(graphs) == 1


@pytest.mark.parametrize("shares", [None, [0.5, 1.0]])
def test_layers_that_count_follow_in_compiled_code(shares):
    backend, graphs = counting()
    drops = [layers.TokenDrop(0.1, prefix_tokens=0) for _ in range(2)]
    many = ManyRates(drops, shares)
    forwards = [torch.compile(drop, backend=backend) for drop in drops]
    x = torch.ones(2, 100, 1)
    for step in range(1, 12):
        many.set(step / 50)
        expected = [round(100 * (1 - drop.p)) for drop in drops]
        assert [forward(x).shape[1] for forward in forwards] == expected
    assert len(graphs) == 2


def test_a_graph_that_is_kept_is_not_disturbed_by_a_new_rate():
    torch._dynamo.reset()
    net = nn.Sequential(*made(0.1, 0.1))
    many = ManyRates(list(net), [0.5, 1.0])
    many.set(0.5)
    x = torch.ones(64, requires_grad=True)
    out = torch.compile(net, backend="aot_eager")(x)
    many.set(0.9)
    out.sum().backward()
    torch._dynamo.reset()
    kept = 1 / (0.75 * 0.5)
    assert x.grad.unique().tolist() == pytest.approx([0.0, kept], abs=1e-5)
