"""What is released: the files, their metadata, one version, and what is to be removed."""

import ast
import email
import os
import re
import subprocess
import sys
import tarfile
import warnings
import zipfile

import pytest
import yaml

import thinned
from helpers.app import ROOT
from thinned import ThinnedWarning
from thinned._deprecate import deprecated, warn_deprecated

SOURCES = sorted((ROOT / "src").rglob("*.py"))
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()


def tool(*arguments):
    """Run a tool of this environment."""
    environment = os.environ | {"PIP_NO_INDEX": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def contents(wheel):
    """Return the files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, and the wheel that is made from it."""
    folder = tmp_path_factory.mktemp("dist")
    tool("build", "--no-isolation", "--outdir", folder, ROOT)
    [sdist], [wheel] = folder.glob("thinned-*.tar.gz"), folder.glob("thinned-*.whl")
    return sdist, wheel


@pytest.mark.multiprocess
def test_the_distribution_passes_twine(built):
    assert tool("twine", "check", "--strict", *built).count("PASSED") == 2


@pytest.mark.multiprocess
def test_the_wheel_holds_the_packages_the_configuration_and_nothing_else(built):
    names = set(contents(built[1]))
    ours = {n for n in names if n.startswith(("thinned/", "hydra_plugins/"))}
    rest = {n.partition("/")[2] for n in names - ours}
    assert rest == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    tree = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    conf = {f"thinned/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / "conf").rglob("*.yaml")}
    assert ours == tree | conf
    assert {"thinned/py.typed", "thinned/__init__.pyi", "thinned/app/schemas.json"} <= ours


@pytest.mark.multiprocess
def test_the_sdist_has_what_its_tests_and_documentation_need(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    top = ("pyproject.toml", "conftest.py", "constraints.txt", "CITATION.cff", "LICENSE")
    assert set(top) | {"README.md", "CHANGELOG.md", "CONTRIBUTING.md"} <= names
    for folder in ("src", "conf", "tests", "tests-integrations", "docs", "examples", "scripts"):
        assert any(name.startswith(f"{folder}/") for name in names), folder
    unwanted = ("__pycache__", ".ckpt", "_build/", "runs/", "wandb/", "lightning_logs/")
    assert not [name for name in names if any(word in name for word in unwanted)]


@pytest.mark.multiprocess
def test_metadata_declare_the_version_and_only_the_python_that_is_tested(built):
    text = contents(built[1])[f"thinned-{thinned.__version__}.dist-info/METADATA"].decode()
    metadata = email.message_from_string(text)
    assert metadata["Version"] == thinned.__version__
    assert metadata["Requires-Python"] == "<3.12,>=3.11"
    pythons = [c for c in metadata.get_all("Classifier") if re.search(r"Python :: 3\.\d", c)]
    assert pythons == ["Programming Language :: Python :: 3.11"]


def test_the_version_is_semantic_and_the_same_everywhere():
    assert re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[\w.]+)?", thinned.__version__)
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == thinned.__version__
    released = re.findall(r"^## \[(\d[^]]*)\] - (\d{4}-\d\d-\d\d)$", CHANGELOG, re.MULTILINE)
    headings = re.findall(r"^## .*$", CHANGELOG, re.MULTILINE)
    assert len(released) == len(headings) - 1  # what is not released stands on top
    assert headings[0] == "## [Unreleased]"
    if released:
        assert released[0][0] == thinned.__version__
        assert [as_numbers(v) for v, _ in released] == sorted(
            (as_numbers(v) for v, _ in released), reverse=True
        )


def test_the_citation_has_the_keys_that_readers_of_it_need():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "type", "license"} <= set(citation)
    assert citation["license"] == "Apache-2.0"


def as_numbers(version):
    """Return a version as a tuple that sorts."""
    return tuple(int(part) for part in version.partition("-")[0].split("."))


def overdue(source, version):
    """Return what a source still holds although the version of its removal has come."""
    found = []
    for node in ast.walk(ast.parse(source)):
        name = getattr(node, "func", None)
        name = getattr(name, "attr", getattr(name, "id", None))
        if name in {"deprecated", "warn_deprecated"}:
            [removal] = [k.value for k in node.keywords if k.arg == "removal"]
            due = ast.literal_eval(removal)  # a literal, or this raises
            if as_numbers(due) <= as_numbers(version):
                found.append(f"line {node.lineno}: due in {due}")
    return found


def test_nothing_outlives_the_version_of_its_removal():
    sources = [path for path in SOURCES if path.name != "_deprecate.py"]
    assert len(sources) > 100
    late = {path: overdue(path.read_text(), thinned.__version__) for path in sources}
    assert not {path: lines for path, lines in late.items() if lines}


def test_what_outlives_it_is_found():
    source = "@deprecated(since='0.2.0', removal='0.10.0', instead='`g`')\ndef f(): ...\n"
    assert overdue(source, "0.9.7") == []
    assert overdue(source, "0.10.0") == ["line 1: due in 0.10.0"]
    assert overdue(source, "1.0.0") == ["line 1: due in 0.10.0"]
    with pytest.raises(ValueError, match="malformed node"):
        overdue("warn_deprecated('f', since='0.2.0', removal=SOON, instead='g')", "0.9.7")


def test_a_deprecated_function_still_works_and_says_where_it_was_called():
    @deprecated(since="0.2.0", removal="0.4.0", instead="`new`")
    def old(value):
        """Return it."""
        return value

    words = r"old` is deprecated since thinned 0\.2\.0 and will be removed in 0\.4\.0: use `new`\."
    with pytest.warns(ThinnedWarning, match=words) as caught:
        assert old(3) == 3
    assert issubclass(caught[0].category, FutureWarning)  # shown by default, also to users
    assert caught[0].filename == __file__
    assert old.__doc__ == "Return it."


def test_a_deprecated_argument_points_at_its_user():
    def rate(p=None, keep_prob=None):
        if keep_prob is not None:
            warn_deprecated("`keep_prob`", since="0.2.0", removal="0.4.0", instead="`p`")
            p = 1 - keep_prob
        return p

    with pytest.warns(ThinnedWarning, match="`keep_prob` is deprecated") as caught:
        assert rate(keep_prob=0.75) == 0.25
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rate(p=0.1) == 0.1
