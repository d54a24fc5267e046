"""Compare methods on photographs that packages on the registry carry, explained on EfficientNet-Lite0.

    pip install signxai[demo,evidence,cluster] scikit-image
    python examples/evidence/photos.py --output docs

Explained is the class that the network predicts, of seven photographs (`real_data.photos.PHOTOS`); --again of them are explained again
and again. That is enough to see how methods behave, and far too few to say which is better. Removed are patches of 32 x 32 pixels,
blurred. 95 % intervals are those of a bootstrap over photographs.

With --output, that folder's evidence_real.md gets the tables, and photos.json beside this script all numbers; without it the tables are
printed. One thread computes; the same kind of machine with the same versions gives the same numbers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from real_data.methods import OF_PHOTOS, points_of
from real_data.photos import PHOTOS, Photo
from real_data.study import Samples, Settings, measured
from real_data.tables import photo_tables
from real_data.written import as_json, versions, write
from torch import Tensor

from signxai.evidence import Patch
from signxai.files import read_image
from signxai.models import Classifier, load_classifier

AGAIN, STEPS, POINTS, SENSITIVITY, SEED = 3, 7, 8, 2, 0
PATCH = 32
LEVELS = (0.03,)
LAYERS = ("_blocks.4._project_conv", "_blocks.10._project_conv", "_conv_head", "_fc")
NUMBERS = Path(__file__).with_name("photos.json")


def settings_of(options: argparse.Namespace) -> Settings:
    """How the methods are compared."""
    return Settings(
        methods=options.methods,
        metric_options={"unit": Patch(PATCH), "imputer": "blur", "steps": options.steps},
        method_options=points_of(options.methods, options.points),
        levels=LEVELS,
        again={"average_sensitivity": {"samples": SENSITIVITY}, "mprt": {"layers": options.layers}, "random_logit": {}},
        seed=SEED,
        batch_size=8,
    )


def prepared(classifier: Classifier, photos: Sequence[Photo]) -> Tensor:
    """The photographs as the network takes them (photographs, 3, 224, 224)."""
    assert classifier.preprocess is not None
    return torch.stack([torch.as_tensor(classifier.preprocess(read_image(photo.find()))) for photo in photos])


def summary(options: argparse.Namespace) -> dict[str, Any]:
    """All numbers, for JSON."""
    photos = [photo for photo in PHOTOS if photo.name in options.photos]
    classifier = load_classifier("efficientnet_lite0")
    net = classifier.model.eval()
    x = prepared(classifier, photos)
    with torch.no_grad():
        probabilities = net(x).softmax(1)
    share, target = probabilities.max(1)
    few = slice(options.again)
    found = measured(net, Samples(x, target), Samples(x[few], target[few]), settings_of(options))
    told = [(classifier.class_names[int(index)], round(float(own), 2)) for index, own in zip(target, share, strict=True)]
    listed = [_of_photo(photo, *own) for photo, own in zip(photos, told, strict=True)]
    return {"parameters": parameters(options), "versions": versions(), "photos": listed, "sets": {"": found}}


def _of_photo(photo: Photo, predicted: str, probability: float) -> dict[str, Any]:
    of_photo = {name: getattr(photo, name) for name in ("name", "project", "license", "credit")}
    return {**of_photo, "version": version(photo.project), "predicted": predicted, "probability": probability}


def parameters(options: argparse.Namespace) -> dict[str, Any]:
    """What the numbers depend on, as the options say."""
    listed = {name: list(getattr(options, name)) for name in ("photos", "methods", "layers")}
    counted = {name: getattr(options, name) for name in ("again", "steps", "points")}
    return {**listed, **counted, "sensitivity": SENSITIVITY, "patch": PATCH, "levels": list(LEVELS), "seed": SEED}


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="folder of evidence_real.md and images/")
    parser.add_argument("--numbers", type=Path, default=NUMBERS, help="where the numbers go with --output (default: beside this script)")
    parser.add_argument("--redraw", action="store_true", help="measure nothing; take the numbers of the last time")
    names = [photo.name for photo in PHOTOS]
    parser.add_argument("--photos", nargs="+", choices=names, default=names, help="these alone")
    parser.add_argument("--methods", nargs="+", default=list(OF_PHOTOS), metavar="METHOD", help="these alone")
    parser.add_argument("--again", type=int, default=AGAIN, help="photographs that are explained again and again")
    parser.add_argument("--steps", type=int, default=STEPS, help="of removal")
    parser.add_argument("--points", type=int, default=POINTS, help="of SmoothGrad and of integrated gradients")
    parser.add_argument("--layers", nargs="+", metavar="LAYER", default=list(LAYERS), help="that are made random by MPRT")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    torch.set_num_threads(1)
    text = options.numbers.read_text(encoding="utf-8") if options.redraw else as_json(summary(options))
    found = json.loads(text)
    if options.output is None:
        print("\n\n".join(photo_tables(found).values()))
    else:
        write(options.output, photo_tables(found), {}, found, {options.numbers: text})


if __name__ == "__main__":
    main()
