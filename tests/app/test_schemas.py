"""The generated schemas are fresh, true, and cover what the configuration names."""

import importlib
import importlib.util
import inspect
import math
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
import yaml

from helpers.app import ROOT
from thinned.app._conf import conf_dir
from thinned.app._fields import Field, kind_of
from thinned.app._schemas import SCHEMAS

RANGED = [
    (target, name, field)
    for target, fields in SCHEMAS.items()
    for name, field in fields.items()
    if field.low is not None or field.high is not None
]


def _generator():
    loader = SourceFileLoader("schemas_script", str(ROOT / "scripts" / "schemas"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_the_committed_file_is_fresh():
    generator = _generator()
    assert generator.TARGET.read_text() == generator.render(), "run scripts/schemas"


def test_every_public_callback_and_schedule_has_one():
    import thinned.callbacks
    from thinned.schedules import PROFILES, SCHEDULES

    classes = [*SCHEDULES.values(), *PROFILES.values()]
    targets = {f"thinned.schedules.{cls.__name__}" for cls in classes}
    names = [
        n for n in thinned.callbacks.__all__ if isinstance(getattr(thinned.callbacks, n), type)
    ]
    targets |= {f"thinned.callbacks.{name}" for name in names}
    assert len(targets) > 15
    assert targets <= set(SCHEMAS)


@pytest.mark.parametrize(
    ("target", "name", "field"), RANGED, ids=[f"{t}.{n}" for t, n, _ in RANGED]
)
def test_the_constructor_refuses_what_the_range_refuses(target, name, field):
    module, _, cls = target.rpartition(".")
    component = getattr(importlib.import_module(module), cls)
    arguments = _arguments(target)
    beyond = field.low - 1 if field.low is not None else field.high + 1
    with pytest.raises((TypeError, ValueError, RuntimeError)):  # its own words
        component(**arguments | {name: type(arguments.get(name, 0.0))(beyond)})
    component(**arguments)


def _arguments(target: str) -> dict:
    """Values that work: those of the configuration, and of the data where it gives them."""
    found = dict(_nodes()[target])
    if ".models." in target:
        found |= {"shape": (1, 8, 8), "outputs": 10}
    module, _, cls = target.rpartition(".")
    parameters = inspect.signature(getattr(importlib.import_module(module), cls)).parameters
    for name, value in list(found.items()):
        if name == "schedule":
            found[name] = 0.1
        elif isinstance(value, str) and value.startswith("${"):  # the application fills it in
            found[name] = None
            if name in parameters and parameters[name].default is not inspect.Parameter.empty:
                del found[name]
    return found


def _nodes() -> dict[str, dict]:
    """Every node of conf/ that has a target, without Hydra's own keys."""
    found: dict[str, dict] = {"thinned.schedules.ByWidth": {"power": 1.0}}

    def walk(value):
        if isinstance(value, dict):
            if "_target_" in value:
                plain = {key: item for key, item in value.items() if not key.startswith("_")}
                found.setdefault(value["_target_"], plain)
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    for path in sorted(conf_dir().rglob("*.yaml")):
        walk(yaml.safe_load(path.read_text()))
    return found


def test_every_argument_of_ours_can_be_overridden_without_a_plus():
    left_out = {"foreach", "maximize", "capturable", "differentiable", "fused", "amsgrad"}
    nodes = {target: node for target, node in _nodes().items() if target in SCHEMAS}
    assert len(nodes) > 20
    for target, node in nodes.items():
        if target.startswith(("thinned.", "pytorch_lightning.Trainer")):
            assert set(node) == set(SCHEMAS[target]) - left_out, target


def test_every_target_of_the_configuration_has_a_schema():
    others = {"thinned.app._progress.SweepProgress", "???"}  # the user's own model
    assert set(_nodes()) - others <= set(SCHEMAS)


def test_fields():
    rate = Field(("number", "null"), low=0.0, high=1.0)
    assert [rate.problem(value) for value in (0, 0.5, 1.0, None)] == [None] * 4
    for wrong in (-0.1, 1.1, math.nan, "0.5", True, [0.5]):
        assert rate.problem(wrong) == "a number in [0, 1] or null"
    shape = Field(("string",), choices=("triangle", "cosine"))
    assert shape.problem("triangle") is None
    assert shape.problem("square") == "one of 'triangle', 'cosine'"
    power = Field(("number",), low=0.0, high=100.0, open_low=True)
    assert power.problem(0.0) == "a number in (0, 100]"
    assert Field().problem(object()) is None
    assert kind_of(Path()) == "PosixPath"
