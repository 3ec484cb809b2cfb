"""The command `thinned` itself."""

import pytest

from helpers.app import python, thinned
from thinned import __version__
from thinned.app.cli import main


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_alone_it_says_what_each_command_does(words, capsys):
    assert main(words) == 0
    out = capsys.readouterr().out
    for command in ("train", "compare", "report", "diagnose", "dashboard"):
        assert f"  {command} " in out


def test_an_unknown_command_is_one_line_with_the_nearest(capsys):
    assert main(["trian"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "got 'trian'. Did you mean 'train'?" in err


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"thinned {__version__}\n"


@pytest.mark.parametrize("command", ["compare", "report", "diagnose", "dashboard"])
def test_each_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert "examples:" in capsys.readouterr().out


@pytest.mark.multiprocess
def test_help_config_completion_and_typing_errors_import_nothing_heavy():
    program = """
import os, sys
from thinned.app.cli import main
os.environ["COMP_LINE"] = "thinned train schedule=co"
for words in (
    ["train", "--help"], ["train", "--cfg", "job"], ["-sc", "query=bash"],
    ["train", "schedule=linaer"], ["train", "schedule.ennd=1"], ["train", "+schedule.ennd=1"],
    ["train", "schedule.end=1.5"], ["train", "data=digits", "model=mlp", "schedule.end=abc"],
):
    sys.argv = ["thinned", *words]
    try:
        main(words)
    except SystemExit:
        pass
heavy = {"torch", "pytorch_lightning", "lightning", "wandb", "sklearn", "plotly"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
    done = python("-c", program)
    assert done.returncode == 0, done.stderr
    assert "schedule=constant" in done.stdout  # what the Tab key offers


@pytest.mark.multiprocess
def test_completion_knows_groups_options_and_keys():
    offered = thinned("-sc", "query=bash", COMP_LINE="thinned train model=").stdout.split()
    assert {"model=mlp", "model=cnn", "model=gru", "model=transformer"} <= set(offered)
    offered = thinned("-sc", "query=bash", COMP_LINE="thinned train schedule.").stdout.split()
    assert {"schedule.start=", "schedule.end="} <= set(offered)


def test_completion_knows_the_commands(capsys, monkeypatch):
    monkeypatch.setenv("COMP_LINE", "thinned co")
    assert main(["-sc", "query=bash"]) == 0
    assert capsys.readouterr().out == "compare\n"
