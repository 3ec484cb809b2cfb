"""Any value in a configuration: what can run, or one sentence with the key."""

import copy
import inspect
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

import thinned.callbacks
from helpers.fuzzing import fuzzed, junk, told, words
from thinned.app._check import check_config
from thinned.app._errors import explain
from thinned.app._schemas import SCHEMAS

CALLBACKS = {
    name: getattr(thinned.callbacks, name)
    for name in dir(thinned.callbacks)
    if inspect.isclass(getattr(thinned.callbacks, name)) and name[0].isupper()
}


@st.composite
def calls(draw):
    """Draw a callback and some of its arguments, one of them anything."""
    cls = CALLBACKS[draw(st.sampled_from(sorted(CALLBACKS)))]
    names = [p.name for p in inspect.signature(cls).parameters.values() if p.kind != p.VAR_KEYWORD]
    wanted = draw(st.lists(st.sampled_from(names), max_size=3, unique=True)) if names else []
    return cls, {name: draw(junk) for name in wanted}


@fuzzed(250)
@given(calls())
def test_any_argument_of_a_callback_is_taken_or_refused(call):
    cls, arguments = call
    try:
        made = cls(**arguments)
    except (TypeError, ValueError) as error:
        if not told(error) and "missing" not in str(error):
            raise
    else:
        assert made.state_key
        copy.deepcopy(made)


@pytest.fixture(scope="module")
def whole():
    """Return the composed configuration as plain values."""
    from hydra import compose, initialize_config_dir
    from hydra.core.hydra_config import HydraConfig

    from thinned.app import _resolvers
    from thinned.app._conf import conf_dir

    _resolvers.register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("train", return_hydra_config=True)
        cfg.hydra.runtime.output_dir = "out"
        HydraConfig.instance().set_config(cfg)
        try:
            plain = OmegaConf.to_container(cfg, resolve=False)
            del plain["hydra"]
            plain = json.loads(json.dumps(plain).replace("${", "<{"))
        finally:
            HydraConfig.instance().cfg = None
    return plain


def paths(node, at=()):
    """Yield the path of every key, outer ones first."""
    for key, value in node.items() if isinstance(node, dict) else ():
        yield (*at, key)
        yield from paths(value, (*at, key))


targets = st.sampled_from([*SCHEMAS, "os.system", "thinned.schedules.Nothing", "thinned"]) | words
values = junk.filter(lambda value: not isinstance(value, bytes)) | st.fixed_dictionaries(
    {"_target_": targets}, optional=dict.fromkeys(("rate", "end", "schedule", "_args_"), junk)
)


def problem(plain):
    """Return what is wrong with a configuration, as the user reads it; other errors get out."""
    try:
        check_config(OmegaConf.create(plain))
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        return line
    return ""


@fuzzed(120)
@given(st.data())
def test_any_value_anywhere_in_the_configuration(whole, data):
    plain = copy.deepcopy(whole)
    known = list(paths(plain))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(known))
        if data.draw(st.integers(0, 4)) == 0:
            path = (*path, data.draw(words))
        node = plain
        for key in path[:-1]:
            node = node[key] if isinstance(node, dict) and isinstance(node.get(key), dict) else {}
        node[path[-1]] = data.draw(values)
    assert problem(plain).count("\n") == 0


STATEFUL = {
    "scheduler": lambda: thinned.callbacks.DropoutScheduler(0.1),
    "monitor": lambda: thinned.callbacks.OverfittingMonitor("val_loss"),
    "adaptive": thinned.callbacks.AdaptiveDropout,
    "random state": thinned.callbacks.RandomState,
    "record": lambda: thinned.callbacks.RunRecord("record"),
}
FORMS = {
    "history": st.lists(st.dictionaries(st.sampled_from(["val_loss", "epoch", "step"]), junk)),
    "law": st.dictionaries(st.sampled_from(["rate", "steps", "progress"]), junk),
    "monitor": st.just("val_loss") | junk,
    "ranks": junk,
    "losses": junk,
    "validations": junk,
    "mode": junk,
}


@fuzzed(200)
@given(
    st.sampled_from(sorted(STATEFUL)),
    junk | st.fixed_dictionaries({"version": st.just(1) | junk}, optional=FORMS),
)
def test_any_state_of_a_checkpoint_is_taken_or_refused(name, state):
    callback = STATEFUL[name]()
    try:
        callback.load_state_dict(state)
    except ValueError as error:
        if not told(error):
            raise
