"""The experiments of `scripts/evidence` run, keep their numbers, and train as a Trainer would."""

import functools
import json
import math

import pytest
import pytorch_lightning as pl
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from helpers.evidence import SECTIONS
from thinned import layers
from thinned.callbacks import DropoutScheduler
from thinned.schedules import Linear


@pytest.mark.parametrize("name", SECTIONS)
def test_section_runs_keeps_its_numbers_and_writes_its_page(name, evidence, tmp_path):
    main = evidence("_main")
    assert set(main.SECTIONS) == set(SECTIONS)
    main.main("", [name, "--quick", "--out", str(tmp_path)])
    kept = json.loads((tmp_path / "data" / f"{name}.json").read_text())
    assert kept["finished"]
    assert len(kept["arms"]) >= 3
    for arm in kept["arms"].values():
        assert len(arm["rows"]) == kept["seeds"] == 2
        assert all(len(row) == len(arm["columns"]) for row in arm["rows"])
        assert all(math.isfinite(value) for row in arm["rows"] for value in row)
    page = (tmp_path / f"{name}.md").read_text()
    assert page.count("\n|---") >= 1
    assert " ± " in page
    assert "nan" not in page
    pictures = sorted(tmp_path.glob("*.svg"))
    assert pictures
    for picture in pictures:
        assert f"]({picture.name})" in page
        assert "</svg>" in picture.read_text()
        assert picture.stat().st_size < 150_000


def test_quick_numbers_never_reach_the_documentation(evidence, capsys):
    with pytest.raises(SystemExit):
        evidence("_main").main("", ["selu", "--quick"])
    assert "its numbers are no evidence" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    [
        *("digits", "noisy digits", "cancer", "wine", "diabetes", "drawn"),
        *("signs", "sequences", "topics", "keys"),
    ],
)
def test_the_parts_of_a_task_share_no_sample_and_every_seed_has_its_own(name, evidence):
    tasks, size = evidence("_tasks").TASKS, evidence("_size").Size()
    assert name in tasks
    task = tasks[name]
    data = task.data(3, size)
    sizes = [len(part[0]) for part in (data.train, data.val, data.test)]
    assert sizes == [task.train, task.val, task.test]
    rows = torch.cat([part[0].flatten(1) for part in (data.train, data.val, data.test)])
    assert len(rows.unique(dim=0)) > 0.99 * len(rows)
    other, again = task.data(4, size), task.data(3, size)
    assert torch.equal(data.train[0], again.train[0])
    assert not torch.equal(data.train[0], other.train[0])
    if task.table or (data.train[0].ndim == 2 and data.train[0].is_floating_point()):
        assert torch.allclose(data.train[0].mean(0), torch.zeros(data.inputs), atol=1e-4)
    assert data.outputs == {"cancer": 2, "wine": 3, "diabetes": 1, "signs": 6, "sequences": 6}.get(
        name, 4 if name in ("drawn", "topics", "keys") else 10
    )


def test_one_word_decides_a_text_of_keys_and_labels_are_wrong_in_training_only(evidence):
    tasks, size = evidence("_tasks").TASKS, evidence("_size").Size()
    x, y = tasks["keys"].data(0, size).train
    half = evidence("_drawn").WORDS // 2
    rare = x >= half
    assert (rare.sum(1) == 1).all()
    assert torch.equal((x[rare]) % 4, y)
    clean, noisy = tasks["digits"].data(0, size), tasks["noisy digits"].data(0, size)
    assert torch.equal(clean.test[1], noisy.test[1])
    assert 0.1 < (clean.train[1] != noisy.train[1]).float().mean() < 0.3


def test_the_loop_ends_where_a_trainer_ends(evidence):
    """The same batches, the same masks, the same moving rate: the same weights, to the bit."""
    nets, training = evidence("_nets"), evidence("_train")
    data = evidence("_tasks").TASKS["digits"].data(0, evidence("_size").Size(1), train=70)
    recipe = training.Recipe(steps=9, schedule=Linear(0.1, 0.6), checks=1)

    def build():
        return nets.mlp(64, (32, 32), 10, functools.partial(layers.Dropout, 0.0))

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = build()

        def training_step(self, batch):
            return functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), lr=1e-3, weight_decay=0.0, fused=True)

    looped = training.fit(build, data, recipe, seed=5).net
    rows = list(training.batches(70, recipe, seed=5))
    assert [len(each) for each in rows] == [32] * 9
    loader = DataLoader(
        TensorDataset(*data.train),
        batch_sampler=[r.tolist() for r in rows],
        generator=torch.Generator(),
    )  # else it would draw from the stream of the masks
    torch.manual_seed(5)
    module = Module()
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=[DropoutScheduler(Linear(0.1, 0.6))],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader)
    pairs = list(zip(looped.parameters(), module.net.parameters(), strict=True))
    assert len(pairs) == 6
    assert all(torch.equal(*pair) for pair in pairs)


def test_a_rate_is_picked_by_validation_for_each_seed_by_itself(evidence, tmp_path):
    results = evidence("_results").Results(tmp_path / "r.json", seeds=2)
    results.arms = {
        "a/0.1": [{"val_loss": 1.0, "test_loss": 5.0}, {"val_loss": 2.0, "test_loss": 6.0}],
        "a/0.3": [{"val_loss": 2.0, "test_loss": 1.0}, {"val_loss": 1.0, "test_loss": 7.0}],
        "ab/0.5": [{"val_loss": 0.0, "test_loss": 0.0}] * 2,
    }
    picked = results.tuned("a")
    assert [row["test_loss"] for row in picked.values()] == [5.0, 7.0]
    assert [row["choice"] for row in picked.values()] == [0.1, 0.3]


def test_what_was_interrupted_goes_on(evidence, tmp_path):
    made = []

    def arm(seed):
        made.append(seed)
        if made == [0, 1]:
            raise KeyboardInterrupt
        return {"val_loss": 1.0 + seed}

    kept = evidence("_results").Results
    results = kept(tmp_path / "r.json")
    results.run({"whole": lambda seed: {"val_loss": float(seed)}}, 2, lambda _line: None)
    results.finished = False
    results.write()
    with pytest.raises(KeyboardInterrupt):
        results.run({"whole": arm, "half": arm}, 2, lambda _line: None)
    again = kept.read(tmp_path / "r.json")
    assert not again.finished
    assert list(again.arms) == ["whole"]
    again.run({"whole": arm, "half": arm}, 2, lambda _line: None)
    assert made == [0, 1, 0, 1]
    read = kept.read(tmp_path / "r.json")
    assert read.finished
    assert read.column("half", "val_loss") == {0: 1.0, 1: 2.0}


def test_shifted_images_keep_their_ink(evidence):
    beside = evidence("beside")
    images = torch.zeros(200, 1, 8, 8)
    images[:, 0, 3, 4] = 1.0
    moved = beside.augmented(images)
    assert moved.sum() == 200
    rows, columns = moved.nonzero()[:, 2], moved.nonzero()[:, 3]
    assert set(rows.tolist()) == {2, 3, 4}
    assert set(columns.tolist()) == {3, 4, 5}
    table = beside.augmented(torch.zeros(500, 20))
    assert 0.28 < table.std() < 0.32


def test_dropout_before_batch_norm_shifts_its_variance(evidence):
    """A unit that is dropped at rate p and scaled has a larger variance in training."""
    batch_norm = evidence("batch_norm")
    data = evidence("_tasks").TASKS["digits"].data(0, evidence("_size").Size(1))
    recipe = evidence("_train").Recipe(steps=100)
    shifts = {}
    for order in ("BN", "Dropout, then BN"):
        build = functools.partial(batch_norm.build, order, data, 0.5)
        net = evidence("_train").fit(build, data, recipe, seed=0).net
        shifts[order] = batch_norm.shift(net, data)
    assert 0.8 < shifts["BN"] < 1.25
    assert shifts["Dropout, then BN"] > 1.6
