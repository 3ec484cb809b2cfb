"""An adaptive rate is pickled, fitted again, resumed exactly, and replayed as a schedule."""

import dataclasses
import pickle
import warnings

import pytest
import pytorch_lightning as pl
import torch
import yaml

from helpers import tiny
from helpers.adaptive import Kept, fit
from thinned import ThinnedWarning
from thinned.callbacks import AdaptiveDropout, DropoutScheduler, RandomState
from thinned.callbacks._adaptive.law import AdaptiveLaw
from thinned.schedules import Step

pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")


def test_it_travels():
    adaptive = AdaptiveDropout("val_loss", "net.*", highest=0.5)
    again = pickle.loads(pickle.dumps(adaptive))
    assert again.state_key == adaptive.state_key
    assert again.rate == 0.5


def test_another_fit_begins_anew_and_a_longer_one_goes_on():
    adaptive = AdaptiveDropout()
    fit(adaptive)
    fit(adaptive)
    assert len(adaptive.history) == 3
    assert adaptive.history[0]["rate"] == AdaptiveLaw().begin(3, 3).rate
    trainer, module = tiny.trainer(callbacks=[adaptive], max_epochs=2), Kept()
    trainer.fit(module, tiny.loader(), tiny.loader(16, seed=1))
    trainer.fit_loop.max_epochs = 4
    trainer.fit(module, tiny.loader(), tiny.loader(16, seed=1))
    assert len(adaptive.history) == 4
    assert adaptive.history[2]["rate"] == adaptive.history[1]["next_rate"]


@pytest.mark.parametrize(
    ("stopping", "uncertain"),
    [
        ({"patience": 59}, True),
        ({"patience": 60}, False),  # it cannot stop before the end
        ({"patience": 60, "stopping_threshold": -1.0}, True),
    ],
)
def test_a_plan_that_early_stopping_may_cut_short_does_not_count(stopping, uncertain):
    adaptive, law = AdaptiveDropout(), AdaptiveLaw()
    stop = pl.callbacks.EarlyStopping("val_loss", **stopping)
    tiny.fit([adaptive, stop], module=Kept(), max_epochs=60)
    state, last = law.begin(None if uncertain else 60, 3), 60 * adaptive.history[0]["batches"] - 1
    for row in adaptive.history:
        assert row["rate"] == state.rate
        losses = {key: row[key] for key in ("train_loss", "val_loss", "first_loss") if key in row}
        state = law.step(
            state,
            **losses,
            log_temperature=row["log_temperature"],
            chance_loss=row["chance_loss"],
            progress=None if uncertain else min(1.0, row["batches"] / last),
        )
    assert (adaptive.history[0]["rate"] == 0.5) == uncertain
    assert adaptive.rate == state.rate


def resumable(folder, loader, **options):
    adaptive = AdaptiveDropout()
    save = tiny.saver(folder, filename="{epoch}-{step}", **options.pop("save", {}))
    train = loader(tiny.dataset(32), batch_size=8, shuffle=True)
    path = options.pop("ckpt_path", None)
    torch.manual_seed(0 if path is None else 7)
    module = tiny.TinyModule()
    tiny.fit(
        [adaptive, RandomState(), save],
        module=module,
        train=train,
        ckpt_path=path,
        **{"max_epochs": 3, **options},
    )
    return module, adaptive


def test_resumed_from_any_checkpoint_it_ends_as_it_would_have(tmp_path):
    from torchdata.stateful_dataloader import StatefulDataLoader

    options = {"save": {"every_n_train_steps": 1}, "val_check_interval": 2}
    whole, adaptive = resumable(tmp_path, StatefulDataLoader, **options)
    paths = sorted(tmp_path.glob("*.ckpt"))
    inner = [path for path in paths if int(path.stem.rpartition("=")[2]) % 2]
    assert len(inner) == 6  # before the others a validation was due, which Lightning then skips
    for path in inner:
        held = torch.load(path, weights_only=True)["callbacks"]
        assert any(key.startswith("AdaptiveDropout") for key in held)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*StatefulDataLoader.*state_dict", UserWarning)
            options = {"save": {"every_n_train_steps": 1}, "val_check_interval": 2}
            module, again = resumable(tmp_path, StatefulDataLoader, ckpt_path=path, **options)
        assert again.history == adaptive.history, path
        assert again.as_schedule() == adaptive.as_schedule()
        assert tiny.same_weights(tiny.weights(module), tiny.weights(whole)), path


def test_resumed_where_lightning_skips_a_validation_it_says_so(tmp_path):
    from torchdata.stateful_dataloader import StatefulDataLoader

    def options():
        return {"save": {"every_n_train_steps": 2}, "val_check_interval": 2}

    resumable(tmp_path, StatefulDataLoader, **options())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*StatefulDataLoader.*state_dict", UserWarning)
        with pytest.warns(ThinnedWarning, match="batch 2 of an epoch wrote, before the validation"):
            resumable(
                tmp_path,
                StatefulDataLoader,
                ckpt_path=tmp_path / "epoch=1-step=6.ckpt",
                **options(),
            )


def test_a_state_of_another_version_is_refused():
    adaptive = AdaptiveDropout()
    state = adaptive.state_dict()
    assert state["version"] == 1
    with pytest.raises(ValueError, match="state of AdaptiveDropout in version 1"):
        adaptive.load_state_dict({**state, "version": 2})


@pytest.mark.parametrize(
    "options",
    [{}, {"val_check_interval": 1}, {"max_steps": 10, "max_epochs": None}, {"max_epochs": 1}],
    ids=str,
)
def test_replayed_as_a_schedule_it_trains_the_same_weights(options):
    adaptive = AdaptiveDropout()
    first = fit(adaptive, **options)
    schedule = adaptive.as_schedule()
    assert isinstance(schedule, Step)
    again = fit(DropoutScheduler(schedule), **options)
    assert tiny.same_weights(tiny.weights(first), tiny.weights(again))
    other = fit(DropoutScheduler(adaptive.history[0]["rate"]), **options)  # the control
    same = tiny.same_weights(tiny.weights(first), tiny.weights(other))
    assert same == (len(schedule.rates) == 1)


@pytest.mark.parametrize(
    ("length", "passes"), [({"max_epochs": -1, "max_steps": 10}, 2.5), ({"max_epochs": -1}, None)]
)
def test_the_schedule_of_a_run_that_was_stopped(length, passes):
    class Stops(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.should_stop = trainer.global_step >= 6

    adaptive = AdaptiveDropout()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's, about max_epochs
        fit(adaptive, Stops(), val_check_interval=2, **length)
    schedule = adaptive.as_schedule()
    assert schedule.rates[0] == AdaptiveLaw().begin(passes, 3).rate
    assert len(schedule.rates) == len(schedule.at) + 1 >= 2


def test_the_schedule_survives_yaml_and_hydra():
    from hydra.utils import instantiate

    adaptive = AdaptiveDropout()
    fit(adaptive)
    schedule = adaptive.as_schedule()
    node = {"_target_": "thinned.schedules.Step", **dataclasses.asdict(schedule)}
    text = yaml.safe_dump({key: _plain(value) for key, value in node.items()})
    assert instantiate(yaml.safe_load(text), _convert_="all") == schedule


def _plain(value):
    return list(value) if isinstance(value, tuple) else value


def test_a_search_before_the_first_step_does_not_take_the_start(tmp_path):
    rates = []
    for search in ([], [pl.callbacks.LearningRateFinder(num_training_steps=3)]):
        adaptive = AdaptiveDropout()
        fit(adaptive, *search, max_epochs=12, default_root_dir=tmp_path)
        rates.append(adaptive.history[0]["rate"])
    assert rates[0] == rates[1] != 0.5


def test_sites_are_looked_at_in_runs_too_short_to_log_a_step():
    class Sets(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            pl_module.net[2].p = 0.77

    with pytest.warns(ThinnedWarning, match="was set to .* and holds 0.77"):
        fit(AdaptiveDropout(), Sets(), max_epochs=1, log_every_n_steps=50)


def test_no_validation_before_the_end_is_refused():
    with pytest.raises(ValueError, match=r"none will run.*max_steps"):
        fit(AdaptiveDropout(), max_epochs=-1, max_steps=3)
