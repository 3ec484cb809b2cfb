"""A wrong configuration is one line with key, value, what is allowed and the nearest name."""

import json
import os
import re
from pathlib import Path

import pytest

from helpers.app import only

WRONG = [
    # a typing error in a key, an option, a group
    ("schedule.ennd=0.3", "Unknown key `schedule.ennd`. Did you mean 'end'?", "begin, end, start"),
    ("trainer.max_epoch=3", "Unknown key `trainer.max_epoch`. Did you mean 'max_epochs'?", ""),
    ("schedule=linaer", "Expected `schedule` to be one of", "got 'linaer'. Did you mean 'linear'?"),
    ("schedule=0.3", "Expected `schedule` to be one of", "schedule=constant schedule.rate=0.3."),
    (
        "schedule={'head.*':0.3}",
        "Expected `schedule` to be one of",
        "To set rates: 'callbacks.dropout.schedule={head.*:0.3}'.",
    ),
    ("-m schedule=0.1,0.2", "Expected `schedule` to be one of", "schedule.rate=0.1,0.2."),
    ("callbacks=null", "Expected `callbacks` to be one of", "Nothing is callbacks=none."),
    ("trainer=1", "Expected `trainer` to be one of ddp, default, got 1.", ""),
    ("scheduel=linear", "Unknown key `scheduel`. Did you mean 'schedule'?", "At the top there are"),
    ("scheduel.end=0.3", "Unknown key `scheduel`. Did you mean 'schedule'? At the top", "trainer."),
    ("logger=[wandb,cvs]", "Expected `logger` to be one of csv, none", "Did you mean 'csv'?"),
    ("callbacks=[default,halvng]", "Expected `callbacks` to be one of", "mean 'halving'?"),
    # a key of a group that is itself swept
    (
        "-m schedule=none,constant schedule.rate=0.3",
        "Unknown key `schedule.rate`. `schedule` has begin, end, start, until. `schedule` is swept",
        "schedule=constant schedule.rate=0,0.3",
    ),
    ("-m schedule=none,curriculum schedule.end=0.3", "Unknown key `schedule.end`.", "is swept"),
    # the same with +, which Hydra lets through
    ("+schedule.ennd=0.3", "Unknown key `schedule.ennd`. Did you mean 'end'?", "begin, end, start"),
    ("+sede=3", "Unknown key `sede`. Did you mean 'seed'?", "At the top there are"),
    # type and range
    ("schedule.end=abc", "Expected `schedule.end` to be a number in [0, 1], got 'abc'.", ""),
    ("schedule.end=1.5", "Expected `schedule.end` to be a number in [0, 1], got 1.5.", ""),
    ("schedule.end=nan", "Expected `schedule.end` to be a number in [0, 1], got nan.", ""),
    ("seed=-1", "Expected `seed` to be a whole number in [0, 4294967295], got -1.", ""),
    ("trainer.max_epochs=many", "Expected `trainer.max_epochs` to be a whole number or null", ""),
    ("data.batch_size=0", "Expected `data.batch_size` to be a whole number in [1, inf), got 0", ""),
    ("model.widths=5", "Expected `model.widths` to be a list, got 5.", ""),
    ("optimizer.lr=null", "Expected `optimizer.lr` to be a number, got None.", ""),
    # what no single field tells
    ("schedule.begin=0.9 schedule.until=0.2", "`schedule`: Expected `begin` to be at most", ""),
    ("schedule=step schedule.at=[0.5]", "`schedule`: Expected `at` to have 2 times", ""),
    ("schedule=groups schedule.head=2", "`schedule.head`: Expected `schedule` to be a rate", ""),
    ("schedule=groups schedule.head=linaer", "`schedule.head`:", "Did you mean 'linear'?"),
    ("model.dropout=0.3", "`model.dropout=0.3` has no effect", "schedule=none"),
    ("schedule=constant schedule.rate=0.3 callbacks=none", "`schedule=constant` has no effect", ""),
    ("schedule.end=0.3 callbacks=adaptive", "`schedule.end=0.3` has no effect", "schedule=none"),
    ("objective=[]", "Expected `objective` to be a logged key or a list of some, got [].", ""),
    ("objective=[val_loss,3]", "Expected `objective` to be a logged key or a list of", "3]."),
    (
        "search=rates",
        "`search=rates` has no effect in a single run.",
        "thinned train -m search=rates",
    ),
    # jobs of several processes that Lightning would start by repeating the whole multirun
    (
        "-m search=rates trainer=ddp",
        "Expected one process a job, got 2: each would search by itself.",
        "trainer.devices=1 or trainer.strategy=ddp_spawn",
    ),
    (
        "-m seed=1,2 trainer=ddp hydra/launcher=joblib",
        "Expected one process a job, got 2: what JoblibLauncher runs cannot start the others.",
        "trainer.devices=1 or hydra/launcher=basic",
    ),
    # a node replaced by a value, a value that is missing
    (
        "callbacks.dropout=linear",
        "Expected `callbacks.dropout` to be a node",
        "dropout.schedule=li",
    ),
    ("checkpoint=false", "Expected `checkpoint` to be a mapping or null, got False.", ""),
    ("schedule.end=???", "Missing value: `schedule.end`.", ""),
    ("~schedule.end", "Missing value: `schedule.end`. It has to be a number in [0, 1].", ""),
    ("~schedule", "Missing value: `schedule`. It has to be a mapping.", ""),
    ("~model", "Missing value: `model`. It has to be a mapping.", ""),
    ("~seed", "Missing value: `seed`. It has to be a whole number in [0, 4294967295].", ""),
    ("ckpt_path=nowhere.ckpt", "Expected `ckpt_path` to be a checkpoint, found none", "last.ckpt"),
    ("ckpt_path=best.ckpt", "Expected `ckpt_path` to be a checkpoint, found none", "best.ckpt"),
    ("ckpt_path=lastt", "Expected `ckpt_path` to be a checkpoint, found none", "at 'lastt'"),
    ("model=own", "Missing value: `model._target_`.", ""),
    # folders
    (
        "hydra.run.dir=file/x",
        "Expected `hydra.run.dir` to be a folder to write into",
        "'file/x': Not a",
    ),
    (
        "-m seed=1,2 hydra.sweep.dir=file/x",
        "Expected `hydra.sweep.dir` to be a folder",
        "'file/x': Not a",
    ),
    # targets
    ("model._target_=os.system", "Expected `model._target_` to lie in thinned, ", "'os.system'"),
    ("schedule._target_=thinned.schedules.Linaer", "Expected `schedule._target_` to be one", ""),
    # what Hydra itself refuses
    ("seed===", "Expected an override as key=value, got 'seed==='.", ""),
    ("+x={'a':1}", "Expected an override as key=value", "keys in braces are not."),
    ("seed=1,2", "Several values in seed=1,2: add -m", ""),
    ("hydra/launcher=jobli", "Expected `hydra/launcher` to be one of basic, joblib", "'joblib'?"),
    ("hydra.sweep.dirr=x", "Unknown key `hydra.sweep.dirr`. Did you mean 'dir'?", ""),
]


@pytest.mark.parametrize(("override", "begin", "further"), WRONG, ids=[row[0] for row in WRONG])
def test_one_line_and_exit_code_2(override, begin, further, train):
    Path("file").touch()  # no folder can lie in it
    code, err = train(*override.split(), *([] if "logger=" in override else ["logger=none"]))
    assert code == 2
    assert err.count("\n") == 1, err
    assert err.startswith(f"thinned: {begin}")
    assert further in err


@pytest.mark.parametrize("value", ["${nope:x}", "${oc.env:NO_SUCH_VARIABLE}", "${sede}"])
def test_an_interpolation_that_leads_nowhere_is_one_line_with_the_key(value, train):
    code, err = train(f"name={value}", "logger=none")
    assert code == 2
    assert err.startswith("thinned: `name`: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("mode", [[], ["-m", "seed=1,2"]])
def test_an_interpolation_that_is_typed_holds_in_its_own_place(mode, train, quick):
    code, err = train(*mode, *quick, "trainer.min_epochs=${.max_epochs}")
    assert code == 0, err
    for folder in Path().glob("*run*/*/*"):
        kept = [json.loads(path.read_text())["overrides"] for path in folder.rglob("status.json")]
        assert all(any("max_epochs" in word and "$" in word for word in each) for each in kept)


def test_the_error_stands_in_the_status_too(train):
    train("schedule.end=1.5", "logger=none")
    status = json.loads(only("runs/*/*/status.json").read_text())
    assert status["status"] == "failed"
    assert "got 1.5" in status["error"]
    assert "Traceback" in status["traceback"]


def test_the_traceback_is_shown_when_asked_for(train, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    code, err = train("schedule.end=1.5", "logger=none")
    assert code == 2
    assert "Traceback (most recent call last)" in err


def test_hydra_full_error_is_left_as_it_was(train, monkeypatch):
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    train("schedule.end=1.5", "logger=none")
    assert "HYDRA_FULL_ERROR" not in os.environ


BUILT = [
    (
        "data.train_size=2000",
        "`data`: Expected `train_size` to be a number of samples in [1, 1795]",
    ),
    ("model=transformer model.heads=5", "`model`: Expected `width` to be a multiple of `heads`"),
    ("callbacks.dropout.every=0", "`callbacks.dropout`: Expected `every` to be 'step'"),
    ("callbacks.dropout.include=foo", "Expected a site to match include='foo'; none does."),
    ("callbacks.monitor.monitor=foo", "Expected `monitor` to be a key that validation logs"),
    ("checkpoint.monitor=val_los", "`ModelCheckpoint(monitor='val_los')` could not find"),
    ("objective=val_los", "Expected `objective` to be a logged key, got 'val_los'. Did you"),
    (
        "model._target_=thinned.app._build.pkgutil.resolve_name",
        "Expected `model._target_` to lie in",
    ),
    ("optimizer.lr=-1", "`optimizer`: Invalid learning rate: -1"),
    ("ckpt_path=best", "`ckpt_path`: cannot resume from 'best': "),
    ("ckpt_path=folder", "`ckpt_path`: cannot resume from 'folder': IsADirectoryError: "),
    ("ckpt_path=text.ckpt", "`ckpt_path`: cannot resume from 'text.ckpt': "),
    ("model._target_=thinned.nothing.Net", "`model._target_`: cannot import 'thinned.nothing.Net'"),
]


@pytest.mark.parametrize(("override", "begin"), BUILT, ids=[row[0] for row in BUILT])
def test_what_only_the_components_know_is_one_line_too(override, begin, train, quick):
    Path("folder").mkdir()
    Path("text.ckpt").write_text("no checkpoint")
    code, err = train(*quick, *override.split())
    assert code == 2
    assert f"thinned: {begin}" in err
    assert "Traceback" not in err


def test_a_mistyped_objective_costs_one_epoch(train, quick, monkeypatch):
    from thinned.app.models import Task

    epochs = []
    monkeypatch.setattr(Task, "on_train_epoch_end", lambda self: epochs.append(0), raising=False)
    code, err = train(*quick, "trainer.max_epochs=9", "objective=[train_loss,val_los]")
    assert code == 2
    assert "got 'val_los'. Did you mean 'val_loss'? Logged: " in err
    assert len(epochs) == 1


TWICE = "trainer.val_check_interval=0.5"  # the checkpoint looks while the epoch still goes on


@pytest.mark.parametrize("often", [TWICE, "trainer.check_val_every_n_epoch=2"])
def test_an_objective_of_training_is_what_the_checkpoint_goes_by(train, quick, often):
    import torch

    code, err = train(*quick, "data.train_size=80", "objective=train_loss", often)
    assert code == 0, err
    saved = torch.load(only("runs/*/*/checkpoints/best.ckpt"), weights_only=True)
    (kept,) = [s for key, s in saved["callbacks"].items() if key.startswith("ModelCheckpoint")]
    assert kept["monitor"] == "train_loss"
    ended = float(re.search(r"train_loss ([\d.]+)", err)[1])
    assert float(kept["best_model_score"]) == pytest.approx(ended, rel=1e-3), "of this very epoch"


def test_an_objective_that_comes_with_the_end_of_the_epoch_only_is_told(train, quick):
    typed = ["data.train_size=80", "objective=missing", TWICE]
    code, err = train(*quick, *typed)
    assert code == 2
    assert "Expected `objective` to be a logged key, got 'missing'. Logged: " in err
    assert err.endswith("if it is such a key, checkpoint.save_on_train_epoch_end=true.\n")


def test_what_breaks_in_training_keeps_its_traceback_and_is_exit_code_1(train, quick, monkeypatch):
    from thinned.app.models import Task

    def broken(self, batch):
        raise ZeroDivisionError("the user's own")

    monkeypatch.setattr(Task, "training_step", broken)
    code, err = train(*quick)
    assert code == 1
    assert "Traceback" in err
    assert "the user's own" in err
