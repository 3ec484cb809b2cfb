"""Our groups in somebody else's Hydra application, and our components elsewhere."""

import importlib
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import MissingConfigException
from hydra.utils import instantiate
from omegaconf import DictConfig

from helpers import tiny
from helpers.app import python
from thinned.app._conf import conf_dir
from thinned.app._schemas import SCHEMAS

MAIN = """
import sys
import hydra
from omegaconf import OmegaConf

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
    print(OmegaConf.to_yaml(cfg, resolve=True))
    print("heavy:", sorted({"torch", "thinned.app", "wandb"} & set(sys.modules)))

main()
"""


@pytest.fixture
def app(tmp_path):
    """An application with a group `callbacks` of its own, which is not ours."""
    conf = tmp_path / "conf"
    (conf / "callbacks").mkdir(parents=True)
    (conf / "callbacks" / "mine.yaml").write_text("own: 1\n")
    (conf / "config.yaml").write_text(
        "defaults:\n"
        "  - _self_\n"
        "  - callbacks@own: mine\n"
        "  - thinned/callbacks@callbacks: default\n"
        "  - thinned/schedule@schedule: cosine\n"
        "lr: 0.1\n"
    )
    (tmp_path / "main.py").write_text(MAIN)
    return conf


def test_compose_finds_our_groups_and_leaves_the_users(app):
    with initialize_config_dir(str(app), version_base="1.3"):
        cfg = compose("config", ["schedule.end=0.3", "thinned/schedule@schedule=linear"])
    assert cfg.own == {"own": 1}
    assert set(cfg) == {"own", "lr", "callbacks", "schedule"}  # no top-level node of our own app
    assert cfg.callbacks.dropout.schedule._target_ == "thinned.schedules.Linear"
    assert cfg.callbacks.dropout.schedule.end == 0.3


def test_a_typing_error_lists_our_options(app):
    with (
        initialize_config_dir(str(app), version_base="1.3"),
        pytest.raises(MissingConfigException, match="Could not find 'thinned/schedule/cosin'") as e,
    ):
        compose("config", ["thinned/schedule@schedule=cosin"])
    assert "cosine" in e.value.options


@pytest.mark.parametrize("group", ["data", "trainer", "experiment", "logger", "search"])
def test_what_needs_our_own_top_level_is_not_shared(app, group):
    (app / "config.yaml").write_text(f"defaults:\n  - thinned/{group}: none\n")
    with (
        initialize_config_dir(str(app), version_base="1.3"),
        pytest.raises(MissingConfigException, match=f"Could not find 'thinned/{group}/none'"),
    ):
        compose("config")


SHARED = [
    (group, path.stem)
    for group in ("callbacks", "schedule", "variant")
    for path in sorted((conf_dir() / group).glob("*.yaml"))
    if path.stem != "none"
]


@pytest.mark.parametrize(("group", "option"), SHARED, ids=["/".join(pair) for pair in SHARED])
def test_every_shared_option_instantiates_as_lightning_hydra_template_does(group, option, app):
    (app / "config.yaml").write_text(
        "defaults:\n  - _self_\n"
        f"  - thinned/{group}"
        + (f"@{group}: {option}\n" if group != "variant" else f": {option}\n")
    )
    with initialize_config_dir(str(app), version_base="1.3"):
        cfg = compose("config")
    if group == "schedule":
        made = instantiate(cfg.schedule, _convert_="all")
        assert made
        return
    callbacks = []
    for node in cfg.callbacks.values():  # the template's own loop
        if isinstance(node, DictConfig) and "_target_" in node:
            callbacks.append(instantiate(node))
    assert len(callbacks) == len(cfg.callbacks) > 0


@pytest.mark.multiprocess
def test_hydra_main_composes_ours_and_imports_nothing_heavy(app):
    done = python("main.py", "schedule.end=0.25")
    assert done.returncode == 0, done.stderr
    text, _, heavy = done.stdout.partition("heavy: ")
    assert yaml.safe_load(text)["callbacks"]["dropout"]["schedule"]["end"] == 0.25
    assert heavy.strip() == "['thinned.app']"  # only where the files are


@pytest.mark.multiprocess
def test_an_application_that_does_not_use_us_sees_nothing_of_us(tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("lr: 0.1\n")
    (tmp_path / "main.py").write_text(MAIN)
    help_text = python("main.py", "--help")
    assert "thinned" not in help_text.stdout + help_text.stderr
    run = python("main.py")
    assert run.stdout.strip().endswith("heavy: []")
    assert run.stderr == ""
    wrong = python("main.py", "trainer=ddp")
    assert "Could not override 'trainer'" in wrong.stderr


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # jsonargparse's of Lightning's use of it
def test_lightning_cli_instantiates_every_public_callback_and_schedule(tmp_path, monkeypatch):
    from pytorch_lightning.cli import LightningCLI

    import thinned.callbacks
    from thinned.schedules import SCHEDULES

    members = {name: getattr(thinned.callbacks, name) for name in thinned.callbacks.__all__}
    classes = [name for name, member in members.items() if isinstance(member, type)]
    values = {"schedule": 0.3, "mapping": {"Dropout": "spatial"}, "factor": 0.5}
    given = {
        name: {key: values[key] for key, field in SCHEMAS[target].items() if field.required}
        for name, target in ((name, f"thinned.callbacks.{name}") for name in classes)
    }
    nodes = [
        {"class_path": f"thinned.callbacks.{name}", "init_args": given[name]} for name in classes
    ]
    for name in SCHEDULES:
        schedule = yaml.safe_load((conf_dir() / "schedule" / f"{name}.yaml").read_text())
        arguments = {"schedule": _class_path(schedule), "include": name}
        nodes.append({"class_path": "thinned.callbacks.DropoutScheduler", "init_args": arguments})
    trainer = {"callbacks": nodes, "logger": False, "accelerator": "cpu"}
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump({"seed_everything": 1, "trainer": trainer})
    )
    monkeypatch.setattr("sys.argv", ["main.py", "--config", "config.yaml"])
    cli = LightningCLI(tiny.TinyModule, run=False)

    made = [type(callback).__name__ for callback in cli.trainer.callbacks]
    assert len(classes) >= 6
    assert set(classes) <= set(made)
    schedules = [c for c in cli.trainer.callbacks if type(c).__name__ == "DropoutScheduler"][1:]
    made = [type(schedule) for callback in schedules for schedule in callback.plan.values()]
    assert made == list(SCHEDULES.values())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # jsonargparse's of Lightning's use of it
@pytest.mark.parametrize(
    ("name", "arguments", "wrong"),
    [
        ("Step", {"start": 0.1}, r"got an unexpected keyword argument 'start'. It takes rates, at"),
        ("Linear", {"start": 0.1, "end": 1.5}, r"Expected `end` to be a rate in \[0, 1\], got 1.5"),
    ],
)
@pytest.mark.parametrize("pattern", [None, "net.*"])
def test_lightning_cli_says_what_is_wrong_with_a_schedule(
    monkeypatch, name, arguments, wrong, pattern
):
    from pytorch_lightning.cli import LightningCLI

    schedule = {"class_path": f"thinned.schedules.{name}", "init_args": arguments}
    schedule = {pattern: schedule} if pattern else schedule
    node = {"class_path": "thinned.callbacks.DropoutScheduler", "init_args": {"schedule": schedule}}
    Path("config.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks": [node]}}))
    monkeypatch.setattr("sys.argv", ["main.py", "--config", "config.yaml"])
    told = rf"Expected `init_args` to be those of thinned\.schedules\.{name}, got .*{wrong}"
    with pytest.raises(ValueError, match=told):
        LightningCLI(tiny.TinyModule, run=False)


def _class_path(value):
    """Write Hydra's nodes as jsonargparse has them."""
    if isinstance(value, dict):
        arguments = {key: _class_path(item) for key, item in value.items() if key != "_target_"}
        return {"class_path": value["_target_"], "init_args": arguments}
    return [_class_path(item) for item in value] if isinstance(value, list) else value


def test_the_plugin_alone_imports_nothing_of_ours():
    plugin = importlib.import_module("hydra_plugins.thinned_searchpath.plugin")
    source = plugin.ThinnedConfigSource("thinned", "thinned://")
    assert source.available()
    assert not source.is_group("")
    assert not source.is_group("trainer")
    assert source.list("", None) == []
    assert source.is_group("thinned/schedule")
    assert source.is_config("thinned/schedule/linear")
    assert "cosine" in source.list("thinned/schedule", None)
