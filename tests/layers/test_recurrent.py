"""Recurrent layers: the right weights masked, the right axis locked, any form of input."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence

from thinned import layers
from thinned.layers._recurrent import one_chunk

BASES = ("LSTM", "GRU", "RNN")
SHAPES = [
    {},
    {"num_layers": 2},
    {"bidirectional": True},
    {"batch_first": True, "num_layers": 2, "bidirectional": True},
    {"bias": False},
]


def build(kind, base, **options):
    return getattr(layers, f"{kind}{base}")(6, 8, **options)


@pytest.mark.parametrize("options", SHAPES, ids=str)
@pytest.mark.parametrize("base", BASES)
def test_the_fused_form_is_the_cells_step_by_step(base, options):
    layer = build("Variational", base, p=0.4, places=("hidden",), **options)
    x = torch.randn(5, 1, 6) if not options.get("batch_first") else torch.randn(1, 5, 6)
    torch.manual_seed(1)
    fused, fused_state = layer(x)
    layer.mask_mode = "sample"  # a batch of one sequence: both masks are of shape (1, H)
    torch.manual_seed(1)
    stepwise, state = layer(x)
    torch.testing.assert_close(fused, stepwise)
    torch.testing.assert_close(fused_state, state)


@pytest.mark.parametrize("relu", [True, False])
def test_both_nonlinearities_of_the_simple_layer(relu):
    kind = "relu" if relu else "tanh"
    source = nn.RNN(6, 8, nonlinearity=kind)
    layer = layers.VariationalRNN.from_module(source, 0.4)
    assert layer.nonlinearity == kind
    torch.manual_seed(1)
    fused, _ = layer(torch.ones(5, 1, 6))
    layer.mask_mode = "sample"
    torch.manual_seed(1)
    torch.testing.assert_close(layer(torch.ones(5, 1, 6))[0], fused)


@pytest.mark.parametrize("kind", ["Variational", "WeightDrop"])
@pytest.mark.parametrize("mode", ["batch", "sample"])
@pytest.mark.parametrize("base", BASES)
def test_projections_packed_and_unbatched_input_and_a_first_state(kind, mode, base):
    options = {"mode": mode} if kind == "Variational" else {}
    layer = build(kind, base, num_layers=2, bidirectional=True, p=0.4, **options)
    plain = getattr(nn, base)(6, 8, num_layers=2, bidirectional=True)
    h = torch.randn(4, 3, 8)
    hx = (h, torch.randn(4, 3, 8)) if base == "LSTM" else h
    sequences = pack_sequence([torch.randn(n, 6) for n in (2, 5, 3)], enforce_sorted=False)
    for x, state in (
        (torch.randn(5, 6), None),
        (torch.randn(5, 3, 6), hx),
        (sequences, None),
        (sequences, hx),
    ):
        ours, theirs = layer(x, state), plain(x, state)
        flat, wanted = _leaves(ours), _leaves(theirs)
        assert [t.shape for t in flat] == [t.shape for t in wanted]
        assert all(t.isfinite().all() for t in flat)


def _leaves(found):
    return [t for t in torch.utils._pytree.tree_leaves(found) if isinstance(t, torch.Tensor)]


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # torch's own, of nn.LSTM too
def test_projected_lstm():
    plain = nn.LSTM(6, 8, proj_size=3, num_layers=2)
    for cls in (layers.VariationalLSTM, layers.WeightDropLSTM):
        y, (h, c) = cls.from_module(plain, 0.4)(torch.randn(5, 4, 6))
        assert (y.shape, h.shape, c.shape) == ((5, 4, 3), (2, 4, 3), (2, 4, 8))
    layer = layers.VariationalLSTM.from_module(plain, 0.4, places=("hidden",), mode="sample")
    x = torch.randn(5, 1, 6)
    torch.manual_seed(1)
    stepwise = layer(x)[0]
    layer.mask_mode = "batch"
    torch.manual_seed(1)
    torch.testing.assert_close(layer(x)[0], stepwise)


@pytest.mark.parametrize("mode", ["batch", "sample"])
@pytest.mark.parametrize("base", BASES)
def test_packed_sequences_give_what_the_same_padded_ones_give(base, mode):
    lengths = torch.tensor([5, 3, 2])
    x = torch.randn(5, 3, 6)
    layer = build("Variational", base, p=0.4, mode=mode)
    torch.manual_seed(1)
    padded, _ = layer(x)
    torch.manual_seed(1)
    packed, last = layer(pack_padded_sequence(x, lengths))
    unpacked, _ = pad_packed_sequence(packed)
    for i, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(unpacked[:length, i], padded[:length, i])
    assert (last[0] if base == "LSTM" else last).shape == (1, 3, 8)
    layer.batch_first = True  # which says nothing of packed ones
    torch.manual_seed(1)
    again, _ = layer(pack_padded_sequence(x, lengths))
    torch.testing.assert_close(again.data, packed.data, rtol=0, atol=0)


def test_unsorted_sequences_come_back_in_their_order():
    layer = layers.VariationalGRU(6, 8, p=0.4, places=("hidden",))
    sequences = [torch.randn(n, 6) for n in (2, 5, 3)]
    torch.manual_seed(1)
    packed, last = layer(pack_sequence(sequences, enforce_sorted=False))
    unpacked, lengths = pad_packed_sequence(packed)
    assert lengths.tolist() == [2, 5, 3]
    for i, sequence in enumerate(sequences):
        torch.manual_seed(1)
        alone, _ = layer(sequence.unsqueeze(1))
        torch.testing.assert_close(unpacked[: len(sequence), i], alone[:, 0])
        torch.testing.assert_close(last[0, i], alone[-1, 0])


def test_inputs_and_outputs_are_locked_for_each_sequence():
    layer = layers.VariationalLSTM(6, 8, p=0.5, batch_first=True)
    x = torch.randn(4, 9, 6, requires_grad=True)
    y, _ = layer(x)
    y.square().sum().backward()
    dropped_in, dropped_out = x.grad == 0, y == 0
    for dropped in (dropped_in, dropped_out):
        assert bool((dropped == dropped[:, :1]).all())
        assert bool((dropped != dropped[:1]).any())


def test_the_hidden_mask_is_one_for_the_batch_or_one_for_each_sequence():
    # weight_hh is the identity and nothing else enters: the state shows its mask.
    for mode, alike in (("batch", True), ("sample", False)):
        layer = layers.VariationalRNN(
            1, 30, nonlinearity="relu", p=0.5, places=("hidden",), mode=mode
        )
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.zero_()
            layer.weight_hh_l0.copy_(torch.eye(30))
        y, _ = layer(torch.zeros(3, 4, 1), torch.ones(1, 4, 30))
        assert set(y.flatten().tolist()) == {0.0, 2.0, 4.0, 8.0}  # one mask for all steps
        assert bool((y == y[:, :1]).all()) is alike


def test_only_hidden_to_hidden_weights_are_dropped():
    layer = layers.WeightDropLSTM(6, 8, num_layers=2, bidirectional=True, p=0.5)
    layer(torch.randn(5, 3, 6))[0].square().sum().backward()
    for name, parameter in layer.named_parameters():
        share = (parameter.grad == 0).float().mean().item()
        assert share == pytest.approx(0.5 if "weight_hh" in name else 0.0, abs=0.2)


def test_the_dropout_between_layers_stays_for_weight_drop_only():
    source = nn.LSTM(6, 8, num_layers=2, dropout=0.5)
    assert layers.WeightDropLSTM.from_module(source, 0.0).dropout == 0.5
    locked = layers.VariationalLSTM.from_module(source, 0.3)
    assert locked.dropout == 0
    with pytest.raises(ValueError, match="Expected no `dropout` between layers"):
        layers.VariationalLSTM(6, 8, num_layers=2, dropout=0.5)


def test_raw_weights_are_bitwise_the_same_after_many_forwards():
    layer = layers.WeightDropGRU(6, 8, p=0.5)
    before = layer.weight_hh_l0.detach().clone()
    for _ in range(20):
        layer(torch.randn(5, 3, 6))[0].sum().backward()
    assert torch.equal(layer.weight_hh_l0, before)
    assert layer.weight_hh_l0.grad.abs().sum() > 0


def test_an_optimizer_of_the_plain_layer_trains_ours():
    plain = nn.LSTM(6, 8)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
    layer = layers.WeightDropLSTM.from_module(plain, 0.3)
    before = [p.detach().clone() for p in plain.parameters()]
    layer(torch.randn(5, 3, 6))[0].sum().backward()
    optimizer.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, layer.parameters(), strict=True))
    y = layer.eval()(torch.ones(5, 3, 6))[0]
    assert torch.equal(y, plain.eval()(torch.ones(5, 3, 6))[0])


def test_masked_weights_lie_in_one_piece_where_the_raw_ones_do():
    # As cuDNN lays them out: matrices first, then biases, in one buffer.
    sizes = [(4, 3), (4, 2), (4,), (4,)]
    buffer = torch.arange(28.0)
    raw = [t.view(s) for t, s in zip(buffer.split([12, 8, 4, 4]), sizes, strict=True)]
    weights = [w.clone().requires_grad_() for w in raw]
    placed = one_chunk(weights, raw)
    assert len({w.untyped_storage().data_ptr() for w in placed}) == 1
    assert [w.storage_offset() for w in placed] == [0, 12, 20, 24]
    torch.testing.assert_close(placed, raw)
    (gradient,) = torch.autograd.grad(placed[1].sum(), weights[1])
    assert torch.equal(gradient, torch.ones(4, 2))
    apart = [w.clone() for w in raw]
    assert [w is v for w, v in zip(one_chunk(weights, apart), weights, strict=True)] == [True] * 4


def test_no_warning_is_given():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layers.WeightDropLSTM.from_module(nn.LSTM(6, 8), 0.5)(torch.randn(5, 3, 6))


def test_a_subclass_is_refused():
    class Special(nn.LSTM):
        pass

    with pytest.raises(TypeError, match="A subclass may compute more"):
        layers.WeightDropLSTM.from_module(Special(6, 8), 0.5)


@pytest.mark.parametrize("kind", ["Variational", "WeightDrop"])
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("batch_first", [True, False])
def test_a_first_state_of_a_wrong_batch_is_refused_as_torch_refuses_it(kind, base, batch_first):
    # The kernels do not look: they would write past the end of the output.
    layer = build(kind, base, p=0.4, batch_first=batch_first)
    packed = pack_sequence([torch.randn(n, 6) for n in (5, 3, 2)])
    for batch in (1, 2, 7):
        h = torch.zeros(1, batch, 8)
        x = torch.randn(3, 5, 6) if batch_first else torch.randn(5, 3, 6)
        # In evaluation it is torch's layer, which does not check the state of a packed sequence.
        for given, training in ((x, True), (packed, True), (x, False)):
            with pytest.raises(RuntimeError, match=r"size \(1, 3, 8\), got \[1, \d, 8\]"):
                layer.train(training)(given, (h, h) if base == "LSTM" else h)


@pytest.mark.parametrize("options", [{}, {"mode": "sample"}])
@pytest.mark.parametrize("base", BASES)
def test_a_sequence_without_steps_is_refused_as_torch_refuses_it(base, options):
    empty = torch.randn(0, 3, 6)
    with pytest.raises(RuntimeError) as torchs:
        build("Variational", base, p=0.4).eval()(empty)
    with pytest.raises(RuntimeError, match="sequence length") as ours:
        build("Variational", base, p=0.4, **options)(empty)
    assert str(ours.value) == str(torchs.value)


@pytest.mark.parametrize("base", BASES)
def test_a_first_state_of_a_wrong_rank_is_refused_as_torch_refuses_it(base):
    layer = build("Variational", base, p=0.4, batch_first=True)
    for x, wrong, said in (
        (torch.randn(5, 6), torch.zeros(1, 1, 8), "2-D.*3-D"),
        (torch.randn(1, 5, 6), torch.zeros(1, 8), "3-D.*2-D"),
    ):
        for training in (True, False):
            with pytest.raises(RuntimeError, match=said):
                layer.train(training)(x, (wrong, wrong) if base == "LSTM" else wrong)
    right = torch.zeros(1, 8)
    y, _ = layer.train()(torch.randn(5, 6), (right, right) if base == "LSTM" else right)
    assert y.shape == (5, 8)


def test_a_first_state_of_another_layer_s_form_is_refused():
    h = torch.zeros(1, 3, 8)
    with pytest.raises(TypeError, match=r"Expected the first state `hx` to be a pair"):
        layers.WeightDropLSTM(6, 8)(torch.randn(5, 3, 6), h)
    with pytest.raises(TypeError, match=r"Expected the first state `hx` to be a tensor h, got \("):
        layers.WeightDropGRU(6, 8)(torch.randn(5, 3, 6), (h, h))
