"""The gap of an Ultralytics training: exact, neutral, and kept in a record."""

import numpy as np
import pytest
import torch
import wandb
import yaml
from ultralytics import YOLO

import thinned.integrations.ultralytics as thinned_yolo
from thinned import ThinnedWarning
from thinned.integrations.ultralytics._journal import log_to_wandb
from thinned.integrations.ultralytics._probe import choose
from thinned.report import read_record


@pytest.fixture
def same_both(shapes, tmp_path):
    """The data set with its training images as validation images."""
    content = yaml.safe_load(shapes.read_text())
    content["val"] = content["train"]
    file = tmp_path / "same.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def test_gap_is_zero_where_validation_is_the_training_set(train, same_both):
    model = YOLO("yolo26n.yaml")
    attachment = thinned_yolo.attach(model, dropout=0.2, probe=1.0)
    train(model, same_both)
    assert len(attachment.history) == 2
    for row in attachment.history:
        for name in ("box_loss", "cls_loss", "l1_loss", "loss"):
            assert row[f"overfit/gap/val/{name}"] == pytest.approx(0.0, abs=2e-5)
            assert row[f"overfit/probe/val/{name}"] > 0


def test_probe_disturbs_nothing(train, shapes):
    ends = []
    for probe in (None, 4):
        model = YOLO("yolo26n.yaml")
        thinned_yolo.attach(model, dropout=0.2, probe=probe)
        trainer = train(model, shapes, seed=3)
        ends.append((trainer.model.state_dict(), trainer.ema.ema.state_dict(), trainer.metrics))
    for plain, probed in zip(ends[0][:2], ends[1][:2], strict=True):
        assert plain.keys() == probed.keys()
        for key in plain:
            assert torch.equal(plain[key], probed[key]), key
    assert ends[0][2] == ends[1][2]


def test_record_holds_rates_sites_and_gap(train, shapes):
    model = YOLO("yolo26n.yaml")
    thinned_yolo.attach(model, dropout=0.2, probe=4)
    trainer = train(model, shapes)
    record = read_record(trainer.save_dir)
    assert record.status == "finished"
    assert record.monitor == "val/loss"
    assert len(record.sites) == 18
    assert [row.groups for row in record.rates] == [{"all": 0.2}, {"all": 0.2}]
    gaps = record.series("overfit/gap/val/loss")
    assert [epoch for epoch, _ in gaps] == [1.0, 2.0]


class Files:
    """A data set that is padded to one shape a batch."""

    def __init__(self, count, left_out=()):
        self.im_files = [f"{i}.png" for i in range(count) if i not in left_out]

    def __len__(self):
        return len(self.im_files)


def test_probe_takes_whole_batches_of_images_that_are_trained_on():
    chosen = choose(Files(10), Files(10, left_out=(0, 5)), 5, 4, seed=0)
    flat = [index for batch in chosen for index in batch]
    assert len(flat) == len(set(flat)) == 5
    assert not {0, 5} & set(flat)
    for batch in chosen:
        assert len({index // 4 for index in batch}) == 1, "one batch of the data set, one shape"
    assert chosen == choose(Files(10), Files(10, left_out=(0, 5)), 5, 4, seed=0)


def test_share_of_images():
    assert sum(map(len, choose(Files(40), Files(40), 0.25, 4, seed=1))) == 10
    assert np.isclose(sum(map(len, choose(Files(3), Files(3), 0.1, 4, seed=1))), 1)


def test_the_active_wandb_run_gets_the_gap(train, shapes, tmp_path):
    model = YOLO("yolo26n.yaml")
    attachment = thinned_yolo.attach(model, dropout=0.2, probe=4)
    with wandb.init(mode="offline", dir=tmp_path, settings=wandb.Settings(silent=True)) as run:
        train(model, shapes)
        run.log({"epoch": 2})  # commits, as Ultralytics does at the end of each epoch
        summary = dict(run.summary)
    last = attachment.history[-1]
    for name in ("box_loss", "cls_loss", "loss"):
        assert summary[f"overfit/gap/val/{name}"] == pytest.approx(last[f"overfit/gap/val/{name}"])
    assert summary["dropout/all/rate"] == 0.2


def test_a_wandb_that_fails_costs_a_warning(monkeypatch):
    class Broken:
        def define_metric(self, *args, **options):
            raise ConnectionError("no network")

    monkeypatch.setattr(wandb, "run", Broken())
    with pytest.warns(ThinnedWarning, match="W&B took no row of ours.*no network"):
        log_to_wandb({"epoch": 0.0, "overfit/gap/val/loss": 0.5})
