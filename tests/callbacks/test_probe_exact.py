"""The probe's figures are those of `trainer.validate` on that very subset, to 0.0."""

import pytest
import torch
from torch.utils.data import DataLoader, Subset

from helpers import probing
from thinned.callbacks import OverfittingMonitor

METRICS = (
    *("val_loss", "val_acc", "both", "largest", "total", "weighted", "a", "b"),
    *("auroc", "f1", "precision", "mean_of_list", "by_hand"),
)


@pytest.fixture(params=probing.NAMESPACES)
def pl(request):
    return probing.lightning(request.param)


def test_probe_equals_validate_in_every_style_of_logging(pl):
    monitor = OverfittingMonitor("val_loss", probe=0.3)
    model = probing.build(probing.metrics_class(pl))
    dataset = probing.data()
    trainer = probing.fit(pl, model, [monitor], loaders=probing.train_loader(dataset))
    row = monitor.history[-1]
    model.best.reset()
    subset = Subset(dataset, monitor._probe._indices)
    [truth] = trainer.validate(model, DataLoader(subset, batch_size=16), verbose=False)
    assert len(subset) == 24
    differences = {
        k: row[f"overfit/probe/{k}"] - truth.get(k, truth.get(f"{k}_epoch")) for k in METRICS
    }
    assert differences == dict.fromkeys(METRICS, 0.0)


def test_gap_and_ratio_are_of_the_logged_figures(pl):
    monitor = OverfittingMonitor()
    trainer = probing.fit(pl, probing.build(probing.metrics_class(pl)), [monitor])
    for row in monitor.history:
        assert row["overfit/gap/val_loss"] == row["val_loss"] - row["overfit/probe/val_loss"]
        assert row["overfit/ratio/val_acc"] == row["val_acc"] / row["overfit/probe/val_acc"]
    last = monitor.history[-1]
    assert float(trainer.callback_metrics["val_loss"]) == last["val_loss"]
    assert float(trainer.callback_metrics["both"]) == last["both"]


def test_validation_on_the_training_set_itself_has_no_gap():
    """Also for torchmetrics objects, which hold validation's state when validation ends."""
    pl = probing.lightning()
    dataset = probing.data()
    monitor = OverfittingMonitor("val_loss", probe=1.0)
    probing.fit(
        *(pl, probing.build(probing.metrics_class(pl)), [monitor]),
        loaders=probing.train_loader(dataset),
        val=DataLoader(dataset, batch_size=16),
    )
    gaps = {k: monitor.history[-1][f"overfit/gap/{k}"] for k in METRICS}
    assert gaps == dict.fromkeys(METRICS, 0.0)


def test_inflation_is_dropout_alone():
    """By hand: the same weights and samples, with only the dropout layer in training mode."""
    pl = probing.lightning()
    dataset = probing.data(90)
    monitor = OverfittingMonitor("val_loss", probe=1.0)
    model = probing.build(probing.module_class(pl))
    probing.fit(pl, model, [monitor], loaders=probing.train_loader(dataset), max_epochs=3)
    row = monitor.history[-1]
    x, y = dataset[:16]  # one batch of 6, which is enough of a paired difference
    model.eval()
    with torch.no_grad():
        off = model.loss((x, y)).item()
        model.net[3].train()
        torch.manual_seed(0)
        on = model.loss((x, y)).item()
    assert row["overfit/inflation/val_loss"] == pytest.approx(on - off, rel=1e-5)
    assert on != off


def test_no_inflation_is_logged_without_dropout():
    pl = probing.lightning()
    model = probing.build(probing.module_class(pl))
    model.net[3].p = 0.0
    monitor = OverfittingMonitor("val_loss")
    probing.fit(pl, model, [monitor])
    assert monitor.history[-1]["rate"] == 0.0
    assert not [k for k in monitor.history[-1] if "inflation" in k]


def test_half_precision(pl):
    monitor = OverfittingMonitor("val_loss", probe=0.3)
    dataset = probing.data()
    model = probing.build(probing.module_class(pl))
    trainer = probing.fit(
        pl, model, [monitor], loaders=probing.train_loader(dataset), precision="bf16-mixed"
    )
    subset = Subset(dataset, monitor._probe._indices)
    [truth] = trainer.validate(model, DataLoader(subset, batch_size=16), verbose=False)
    assert monitor.history[-1]["overfit/probe/val_loss"] == truth["val_loss"]


def test_averaged_weights_are_probed_as_they_are_validated(pl):
    """WeightAveraging lends its weights to validation; the probe must see the same ones."""
    dataset = probing.data()
    monitor = OverfittingMonitor("val_loss", probe=1.0)
    probing.fit(
        *(pl, probing.build(probing.metrics_class(pl))),
        [pl.callbacks.EMAWeightAveraging(decay=0.9), monitor],
        loaders=probing.train_loader(dataset),
        val=DataLoader(dataset, batch_size=16),
    )
    assert monitor.history[-1]["overfit/gap/val_loss"] == 0.0
    assert monitor.history[-1]["overfit/gap/auroc"] == 0.0


def test_a_callback_that_lends_weights_is_noticed_and_can_be_kept():
    pl = probing.lightning()

    class Lender(pl.Callback):
        def on_validation_start(self, trainer, module):
            self.own = module.net[0].weight.detach().clone()
            module.net[0].weight.data.mul_(0.5)

        def on_validation_end(self, trainer, module):
            module.net[0].weight.data.copy_(self.own)

    dataset = probing.data()
    options = {"loaders": probing.train_loader(dataset), "val": DataLoader(dataset, batch_size=16)}
    with pytest.warns(UserWarning, match="lends the model other weights"):
        probing.fit(
            pl, probing.build(probing.module_class(pl)), [Lender(), OverfittingMonitor()], **options
        )
    lender = Lender()
    kept = OverfittingMonitor(probe=1.0, keep=[lender])
    probing.fit(pl, probing.build(probing.module_class(pl)), [lender, kept], **options)
    assert kept.history[-1]["overfit/gap/val_loss"] == 0.0
