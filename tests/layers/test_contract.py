"""What every layer promises, tested on every row of the registry."""

import copy
import inspect
import io
import math
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from helpers.layer_cases import CASES, first
from thinned import layers
from thinned.layers._recurrent import RecurrentLayer

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def pick(keep):
    """Parametrize a test over the cases of which ``keep`` is true."""
    chosen = [case for case in CASES if keep(case)]
    assert chosen
    return pytest.mark.parametrize("case", chosen, ids=repr)


every = pick(lambda case: True)
unbiased = pick(lambda case: case.unbiased)
compiled_cases = pick(lambda case: case.graphs)
counted = pick(lambda case: case.drops)


def counting():
    """Return a backend of ``torch.compile`` and the list that it grows by one a graph."""
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph

    torch._dynamo.reset()
    return backend, graphs


def seeded(function, *args):
    """Return what the function gives from seed 1."""
    torch.manual_seed(1)
    return first(function(*args))


def bound(rate, count):
    """Return how far a share may be from the rate, at five standard errors."""
    return 5 * math.sqrt(rate * (1 - rate) / count) + 1e-9


def share_dropped(case, forward, layer, draws=20):
    """Return the share of units dropped over some forwards, and their number."""
    units = torch.cat([case.dropped(forward, layer, case.x()).flatten() for _ in range(draws)])
    return units.float().mean().item(), len(units)


def test_every_layer_of_every_row_has_a_case():
    listed = {layer for row in layers.VARIANTS.values() for layer in row.layers}
    public = {
        value
        for name in layers.__all__
        if inspect.isclass(value := getattr(layers, name)) and issubclass(value, layers.RateLayer)
    } - {layers.RateLayer}
    assert listed == public
    assert listed == {type(case.make(0.1)) for case in CASES}


@every
def test_evaluation_is_the_plain_module(case):
    layer, x = case.make(0.5).eval(), case.x()
    assert torch.equal(first(layer(x)), case.plain(layer, x))


@every
def test_rate_0_in_training_is_the_plain_module(case):
    layer, x = case.make(0.0), case.x()
    assert torch.equal(first(layer(x)), case.plain(layer, x))


@every
def test_rate_1_drops_all(case):
    layer, x = case.make(1.0), case.x()
    assert layer.p == 1.0
    torch.testing.assert_close(first(layer(x)), case.at_one(layer, x))


@compiled_cases
def test_rates_0_and_1_are_exact_when_compiled(case):
    backend, _ = counting()
    layer, x = case.make(0.0), case.x()
    forward = torch.compile(layer, backend=backend, fullgraph=True)
    torch.testing.assert_close(first(forward(x)), case.plain(layer, x))
    layer.p = 1.0
    torch.testing.assert_close(first(forward(x)), case.at_one(layer, x))


@unbiased
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_the_mean_over_masks_is_what_evaluation_returns(case, rate):
    layer, x = case.make(rate), case.x()
    with torch.no_grad():
        draws = torch.stack([first(layer(x)) for _ in range(400)])
        wanted = case.plain(layer, x)
    error = draws.std(dim=0) / math.sqrt(len(draws))
    # Five standard errors, and a hair for what is constant. Over thousands of elements, some
    # heavy-tailed, a handful may lie outside.
    outside = (draws.mean(dim=0) - wanted).abs() > 5 * error + 1e-5
    assert outside.float().mean() < 0.002


@counted
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_dropped_is_the_rate(case, rate):
    layer = case.make(rate)
    share, count = share_dropped(case, layer, layer)
    assert share == pytest.approx(rate, abs=0.013 if case.exact_count else bound(rate, count))


@pick(lambda case: case.graphs and case.drops)
def test_the_share_follows_when_compiled(case):
    backend, _ = counting()
    layer = case.make(0.1)
    forward = torch.compile(layer, backend=backend, fullgraph=True)
    for rate in (0.1, 0.5, 0.9):
        layer.p = rate
        share, count = share_dropped(case, forward, layer)
        assert share == pytest.approx(rate, abs=0.013 if case.exact_count else bound(rate, count))


@pick(lambda case: not case.graphs)
def test_recurrent_layers_run_eagerly_when_compiled_and_follow_the_rate(case):
    backend, graphs = counting()
    layer = case.make(0.1)
    assert isinstance(layer, RecurrentLayer)
    forward = torch.compile(layer, backend=backend)
    for rate in (0.1, 0.5, 0.9):
        layer.p = rate
        share, count = share_dropped(case, forward, layer)
        assert share == pytest.approx(rate, abs=bound(rate, count))
    assert graphs == []


@compiled_cases
def test_a_thousand_rates_cost_no_recompilation(case):
    backend, graphs = counting()
    layer, x = case.make(0.3), case.x()
    forward = torch.compile(layer, backend=backend, fullgraph=True)
    with torch.no_grad():
        for step in range(1000):
            layer.p = 0.05 + (case.highest - 0.05) * step / 999
            forward(x)
    assert len(graphs) == case.graphs


@every
def test_a_new_mask_each_forward_and_the_same_from_the_same_seed(case):
    layer, x = case.make(0.5), case.x()
    assert not torch.equal(first(layer(x)), first(layer(x)))
    assert torch.equal(seeded(layer, x), seeded(layer, x))


@every
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_dtype_stays_and_does_not_round_the_rate(case, dtype):
    layer, x = case.make(0.3).to(dtype), case.x()
    x = x.to(dtype) if x.is_floating_point() else x
    assert first(layer(x)).dtype == dtype
    assert layer.p == pytest.approx(0.3, abs=0.0 if "logit" not in case.keys else 0.01)
    assert first(layer.eval()(x)).dtype == dtype


@every
def test_autocast_gives_the_dtype_of_the_plain_module(case):
    layer, x = case.make(0.3), case.x()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        trained = first(layer(x))
        assert trained.isfinite().all()
        assert trained.dtype == first(layer.eval()(x)).dtype


@every
def test_all_that_a_forward_makes_is_on_the_input_s_device(case):
    layer = case.make(0.3).to("meta")
    assert first(layer(case.x().to("meta"))).device.type == "meta"


@every
def test_built_on_the_meta_device_and_loaded_it_holds_its_rate(case):
    values = case.make(0.1).state_dict()
    with torch.device("meta"):
        layer = case.make(0.3)
    layer.to_empty(device="cpu")
    layer.load_state_dict(values, assign=True)
    if "logit" not in case.keys:  # there the rate is what was loaded
        assert layer.p == 0.3
        layer.p = 0.5
    assert first(layer(case.x())).isfinite().all()


@every
def test_neither_input_nor_parameters_are_written(case):
    layer, x = case.make(0.5), case.x()
    before = copy.deepcopy((x, layer.state_dict()))
    layer(x)
    torch.testing.assert_close((x, layer.state_dict()), before, rtol=0, atol=0)


@every
def test_copies_and_pickles_hold_rate_and_values(case):
    layer, x = case.make(0.3), case.x()
    stored = io.BytesIO()
    torch.save(layer, stored)
    stored.seek(0)
    for twin in (
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
        torch.load(stored, weights_only=False),
    ):
        assert twin.p == layer.p
        assert torch.equal(seeded(twin, x), seeded(layer, x))
        twin.p = 0.6
        assert layer.p == pytest.approx(0.3)


@every
def test_the_state_dict_holds_what_the_plain_module_s_holds(case):
    assert tuple(case.make(0.3).state_dict()) == case.keys


@every
@pytest.mark.parametrize("reentrant", [True, False])
def test_activation_checkpointing_replays_the_mask(case, reentrant):
    layer = nn.Sequential(case.make(0.5))
    floats = case.x().is_floating_point()
    x = case.x().requires_grad_() if floats else case.x()
    leaves = [*layer.parameters(), *([x] if floats else [])]

    def gradients(run):
        torch.manual_seed(1)
        y = first(run(x))
        return torch.autograd.grad(y.square().sum(), leaves, allow_unused=True)

    def recompute(x):
        anchor = torch.zeros((), requires_grad=True)  # reentrant needs an input with gradient
        return checkpoint(lambda x, _: first(layer(x)), x, anchor, use_reentrant=reentrant)

    if reentrant:  # which works with backward() only

        def gradients(run):
            torch.manual_seed(1)
            for leaf in leaves:
                leaf.grad = None
            first(run(x)).square().sum().backward()
            return [None if leaf.grad is None else leaf.grad.clone() for leaf in leaves]

    torch.testing.assert_close(gradients(recompute), gradients(layer), rtol=0, atol=0)


@every
@pytest.mark.filterwarnings("ignore:The tensor attributes self._flat_weights")  # nn.LSTM's own too
def test_the_evaluated_model_can_be_exported(case):
    layer, x = case.make(0.5).eval(), case.x()
    exported = torch.export.export(layer, (x,)).module()
    torch.testing.assert_close(first(exported(x)), first(layer(x)))


@every
def test_vmap_draws_a_mask_for_each_sample(case):
    layer, x = case.make(0.5), case.x()

    def run(index):
        return first(layer(x)) + 0 * index

    different = torch.func.vmap(run, randomness="different")(torch.zeros(4))
    assert not torch.equal(different[0], different[1])
    same = torch.func.vmap(run, randomness="same")(torch.zeros(2))
    assert torch.equal(same[0], same[1])


@every
def test_torch_func_sees_the_same_gradients(case):
    layer, x = case.make(0.5), case.x()
    values = dict(layer.named_parameters())
    if not values:
        values, target = {"x": x}, lambda values: layer(values["x"])
    else:
        target = lambda values: torch.func.functional_call(layer, values, (x,))  # noqa: E731
    if case.graphs == 0:  # the fused kernel draws as the step-by-step form does
        layer.p = 0.0
    found = torch.func.vmap(
        lambda _: torch.func.grad(lambda v: first(target(v)).sum())(values), randomness="same"
    )(torch.zeros(1))
    assert found.keys() == values.keys()
    assert all(gradient.isfinite().all() for gradient in found.values())


@every
def test_a_rate_outside_of_0_to_1_is_refused_and_changes_nothing(case):
    layer = case.make(0.3)
    for wrong in (1.5, -0.1, math.nan):
        with pytest.raises(ValueError, match="Expected `p` to be a rate in"):
            layer.p = wrong
        with pytest.raises(ValueError, match="Expected `p` to be a rate in"):
            case.make(wrong)
    with pytest.raises(TypeError, match="Expected `p` to be a rate in"):
        layer.p = "abc"
    assert layer.p == pytest.approx(0.3)


@every
def test_from_module_takes_place_mode_and_parameters(case):
    source = case.source().eval()
    layer = type(case.make(0.1)).from_module(source, 0.3, **case.options)
    assert layer.p == pytest.approx(0.3)
    assert not layer.training
    assert type(layer) is type(case.make(0.1))
    owned = {id(parameter) for parameter in layer.parameters()}
    assert {id(parameter) for parameter in source.parameters()} <= owned
    row = next(row for row in layers.VARIANTS.values() if type(layer) in row.layers)
    assert row.layer_for(source) is type(layer)


@pick(lambda case: type(case.make(0.1)) is not layers.StochasticDepth)
def test_from_module_refuses_what_it_cannot_stand_in_for(case):
    with pytest.raises(TypeError, match="takes the place of"):
        type(case.make(0.1)).from_module(nn.Tanh(), 0.3)


@every
def test_the_rate_is_shown_and_the_kind_is_known(case):
    layer = case.make(0.25)
    assert "p=0.25" in repr(layer)
    assert layer.kind in ("dropout", "drop_path", "drop_block", "layer_drop", "token_drop")


@every
def test_the_docstring_says_all(case):
    text = inspect.getdoc(type(case.make(0.1)))
    for part in ("Args:", "Shape:", "Raises:", "Example:", "References:", "evaluation", "http"):
        assert part in text or ("As :class:" in text and part == "evaluation")
