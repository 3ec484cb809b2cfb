"""The numbers of docs/evidence/uncertainty.md: the code that makes them, and that they agree."""

import importlib
import math
from pathlib import Path

import pytest

import thinned

ROOT = Path(thinned.__file__).parents[2]


@pytest.fixture
def part(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return lambda name: importlib.import_module(name)


def test_the_quick_form_runs_and_writes_page_and_picture(part, tmp_path, capsys):
    main = part("_uncertainty_main").main
    with pytest.raises(SystemExit):
        main("", ["--quick"])
    assert "its numbers are no evidence" in capsys.readouterr().err
    assert main("", ["--quick", "--out", str(tmp_path)]) == 0
    results = part("evidence_sections._results").Results.read(tmp_path / "uncertainty.json")
    runs = part("_uncertainty_runs")
    assert results.finished
    assert list(results.arms) == [f"{task}/{arm}" for task in runs.TASKS for arm in runs.ARMS]
    assert all(len(rows) == 2 for rows in results.arms.values())
    rows = [row for arm in results.arms.values() for row in arm]
    assert all(math.isfinite(value) for row in rows for value in row.values())
    page, picture = (tmp_path / f"uncertainty.{kind}" for kind in ("md", "svg"))
    assert page.read_text().count("**Telling data from elsewhere**") == 2
    drawn = picture.read_bytes()
    main("", ["--report", "--out", str(tmp_path)])
    assert picture.read_bytes() == drawn
    assert len(drawn) < 150_000


def test_the_committed_page_says_what_its_numbers_say(part):
    folder = ROOT / "docs" / "evidence"
    results = part("evidence_sections._results").Results.read(folder / "uncertainty.json")
    assert results.finished
    assert results.seeds >= 10
    assert part("_uncertainty_page").block(results) in (folder / "uncertainty.md").read_text()


def test_parts_share_no_row_and_elsewhere_is_elsewhere(part):
    runs, size = part("_uncertainty_runs"), part("evidence_sections._size").Size(1)
    task = runs.digits(3, size)
    assert int(task.train[1].max()) == 7
    seen = [{tuple(row.flatten().tolist()) for row in x} for x, _ in (task.train, task.val)]
    seen.append({tuple(row.flatten().tolist()) for row in task.tests["clear"][0]})
    assert [len(each) for each in seen] == [200, 200, 800]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]
    for x in (task.tests["corrupted"][0], *task.elsewhere.values()):
        assert not {tuple(row.flatten().tolist()) for row in x} & seen[2]
