"""`thinned diagnose`: what it prints and returns for models that are named on the command line."""

import json

import pytest

from thinned.app.cli import main

MODELS = """
import torch
from torch import nn

def wrong():
    layers = nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm1d(64), nn.Linear(64, 2)
    return nn.Sequential(*layers)

def right():
    return nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 2))

made = right()

def batch():
    return torch.randn(64, 8)

def needs(width):
    return nn.Linear(width, 2)
"""


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    """A module of the user's in the working directory."""
    (tmp_path / "my_models.py").write_text(MODELS)
    (tmp_path / "imports_another.py").write_text("import no_such_package")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "my_models", raising=False)


@pytest.mark.parametrize("given", ["64,8", "my_models:batch"])
def test_findings_are_shown_and_decide_the_exit_code(given, capsys):
    asked = ["diagnose", "my_models:wrong", "--input", given]
    assert main(asked) == 0
    out = capsys.readouterr().out
    assert out.startswith("1 finding")
    assert "dropout-before-batch-norm" in "".join(out.split())
    assert main([*asked, "--fail-on", "warning"]) == 1
    assert main([*asked, "--fail-on", "warning", "--ignore", "dropout-before-batch-norm"]) == 0


@pytest.mark.parametrize("model", ["right", "made"])
def test_nothing_found_is_said_in_words(model, capsys):
    assert main(["diagnose", f"my_models:{model}", "--input", "64,8", "--fail-on", "note"]) == 0
    assert capsys.readouterr().out == "nothing found\n"


def test_without_an_input_it_says_how_to_give_one_here(capsys):
    assert main(["diagnose", "my_models:right", "--json"]) == 0
    [finding] = json.loads(capsys.readouterr().out)
    assert finding["rule"] == "not-checked"
    assert finding["fix"].startswith("thinned diagnose my_models:right --input 8,3,32,32")


def test_findings_as_json(capsys):
    assert main(["diagnose", "my_models:wrong", "--input", "64,8", "--json"]) == 0
    [finding] = json.loads(capsys.readouterr().out)
    assert (finding["rule"], finding["path"]) == ("dropout-before-batch-norm", "2")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["my_models"], "Expected MODULE:NAME, got 'my_models'"),
        (["my_models:rite"], "Did you mean 'right'?"),
        (["no_such_module:build"], "found no 'no_such_module' in this folder or installed. Type"),
        (["torch.no_such_part:build"], "found no 'torch.no_such_part' in this folder"),
        (["imports_another:build"], "No module named 'no_such_package'"),
        (
            ["my_models:needs"],
            "no arguments: missing a required argument: 'width'. Name a function",
        ),
        (["my_models:MODELS"], "to have 'MODELS', it has not"),
        (["my_models:right", "--input", "8x3"], "Expected --input as a shape like 8,3,32,32"),
        (["my_models:right", "--input", "0,8"], "Expected --input as a shape like 8,3,32,32"),
        (["my_models:right", "--ignore", "dead"], "Did you mean 'dead-site'?"),
        (["my_models:batch"], "Expected `model` to be a torch.nn.Module"),
    ],
)
def test_what_is_asked_wrongly_is_one_line(words, says, capsys):
    assert main(["diagnose", *words]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
