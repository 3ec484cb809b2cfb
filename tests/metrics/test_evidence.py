"""The evidence for the verdict stands on histories that the monitor itself would have given."""

from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import thinned
from helpers import probing
from thinned.callbacks import OverfittingMonitor

SCRIPTS = Path(thinned.__file__).parents[2] / "scripts"


@pytest.fixture
def runs(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import _verdict_runs

    return _verdict_runs


@pytest.fixture
def population(runs):
    import _verdict_settings

    return _verdict_settings


@pytest.fixture
def table(runs):
    import _verdict_table

    return _verdict_table


def setting(runs, **options):
    given = {"data": "wine", "size": 60, "hidden": 16, "rate": 0.5, "noise": 0.2, "split": 3}
    return runs.Setting(**{**given, "steps": 16, "lr": 1e-3, **options})


@pytest.mark.parametrize(
    "options",
    [
        {"data": "wine"},
        {"data": "diabetes"},
        {"data": "digits", "net": "cnn", "optimizer": "sgd", "lr": 0.03},
        {"data": "wine", "optimizer": "adamw", "lr": 0.03, "validations": 4},
    ],
    ids=lambda options: "-".join(str(value) for value in options.values()),
)
def test_rows_are_those_of_the_monitor(runs, options):
    chosen = setting(runs, **options)
    pl = probing.lightning()

    class Shuffled(torch.utils.data.Sampler):
        """Batches in the order in which the script draws them."""

        def __init__(self):
            self.draw = torch.Generator().manual_seed(5)
            torch.randperm(60, generator=self.draw)  # the script's choice of a tenth

        def __iter__(self):
            yield from torch.randperm(60, generator=self.draw).tolist()

        def __len__(self):
            return 60

    class Model(pl.LightningModule):
        def __init__(self):
            super().__init__()
            torch.manual_seed(5)
            self.net = runs.model(chosen, chosen.rate)

        def training_step(self, batch, batch_idx):
            return runs.loss(self.net(batch[0]), batch[1])

        def validation_step(self, batch, batch_idx):
            self.log("val_loss", runs.loss(self.net(batch[0]), batch[1]))

        def configure_optimizers(self):
            options = {"lr": chosen.lr, "fused": True}
            if chosen.optimizer == "sgd":
                return torch.optim.SGD(self.net.parameters(), momentum=0.9, **options)
            kind = torch.optim.AdamW if chosen.optimizer == "adamw" else torch.optim.Adam
            return kind(self.net.parameters(), **options)

    x, y, valid_x, valid_y = runs.data(chosen)
    every = 2 if chosen.validations == 4 else 1
    monitor = OverfittingMonitor("val_loss", probe=1.0)
    model = Model()
    probing.fit(
        *(pl, model, [monitor]),
        # generators of their own: a loader draws from the global one otherwise
        loaders=DataLoader(
            TensorDataset(x, y), runs.BATCH, sampler=Shuffled(), generator=torch.Generator()
        ),
        val=DataLoader(TensorDataset(valid_x, valid_y), 400, generator=torch.Generator()),
        max_epochs=8,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=every,
    )
    rows = runs.train(chosen, chosen.rate, seed=5)
    assert len(rows) == len(monitor.history) == 8 // every
    for ours, theirs in zip(monitor.history, rows, strict=True):
        for key in ("epoch", "val_loss", "overfit/probe/val_loss", "overfit/inflation/val_loss"):
            assert ours[key] == pytest.approx(theirs[key], rel=1e-4, abs=1e-6), key
        assert ours["rate"] == 0.5


def test_truth_is_found_by_running_again(runs):
    run = runs.truth(setting(runs, steps=8))
    assert {k: len(v) for k, v in run["found"].items()} == dict.fromkeys(
        ("as_is", "raised", "lowered", "longer", "half"), runs.SEEDS
    )
    assert run["history"][-1]["val_loss"] == run["found"]["as_is"][0]


@pytest.mark.parametrize("validations", [4, 5, 30])
def test_what_is_measured_does_not_move_the_run(runs, validations):
    chosen = setting(runs, steps=26, validations=validations)  # 13 epochs
    whole = [row["val_loss"] for row in runs.train(chosen, 0.5, seed=0, times=2)]
    once = runs.train(chosen, 0.5, seed=0)
    assert [row["val_loss"] for row in once] == whole[: len(once)]
    (last,) = runs.train(chosen, 0.5, seed=0, only=(len(once) - 1,))
    assert last == {"epoch": once[-1]["epoch"], "val_loss": once[-1]["val_loss"]}
    found = runs.truth(chosen)["found"]
    assert found["longer"][0] == whole[-1]
    assert found["half"][0] == whole[len(once) // 2 - 1]


@pytest.mark.parametrize(
    ("changes", "word", "remedy"),
    [
        ({"raised": 0.8}, "overfitting", "raise the rate"),
        ({"lowered": 0.8}, "over-regularized", "lower the rate"),
        ({"raised": 0.9, "lowered": 0.8}, "over-regularized", "lower the rate"),
        ({"longer": 0.8}, "underfitting", "train longer"),
        ({"longer": 0.8, "lowered": 0.9}, "over-regularized", "lower the rate"),
        ({"half": 0.8}, "overfitting", "train less"),
        ({"raised": 0.99}, "healthy", "keep"),
        ({}, "healthy", "keep"),
    ],
)
def test_true_word(runs, changes, word, remedy):
    noise = [0.99, 1.0, 1.01, 1.0, 1.0]
    names = ("as_is", "raised", "lowered", "longer", "half")
    found = {n: [changes.get(n, 1.0) * e for e in noise] for n in names}
    assert runs.true_word(found) == (word, remedy)


def test_a_fall_within_two_standard_errors_does_not_count(runs):
    found = {"as_is": [1.0] * 5, "raised": [0.8, 1.1, 0.8, 1.1, 0.9]}
    assert runs.helps(found, "raised") == 0.0


def test_halves_share_no_run(population):
    one, other = (
        {s.split for s in (*population.settings(20, seed), *population.wide_settings(20, seed))}
        for seed in (1, 2)
    )
    assert len(one) == len(other) == 40
    assert not one & other


def test_the_wide_population_has_what_the_plain_one_has_not(population):
    plain, wide = population.settings(60, 1), population.wide_settings(200, 1)
    assert {(s.net, s.optimizer, s.validations, s.wide) for s in plain} == {
        ("mlp", "adam", 30, False)
    }
    assert max(s.lr for s in plain) == 1e-3
    assert {(s.net, s.optimizer) for s in wide} == {
        (net, optimizer) for net in ("mlp", "cnn") for optimizer in ("adam", "adamw", "sgd")
    }
    assert max(s.lr for s in wide) == 3e-2
    assert {s.data for s in wide if s.net == "cnn"} == {"digits"}
    counts = {population.epochs(s)[0] // population.epochs(s)[1] for s in wide}
    assert min(counts) == 4, "fewer validations are not judged"


def test_table(runs, table, tmp_path, monkeypatch):
    import json

    every = [runs.truth(s) for s in (setting(runs, steps=16), setting(runs, steps=16, rate=0.0))]
    text = "\n".join(json.dumps(run) for run in every)
    for name in ("held_out", "calibration"):
        (tmp_path / f"{name}.jsonl").write_text(text)
    monkeypatch.setattr(table, "ROOT", tmp_path)
    (tmp_path / "docs/evidence").mkdir(parents=True)
    (tmp_path / "docs/evidence/verdict.md").write_text("before\n\n## Mine\n\nkept\n")
    for _ in range(2):
        table.report(tmp_path)
    page = (tmp_path / "docs/evidence/verdict.md").read_text()
    assert page.count("# Is the verdict right?") == page.count("## Mine") == 1
    assert "| confident, out of all |" in page


def test_weights_are_fitted_and_tried_on_runs_left_out(runs, tmp_path, monkeypatch, capsys):
    import json

    import _verdict_fit as fit

    from thinned.metrics import _verdict

    for name in ("WEIGHTS", "WEIGHTS_WITHOUT_NOISE"):
        monkeypatch.setattr(_verdict, name, getattr(_verdict, name))  # put back afterwards
    monkeypatch.setattr(fit, "ROOT", tmp_path)
    every = []
    kinds = ((0.0, "raised"), (0.7, "lowered"), (0.3, "longer"))
    for split in range(12):
        rate, better = kinds[split % 3]
        run = runs.truth(setting(runs, steps=12, rate=rate, split=split))
        found = {change: [1.0, 1.01, 0.99, 1.0, 1.0] for change in run["found"]}
        every += 5 * [{**run, "found": {**found, better: [0.5] * 5}}]
    every.append({**every[0], "found": {**every[0]["found"], "as_is": [float("nan")] * 5}})
    (tmp_path / "calibration.jsonl").write_text("\n".join(map(json.dumps, every)))
    (tmp_path / "src/thinned/metrics").mkdir(parents=True)
    fit.calibrate(tmp_path / "calibration.jsonl")
    told: dict = {}
    exec((tmp_path / "src/thinned/metrics/_verdict_weights.py").read_text(), told)
    assert told["__doc__"].splitlines()[2].startswith("60 runs."), "the diverged one is left out"
    assert set(told["WEIGHTS"]) == {"raise the rate", "lower the rate", "train longer"}
    capsys.readouterr()
    fit.cross_validate(tmp_path / "calibration.jsonl")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[1] for line in lines[2:]] == [
        line.split(" | ")[2] for line in lines[2:]
    ], "where the rate tells the truth, every word is right"
    assert lines[2].startswith("| plain, seed 0, a tenth | ")
