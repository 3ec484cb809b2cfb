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
def table(runs):
    import _verdict_table

    return _verdict_table


def setting(runs, **options):
    given = {"data": "wine", "size": 60, "hidden": 16, "rate": 0.5, "noise": 0.2, "split": 3}
    return runs.Setting(**{**given, "steps": 16, "lr": 1e-3, **options})


@pytest.mark.parametrize("data", ["wine", "diabetes"])
def test_rows_are_those_of_the_monitor(runs, data):
    chosen = setting(runs, data=data)
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
            return torch.optim.Adam(self.net.parameters(), lr=chosen.lr, fused=True)

    x, y, valid_x, valid_y = runs.data(chosen)
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
    )
    rows = runs.train(chosen, chosen.rate, seed=5)
    assert len(rows) == len(monitor.history) == 8
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


def test_halves_share_no_run(runs, table):
    one, other = ({(s.split) for s in runs.settings(20, seed)} for seed in (1, 2))
    assert len(one) == len(other) == 20
    assert not one & other


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
