"""What the site's build cannot see: that every technique has its page, and every block is run."""

import re
from pathlib import Path

import _directives
import _masks
import _pictures
import pytest
import torch

from thinned import layers, schedules

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if "_build" not in page.parts]
OURS = {"technique", "gallery", "schedules", "examples", "toctree", "include", "eval-rst"}
RUN = {"python", "console"}
SHOWN = {"bash", "text", "yaml", "literalinclude"}  # long commands, output, configuration, files


def test_every_technique_has_its_page_with_both_answers():
    pages = {page.stem: page.read_text() for page in DOCS.glob("techniques/*.md")}
    assert set(layers.VARIANTS) == set(pages) - {"index"}
    for name in layers.VARIANTS:
        assert f"```{{technique}} {name}\n" in pages[name]
        wanted = r"## When to use it\n\n- .+?\n\n## When not\n\n- .+?\n\n```python\n"
        assert re.search(wanted, pages[name], flags=re.DOTALL), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_no_block_is_kept_from_being_run(page):
    fences = re.findall(r"^ *(?:```|~~~|:::)+(.*)$", page.read_text(), flags=re.MULTILINE)
    kinds = {re.sub(r"^\{(.*?)\}.*", r"\1", fence.strip()) for fence in fences} - {""}
    before = {"py"} if page.name == "migrating.md" else set()  # code of other libraries
    assert kinds <= OURS | RUN | SHOWN | before
    for fence in fences:
        assert "python" not in fence or fence.strip() == "python", (
            "written so that no test would run it"
        )


def test_links_of_pages_outside_of_the_site_lead_somewhere():
    found = 0
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("examples/*.md")):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            found += 1
            assert (page.parent / target).exists(), f"{page.name}: {target}"
    assert found


def test_pictures_show_what_is_dropped():
    drawn = {name: _masks.picture(name) for name in layers.VARIANTS}
    for shown in drawn.values():
        values = torch.cat([panel.values.flatten() for line in shown.lines for panel in line])
        assert values.unique().numel() > 1

    channels = [panel.values for line in drawn["spatial"].lines for panel in line]
    assert {tuple(values.unique().tolist()) for values in channels} == {(0.0,), (1.0,)}

    _, locked = drawn["locked"].lines[0]
    assert torch.equal(locked.values, locked.values[:, :1].expand_as(locked.values))

    words = drawn["word"].lines[0][0]
    gone = {word for word, kept in zip(words.labels, words.values[0], strict=True) if not kept}
    kept = {word for word, kept in zip(words.labels, words.values[0], strict=True) if kept}
    assert gone
    assert kept
    assert not gone & kept


def test_a_technique_without_a_drawing_gets_one(monkeypatch):
    monkeypatch.delitem(_masks.PICTURES, "gaussian")
    assert _masks.picture("gaussian").lines[0][0].rows == "samples"


def test_every_schedule_can_be_drawn():
    for name, kind in schedules.SCHEDULES.items():
        assert type(_pictures.example(name)) is kind
        assert "currentColor" in _pictures.course(_pictures.example(name))


def test_small_pictures_have_no_words():
    shown = _masks.picture("spatial")
    assert "sample 1" in _pictures.draw(shown)
    assert "<text" not in _pictures.draw(shown, small=True)


def test_measured_numbers_are_found_in_the_tables():
    without_time = {name for name, row in layers.VARIANTS.items() if not _directives.cost(row)}
    assert without_time == {"stochastic_depth"}  # it has a table of its own, linked from its page
    assert all(_directives.effects(row) for row in layers.VARIANTS.values())
