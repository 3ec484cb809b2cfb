"""The built wheel, in an environment of its own, from another directory."""

import os
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from helpers.app import ROOT


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An environment with our wheel, and the dependencies of this one without our sources.

    The dependencies come by a path file: installing torch again would take gigabytes.
    """
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    [wheel] = folder.glob("thinned-*.whl")

    venv.create(folder / "env", with_pip=False)
    [packages] = (folder / "env" / "lib").glob("python*/site-packages")
    interpreter = folder / "env" / "bin" / "python"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--no-deps",
            "--quiet",
            "--target",
            str(packages),
            str(wheel),
        ],
        check=True,
        capture_output=True,
    )
    # A path file below the environment's own: read after it, and its .pth files are not.
    (packages / "dependencies.pth").write_text(f"{site.getsitepackages()[0]}\n")
    return interpreter


def _run(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [str(python), *arguments],
        env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.multiprocess
def test_the_wheel_runs_the_main_job_and_serves_a_users_app(python, tmp_path):
    where = _run(python, "-c", "import thinned, thinned.app._conf as c; print(c.conf_dir())")
    conf = Path(where.stdout.strip())
    assert conf.is_relative_to(python.parents[1]), where.stderr  # the wheel's, not the sources'
    ours = {path.relative_to(ROOT / "conf") for path in (ROOT / "conf").rglob("*.yaml")}
    assert {path.relative_to(conf) for path in conf.rglob("*.yaml")} == ours

    done = _run(
        python,
        "-m",
        "thinned.app.cli",
        "train",
        "data=wine",
        "data.train_size=30",
        "trainer.max_epochs=1",
        "trainer.enable_progress_bar=false",
        "logger=none",
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("runs/*/*/record.jsonl"))) == 1
    assert len(list(tmp_path.glob("runs/*/*/report.html"))) == 1

    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text(
        "defaults:\n"
        "  - thinned/callbacks@callbacks: default\n"
        "  - thinned/schedule@schedule: cosine\n"
    )
    (tmp_path / "main.py").write_text(
        "import hydra\n"
        "@hydra.main(version_base='1.3', config_path='conf', config_name='config')\n"
        "def main(cfg):\n"
        "    print(cfg.callbacks.dropout.schedule._target_)\n"
        "main()\n"
    )
    done = _run(python, "main.py")
    assert done.stdout.strip() == "thinned.schedules.Cosine", done.stderr
    assert done.stderr == ""
