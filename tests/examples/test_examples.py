"""Every example runs, is short, and is listed with what it prints."""

import runpy

import pytest

from helpers.app import ROOT, python

EXAMPLES = ROOT / "examples"
FILES = sorted(EXAMPLES.rglob("*.py"))
ELSEWHERE = {  # in tests-integrations, where their libraries are
    "timm_model.py",
    "torchvision_model.py",
    "huggingface_model.py",
    "yolo26.py",
}


def run(name, capsys, *args, **options):
    """Run an example in this process and return what it printed."""
    runpy.run_path(str(EXAMPLES / name))["main"](*args, **options)
    return capsys.readouterr().out


def test_perceptron_prints_a_row_a_rate_and_the_reasons(capsys):
    out = run("mlp_breast_cancer.py", capsys, epochs=5)
    assert [line.split()[0] for line in out.splitlines()[1:5]] == ["0.0", "0.2", "0.5", "0.8"]
    assert "- The mean dropout rate is 0.80." in out


def test_cnn_swaps_and_puts_back(capsys):
    out = run("cnn_digits.py", capsys, epochs=2)
    assert "'net.9': 0.5, 'maps': 0.3" in out
    assert out.count("<class 'torch.nn.modules.dropout.Dropout'>") == 2


@pytest.mark.parametrize("cell", ["GRU", "LSTM"])
def test_recurrent_variants_train(cell, capsys):
    out = run("rnn_digits_rows.py", capsys, cell, epochs=1)
    rows = [line.rpartition(" ")[0].split(" val_loss")[0].rstrip() for line in out.splitlines()]
    assert rows == [f"{cell}, as it is", f"{cell}, variational", f"{cell}, weight_drop"]


def test_transformer_gets_stochastic_depth_by_the_linear_rule(capsys):
    out = run("transformer_digits_patches.py", capsys, epochs=1)
    assert "keys of the checkpoint unchanged: True" in out
    rates = [line.split()[3] for line in out.splitlines() if "BlockDrop " in line]
    assert rates == ["0.05", "0.1", "0.15", "0.2"]


def test_segmentation_inserts_blocks(capsys):
    out = run("segmentation_shapes.py", capsys, epochs=2)
    assert out.count("DropBlock2d(p=0.1, block_size=5)") == 2


def test_plain_loop_measures_and_judges(capsys):
    out = run("plain_pytorch.py", capsys, epochs=20)
    assert "epoch 19  rate 0.50" in out
    assert "The mean dropout rate is 0.50." in out
    assert "entropy of 20 masks" in out


def test_what_to_label_next_is_chosen_and_learnt(capsys):
    right = runpy.run_path(str(EXAMPLES / "active_learning.py"))["main"](1, 2, 200)
    assert capsys.readouterr().out.count("accuracy with 20, 30, ... labels: 0.") == 3
    assert right["random"][0] == right["bald"][0] == right["epig"][0]  # the same first labels
    assert len({tuple(each[1]) for each in right.values()}) == 3  # and then their own
    assert min(each[1][0] for each in right.values()) > right["random"][0][0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # jsonargparse's of Lightning's use of it
def test_lightning_cli_writes_its_configuration_and_trains(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["lightning_cli.py"])
    assert "verdict: " in run("lightning_cli.py", capsys)


@pytest.mark.multiprocess
def test_a_hydra_application_uses_our_groups():
    arguments = ["thinned/schedule@schedule=linear", "schedule.end=0.3", "epochs=2"]
    done = python(str(EXAMPLES / "hydra_app" / "main.py"), *arguments)
    assert done.returncode == 0, done.stderr
    assert "'_target_': 'thinned.schedules.Linear', 'start': 0.0, 'end': 0.3" in done.stdout


def test_every_example_is_run_by_a_test():
    here = (EXAMPLES / "..").resolve() / "tests" / "examples" / "test_examples.py"
    there = ROOT / "tests-integrations"
    integrations = (there / "test_examples.py", there / "yolo" / "test_example.py")
    elsewhere = "".join(path.read_text() for path in integrations)
    for path in FILES:
        assert path.name in (elsewhere if path.name in ELSEWHERE else here.read_text()), path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_example_is_short_and_listed(path):
    text = path.read_text()
    assert text.startswith('"""')
    assert len(text.splitlines()) < 60
    assert f"({path.relative_to(EXAMPLES).as_posix()})" in (EXAMPLES / "README.md").read_text()
