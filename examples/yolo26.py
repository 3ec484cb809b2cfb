"""YOLO26 with dropout that is really there, and the fair gap of its loss.

`model.train(dropout=0.1)` changes nothing in a detector; `attach` does. The images are drawn here,
a bright square on a noisy ground, so that nothing is downloaded. `yolo26n.yaml` is untrained: for
your own data begin with `yolo26n.pt`. The checkpoints load where thinned is not installed.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from ultralytics import YOLO

import thinned.integrations.ultralytics as thinned_yolo
from thinned.schedules import Linear


def draw(folder, count, size=64):
    """Write images, their labels (class, x, y, width, height) and the data set's YAML file."""
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for kind in ("images", "labels"):
            (folder / kind / part).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            width = int(rng.integers(12, 28))
            x, y = rng.integers(0, size - width, size=2)
            pixels = rng.integers(0, 90, size=(size, size, 3), dtype=np.uint8)
            pixels[y : y + width, x : x + width] += 150
            Image.fromarray(pixels).save(folder / "images" / part / f"{index}.png")
            box = np.array([x + width / 2, y + width / 2, width, width]) / size
            label = folder / "labels" / part / f"{index}.txt"
            label.write_text("0 " + " ".join(f"{value:.4f}" for value in box))
    file = folder / "squares.yaml"
    names = "names: {0: square}"
    file.write_text(f"path: {folder}\ntrain: images/train\nval: images/val\n{names}\n")
    return file


def main(epochs=4, count=8):
    here = Path.cwd()
    model = YOLO("yolo26n.yaml")
    attachment = thinned_yolo.attach(model, schedule=Linear(0.0, 0.2), probe=1.0)
    model.train(
        data=str(draw(here / "squares", count)), project=str(here / "runs"), epochs=epochs,
        imgsz=64, batch=4, workers=0, plots=False, verbose=False,
    )  # fmt: skip
    print(attachment.report())


if __name__ == "__main__":
    main()
