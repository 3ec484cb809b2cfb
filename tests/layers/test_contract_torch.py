"""What every layer promises where torch does something with it: compile, export, copy, cast."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from helpers.layer_cases import compiled_cases, every, pick
from helpers.layer_contract import bound, counting, first, seeded, share_dropped
from thinned.layers._recurrent import RecurrentLayer

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@compiled_cases
def test_rates_0_and_1_are_exact_when_compiled(case):
    backend, _ = counting()
    layer, x = case.make(0.0), case.x()
    forward = torch.compile(layer, backend=backend, fullgraph=True)
    other_kernel = case.name == "DropConnectLinear-sample"  # a batch of products, not one
    tight = {} if other_kernel else {"rtol": 0, "atol": 0}
    torch.testing.assert_close(first(forward(x)), case.plain(layer, x), **tight)
    layer.p = 1.0
    torch.testing.assert_close(first(forward(x)), case.at_one(layer, x))


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


@compiled_cases
@pytest.mark.parametrize("built", [True, False])
def test_built_on_the_meta_device_or_moved_and_assigned_it_runs_compiled(case, built):
    values = case.make(0.1).state_dict()
    with torch.device("meta" if built else "cpu"):
        layer = case.make(0.3)
    layer = layer if built else layer.to("meta")
    layer.load_state_dict(values, assign=True)
    layer.p = 0.5
    backend, _ = counting()
    assert first(torch.compile(layer, backend=backend)(case.x())).isfinite().all()


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


@compiled_cases  # torch has no rule for its own recurrent kernels
def test_vmap_goes_over_the_inputs(case):
    layer, x = case.make(0.5), case.x()
    xs = torch.stack([x, x.flip(0)])
    found = torch.func.vmap(lambda x: first(layer(x)), randomness="different")(xs)
    assert found.isfinite().all()
    torch.testing.assert_close(
        torch.func.vmap(lambda x: first(layer.eval()(x)))(xs)[1], first(layer(xs[1]))
    )


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
