"""`thinned train` from end to end, in this process."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
import torch

from helpers.app import only, statuses
from thinned.report import read_record

FAMILIES = ("mlp", "cnn", "gru", "transformer")
DATA = ("digits", "breast_cancer", "wine", "diabetes")


@pytest.mark.parametrize(("data", "model"), list(zip(DATA, FAMILIES, strict=True)))
def test_each_family_and_each_data_set_train(data, model, train, quick):
    code, err = train(*quick, f"data={data}", f"model={model}", "schedule.end=0.5")
    assert code == 0, err
    record = read_record(only("runs/*/*/record.jsonl"))
    assert record.status == "finished"
    values = record.metrics[-1].values
    assert {"val_loss", "overfit/gap/val_loss"} <= set(values)
    assert ("val_mae" if data == "diabetes" else "val_acc") in values
    assert record.rates[-1].groups == {"all": 0.5}  # the last step has the schedule's end


@pytest.mark.parametrize(
    ("model", "kind", "expected"),
    [("transformer", "drop_path", 2), ("gru", "dropout", 3), ("cnn", "dropout", 3)],
)
def test_inserts_see_the_model_run(model, kind, expected, train, quick):
    code, err = train(*quick, f"model={model}", "callbacks=[default,insert]")
    assert code == 0, err
    sites = read_record(only("runs/*/*/record.jsonl")).sites
    assert len([site for site in sites if site["kind"] == kind]) == expected


def test_a_factor_on_the_rates_that_the_model_has(train, quick):
    parts = "callbacks=[monitor,record,progress,scale]"
    code, err = train(*quick, parts, "model.dropout=0.4", "callbacks.scale.factor=0.5")
    assert code == 0, err
    assert set(read_record(only("runs/*/*/record.jsonl")).rates[-1].sites.values()) == {0.2}


def test_what_a_run_leaves_behind(train, quick):
    code, err = train(*quick, "name=mine", "seed=3", "pages=true")
    assert code == 0, err
    folder = only("runs/*/*")
    assert folder.name.endswith(f"-{os.getpid()}")
    for name in (
        "record.jsonl",
        "report.html",
        "status.json",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        ".hydra/config.yaml",
    ):
        assert (folder / name).is_file(), name
    record = read_record(folder / "record.jsonl")
    assert (record.name, record.seed) == ("mine", 3)
    assert record.config["schedule"]["end"] == 0.5
    status = json.loads((folder / "status.json").read_text())
    assert status["status"] == "finished"
    assert {"val_loss", "test_loss", "test_acc"} <= set(status["metrics"])
    assert list(folder.parents[2].iterdir()) == [folder.parents[1]]  # nothing beside runs/


def test_with_many_masks_the_page_says_whether_it_knows_when_it_is_wrong(train, quick):
    code, err = train(*quick, "callbacks=[default,mc]", "callbacks.mc.samples=4", "pages=true")
    assert code == 0, err
    folder = only("runs/*/*")
    scores = read_record(folder / "record.jsonl").calibration
    assert scores["samples"] == 4
    assert scores["rows"] > 100
    assert "Does it know when it is wrong?" in (folder / "report.html").read_text()


def test_the_checkpoint_loads_into_the_plain_model(train, quick):
    from thinned.app.models import Task, mlp

    train(*quick, "variant=gaussian", "callbacks=full")
    state = torch.load(only("runs/*/*/checkpoints/best.ckpt"), weights_only=True)["state_dict"]
    Task(mlp((1, 8, 8), 10), torch.optim.SGD).load_state_dict(state, strict=True)


def test_two_seeds_differ_and_one_seed_repeats(train, quick):
    for seed in (1, 1, 2):
        train(*quick, f"seed={seed}", "name=run")
    paths = sorted(only("runs/*").glob("*/status.json"))
    losses = [json.loads(path.read_text())["metrics"]["val_loss"] for path in paths]
    assert len(losses) == 3
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("choice", ["callbacks=[monitor,record]", "schedule=none"])
def test_without_a_scheduler_the_rates_stay_the_models(choice, train, quick):
    code, err = train(*quick, choice, "model.dropout=0.25")
    assert code == 0, err
    record = read_record(only("runs/*/*/record.jsonl"))
    assert record.rates[-1].groups == {}
    assert {site["rate"] for site in record.sites} == {0.25}


def test_callbacks_none_attaches_nothing_of_ours(train, quick):
    arguments = [one for one in quick if not one.startswith("callbacks.")]
    code, err = train(*arguments, "callbacks=none")
    assert code == 0, err
    assert not list(only("runs/*/*").glob("record.jsonl"))


def test_a_rate_for_each_part(train, quick):
    train(*quick, "schedule=groups", "schedule.body=0.1", "schedule.head=0.6")
    assert read_record(only("runs/*/*/record.jsonl")).rates[-1].groups == {"body": 0.1, "head": 0.6}


@pytest.mark.parametrize(
    ("variant", "model", "more", "cls"),
    [
        ("spatial", "cnn", "seed=0", "SpatialDropout"),
        ("alpha", "mlp", "model.activation=selu", "AlphaDropout"),
        ("gaussian", "mlp", "seed=0", "GaussianDropout"),
        ("dropconnect", "mlp", "seed=0", "DropConnectLinear"),
        ("variational", "gru", "seed=0", "VariationalGRU"),
    ],
)
def test_each_variant_trains(variant, model, more, cls, train, quick):
    code, err = train(*quick, f"variant={variant}", f"model={model}", more)
    assert code == 0, err
    record = read_record(only("runs/*/*/record.jsonl"))
    assert cls in {site["class"] for site in record.sites}


@pytest.mark.filterwarnings("ignore:Resumed after 4 batches with another length")
def test_a_run_goes_on_from_its_checkpoint(train, quick):
    train(*quick, "seed=5")
    checkpoint = only("runs/*/*/checkpoints/last.ckpt")
    code, err = train(*quick, "seed=5", "trainer.max_epochs=4", f"ckpt_path={checkpoint}")
    assert code == 0, err
    record = read_record(sorted(only("runs/*").glob("*/record.jsonl"))[-1])
    epochs = [row.epoch for row in record.metrics]
    assert [epoch - epochs[0] for epoch in epochs] == [0, 1, 2, 3]


def test_a_users_own_model_lies_in_the_present_folder(train, quick):
    Path("my_nets.py").write_text(
        "import torch\n"
        "def build(shape, outputs, width):\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, width),\n"
        "        torch.nn.Dropout(0.1), torch.nn.Linear(width, outputs))\n"
    )
    own = [*quick, "model=own", "model._target_=my_nets.build", "+model.width=12"]
    code, err = train(*own)
    assert code == 2
    assert "To allow its package: allow_targets=[my_nets]" in err
    code, err = train(*own, "allow_targets=[my_nets]")
    assert code == 0, err


def test_a_users_own_lightning_module_is_used_as_it_is(train, quick):
    Path("my_modules.py").write_text(
        "from thinned.app.models import Task, mlp\n"
        "import torch\n"
        "class Own(Task):\n"
        "    def __init__(self):\n"
        "        super().__init__(mlp((1, 8, 8), 10, dropout=0.2), torch.optim.SGD)\n"
    )
    own = ["model=own", "model._target_=my_modules.Own", "model._partial_=false"]
    code, err = train(*quick, *own, "allow_targets=[my_modules]")
    assert code == 0, err


def test_no_network_is_touched_and_loggers_write_into_the_runs_folder(train, quick):
    code, err = train(*quick, "logger=[wandb,csv,tensorboard]", "trainer.log_every_n_steps=1")
    assert code == 0, err
    folder = only("runs/*/*")
    assert list(folder.glob("wandb/offline-run-*/run-*.wandb"))
    assert "dropout/all/rate" in (folder / "csv" / "metrics.csv").read_text()
    assert list(folder.glob("tensorboard/events.out.*"))
    assert not Path("wandb").exists()
    assert not Path("lightning_logs").exists()


def test_jobs_of_one_process_are_runs_of_their_own_also_after_a_failure(train, quick):
    """Three jobs, the second fails while it trains: three W&B runs, one group, all reported."""
    import wandb

    from helpers.wandb_files import read_offline

    code, err = train(
        "-m",
        *quick,
        "logger=wandb",
        "data=wine",
        "data.train_size=30",
        "optimizer.lr=0.01,-1,0.02",
        "model.widths=[16,16]",
    )
    assert code == 2
    assert wandb.run is None
    assert [status["status"] for status in statuses()] == ["finished", "failed", "finished"]
    assert "3 of 3 jobs done, 1 failed" in err
    assert "Invalid learning rate: -1" in err
    runs = sorted(only("multirun/*/*").glob("*/wandb/offline-run-*/run-*.wandb"))
    assert [path.parts[-4] for path in runs] == ["0", "1", "2"]
    found = read_offline(only("multirun/*/*"))
    assert len({run.run_id for run in found}) == 3
    assert len({run.group for run in found}) == 1
    assert found[0].group
    assert [run.exit_code for run in found] == [0, 1, 0]


def test_an_interrupted_run_says_so(train, quick, monkeypatch):
    from thinned.app.models import Task

    def interrupt(self, batch):
        raise KeyboardInterrupt

    monkeypatch.setattr(Task, "training_step", interrupt)
    with pytest.raises(SystemExit):
        train(*quick)
    assert json.loads(only("runs/*/*/status.json").read_text())["status"] == "interrupted"
    assert "wandb" not in sys.modules or sys.modules["wandb"].run is None


@pytest.mark.parametrize("flags", [[], ["-m", "seed=1,2"]])
def test_sigterm_ends_a_run_and_a_sweep_with_its_exit_code(flags, train, quick, monkeypatch):
    from thinned.app.models import Task

    def terminate(self, batch):
        os.kill(os.getpid(), signal.SIGTERM)  # Lightning's handler notes it, and ends after a batch
        return self.net(batch[0]).sum()

    monkeypatch.setattr(Task, "training_step", terminate)
    code, err = train(*flags, *quick)
    assert code == 143
    assert "ended by SIGTERM" in err
    found = [json.loads(path.read_text()) for path in Path.cwd().glob("*run*/**/status.json")]
    assert [status["status"] for status in found] == ["interrupted"]


def test_an_adaptive_rate_needs_no_schedule(train, quick):
    sgd = "optimizer=sgd"  # with Adam so few steps begin without dropout
    code, err = train(
        *quick, sgd, "callbacks=adaptive", "schedule=none", "callbacks.adaptive.highest=0.05"
    )
    assert code == 0, err
    record = read_record(only("runs/*/*/record.jsonl"))
    assert record.rates[0].groups == {"all": 0.05}
    assert "adaptive/" not in err  # its last line has the user's metrics
    last = record.metrics[-1].values
    assert {"adaptive/next_rate", "adaptive/log_temperature", "overfit/gap/val_loss"} <= set(last)


def test_an_adaptive_rate_beside_a_schedule_is_refused_in_a_line(train, quick):
    code, err = train(*quick, "callbacks=[default,adaptive]")
    assert code == 2
    assert "Expected each site to be set by one callback" in err
