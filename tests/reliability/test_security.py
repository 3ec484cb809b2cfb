"""What docs/security.md promises, where no other file tests it."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from helpers import tiny
from thinned.app.cli import main
from thinned.callbacks import (
    AdaptiveDropout,
    DropoutScheduler,
    OverfittingMonitor,
    RandomState,
    RunRecord,
    ScaleRates,
)
from thinned.schedules import Linear

ROOT = Path(__file__).parents[2]
SECRET = "s3cr3t-0123456789"


def test_secrets_on_the_command_line_are_written_nowhere_by_us(tmp_path):
    quick = ["trainer.max_epochs=1", "data.train_size=40", "data.val_size=50"]
    quiet = ["trainer.enable_progress_bar=false", "callbacks.record.summary=false"]
    where = [
        "trainer.accelerator=cpu",
        "logger=[csv,wandb]",
        f"+logger.wandb.settings.api_key={SECRET}",
    ]
    nothing = "hydra.output_subdir=null"  # else Hydra keeps the command line itself
    assert main(["train", *quick, *quiet, *where, nothing]) == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file() and "wandb" not in path.parts]
    assert {"record.jsonl", "report.html", "status.json", "hparams.yaml"} <= {p.name for p in files}
    assert [path.name for path in files if SECRET.encode() in path.read_bytes()] == []
    status = next(path for path in files if path.name == "status.json")
    assert "+logger.wandb.settings.api_key=(hidden)" in json.loads(status.read_text())["overrides"]


def test_no_file_of_ours_unpickles_evaluates_or_starts_a_shell():
    forbidden = {
        *("eval", "exec", "pickle.load", "pickle.loads", "os.system", "os.popen", "yaml.load"),
        *("marshal.loads", "shelve.open", "torch.hub.load", "subprocess.run", "subprocess.Popen"),
    }
    files = list((ROOT / "src").rglob("*.py"))
    assert len(files) > 100
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called not in forbidden, (file, called)
            if called == "torch.load":
                told = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert told.get("weights_only") == "True", file


def test_the_state_of_every_callback_loads_as_data(tmp_path):
    callbacks = [
        RandomState(),
        DropoutScheduler(Linear(0.0, 0.4), include="net.0", kinds="all"),
        ScaleRates(0.5, "net.2"),
        AdaptiveDropout("val_loss", "net.5"),
        OverfittingMonitor("val_loss"),
        RunRecord("record", page=False, summary=False),
        tiny.saver(tmp_path, filename="end"),
    ]
    module = tiny.TinyModule(tiny.mlp().insert(1, torch.nn.Dropout(0.1)))
    callbacks[1] = DropoutScheduler(Linear(0.0, 0.4), include="net.1")
    callbacks[2], callbacks[3] = ScaleRates(0.5, "net.3"), AdaptiveDropout("val_loss", "net.6")
    tiny.fit(callbacks, module=module)
    state = torch.load(tmp_path / "end.ckpt", weights_only=True)["callbacks"]
    ours = [value for key, value in state.items() if not key.startswith("ModelCheckpoint")]
    assert len(ours) >= 5
    assert json.loads(json.dumps(ours)) == ours


def names_of(requirements):
    found = (re.split(r"[=<>~ ;\[]", each)[0].lower() for each in requirements)
    return {name.replace("_", "-") for name in found}


def test_every_dependency_is_pinned():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line.strip() and not line.startswith(("#", "-"))]
    assert len(pins) > 50
    assert [line for line in pins if "==" not in line] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras["dev"], *extras["app"], *extras["report"]]
    assert names_of(asked) - {"thinned"} <= names_of(pins)


ANSWERS = {
    "clean": ([{"name": "a", "version": "1", "vulns": []}], "a==1\n", 0, "1 of 1 packages"),
    "known": (
        [{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}],
        "a==1\nb==1\n",
        1,
        "a 1: PYSEC-1, fixed in 2",
    ),
    "skipped": (
        [{"name": "a", "skip_reason": "not found"}],
        "a==1\n",
        3,
        "NOT AUDITED: 1 packages",
    ),
    "no answer": (None, "a==1\n", 3, "such as: it broke"),
}


@pytest.mark.parametrize(("rows", "wanted", "code", "words"), ANSWERS.values(), ids=ANSWERS)
def test_an_audit_that_did_not_happen_is_no_clean_one(tmp_path, rows, wanted, code, words):
    (tmp_path / "wanted").write_text(wanted)
    (tmp_path / "said").write_text("Traceback\nit broke\n")
    if rows is not None:
        (tmp_path / "found").write_text(json.dumps({"dependencies": rows}))
    paths = [str(tmp_path / name) for name in ("found", "wanted", "said")]
    command = [sys.executable, str(ROOT / "scripts" / "_audit.py"), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert words in done.stdout
