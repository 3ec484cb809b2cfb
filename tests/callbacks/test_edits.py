"""Edits stand while the model trains, and are gone when fit ends, however it ends."""

import functools
import pickle
import warnings

import pytest
import torch
from torch import nn

from helpers import tiny
from thinned import NoEffectError, ThinnedWarning, layers
from thinned.callbacks import DropoutScheduler, LayerInsert, LayerSwap
from thinned.schedules import Linear


class Classes(tiny.TinyModule):
    """Notes the class names of its layers in each training step."""

    def __init__(self, net=None, fail_at=None, error=RuntimeError):
        super().__init__(net)
        self.seen = []
        self.fail_at = fail_at
        self.error = error

    def training_step(self, batch, batch_idx):
        self.seen.append([type(layer).__name__ for layer in self.net])
        if batch_idx == self.fail_at:
            raise self.error("out of memory")
        return super().training_step(batch, batch_idx)


def plain():
    return [nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)]


def modules(model):
    return [id(module) for module in model.modules()]


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


CONNECT = {"Linear": "dropconnect"}


@pytest.mark.parametrize("name", tiny.NAMESPACES)
def test_a_swap_stands_while_the_model_trains_and_is_undone(name):
    model = tiny.module_of(name, net=tiny.mlp())
    before = modules(model)
    swap = LayerSwap(CONNECT, include="net.0", rate=0.1)
    seen = []
    model.on_train_start = lambda: seen.append(type(model.net[0]))
    tiny.fit([swap], module=model, namespace=name)
    assert seen == [layers.DropConnectLinear]
    assert modules(model) == before
    assert len(swap.edits) == 1
    assert "DropConnectLinear" in str(swap.edits[0])


def test_an_insert_stands_while_the_model_trains_and_is_undone():
    model = Classes(nn.Sequential(*plain()))
    insert = LayerInsert(rate=0.2)
    scheduler = DropoutScheduler(Linear(0.0, 0.4))
    tiny.fit([scheduler, insert], module=model)
    assert len(scheduler.groups["all"]) == 1
    assert scheduler.rates == {"all": 0.4}
    assert hooks(model) == 0


@pytest.mark.parametrize(("rate", "told"), [(None, 0.3), (0.2, 0.2)])
def test_the_rate_of_a_partial_counts_where_none_is_given(rate, told):
    insert = LayerInsert(functools.partial(layers.Dropout, p=0.3), rate, after="ReLU")
    tiny.fit([insert], module=Classes(nn.Sequential(*plain())))
    assert f"Dropout(p={told}" in str(insert.edits[0])


@pytest.mark.parametrize("stage", ["fit", "setup"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_comes_through_and_the_plain_model_comes_back(error, stage):
    model = Classes(fail_at=2, error=error)
    before = modules(model)
    if stage == "setup":
        model.configure_optimizers = lambda: exec("raise error('out of memory')", {"error": error})
    callbacks = [LayerSwap(CONNECT, rate=0.1), LayerInsert("dropout", after="ReLU")]
    expected = SystemExit if error is KeyboardInterrupt else error
    with pytest.raises(expected, match="1" if expected is SystemExit else "out of memory"):
        tiny.fit(callbacks, module=model)
    assert modules(model) == before
    assert hooks(model) == 0
    assert model.training


def test_keep_leaves_the_edit_in_and_makes_it_once():
    model = Classes()
    swap = LayerSwap(CONNECT, rate=0.1, keep=True)
    insert = LayerInsert("dropout", after="ReLU", keep=True)
    for _ in range(2):
        tiny.fit([swap, insert], module=model)
    assert len(swap.edits) == len(insert.edits) == 1
    assert type(model.net[0]).__name__ == "DropConnectLinear"
    assert hooks(model) == 2


def test_fit_twice_edits_twice_and_undoes_twice():
    model = Classes(nn.Sequential(*plain()))
    before = modules(model)
    swap = LayerSwap(CONNECT, include="net.0", rate=0.1)
    for _ in range(2):
        tiny.fit([swap], module=model)
        assert modules(model) == before
    assert model.seen == [["DropConnectLinear", "ReLU", "Linear"]] * 8
    assert len(swap.edits) == 2


@pytest.mark.parametrize("reverse", [False, True])
def test_edits_upon_edits_are_undone_whatever_the_order_of_the_callbacks(reverse):
    model = Classes()
    before = modules(model)
    callbacks = [
        LayerSwap(CONNECT, include="net.0", rate=0.1),
        LayerInsert("dropout", after=nn.Linear, include="net.0"),
        DropoutScheduler(Linear(0.0, 0.4)),
    ]
    tiny.fit(callbacks[::-1] if reverse else callbacks, module=model)
    assert modules(model) == before
    assert hooks(model) == 0
    assert model.seen[0][0] == "DropConnectLinear"


def test_a_kept_edit_upon_one_that_is_not_leaves_both_in_and_says_so():
    model = Classes()
    swap = LayerSwap(CONNECT, include="net.0", rate=0.1)
    insert = LayerInsert("dropout", after=nn.Linear, include="net.0", keep=True)
    with pytest.warns(ThinnedWarning, match=r"LayerSwap leaves its edit in the model: Cannot undo"):
        tiny.fit([swap, insert], module=model)
    assert type(model.net[0]).__name__ == "DropConnectLinear"


def test_validation_alone_edits_nothing():
    swap = LayerSwap(CONNECT, rate=0.1)
    tiny.trainer(callbacks=[swap]).validate(tiny.TinyModule(), tiny.loader(), verbose=False)
    assert swap.edits == []


class BuiltInSetup(Classes):
    """Builds its layers where Lightning asks for it, after the callbacks' own set-up."""

    def __init__(self, head=False):
        super().__init__(nn.Identity())
        self.net = nn.Sequential(nn.Linear(8, 8)) if head else None

    def setup(self, stage):
        self.net = nn.Sequential(*(self.net or []), *plain())


class BuiltInConfigure(BuiltInSetup):
    """Does so in the other hook."""

    def setup(self, stage):
        pass

    def configure_model(self):
        if self.net is None or len(self.net) == 1:
            self.net = nn.Sequential(*(self.net or []), *plain())


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("cls", [BuiltInSetup, BuiltInConfigure])
def test_a_model_that_is_built_late_is_edited_then(cls, head):
    model = cls(head)
    swap = LayerSwap(CONNECT, include="*", rate=0.1)
    tiny.fit([swap, LayerInsert("dropout", after="ReLU")], module=model)
    names = ["DropConnectLinear", "ReLU", "Linear"]  # the output layer is left alone
    assert model.seen[0] == (["DropConnectLinear", *names] if head else names)
    assert {type(layer).__name__ for layer in model.net} == {"Linear", "ReLU"}
    assert hooks(model) == 0
    assert "configure_model" not in vars(model)


def test_a_late_model_without_what_was_asked_for_says_so():
    model = BuiltInSetup()
    with pytest.raises(NoEffectError, match=r"'Conv2d'.*The model holds: .*Linear"):
        tiny.fit([LayerSwap({"Conv2d": "dropconnect"}, rate=0.1)], module=model)
    assert "configure_model" not in vars(model)


def test_a_late_model_that_cannot_be_built_leaves_no_trace():
    class Fails(BuiltInSetup):
        def setup(self, stage):
            raise LookupError("no data")

    model = Fails()
    with pytest.raises(LookupError, match="no data"):
        tiny.fit([LayerSwap(CONNECT, rate=0.1)], module=model)
    assert "configure_model" not in vars(model)


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (lambda: LayerSwap({"Conv2d": "spatial"}), r"module of 'Conv2d' .* The model holds"),
        (lambda: LayerSwap(CONNECT, include="head", rate=0.1), r"found none. The model holds"),
        (lambda: LayerInsert(include="head"), r"The model holds"),
    ],
)
def test_nothing_to_edit_stops_before_the_first_step(callback, message):
    model = Classes()
    with pytest.raises(NoEffectError, match=message):
        tiny.fit([callback()], module=model)
    assert model.seen == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LayerSwap(CONNECT, rate=1.5), r"`rate` to be a rate in \[0, 1\], got 1.5"),
        (lambda: LayerSwap(CONNECT, include=""), r"`include` to hold no empty pattern"),
        (lambda: LayerInsert(rate=float("nan")), r"`rate` to be a rate in \[0, 1\], got nan"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def edited():
    return [
        LayerSwap(CONNECT, include="net.0", rate=0.1),
        LayerInsert("dropout", 0.1, after="ReLU"),
        DropoutScheduler(Linear(0.0, 0.4)),
    ]


@pytest.mark.parametrize("reverse", [False, True])
def test_checkpoints_are_those_of_the_plain_model_both_ways(tmp_path, reverse):
    first, second = ([], edited()) if reverse else (edited(), [])
    tiny.fit([*first, tiny.saver(tmp_path, filename="one")], module=tiny.TinyModule())
    saved = torch.load(tmp_path / "one.ckpt", weights_only=True)
    plain_model = tiny.TinyModule()
    assert saved["state_dict"].keys() == plain_model.state_dict().keys()
    plain_model.load_state_dict(saved["state_dict"])
    resumed = tiny.TinyModule()
    again = tiny.saver(tmp_path, filename="two")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Be aware that when using `ckpt_path`", UserWarning)
        tiny.fit([*second, again], module=resumed, max_epochs=2, ckpt_path=tmp_path / "one.ckpt")
    assert resumed.net[0].weight.isfinite().all()
    two = torch.load(tmp_path / "two.ckpt", weights_only=True)
    assert two["state_dict"].keys() == saved["state_dict"].keys()
    assert (
        two["optimizer_states"][0]["param_groups"] == saved["optimizer_states"][0]["param_groups"]
    )


def test_callbacks_can_be_pickled_after_fit_without_the_model():
    callbacks = edited()
    tiny.fit(callbacks)
    again = pickle.loads(pickle.dumps(callbacks[:2]))
    assert [callback.edits for callback in again] == [[], []]
    tiny.fit(again)
    assert [len(callback.edits) for callback in again] == [1, 1]


class Around(tiny.TinyModule):
    """Its steps call a part of the model and never the model; some parts get integers."""

    def __init__(self, **options):
        super().__init__(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)), **options)
        self.table = nn.Embedding(4, 8)

    def training_step(self, batch, batch_idx):
        x, y = batch
        x = x + self.table(x[:, 0].long().clamp(0, 3))
        return nn.functional.cross_entropy(self.net(x), y)


@pytest.mark.parametrize(
    ("options", "lost"),
    [
        ({"after": "input"}, r"1 of the 1 inserted layers \(:dropout\)"),
        ({"after": "input", "include": "table"}, r"1 of the 1 inserted layers \(table:dropout\)"),
        ({"after": ["Linear", "ReLU"]}, None),
        ({}, None),
    ],
)
def test_an_insert_that_training_never_comes_to_is_told(options, lost):
    insert, module = LayerInsert("dropout", 0.5, **options), Around()
    if lost is None:
        tiny.fit([insert], module=module, max_epochs=2)
    else:
        with pytest.warns(ThinnedWarning, match=f"LayerInsert: in 4 batches.*{lost}") as told:
            tiny.fit([insert], module=module, max_epochs=2)
        assert sum("never came" in str(each.message) for each in told) == 1
    held = [site.owner.layer for edit in insert.edits for site in edit.sites]
    assert not any(layer._forward_pre_hooks for layer in held)
    assert hooks(module) == 0


def test_layers_that_take_turns_are_waited_for():
    class Turns(Around):
        def training_step(self, batch, batch_idx):
            x, y = batch
            x = self.net[0](x) if batch_idx % 6 < 5 else self.net[1](self.net[0](x))
            return nn.functional.cross_entropy(self.net[2](x), y)

    module = Turns()
    insert = LayerInsert("dropout", 0.5)
    tiny.fit([insert], module=module, train=tiny.loader(48), max_epochs=1)  # a warning is an error
    assert len(insert.edits[0]) == 1
