"""Measure on the photo of the demo which methods tell classes apart; write the tables and the picture of docs/classes.md.

    python tools/classes_page.py

Of each method the maps of two classes, summed over the colours, are compared by Spearman's rank correlation: 1 is one map for both.
The classes are what the network predicts, tiger cat, a class close to it, lynx, and one that the photo does not show, window screen.
Beside that stands how many of the pixels have a relevance of the other sign in the other class's map.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

import signxai
from generated_page import DOCS, parts_from, table, with_parts
from signxai.engine.prediction import prediction
from signxai.figures.map_plots import Sample, image_figure, label_heading
from signxai.files import read_image, write_atomically
from signxai.models import load_classifier

PHOTO = DOCS.parent / "src" / "signxai" / "data" / "chelsea.png"
PAGE, PICTURE = DOCS / "classes.md", DOCS / "images" / "two_classes.png"
PREDICTED, OTHERS = "tiger cat", ("lynx", "window screen")
SHOWN = ("lrp_epsilon_0_25_std_x", "grad_cam", "lrp_gamma_0_25", "lrp_alpha_1_beta_0")
METHODS = (
    *("lrp_epsilon_0_25_std_x", "lrpsign_epsilon_0_25_std_x", "lrp_epsilon_0_1", "grad_cam"),
    *("gradient", "gradient_x_sign", "gradient_x_input"),
    *("lrp_alpha_2_beta_1", "lrp_gamma_0_25", "guided_backprop", "deconvnet", "lrp_sequential_composite_a", "lrp_alpha_1_beta_0"),
)

Maps = dict[str, dict[str, Any]]


def measured() -> tuple[Any, Any, Maps]:
    """The classifier, its input and, by method, then by class, the map of each pixel."""
    classifier = load_classifier("efficientnet_lite0")
    x = np.asarray(classifier.preprocess(read_image(PHOTO)))[None]
    maps: Maps = {method: {} for method in METHODS}
    for name in (PREDICTED, *OTHERS):
        target = classifier.class_index(name, 1000)
        for method in METHODS:
            maps[method][name] = signxai.explain(classifier.model, x, method, target)[0].sum(axis=0)
    return classifier, x, maps


def classes_table(maps: Maps) -> str:
    """A row for each method, those that tell an absent class best first."""
    rows = sorted(((method, compared(of_classes)) for method, of_classes in maps.items()), key=lambda row: row[1][1][0])
    header = ("method", *(f"{PREDICTED} and {other}: rank correlation" for other in OTHERS), f"pixels of another sign for {OTHERS[1]}")
    return table(
        header, [(f"`{method}`", f"{near:.3f}", f"{far:.3f}", f"{100 * flips:.0f} %") for method, ((near, _), (far, flips)) in rows]
    )


def strides_table(maps: Maps) -> str:
    """Of methods that stand for others the shares of |R| on even and odd rows and columns."""
    places = [(row, column) for row in (0, 1) for column in (0, 1)]
    rows = []
    for method in ("lrp_alpha_1_beta_0", "lrp_epsilon_0_25_std_x", "gradient"):
        strength = np.abs(maps[method][PREDICTED])
        shares = [strength[row::2, column::2].sum() / strength.sum() for row, column in places]
        rows.append((f"`{method}`", *(f"{100 * share:.0f} %" for share in shares)))
    names = ("even", "odd")
    return table(("method", *(f"{names[row]} row, {names[column]} column" for row, column in places)), rows)


def compared(maps: dict[str, Any]) -> list[tuple[float, float]]:
    """With each other class the rank correlation, and the share of pixels of another sign."""
    own = maps[PREDICTED]
    return [(spearmanr(own, maps[name], axis=None).statistic, float(np.mean(own * maps[name] < 0))) for name in OTHERS]


def picture(classifier: Any, x: Any, maps: Maps) -> Any:
    """The photo and the maps of two classes, below each other."""
    logits = prediction(classifier.model, x).logits[0].double()
    shares = logits.softmax(0)
    samples = []
    for name in (PREDICTED, OTHERS[1]):
        target = classifier.class_index(name, 1000)
        said = label_heading(name, float(shares[target]), float(logits[target]))
        samples.append(Sample(classifier.picture(x[0]), {method: maps[method][name] for method in SHOWN}, said))
    return image_figure(samples)


def main() -> None:
    """Measure, draw, and write both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    classifier, x, maps = measured()
    found = classes_table(maps)
    text = with_parts(
        PAGE.read_text(encoding="utf-8"),
        parts_from("tools/classes_page.py"),
        {"classes": lambda: found, "strides": lambda: strides_table(maps)},
    )
    figure = picture(classifier, x, maps)
    files = {PAGE: partial(Path.write_text, data=text, encoding="utf-8"), PICTURE: partial(figure.savefig, metadata={"Software": None})}
    write_atomically(files)


if __name__ == "__main__":
    main()
