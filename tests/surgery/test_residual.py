import copy
import functools
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import thinned
from helpers.layer_contract import counting
from thinned.layers import StochasticDepth
from thinned.surgery._inserting.residual_hook import BlockDrop

BATCH, DIM = 6, 8


class PreNorm(nn.Module):
    """Adds to its input: what a vision transformer or a language model is made of."""

    def __init__(self, dim=DIM):
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(dim), nn.Linear(dim, dim)

    def forward(self, x):
        return x + self.mix(self.norm(x))


class HandNorm(nn.Module):
    """A norm that somebody wrote by hand, recognised by what it is: a name and small weights."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(DIM))
        self.bias = nn.Parameter(torch.zeros(DIM))

    def forward(self, x):
        return self.weight * x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() + self.bias


class PostHandNorm(PreNorm):
    def __init__(self):
        super().__init__()
        self.norm = HandNorm()

    def forward(self, x):
        return self.norm(x + self.mix(x))


class Noisy(PreNorm):
    """Draws numbers in evaluation too."""

    def forward(self, x):
        return x + self.mix(x + 0.1 * torch.randn_like(x))


class TwoAdds(PreNorm):
    """Has two branches, one of them a residual module of its own."""

    def __init__(self):
        super().__init__()
        self.inner = PreNorm()

    def forward(self, x):
        return self.inner(x) + torch.tanh(self.mix(x))


class PostNorm(PreNorm):
    """Norms after the addition, as BERT does, and returns a tuple."""

    def forward(self, hidden, mask=None):
        return self.norm(hidden + self.mix(hidden)), "weights"


class Keyword(PreNorm):
    """Is given its input by name, and returns a mapping."""

    def forward(self, *, states):
        return {"other": states.mean(), "states": states + self.mix(states)}


class TimesFirst(PreNorm):
    """Works on (T, B, C): attends over the first axis."""

    def forward(self, x):
        weights = (x.movedim(1, 0) @ x.movedim(1, 0).mT).softmax(-1)
        return x + (weights @ self.mix(x).movedim(1, 0)).movedim(0, 1)


class Transposing(PreNorm):
    """Works in another layout and comes back from it."""

    def forward(self, x):
        y = x.transpose(1, 2).contiguous()
        y = y + self.mix(y.transpose(1, 2)).transpose(1, 2)
        return y.transpose(1, 2)


class Basic(nn.Module):
    """A block of ResNet: an activation after the addition, perhaps another shape."""

    def __init__(self, inputs=4, outputs=4):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)) + self.shortcut(x))


class InPlace(PreNorm):
    def forward(self, x):
        x += self.mix(self.norm(x))
        return x


class Outside(PreNorm):
    """Adds what somebody else made of its input."""

    def forward(self, x, made):
        return x + self.mix(made)


class TwoStreams(PreNorm):
    """Returns two tensors of its input's shape, as reversible blocks do."""

    def forward(self, x):
        y = x + self.mix(x)
        return y, x + self.norm(y)


class Chain(nn.Module):
    """Calls blocks with whatever they take, between an input and an output layer."""

    def __init__(self, *blocks):
        super().__init__()
        self.first, self.last = nn.Linear(DIM, DIM), nn.Linear(DIM, 3)
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            if isinstance(block, Keyword):
                x = block(states=x)["states"]
            elif isinstance(block, Outside):
                x = block(x, torch.sigmoid(x))
            else:
                x = block(x)
                x = x[0] if isinstance(x, tuple) else x
        return self.last(x)


def example(batch=BATCH):
    return torch.randn(batch, 5, DIM)


def drops(edit):
    """Return path to the hook of each block."""
    return {s.path: s.owner for s in edit.sites if isinstance(s.owner.layer, BlockDrop)}


def insert(model, rate=0.5, x=None, **options):
    """Put stochastic depth on all blocks, every one at the same rate."""
    variant = functools.partial(StochasticDepth, **options)
    edit = thinned.insert(model, variant, rate, example_input=example() if x is None else x)
    thinned.set_rate(edit.sites, rate, kinds="all")
    return edit


# ------------------------------------------------------------------------------ what is a block


def test_blocks_are_recognised_and_get_the_linear_rule():
    model = Chain(PreNorm(), TwoAdds(), PostNorm(), Keyword())
    edit = thinned.insert(model, "stochastic_depth", 0.4, example_input=example())
    assert edit.sites.rates == pytest.approx(
        {f"blocks.{i}:drop_path": rate for i, rate in enumerate([0.1, 0.2, 0.3, 0.4])}
    )
    found = drops(edit)
    assert [hook.layer.scale_by_keep for hook in found.values()] == [True, True, False, True]
    assert [(hook.source, hook.result) for hook in found.values()] == [
        (0, None),
        (0, None),
        (0, 0),
        ("states", "states"),
    ]


def test_norms_by_hand_and_numbers_drawn_in_evaluation():
    found = drops(insert(Chain(PostHandNorm(), Noisy())))
    assert [hook.layer.scale_by_keep for hook in found.values()] == [False, True]


def test_what_only_chains_blocks_is_none():
    model = Chain(nn.Sequential(PreNorm(), PreNorm()), nn.Sequential(PreNorm()))
    edit = insert(model)
    assert list(drops(edit)) == [f"blocks.{path}:drop_path" for path in ("0.0", "0.1", "1.0")]


def test_what_jumps_over_several_blocks_is_none():
    class Jump(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(DIM, DIM), PreNorm(), PreNorm())

        def forward(self, x):
            return x + self.body(x)

    edit = insert(Chain(Jump()))
    assert list(drops(edit)) == ["blocks.0.body.1:drop_path", "blocks.0.body.2:drop_path"]


def test_an_encoder_that_adds_something_of_its_own_is_none():
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.position = nn.Parameter(torch.randn(1, 5, DIM))
            self.layers = nn.Sequential(PreNorm(), PreNorm())
            self.more = nn.Linear(DIM, DIM)

        def forward(self, x):
            x = self.layers(x + self.position)
            return x + self.more(x)

    edit = insert(Chain(Encoder()))
    assert list(drops(edit)) == [f"blocks.0.layers.{i}:drop_path" for i in (0, 1)]


def test_another_layout_in_between():
    assert list(drops(insert(Chain(Transposing())))) == ["blocks.0:drop_path"]


def test_blocks_that_change_the_shape_are_listed():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), Basic(), Basic(4, 8), Basic(8, 8), nn.Flatten(), nn.Linear(128, 2)
    )
    edit = insert(model, x=torch.randn(BATCH, 3, 4, 4))
    assert list(drops(edit)) == ["1:drop_path", "3:drop_path"]
    assert edit.left_out == {"2": "it changes the shape: (6, 4, 4, 4) to (6, 8, 4, 4)"}


@pytest.mark.parametrize("block", [InPlace, Outside, TwoStreams])
def test_what_cannot_be_dropped_is_left(block):
    model = Chain(PreNorm(), block())
    assert list(drops(insert(model))) == ["blocks.0:drop_path"]


def test_the_whole_model_is_no_block():
    class Denoiser(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = PreNorm()

        def forward(self, x):
            return self.net(x)

    with pytest.raises(thinned.NoEffectError, match=r"(?s)Expected a place.*no module to hang on"):
        insert(Denoiser())


def test_auto_puts_nothing_inside_of_a_dropped_block():
    edit = thinned.insert(Chain(TwoAdds()), rate=0.2, example_input=example())
    assert edit.sites.rates == {"blocks.0:drop_path": 0.2}
    assert thinned.insert(Chain(TwoAdds()), rate=0.2, example_input=example()).already == ()


def test_twice_is_once():
    model = Chain(PreNorm())
    insert(model)
    assert thinned.insert(model, "stochastic_depth", example_input=example()).already == (
        "blocks.0",
    )


def test_the_axis_of_the_samples_where_the_model_turns_them():
    class Turning(Chain):
        def forward(self, x):
            return super().forward(x.transpose(0, 1)).transpose(0, 1)

    edit = insert(Turning(TimesFirst()))
    assert drops(edit)["blocks.0:drop_path"].layer.batch_dim == 1


@pytest.mark.parametrize("batch", [1, BATCH])
def test_the_axis_of_the_samples(batch):
    model = Chain(TimesFirst())
    edit = insert(model, x=torch.randn(5, batch, DIM))
    assert drops(edit)["blocks.0:drop_path"].layer.batch_dim == 1
    assert drops(insert(Chain(PreNorm())))["blocks.0:drop_path"].layer.batch_dim == 0


# ---------------------------------------------------------------------------------- what it does


@pytest.mark.parametrize("mode", ["mask", "batch", "skip"])
def test_dropped_samples_keep_their_input_and_kept_ones_are_scaled(mode):
    block = PreNorm()
    model = Chain(block)
    insert(model, 0.5, mode=mode)
    x = torch.randn(40, 5, DIM)
    y = block(x)
    full = block.eval()(x)
    dropped = (y == x).flatten(1).all(1)
    assert torch.allclose(y[~dropped], (x + (full - x) * 2)[~dropped], atol=1e-5)
    assert int(dropped.sum()) in {"mask": range(8, 33), "batch": (0, 40), "skip": (20,)}[mode]


@pytest.mark.parametrize("mode", ["mask", "skip"])
def test_post_norm_blocks_are_skipped_whole_and_unscaled(mode):
    block = PostNorm()
    insert(Chain(block), 0.5, mode=mode)
    x = torch.randn(40, 5, DIM)
    y, weights = block(x)
    full = block.eval()(x)[0]
    dropped = (y == x).flatten(1).all(1)
    assert weights == "weights"
    assert 0 < int(dropped.sum()) < 40
    assert torch.equal(y[~dropped], full[~dropped]) or mode == "skip"
    assert torch.allclose(y[~dropped], full[~dropped], atol=1e-6)


def test_a_block_after_relu_stays_in_its_range():
    block = Basic()
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), block, nn.Flatten(), nn.Linear(64, 2))
    insert(model, 0.5, torch.randn(BATCH, 3, 4, 4))
    assert bool((block(torch.rand(40, 4, 4, 4)) >= 0).all())


@pytest.mark.parametrize("mode", ["mask", "skip"])
@pytest.mark.parametrize("block", [PreNorm, PostNorm, TwoAdds])
def test_the_blocks_own_output_to_the_bit_where_nothing_is_dropped(block, mode):
    model = Chain(block())
    x = example()
    plain = model(x)
    insert(model, 0.0, mode=mode)
    assert torch.equal(model(x), plain)
    thinned.set_rate(model, 0.9, kinds="all")
    assert torch.equal(model.eval()(x), plain)


@pytest.mark.parametrize("mode", ["mask", "skip"])
def test_the_mean_is_that_of_the_plain_block(mode):
    block = PreNorm()
    insert(Chain(block), 0.3, mode=mode)
    x = torch.randn(10, 1, DIM)
    with torch.no_grad():
        mean = torch.stack([block(x) for _ in range(4000)]).mean(0)
        assert torch.allclose(mean, block.eval()(x), atol=0.1)


@pytest.mark.parametrize("mode", ["mask", "skip"])
def test_rate_one_and_a_batch_of_one(mode):
    block = PreNorm()
    insert(Chain(block), 1.0, mode=mode)
    x = torch.randn(4, 5, DIM)
    assert torch.equal(block(x), x)
    thinned.set_rate(block, 0.5, kinds="all")
    one = torch.randn(1, 5, DIM)
    outputs = [block(one) for _ in range(50)]
    assert {bool(torch.equal(y, one)) for y in outputs} == {True, False}


def test_skip_computes_the_kept_rows_only_and_cuts_what_comes_with_them():
    seen = []

    class Watched(PreNorm):
        def forward(self, x, mask=None):
            if mask is not None:
                seen.append((x.shape[0], mask.shape[0]))
                assert torch.equal(x[:, 0, 0], mask[:, 0])
            return x + self.mix(x)

    block = Watched()
    insert(Chain(block), 0.5, mode="skip")
    x = torch.randn(10, 5, DIM)
    block(x, mask=x[:, :, 0])
    block(x, x[:, :, 0])
    assert seen == [(5, 5), (5, 5)]


def test_a_mask_of_steps_stays_whole_where_the_batch_is_as_long():
    class Masked(PreNorm):
        def forward(self, x, mask=None):
            return x + self.mix(x if mask is None else mask @ x)

    block = Masked()
    insert(Chain(block), 0.5, mode="skip")
    x, mask = torch.randn(5, 5, DIM), torch.ones(5, 5).tril()
    for _ in range(9):
        y = block(x, mask)
        kept = (y != x).flatten(1).any(dim=1)
        torch.testing.assert_close(y[kept], (x + 2 * block.mix(mask @ x))[kept])


def test_skip_gives_every_weight_a_gradient():
    model = Chain(PreNorm(), PostNorm())
    insert(model, 0.95, mode="skip")
    model(example()).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("mode", ["mask", "skip"])
def test_the_axis_of_the_samples_is_used(mode):
    block = TimesFirst()
    insert(Chain(block), 0.5, torch.randn(5, BATCH, DIM), mode=mode)
    x = torch.randn(5, 40, DIM)
    dropped = (block(x) == x).all(0).all(1)
    assert 8 < int(dropped.sum()) < 33


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("mode", ["mask", "skip"])
def test_activation_checkpointing_replays_it(mode, reentrant):
    block = PreNorm()
    insert(Chain(block), 0.5, mode=mode)
    x = example(20).requires_grad_()

    def run(checkpointed):
        torch.manual_seed(7)
        block.zero_grad()
        y = checkpoint(block, x, use_reentrant=reentrant) if checkpointed else block(x)
        y.square().sum().backward()
        return y.detach(), block.mix.weight.grad.clone()

    plain, replayed = run(checkpointed=False), run(checkpointed=True)
    assert all(torch.equal(a, b) for a, b in zip(plain, replayed, strict=True))


@pytest.mark.parametrize(("mode", "compiles"), [("mask", 1), ("skip", 2)])
def test_a_new_rate_at_each_step_under_compile(mode, compiles):
    torch._dynamo.reset()
    model = Chain(PreNorm(), PostNorm())
    edit = insert(model, 0.1, mode=mode)
    backend, graphs = counting()
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    x = example(16)
    for step in range(30):
        thinned.set_rate(edit.sites, 0.1 + step / 50, kinds="all")
        compiled(x)
    assert len(graphs) <= compiles
    torch._dynamo.reset()


def test_bfloat16_under_autocast():
    model = Chain(PreNorm(), PostNorm())
    insert(model, 0.5)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(example()).float().sum()
    loss.backward()
    assert torch.isfinite(loss)


def test_another_input_than_in_the_example_is_an_error():
    class Fickle(PreNorm):
        def forward(self, x, other=None):
            return x + self.mix(x) if other is None else other + self.mix(other)

    block = Fickle()
    insert(Chain(block), 0.5)
    with pytest.raises(ValueError, match="It was another in the example"):
        block(torch.randn(3), torch.randn(4, 5, DIM))


@pytest.mark.parametrize("mode", ["mask", "skip"])
def test_arguments_may_come_by_name_and_in_another_order(mode):
    class Conditioned(PreNorm):
        def forward(self, x, other=None):
            return x + self.mix(x + other)

    class Model(Chain):
        def forward(self, x):
            return self.last(self.blocks[0](x, torch.full(x.shape, 100.0)))

    model = Model(Conditioned())
    insert(model, 1.0, mode=mode)
    x, other = torch.randn(2, BATCH, DIM)
    assert torch.equal(model.blocks[0](other=other, x=x), x)


def test_a_forward_that_failed_leaves_nothing_that_cannot_be_copied():
    class Fails(PreNorm):
        fails = False

        def forward(self, x):
            if self.fails:
                raise MemoryError
            return super().forward(x)

    model = Chain(PreNorm(), Fails())
    insert(model, 0.5, mode="skip")
    model.blocks[1].fails = True
    with pytest.raises(MemoryError):
        model(example())
    assert copy.deepcopy(model) is not model
    assert pickle.dumps(model.blocks[1]._forward_hooks)


def test_gaps_that_a_library_left_are_filled():
    class Gap(PreNorm):
        def __init__(self):
            super().__init__()
            self.drop_path = nn.Identity()

        def forward(self, x):
            return x + self.drop_path(self.mix(self.norm(x)))

    model = Chain(Gap(), Gap())
    keys, gap = list(model.state_dict()), model.blocks[0].drop_path
    for x in (None, example()):
        edit = thinned.insert(model, rate=0.4, example_input=x)
        assert edit.sites.rates == {"blocks.0.drop_path": 0.2, "blocks.1.drop_path": 0.4}
        assert list(model.state_dict()) == keys
        edit.undo()
        assert model.blocks[0].drop_path is gap
    unscaled = functools.partial(thinned.layers.DropPath, scale_by_keep=False)
    thinned.insert(model, unscaled, example_input=example())
    assert not model.blocks[0].drop_path.scale_by_keep
