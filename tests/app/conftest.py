"""What the tests of the application share."""

import importlib
import logging
import sys

import pytest

from helpers.evidence import SCRIPTS


@pytest.fixture(autouse=True)
def _logging_as_it_was():
    """Take back what Hydra's logging configuration does to the root logger."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def train(capsys, monkeypatch):
    """Run `thinned train` in this process; returns exit code and what was written to stderr."""
    from thinned.app.cli import main

    monkeypatch.setattr(sys, "path", list(sys.path))  # a job adds the present folder

    def run(*arguments: str) -> tuple[int, str]:
        code = main(["train", *arguments])
        return code, capsys.readouterr().err

    return run


@pytest.fixture
def quick():
    """Overrides for a run of a second."""
    return [
        "trainer.max_epochs=2",
        "trainer.accelerator=cpu",
        "trainer.enable_progress_bar=false",
        "data.train_size=40",
        "data.val_size=50",
        "logger=none",
        "pages=false",
        "callbacks.record.summary=false",
    ]


@pytest.fixture
def evidence(monkeypatch):
    """Return what imports a file of `scripts/evidence_sections`."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return lambda name: importlib.import_module(f"evidence_sections.{name}")
