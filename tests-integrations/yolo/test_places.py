"""Where dropout goes, in every family and task."""

import pytest
from ultralytics import RTDETR, YOLO

from thinned import NoEffectError, find_sites
from thinned.integrations.ultralytics._places import find_places

# Residual branches counted by hand in the modules' sources; blocks of the neck.
COUNTS = {
    "yolo26n": (18, 6),
    "yolo26n-seg": (18, 6),
    "yolo26n-pose": (18, 6),
    "yolo26n-obb": (18, 6),
    "yolo26n-sem": (13, 2),
    "yolo12n": (26, 6),
    "yolo11n": (13, 6),
    "yolov8n": (6, 6),
}


@pytest.mark.parametrize("name", COUNTS)
def test_places_of_each_task_and_family(name):
    model = YOLO(f"{name}.yaml").model
    residual, neck = COUNTS[name]
    assert len(find_places(model, "residual")) == residual
    assert len(find_places(model, "neck")) == neck
    assert [place.path for place in find_places(model, "head")] == [f"model.{len(model.model) - 1}"]
    assert not find_sites(model, kinds="dropout")


def test_classifier_and_rtdetr_have_dropout_of_their_own():
    assert find_sites(YOLO("yolo26n-cls.yaml").model, kinds="dropout")
    detector = RTDETR("rtdetr-l.yaml").model
    assert find_sites(detector, kinds="dropout")
    assert len(find_places(detector, "residual")) == 2


def test_pattern_names_the_topmost_modules():
    model = YOLO("yolo26n.yaml").model
    assert [p.path for p in find_places(model, ["model.9", "model.10.m"])] == [
        "model.9",
        "model.10.m",
    ]


def test_nothing_found_says_what_there_is():
    model = YOLO("yolo26n-cls.yaml").model
    with pytest.raises(NoEffectError, match=r"'neck' finds none.*1 dropout modules.*8 residual"):
        find_places(model, "neck")
