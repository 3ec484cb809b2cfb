"""Every task and RT-DETR: trained for a moment on drawn shapes, with dropout, and saved clean."""

import drawn_shapes
import pytest
import torch
import yaml
from PIL import Image, ImageDraw
from ultralytics import RTDETR, YOLO

import thinned.integrations.ultralytics as thinned_yolo


def corners(x, y, w, h):
    return [x - w / 2, y - h / 2, x + w / 2, y - h / 2, x + w / 2, y + h / 2, x - w / 2, y + h / 2]


LABELS = {
    "segment": lambda kind, *box: [kind, *corners(*box)],
    "obb": lambda kind, *box: [kind, *corners(*box)],
    "pose": lambda kind, x, y, w, h: [kind, x, y, w, h, x, y, 2],
}


@pytest.fixture
def data(tmp_path):
    """Return a function that writes the data set of a task, made from boxes."""

    def made(task):
        file = drawn_shapes.detection(tmp_path / task, train=8, val=4)
        content = yaml.safe_load(file.read_text())
        for path in (tmp_path / task / "labels").rglob("*.txt"):
            rows = [[float(v) for v in line.split()] for line in path.read_text().splitlines()]
            if task == "semantic":
                _mask(path, rows)
                continue
            rows = [LABELS[task](int(row[0]), *row[1:]) for row in rows]
            path.write_text("\n".join(" ".join(f"{v:g}" for v in row) for row in rows))
        if task == "pose":
            content |= {"kpt_shape": [1, 3], "flip_idx": [0]}
        if task == "semantic":
            content["masks_dir"] = "masks"
        file.write_text(yaml.safe_dump(content))
        return file

    return made


def _mask(path, rows, size=64):
    mask = Image.new("L", (size, size), 0)
    for kind, x, y, w, h in rows:
        box = [size * v for v in (x - w / 2, y - h / 2, x + w / 2, y + h / 2)]
        ImageDraw.Draw(mask).rectangle(box, fill=int(kind))
    target = path.parents[2] / "masks" / path.parent.name / f"{path.stem}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    mask.save(target)


def check(model, trainer, attachment, sites):
    assert sites[0] > 0
    assert len(attachment.history) == 1
    assert attachment.history[0]["overfit/probe/val/loss"] > 0
    for path in (trainer.save_dir / "weights").glob("*.pt"):
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        assert named
        assert not [name for name in named if "thinned" in name]


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("segment", "yolo26n-seg"),
        ("pose", "yolo26n-pose"),
        ("obb", "yolo26n-obb"),
        ("semantic", "yolo26n-sem"),
    ],
)
def test_each_task_trains_with_dropout(train, data, task, name):
    model = YOLO(f"{name}.yaml")
    attachment = thinned_yolo.attach(model, dropout=0.1, sites=["residual", "head"], probe=4)
    sites = []
    model.add_callback("on_train_batch_end", lambda _: sites.append(len(attachment.sites)))
    trainer = train(model, data(task), epochs=1)
    check(model, trainer, attachment, sites)


@pytest.mark.parametrize("name", ["yolo12n", "yolo11n", "yolov8n"])
def test_older_families_train_with_dropout(train, shapes, name):
    model = YOLO(f"{name}.yaml")
    attachment = thinned_yolo.attach(model, dropout=0.1, variant="dropblock", sites="neck", probe=4)
    sites = []
    model.add_callback("on_train_batch_end", lambda _: sites.append(len(attachment.sites)))
    check(model, train(model, shapes, epochs=1), attachment, sites)


def test_rtdetr_drives_its_own_modules(train, shapes):
    model = RTDETR("rtdetr-l.yaml")
    attachment = thinned_yolo.attach(model, dropout=0.1, probe=4)
    seen = []

    def look(trainer):
        rates = [m.p for m in trainer.model.modules() if isinstance(m, torch.nn.Dropout)]
        kept = [m.p for m in trainer.ema.ema.modules() if isinstance(m, torch.nn.Dropout)]
        seen.append((len(attachment.sites), set(rates), set(kept)))

    model.add_callback("on_train_batch_end", look)
    trainer = train(model, shapes, epochs=1)
    assert seen[0][0] >= 30
    assert seen[0][1:] == ({0.1}, {0.0})
    check(model, trainer, attachment, [seen[0][0]])
