"""The examples on models of other libraries."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run an example in an empty folder and return what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(name):
        runpy.run_path(str(EXAMPLES / name))["main"](epochs=1)
        return capsys.readouterr().out

    return run


def test_timm(run):
    out = run("timm_model.py")
    assert out.count("placeholder") == 1 + 1 + 2 * 3  # the summary, patch_drop, two a block
    assert out.count("DropPath") == 2 * 3


def test_torchvision(run):
    out = run("torchvision_model.py")
    assert "ConvNeXt: 17 rates doubled, up to 0.20" in out
    assert "rates at the end: {'layer1.0:drop_path': 0.2" in out.replace("net.", "")


def test_huggingface(run):
    out = run("huggingface_model.py")
    assert "8 sites; 8 dropout; 8 live" in out
    assert "{'attention': 0.1, 'rest': 0.29" in out
