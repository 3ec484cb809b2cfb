import importlib

import pytest

from helpers import tiny
from thinned.callbacks import DropoutScheduler, OverfittingMonitor, ProgressMetrics


def bar(namespace, name):
    """A progress bar that notes what it was to show."""
    base = getattr(importlib.import_module(f"{namespace}.callbacks"), name)

    class Noting(base):
        def __init__(self):
            super().__init__()
            self.shown = []

        def get_metrics(self, *args):
            return super().get_metrics(*args)

        def on_train_batch_end(self, trainer, module, *args):
            super().on_train_batch_end(trainer, module, *args)
            self.shown.append(self.get_metrics(trainer, module))

    return Noting()


@pytest.mark.parametrize("namespace", tiny.NAMESPACES)
def test_rate_and_gap_are_shown(namespace):
    noting = bar(namespace, "TQDMProgressBar")
    ours = [ProgressMetrics(), OverfittingMonitor("val_loss"), DropoutScheduler(0.3)]
    done = tiny.fit([noting, *ours], max_epochs=2, namespace=namespace, enable_progress_bar=True)
    assert noting.shown[0]["rate"] == pytest.approx(0.3)
    assert "gap" not in noting.shown[0]
    assert noting.shown[-1]["gap"] == ours[1].history[0]["overfit/gap/val_loss"]
    assert "get_metrics" not in vars(noting)  # the bar has its own back
    assert not {"rate", "gap"} & set(done.callback_metrics)


def test_richs_bar_shows_the_rate():
    noting = bar("pytorch_lightning", "RichProgressBar")
    tiny.fit([noting, ProgressMetrics(), DropoutScheduler(0.3)], enable_progress_bar=True)
    assert noting.shown[-1]["rate"] == pytest.approx(0.3)


@pytest.mark.parametrize("namespace", tiny.NAMESPACES)
def test_richs_thread_finds_its_bar_while_the_probe_is_measured(namespace):
    """The thread draws the bar by looking for it among the trainer's callbacks."""
    seen = []
    noting = bar(namespace, "RichProgressBar")

    class Looks(tiny._Steps, importlib.import_module(namespace).LightningModule):
        def validation_step(self, batch, batch_idx):
            super().validation_step(batch, batch_idx)
            found = self.trainer.progress_bar_callback
            seen.append((type(noting).__mro__[1] in type(found).__mro__, found is noting))

    tiny.fit(
        [noting, OverfittingMonitor("val_loss")],
        module=Looks(),
        namespace=namespace,
        enable_progress_bar=True,
    )
    assert all(is_bar for is_bar, _ in seen)
    assert {itself for _, itself in seen} == {True, False}  # validation, and the probe


def test_each_of_a_few_groups_is_named():
    noting = bar("pytorch_lightning", "TQDMProgressBar")
    rates = DropoutScheduler({"net.2": 0.1, "net.5": 0.2})
    tiny.fit([noting, ProgressMetrics(), rates], enable_progress_bar=True)
    assert noting.shown[-1]["rate/net.2"] == pytest.approx(0.1)
    assert noting.shown[-1]["rate/net.5"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("groups", "shown"),
    [
        (3, {"rate/0": 0.0, "rate/1": 0.1, "rate/2": 0.2}),
        (4, {"rates": "0 to 0.3"}),
    ],
)
def test_more_than_three_groups_are_summed_up(groups, shown):
    class Rates(importlib.import_module("pytorch_lightning").Callback):
        def __init__(self):
            self.rates = {str(i): i / 10 for i in range(groups)}

    noting = bar("pytorch_lightning", "TQDMProgressBar")
    tiny.fit([noting, ProgressMetrics(), Rates()], enable_progress_bar=True)
    assert {key: noting.shown[-1][key] for key in noting.shown[-1] if "rate" in key} == shown


def test_another_fit_is_shown_too():
    ours = ProgressMetrics()
    for rate in (0.3, 0.2):
        noting = bar("pytorch_lightning", "TQDMProgressBar")
        tiny.fit([noting, ours, DropoutScheduler(rate)], enable_progress_bar=True)
        assert noting.shown[-1]["rate"] == pytest.approx(rate)
        assert "get_metrics" not in vars(noting)


def test_the_bar_is_left_as_it_was_after_an_error():
    class Fails(tiny.TinyModule):
        def training_step(self, batch, batch_idx):
            raise RuntimeError("gone")

    noting = bar("pytorch_lightning", "TQDMProgressBar")
    with pytest.raises(RuntimeError, match="gone"):
        tiny.fit([noting, ProgressMetrics()], module=Fails(), enable_progress_bar=True)
    assert "get_metrics" not in vars(noting)


def test_an_error_after_the_training_is_the_one_that_is_seen():
    class Fails(importlib.import_module("pytorch_lightning").Callback):
        def on_train_end(self, trainer, pl_module):
            raise RuntimeError("gone")

    noting = bar("pytorch_lightning", "TQDMProgressBar")
    with pytest.raises(RuntimeError, match="gone"):
        tiny.fit([noting, ProgressMetrics(), Fails()], enable_progress_bar=True)
    assert "get_metrics" not in vars(noting)


def test_without_a_bar_nothing_happens():
    tiny.fit([ProgressMetrics(), DropoutScheduler(0.3)])


def test_of_two_one_shows_and_the_bar_is_left_as_it_was():
    noting = bar("pytorch_lightning", "TQDMProgressBar")
    tiny.fit([noting, ProgressMetrics(), ProgressMetrics()], enable_progress_bar=True)
    assert "get_metrics" not in vars(noting)


def test_what_somebody_has_put_into_the_bar_is_shown_and_stays():
    noting = bar("pytorch_lightning", "TQDMProgressBar")
    noting.get_metrics = own = lambda *_: {"theirs": 1}
    tiny.fit([noting, ProgressMetrics(), DropoutScheduler(0.3)], enable_progress_bar=True)
    assert noting.shown[-1] == {"theirs": 1, "rate": pytest.approx(0.3)}
    assert noting.get_metrics is own


@pytest.mark.parametrize(
    "theirs",
    [
        {"rates": {"a": [0.1]}},
        {"rates": {"a": None}},
        {"history": [0.5, 0.4], "monitor": "val_loss", "mode": "min"},
        {"history": 5, "monitor": "val_loss"},
    ],
    ids=str,
)
def test_what_another_callback_calls_so_is_left_out(theirs):
    class Another(importlib.import_module("pytorch_lightning").Callback):
        def __init__(self):
            vars(self).update(theirs)

    noting = bar("pytorch_lightning", "TQDMProgressBar")
    monitor = OverfittingMonitor("val_loss")
    callbacks = [noting, Another(), ProgressMetrics(), monitor, DropoutScheduler(0.3)]
    tiny.fit(callbacks, max_epochs=2, enable_progress_bar=True)
    assert noting.shown[-1]["rate"] == pytest.approx(0.3)
    assert noting.shown[-1]["gap"] == monitor.history[0]["overfit/gap/val_loss"]
