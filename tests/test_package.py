"""The package as a whole: light to import, its names all there, its sources as agreed."""

import ast
import importlib
import io
import subprocess
import sys
from pathlib import Path

import pytest

import thinned
from thinned._log import logger

SOURCE = Path(thinned.__file__).parent
HEAVY = ("torch", "pytorch_lightning", "lightning", "wandb", "hydra", "plotly", "sklearn", "rich")
ROOMS = ("layers", "surgery", "diagnosis", "uncertainty", "metrics", "callbacks", "schedules")
FILES = sorted(SOURCE.rglob("*.py"))


def imported_by(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter holds after a statement."""
    code = f"import sys; {statement}; print(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement", ["import thinned", "import thinned.schedules, thinned.app.cli"]
)
def test_import_is_light(statement):
    assert not imported_by(statement) & set(HEAVY)


def test_import_of_a_name_brings_what_it_needs():
    assert "torch" in imported_by("from thinned import find_sites")


def test_a_layer_brings_torch_and_no_framework():
    imported = imported_by("from thinned.layers import WeightDropLSTM")
    assert imported & set(HEAVY) == {"torch"}


@pytest.mark.parametrize("name", ["thinned", *(f"thinned.{room}" for room in ROOMS)])
def test_every_public_name_resolves(name):
    module = importlib.import_module(name)
    assert module.__all__
    for public in module.__all__:
        assert getattr(module, public) is not None, public
        assert public in dir(module)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_source_keeps_the_rules(path):
    text = path.read_text()
    tree = ast.parse(text)
    if text.strip():
        assert ast.get_docstring(tree), "a file says what it is for"
    assert len(text.splitlines()) <= 300, "one idea a file"
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Assert), "errors say what was expected, given, and the fix"
        if isinstance(node, ast.Assign):
            targets = [t.attr for t in node.targets if isinstance(t, ast.Attribute)]
            assert "forward" not in targets, "forward is never rebound"


def test_news_go_to_the_standard_error_of_the_moment(monkeypatch):
    for _ in range(2):  # a notebook, or a test, exchanges it and closes the one before
        with io.StringIO() as stream:
            monkeypatch.setattr(sys, "stderr", stream)
            logger.warning("here")
            assert stream.getvalue() == "thinned: here\n"


@pytest.mark.parametrize(
    ("ranks", "speaks"),
    [
        ({}, True),
        ({"RANK": "1", "LOCAL_RANK": "0"}, False),
        ({"LOCAL_RANK": "1"}, False),
        ({"SLURM_PROCID": "3"}, False),
        ({"SLURM_PROCID": "0"}, True),
        ({"JSM_NAMESPACE_RANK": "2"}, False),
    ],
)
def test_only_the_first_rank_speaks_whoever_started_it(monkeypatch, capsys, ranks, speaks):
    from thinned._log import _RANKS, logger

    for name in _RANKS:
        monkeypatch.delenv(name, raising=False)
    for name, rank in ranks.items():
        monkeypatch.setenv(name, rank)
    logger.info("a word")
    assert ("a word" in capsys.readouterr().err) == speaks
