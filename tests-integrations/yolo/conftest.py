"""Ultralytics offline: no look-ups, no downloads, a font where it looks for one, drawn data."""

import logging
import os
import shutil
import tempfile
from pathlib import Path

import matplotlib as mpl
import pytest
import torch
import torchvision_ops

_home = Path(tempfile.mkdtemp(prefix="yolo-"))
os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false", YOLO_CONFIG_DIR=str(_home))
torchvision_ops.declare()
_fonts = _home / "Ultralytics"
_fonts.mkdir()
shutil.copy(next(Path(mpl.get_data_path()).rglob("DejaVuSans.ttf")), _fonts / "Arial.ttf")

import drawn_shapes  # noqa: E402  what is above must come first
from ultralytics import YOLO  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _leave_nothing():
    yield
    shutil.rmtree(_home, ignore_errors=True)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """A detection data set: 8 images to train on, 4 to validate."""
    return drawn_shapes.detection(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="session")
def labelled(tmp_path_factory):
    """A classification data set."""
    return drawn_shapes.classification(tmp_path_factory.mktemp("labelled"))


@pytest.fixture
def train(tmp_path):
    """Train a YOLO object for a moment, quietly, and return its trainer."""
    logging.getLogger("ultralytics").setLevel(logging.ERROR)

    def run(model: YOLO, data: Path, **options):
        options = {"epochs": 2, "imgsz": 64, "batch": 4, **options}
        model.train(
            data=str(data),
            workers=0,
            plots=False,
            verbose=False,
            project=str(tmp_path / "runs"),
            device="cpu",
            warmup_epochs=0,
            **options,
        )
        return model.trainer

    return run
