"""Every choice of every group composes, passes the checks, and is what its name says."""

import inspect
import itertools

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from thinned.app import train  # noqa: F401  # registers the resolvers
from thinned.app._check import check_config
from thinned.app._conf import conf_dir

GROUPS = ("data", "model", "optimizer", "schedule", "variant", "callbacks", "trainer", "logger")


def _options(group):
    found = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
    assert found
    return found


@pytest.fixture
def composed():
    def make(*overrides):
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            cfg = compose("train", list(overrides), return_hydra_config=True)
            cfg.hydra.runtime.output_dir = "out"
            HydraConfig.instance().set_config(cfg)
            return OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])

    yield make
    HydraConfig.instance().cfg = None


CHOICES = [(group, option) for group in GROUPS for option in _options(group)]


@pytest.mark.parametrize(("group", "option"), CHOICES, ids=["=".join(pair) for pair in CHOICES])
def test_every_option_composes_and_passes(group, option, composed):
    own = ["model._target_=thinned.app.models.mlp"] if option == "own" else []
    assert check_config(composed(f"{group}={option}", *own))["seed"] == 0


@pytest.mark.parametrize("experiment", _options("experiment"))
def test_every_experiment_composes_and_passes(experiment, composed):
    check_config(composed(f"experiment={experiment}"))


@pytest.mark.parametrize("search", _options("search"))
def test_every_search_composes_and_passes(search, composed):
    check_config(composed(f"search={search}"))


@pytest.mark.parametrize(
    ("typed", "monitor", "mode"),
    [
        ([], "val_loss", "min"),
        (["objective=[val_acc,overfit/gap/val_acc]", "checkpoint.mode=max"], "val_acc", "max"),
        (["objective=train_loss", "checkpoint=null"], "train_loss", "min"),
        (["callbacks.halving.monitor=val_acc", "callbacks.halving.mode=max"], "val_acc", "max"),
    ],
)
def test_halving_goes_by_the_objective_and_the_checkpoints_mode(typed, monitor, mode, composed):
    halving = check_config(composed("callbacks=[default,halving]", *typed))["callbacks"]["halving"]
    assert (halving["monitor"], halving["mode"]) == (monitor, mode)


def test_the_overrides_that_people_guess_first(composed):
    overrides = "data=wine model=gru schedule=curriculum schedule.end=0.4 seed=7 name=mine"
    cfg = composed(*overrides.split(), "trainer.gradient_clip_val=1.0", "optimizer.lr=0.1")
    plain = check_config(cfg)
    assert plain["name"] == "mine"
    assert plain["callbacks"]["dropout"]["schedule"] == {
        "_target_": "thinned.schedules.Curriculum",
        "end": 0.4,
        "gamma": 10.0,
    }
    assert plain["trainer"]["gradient_clip_val"] == 1.0
    assert plain["logger"]["wandb"]["name"] == "mine"


def test_a_run_is_named_by_its_choices(composed):
    assert composed("data=wine", "schedule=early").name == "wine-mlp-early"


def test_there_is_a_file_for_every_schedule_by_its_registry_name():
    from thinned.schedules import SCHEDULES

    assert set(_options("schedule")) == set(SCHEDULES) | {"none", "groups"}
    for name, cls in SCHEDULES.items():
        node = yaml.safe_load((conf_dir() / "schedule" / f"{name}.yaml").read_text())
        assert node["_target_"] == f"thinned.schedules.{cls.__name__}"


def test_the_trainer_has_every_argument_of_lightnings_with_its_default():
    import pytorch_lightning as pl

    node = yaml.safe_load((conf_dir() / "trainer" / "default.yaml").read_text())
    ours = {"max_epochs", "num_sanity_val_steps", "log_every_n_steps", "enable_progress_bar"}
    ours |= {"enable_model_summary", "enable_checkpointing"}
    filled = {"logger", "callbacks", "default_root_dir"}
    theirs = inspect.signature(pl.Trainer).parameters
    assert set(node) - {"_target_"} == set(theirs) - filled
    for name in set(node) - {"_target_"} - ours:
        assert node[name] == theirs[name].default, name


def test_several_parts_of_a_group_compose(composed):
    assert set(composed("callbacks=[dropout,record]").callbacks) == {"dropout", "record"}
    assert set(composed("logger=[csv,tensorboard]").logger) == {"csv", "tensorboard"}


def test_all_combinations_of_data_and_model_make_a_network_of_the_right_shape():
    import torch

    from thinned.app import models
    from thinned.app.data import SklearnData
    from thinned.surgery import find_sites

    families = (models.mlp, models.cnn, models.gru, models.transformer)
    names = ("digits", "breast_cancer", "wine", "diabetes")
    pairs = list(itertools.product(names, families))
    assert len(pairs) == 16
    for name, family in pairs:
        data = SklearnData(name, train_size=20, val_size=20)
        net = family(data.shape, data.outputs, dropout=0.25)
        x, _ = next(iter(data.train_dataloader()))
        assert net(x).shape == (20, data.outputs)
        sites = find_sites(net)
        for part in ("body", "head"):
            assert [site.rate for site in sites.select(part, (), None)], (name, family, part)
        assert {site.rate for site in sites} == {0.25}
        assert torch.isfinite(net.eval()(x)).all()
