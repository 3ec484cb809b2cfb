"""What a user's type checker sees: checked by mypy and by pyright, both strict, never run.

`assert_type` fails the check where a public name is untyped or returns something else.
"""

from typing import Any, assert_type

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

import thinned
from thinned import Edit, NoEffectError, Prediction, Site, SiteList, ThinnedWarning
from thinned.callbacks import DropoutScheduler, LayerInsert, LayerSwap, OverfittingMonitor
from thinned.diagnosis import Finding
from thinned.layers import VARIANTS, DropPath, SpatialDropout, Variant, variant
from thinned.metrics import GapOf, Onset, Verdict, gap, onset, verdict
from thinned.schedules import Linear, Schedule, as_schedule


def edit_a_model(model: nn.Module, x: Tensor) -> None:
    sites = thinned.find_sites(model, "backbone.*", kinds="dropout", example_input=x)
    assert_type(sites, SiteList)
    assert_type(sites[0], Site)
    assert_type(sites[1:], SiteList)
    assert_type(sites.rates, dict[str, float])
    assert_type([site.rate for site in sites], list[float])
    assert_type(thinned.set_rate(sites, 0.1), int)
    assert_type(thinned.scale_rates(model, 2.0, exclude=["head.*"]), int)
    edit = thinned.swap(model, {"Dropout": "spatial", nn.Dropout2d: SpatialDropout})
    assert_type(edit, Edit)
    assert_type(thinned.insert(model, "auto", 0.1, example_input=x), Edit)
    assert_type(len(edit), int)
    assert_type(thinned.diagnose(model, x), list[Finding])


def predict(model: nn.Module, x: Tensor) -> Tensor:
    found = thinned.mc_predict(model, x, samples=20)
    assert_type(found, Prediction)
    assert_type(found.entropy, Tensor)
    return found.mean


def train(model: pl.LightningModule) -> Verdict | None:
    monitor = OverfittingMonitor("val_loss")
    scheduler = DropoutScheduler({"backbone.*": Linear(0.0, 0.3), "head.*": 0.5}, every="epoch")
    callbacks: list[pl.Callback] = [LayerSwap({"Dropout": "spatial"}), LayerInsert(), scheduler]
    pl.Trainer(callbacks=[*callbacks, monitor, *thinned.regularize(dropout=0.1)]).fit(model)
    assert_type(scheduler.rates, dict[str, float])
    assert_type(monitor.history, list[dict[str, Any]])
    return monitor.verdict


def judge(history: list[dict[str, float]]) -> tuple[str, float]:
    found = verdict(history, "val_loss")
    assert_type(found, Verdict)
    assert_type(found.evidence, tuple[str, ...])
    assert_type(onset([1.0, 0.5, 0.7]), Onset | None)
    assert_type(gap(0.7, 0.5), float)
    return found.word, found.confidence


def schedules() -> float:
    schedule = as_schedule("linear", rate=0.3)
    assert_type(schedule, Schedule)
    return schedule(0.5)


def layers() -> nn.Sequential:
    assert_type(variant("spatial"), Variant)
    assert_type(VARIANTS["spatial"].kind, str)
    layer = DropPath(0.1)
    assert_type(layer.p, float)
    return nn.Sequential(layer, SpatialDropout(0.2))


def errors() -> tuple[type[ValueError], type[UserWarning], type[torch.nn.Module]]:
    return NoEffectError, ThinnedWarning, GapOf
