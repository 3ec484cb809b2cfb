"""Asynchronous successive halving: who goes on at a rung."""

import json

import pytest
import pytorch_lightning as pl

from helpers import tiny
from thinned.app.pruning import SuccessiveHalving


def _run(folder, value, **options):
    """Fit four epochs of a run whose metric is `value`; return the epochs that it got."""

    class Fixed(tiny.TinyModule):
        def validation_step(self, batch, batch_idx):
            self.log("score", float(value))

    halving = SuccessiveHalving(folder, "score", first=1, reduction=2, **options)
    trainer = tiny.fit([halving], Fixed(), max_epochs=4)
    assert halving.stopped_at in (None, trainer.current_epoch)
    return trainer.current_epoch


def test_only_the_better_half_goes_on(tmp_path):
    epochs = [_run(tmp_path, value) for value in (0.5, 0.6, 0.4, 0.9, 0.1)]
    # The first has no company. 0.6 is behind 0.5; 0.4 leads; 0.9 is last; 0.1 leads.
    assert epochs == [4, 1, 4, 1, 4]


def test_more_is_better_where_it_is_said(tmp_path):
    assert [_run(tmp_path, value, mode="max") for value in (0.5, 0.6, 0.4)] == [4, 4, 1]


def test_several_validations_of_an_epoch_count_once(tmp_path):
    class Falls(tiny.TinyModule):
        def validation_step(self, batch, batch_idx):
            self.log("score", 1.0 - 0.1 * (self.trainer.global_step % 4))

    trainer = pl.Trainer(
        max_epochs=2,
        val_check_interval=0.25,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        callbacks=[SuccessiveHalving(tmp_path, "score", first=1, reduction=2)],
    )
    trainer.fit(Falls(), tiny.loader(), tiny.loader())
    rungs = {
        rung.name: [json.loads(f.read_text()) for f in rung.iterdir()]
        for rung in tmp_path.iterdir()
    }
    assert rungs == {"rung-0": [1.0], "rung-1": [1.0]}  # the epoch's last, at step 4 and 8


def test_nan_never_leads(tmp_path):
    assert [_run(tmp_path, value) for value in (0.5, float("nan"))] == [4, 1]


def test_without_a_folder_nothing_is_stopped():
    assert [_run(None, value) for value in (0.5, 0.9)] == [4, 4]


def test_a_key_that_is_not_logged_is_named(tmp_path):
    halving = SuccessiveHalving(tmp_path, "scoer", first=1)
    with pytest.raises(ValueError, match=r"`monitor` to be a logged key, got 'scoer'. Logged: '"):
        tiny.fit([halving], max_epochs=1)
