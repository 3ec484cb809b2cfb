"""The experiments of `scripts/evidence` run, keep their numbers, and train as a Trainer would."""

import functools
import json
import math
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import thinned
from thinned import layers
from thinned.callbacks import DropoutScheduler
from thinned.schedules import Linear

SCRIPTS = Path(thinned.__file__).parents[2] / "scripts"
SECTIONS = sorted(p.stem for p in (SCRIPTS / "evidence_sections").glob("[!_]*.py"))


@pytest.fixture
def evidence(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))

    def part(name):
        import importlib

        return importlib.import_module(f"evidence_sections.{name}")

    return part


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
    picture = (tmp_path / f"{name}.svg").read_text()
    assert "</svg>" in picture
    assert len(picture) < 150_000


def test_a_page_keeps_what_stands_around_its_numbers(evidence, tmp_path):
    main = evidence("_main")
    text = "# Mine\n\nbefore\n\n<!-- results: begin -->\nstale\n<!-- results: end -->\n\nafter\n"
    (tmp_path / "selu.md").write_text(text)
    main.main("", ["selu", "--quick", "--out", str(tmp_path)])
    page = (tmp_path / "selu.md").read_text()
    assert page.startswith("# Mine\n\nbefore\n\n<!-- results: begin -->\n![")
    assert page.endswith("<!-- results: end -->\n\nafter\n")
    assert "stale" not in page
    drawn = (tmp_path / "selu.svg").read_bytes()
    main.main("", ["selu", "--report", "--out", str(tmp_path)])
    assert (tmp_path / "selu.md").read_text() == page
    assert (tmp_path / "selu.svg").read_bytes() == drawn


def test_quick_numbers_never_reach_the_documentation(evidence, capsys):
    with pytest.raises(SystemExit):
        evidence("_main").main("", ["selu", "--quick"])
    assert "its numbers are no evidence" in capsys.readouterr().err


def test_every_committed_number_is_of_ten_seeds_and_agrees_with_its_page(evidence, tmp_path):
    folder = SCRIPTS.parent / "docs" / "evidence"
    results = evidence("_results")
    files = sorted((folder / "data").glob("*.json"))
    assert {file.stem for file in files} == set(SECTIONS)
    index = (folder.parent / "evidence.md").read_text()
    assert all(f"(evidence/{name}.md)" in index for name in SECTIONS)
    for file in files:
        found = results.Results.read(file)
        assert found.finished
        assert {len(rows) for rows in found.arms.values()} == {found.seeds}
        assert found.seeds >= 10
        assert file.stat().st_size < 60_000
        block = evidence(file.stem).block(found)
        assert block in (folder / f"{file.stem}.md").read_text(), file.stem


def test_the_loop_ends_where_a_trainer_ends(evidence):
    """The same batches, the same masks, the same moving rate: the same weights, to the bit."""
    grid, nets, training = (evidence(name) for name in ("_grid", "_nets", "_train"))
    data = grid.digits(0, evidence("_size").Size(1), train=70)
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


def test_a_table_pairs_seeds_and_corrects_for_the_number_of_arms(evidence):
    told = evidence("_table")
    base = {seed: {"test_loss": value} for seed, value in enumerate((1.0, 2.0, 3.0, 4.0))}
    better = {seed: {"test_loss": value} for seed, value in enumerate((0.9, 1.91, 2.89, 3.9))}
    same = {seed: {"test_loss": value} for seed, value in enumerate((1.1, 1.9, 3.1, 3.9))}
    arms = {"none": base, "better": better, "same": same}
    found = told.differences(arms, "none", told.LOSS)
    one = told.differences({"none": base, "better": better}, "none", told.LOSS)
    assert found["better"].mean == pytest.approx(-0.1)
    assert found["better"].p == pytest.approx(2 * one["better"].p)
    lines = told.table(arms, "none", [told.LOSS]).splitlines()
    assert lines[2] == "| none | 2.500 ± 0.645 |  |"
    assert lines[3].startswith("| better | 2.400 ± 0.644 | **-0.100 ± 0.004**")
    words = told.sentence(arms, "none", told.LOSS, "Loss")
    assert words.endswith("lower: *better*; higher: none of them; not told apart: *same*.")


def test_shifted_images_keep_their_ink(evidence):
    beside = evidence("beside")
    images = torch.zeros(200, 1, 8, 8)
    images[:, 0, 3, 4] = 1.0
    moved = beside.shifted(images)
    assert moved.sum() == 200
    rows, columns = moved.nonzero()[:, 2], moved.nonzero()[:, 3]
    assert set(rows.tolist()) == {2, 3, 4}
    assert set(columns.tolist()) == {3, 4, 5}


def test_dropout_before_batch_norm_shifts_its_variance(evidence):
    """A unit that is dropped at rate p and scaled has a larger variance in training."""
    batch_norm, grid = evidence("batch_norm"), evidence("_grid")
    data = grid.digits(0, evidence("_size").Size(1))
    recipe = evidence("_train").Recipe(steps=100)
    shifts = {}
    for order in ("BN", "Dropout, then BN"):
        build = functools.partial(batch_norm.build, order, 0.5)
        net = evidence("_train").fit(build, data, recipe, seed=0).net
        shifts[order] = batch_norm.shift(net, data)
    assert 0.8 < shifts["BN"] < 1.25
    assert shifts["Dropout, then BN"] > 1.6
