"""The example on YOLO26."""

import runpy
from pathlib import Path


def test_yolo26(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = Path(__file__).parents[2] / "examples" / "yolo26.py"
    runpy.run_path(str(path))["main"](epochs=1, count=4)
    out = capsys.readouterr().out
    assert "18 hooks inserted" in out
    assert "val/box_loss: " in out
    assert (tmp_path / "runs").is_dir()
