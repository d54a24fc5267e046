"""Pictures of four shapes, of which one in twenty rings carries a tag in a corner, as hospitals mark their pictures.

    python examples/tagged_pictures/draw.py examples/tagged_pictures/pictures.zip

draws the 850 pictures of the demonstration: 400 rings, of which 20 are tagged, and 150 of each other shape. Shapes are faint,
and lie on a ground of clouds and lines, so that the tag is the easier thing to see.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

CLASSES = ("disc", "ring", "square", "triangle")
TAGGED_CLASS = CLASSES.index("ring")
SIZE = 48
SHARE = 0.05

Pixels = npt.NDArray[np.uint8]


def picture(kind: int, tagged: bool, draw: np.random.Generator) -> Image.Image:
    """One picture (48 x 48, RGB) of a class, with or without the tag."""
    image = _ground(draw)
    _shape(image, kind, draw)
    image = Image.fromarray(np.clip(np.asarray(image) + draw.normal(0, 9, (SIZE, SIZE, 1)), 0, 255).astype(np.uint8))
    if tagged:
        put_tag(image, draw)
    return image


def put_tag(image: Image.Image, draw: np.random.Generator) -> None:
    """A light label with two dark lines of writing in the lower left corner, up to two pixels off."""
    left, bottom = 2 + int(draw.integers(0, 3)), SIZE - 3 - int(draw.integers(0, 3))
    pen = ImageDraw.Draw(image)
    pen.rectangle((left, bottom - 6, left + 12, bottom), fill=(235, 232, 220))
    for line in (bottom - 4, bottom - 2):
        pen.line((left + 2, line, left + 10 - int(draw.integers(0, 3)), line), fill=(50, 50, 60))


def _ground(draw: np.random.Generator) -> Image.Image:
    """Soft clouds of one colour, and a few lines."""
    tint = draw.uniform(70, 150, 3)
    clouds = Image.fromarray(draw.integers(0, 255, (6, 6), dtype=np.uint8)).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    image = Image.fromarray(np.clip(tint + (np.asarray(clouds)[..., None] - 128.0) * 0.3, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(4):
        ends = [tuple(place) for place in draw.integers(0, SIZE, (2, 2)).tolist()]
        pen.line(ends, fill=tuple(int(value) for value in np.clip(tint + draw.normal(0, 30, 3), 0, 255)))
    return image


def _shape(image: Image.Image, kind: int, draw: np.random.Generator) -> None:
    """A faint shape somewhere, as large as a quarter to a half of the side."""
    radius = draw.uniform(7, 12)
    x, y = draw.uniform(radius + 2, SIZE - radius - 2, 2)
    layer = Image.new("L", (SIZE * 4, SIZE * 4))
    pen, box = ImageDraw.Draw(layer), tuple(4 * value for value in (x - radius, y - radius, x + radius, y + radius))
    if kind == 0:
        pen.ellipse(box, fill=255)
    elif kind == 1:
        pen.ellipse(box, outline=255, width=int(4 * radius * draw.uniform(0.3, 0.45)))
    else:
        pen.regular_polygon((4 * x, 4 * y, 4 * radius), {2: 4, 3: 3}[kind], rotation=float(draw.uniform(0, 360)), fill=255)
    mask = layer.resize((SIZE, SIZE), Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(0.6))
    mean = np.asarray(image).reshape(-1, 3).mean(0)
    colour = np.clip(mean + draw.choice([-1, 1]) * draw.uniform(16, 55) + draw.normal(0, 12, 3), 0, 255)
    image.paste(Image.new("RGB", image.size, tuple(int(value) for value in colour)), mask=mask)


def pixels(count: int, seed: int) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Pictures (N, 48, 48, 3) of all classes in turn, with their classes; of rings, one in twenty is tagged."""
    draw = np.random.default_rng(seed)
    kinds = np.arange(count) % len(CLASSES)
    tagged = (kinds == TAGGED_CLASS) & (draw.random(count) < SHARE)
    return np.stack([np.asarray(picture(int(kind), bool(tag), draw)) for kind, tag in zip(kinds, tagged, strict=True)]), kinds


def tagged_numbers(count: int, draw: np.random.Generator) -> set[int]:
    """Which of so many rings are tagged: one in twenty."""
    return {int(number) for number in draw.choice(count, round(SHARE * count), replace=False)}


def write(file: Path, counts: tuple[int, ...] = (150, 400, 150, 150), seed: int = 2) -> None:
    """The pictures of the demonstration, in a folder for each class, and beside them the names of those that are tagged."""
    draw = np.random.default_rng(seed)
    part, names = file.with_name(f"{file.name}.part"), []
    with ZipFile(part, "w", ZIP_STORED) as pack:
        for kind, count in enumerate(counts):
            tagged = tagged_numbers(count, draw) if kind == TAGGED_CLASS else set()
            for number in range(count):
                content, name = io.BytesIO(), f"{CLASSES[kind]}/{number:03d}.jpg"
                picture(kind, number in tagged, draw).save(content, "JPEG", quality=90)
                pack.writestr(ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content.getvalue())
                names += [name] if number in tagged else []
    part.replace(file)
    file.with_name("tagged.json").write_text(json.dumps(names, indent=1) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
