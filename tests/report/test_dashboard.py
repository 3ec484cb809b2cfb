import json
from pathlib import Path

import pytest

from thinned.report import build_dashboard, save_dashboard, to_workspace

KEPT = Path(__file__).with_name("dashboard.json")


@pytest.fixture
def spec():
    return build_dashboard(
        "val_loss", groups=["backbone", "head"], settings=["schedule.end", "seed"]
    )


def test_the_specification_is_the_kept_one(spec, tmp_path):
    written = save_dashboard(spec, tmp_path / "deep" / "dashboard.json")
    assert json.loads(written.read_text("utf-8")) == json.loads(KEPT.read_text("utf-8"))


def test_the_workspace_has_every_panel(spec):
    made = to_workspace(spec, "team", "project")
    assert (made.entity, made.project, made.name) == ("team", "project", "Does dropout work?")
    assert [section.name for section in made.sections] == [
        "Is it overfitting",
        "Rates",
        "Layers",
        "Sweep",
    ]
    counts = [len(section.panels) for section in made.sections]
    assert counts == [len(section["panels"]) for section in spec["sections"]]
    first = made.sections[0].panels[0]
    assert (first.x, first.y) == ("trainer/global_step", ["val_loss", "overfit/probe/val_loss"])
    assert made.sections[1].panels[0].y == ["dropout/backbone/rate", "dropout/head/rate"]


def test_panels_do_not_lie_on_each_other(spec):
    for section in to_workspace(spec, "team", "project").sections:
        places = [(panel.layout.x, panel.layout.y) for panel in section.panels]
        assert places
        assert len(set(places)) == len(places)


def test_without_groups_all_rates_are_drawn():
    made = to_workspace(build_dashboard("val_acc"), "team", "project")
    assert made.sections[1].panels[0].metric_regex == "dropout/.*/rate"


def test_an_unknown_panel_is_refused(spec):
    spec["sections"][0]["panels"][0]["kind"] = "pie"
    with pytest.raises(ValueError, match=r"Expected a panel's `kind` to be one of lines.*'pie'"):
        to_workspace(spec, "team", "project")
