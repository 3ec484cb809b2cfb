"""What every test here stands on: torchvision that can be imported, a fixed seed, no network."""

import os

import pytest
import torch
import torchvision_ops

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torchvision_ops.declare()
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _fixed_seed():
    torch.manual_seed(0)
