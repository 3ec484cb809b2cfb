"""What every test stands on: an own folder, a fixed seed, no network, a quiet Lightning."""

import importlib
import logging
import random

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Write nothing outside of the test's own folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Keep W&B offline, whatever a test configures."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


@pytest.fixture(autouse=True)
def _fixed_seed():
    """Begin every test at the same point of all three random streams."""
    import torch

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def _quiet_lightning():
    """Leave Lightning's banners and tips out of the output."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        importlib.import_module(name)  # which sets a level of its own
        logging.getLogger(name).setLevel(logging.ERROR)


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Keep tiny models on one thread, so that several test processes share a machine well."""
    import torch

    torch.set_num_threads(1)
