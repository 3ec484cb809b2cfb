"""After a resume the probe holds the samples that it held, or says that it does not."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, WeightedRandomSampler
from torchdata.stateful_dataloader import StatefulDataLoader

from helpers import tiny
from thinned import ThinnedWarning
from thinned.callbacks import OverfittingMonitor, RunRecord
from thinned.callbacks._monitor.rows import judged
from thinned.callbacks._probe.mark import mark_of
from thinned.report import read_record

DATA = tiny.dataset(64)
pytestmark = [
    pytest.mark.filterwarnings("ignore:Be aware that when using .ckpt_path"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning"),
]


class Stream(IterableDataset):
    def __init__(self, shuffle):
        self.shuffle = shuffle

    def __iter__(self):
        order = torch.randperm(64).tolist() if self.shuffle else range(64)
        return iter([DATA[i] for i in order])


SAME = {
    "shuffled": lambda: DataLoader(DATA, 8, shuffle=True),
    "stateful": lambda: StatefulDataLoader(DATA, 8, shuffle=True),
    "stateful, weights": lambda: StatefulDataLoader(
        DATA, 8, sampler=WeightedRandomSampler(torch.ones(64), 64)
    ),
    "stream": lambda: DataLoader(Stream(False), 8),
}


def resumed(make, folder, probe=0.3, **options):
    """Train two epochs, and once more from the first one's end; return both monitors."""
    keep = tiny.saver(folder, filename="{epoch}")
    first, second = (OverfittingMonitor("val_loss", probe=each) for each in (0.3, probe))
    tiny.fit([first, keep], train=make(), max_epochs=2, **options)
    path = folder / "epoch=0.ckpt"
    record = RunRecord(folder / "record", page=False, summary=False)
    tiny.fit([second, record], train=make(), max_epochs=3, ckpt_path=path, **options)
    return first, second


@pytest.mark.parametrize("limit", [1.0, 3], ids=["whole", "limited"])
@pytest.mark.parametrize("make", SAME.values(), ids=SAME)
def test_the_same_samples(make, limit, tmp_path):
    first, second = resumed(make, tmp_path, limit_train_batches=limit)
    assert first._probe.mark == second._probe.mark != 0
    assert len(second.history) == 3
    assert not any("overfit/new_probe" in row for row in second.history)


def test_other_samples_are_told_and_recorded_once(tmp_path):
    said = "other samples .* jump at epoch 1, .*probe=DataLoader"
    with pytest.warns(ThinnedWarning, match=said) as all_:
        _, second = resumed(lambda: DataLoader(Stream(True), 8), tmp_path)
    assert sum("other samples" in str(each.message) for each in all_) == 1
    assert [row.get("overfit/new_probe") for row in second.history] == [None, 1.0, None]
    recorded = [
        row.values.get("overfit/new_probe") for row in read_record(tmp_path / "record").metrics
    ]
    assert recorded == [1.0, None], "of the resumed run"


@pytest.mark.parametrize("probe", [0.5, DataLoader(DATA, 8)], ids=["larger", "own"])
def test_another_choice_of_the_probe_is_told(probe, tmp_path):
    with pytest.warns(ThinnedWarning, match="other samples"):
        _, second = resumed(SAME["shuffled"], tmp_path, probe)
    assert [row.get("overfit/new_probe") for row in second.history] == [None, 1.0, None]


def test_progress_is_not_taken_across_a_new_probe():
    rows = [
        {"epoch": e, "val_loss": v, "overfit/probe/val_loss": p}
        for e, (v, p) in enumerate([(1.0, 0.1), (0.5, 0.1), (0.6, 0.5), (0.6, 0.4)])
    ]
    rows[2]["overfit/new_probe"] = 1.0
    row, _ = judged(rows, "val_loss", "min")
    assert row["overfit/gl"] == pytest.approx(20.0)
    assert row["overfit/pq"] == pytest.approx(20.0 / 125.0)  # 1000 * (0.45 / 0.4 - 1)


def test_a_checkpoint_of_an_earlier_version_says_nothing_of_the_probe(tmp_path):
    keep = tiny.saver(tmp_path, filename="kept")
    monitor = OverfittingMonitor("val_loss")
    tiny.fit([monitor, keep])
    saved = torch.load(tmp_path / "kept.ckpt", weights_only=True)
    assert saved["callbacks"][monitor.state_key].pop("probe") == monitor._probe.mark
    torch.save(saved, tmp_path / "kept.ckpt")
    tiny.fit([monitor], max_epochs=2, ckpt_path=tmp_path / "kept.ckpt")
    assert len(monitor.history) == 2


def test_a_mark_is_of_the_values():
    batch = {"x": torch.arange(4.0), "y": [np.arange(3), "a", object()]}
    same = {"x": torch.arange(4.0), "y": (np.arange(3), "a", object())}
    assert mark_of(batch) == mark_of(same)
    other = [
        {**batch, "x": torch.arange(4.0).flip(0)},
        {**batch, "y": [np.arange(1, 4), "a"]},
        {**batch, "y": [np.arange(3), "b"]},
    ]
    assert mark_of(batch) not in map(mark_of, other)
    assert mark_of([np.int64(1)]) != mark_of([np.int64(2)])
    kinds = [torch.bfloat16, torch.bool, torch.complex64]
    marks = [mark_of(torch.ones(3, requires_grad=True).to(kind)) for kind in kinds]
    assert len(set(marks)) == 3
    assert mark_of(torch.ones(2, 2).to_sparse()) == mark_of([])
