"""Drawn circles, squares and triangles, to detect and to classify: no download."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

NAMES = ("circle", "square", "triangle")


def draw(rng: np.random.Generator, size: int = 64, fog: float = 0.0, shapes: int = 2):
    """Draw one image on a noisy ground; return it with rows of class, x, y, width, height."""
    ground = rng.integers(0, 90, size=3)
    pixels = np.clip(ground + rng.normal(0, 12, (size, size, 3)), 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    pen, rows = ImageDraw.Draw(image), []
    for slot in rng.permutation(4)[:shapes]:
        kind, width = int(rng.integers(3)), int(rng.integers(size // 5, size // 2 - 6))
        half = size // 2
        x = int(slot % 2) * half + int(rng.integers(1, half - width))
        y = int(slot // 2) * half + int(rng.integers(1, half - width))
        colour = tuple(int(c) for c in rng.integers(110, 256, size=3))
        box = (x, y, x + width, y + width)
        if kind == 0:
            pen.ellipse(box, fill=colour)
        elif kind == 1:
            pen.rectangle(box, fill=colour)
        else:
            pen.polygon([(x, y + width), (x + width, y + width), (x + width // 2, y)], fill=colour)
        rows.append(
            (kind, (x + width / 2) / size, (y + width / 2) / size, width / size, width / size)
        )
    if fog:
        haze = np.full((size, size, 3), 200.0) + rng.normal(0, 8, (size, size, 3))
        mixed = (1 - fog) * np.asarray(image, float) + fog * haze
        image = Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))
    return image, rows


def detection(folder: Path, train: int = 8, val: int = 4, seed: int = 0, test: int = 0) -> Path:
    """Write images and labels for detection, and return the data set's YAML file.

    With ``test`` images there are two further splits of the same scenes, clear and in fog.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"train": (train, seed, 0.0), "val": (val, 1000 + seed, 0.0)}
    if test:
        parts |= {"clear": (test, 5000, 0.0), "fog": (test, 5000, 0.55)}
    for part, (count, start, fog) in parts.items():
        images, labels = folder / "images" / part, folder / "labels" / part
        images.mkdir(parents=True, exist_ok=True)
        labels.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            image, rows = draw(np.random.default_rng([start, index]), fog=fog)
            image.save(images / f"{index}.png")
            text = "\n".join(" ".join(f"{value:g}" for value in row) for row in rows)
            (labels / f"{index}.txt").write_text(text)
    names = "\n".join(f"  {number}: {name}" for number, name in enumerate(NAMES))
    lines = [f"path: {folder}", "train: images/train", "val: images/val", "names:", names]
    if test:
        lines[3:3] = ["test: images/fog"]
    file = folder / "shapes.yaml"
    file.write_text("\n".join(lines) + "\n")
    return file


def classification(folder: Path, train: int = 12, val: int = 6, seed: int = 0) -> Path:
    """Write a folder a class, and return the data set's folder."""
    for part, count, start in (("train", train, seed), ("val", val, 1000 + seed)):
        for name in NAMES:
            (folder / part / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            image, rows = draw(np.random.default_rng([start, index]), shapes=1)
            image.save(folder / part / NAMES[rows[0][0]] / f"{index}.png")
        for number, name in enumerate(NAMES):  # no class is left empty
            rng = np.random.default_rng([start, 999, number])
            while True:
                image, rows = draw(rng, shapes=1)
                if rows[0][0] == number:
                    break
            image.save(folder / part / name / "first.png")
    return folder
