"""LRP on networks of keras.applications against Keras' own gradient, on torch."""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import partial
from typing import Any

import competitors as run
import torch
from measuring import Spread, interleaved_seconds, ratios
from tables import Settings, markdown, marked

from networks import SEED, Case

METHOD = "lrp_epsilon_0_1"
NETWORKS = ("VGG16", "ResNet50V2", "MobileNetV2")
BATCHES = (1, 8)
BOUNDS = {"VGG16": 1.35}


def keras_models(settings: Settings) -> str:
    """The table; nothing where Keras is not installed."""
    if importlib.util.find_spec("keras") is None:
        settings.report("keras is not installed: its table is left out")
        return ""
    rows = [row for name in (NETWORKS[-1:] if settings.quick else NETWORKS) for row in _rows(name, settings)]
    explanation = (
        f"Time of {METHOD} in gradients of the same Keras network (one forward pass of Keras on torch and the gradient of the input, "
        "parameters frozen, same batch): the median of the ratios within each interleaved round, and their range. Random weights, "
        f"{'32' if settings.quick else '224'} px, channels last. VGG16 has a bound, the others are for information."
    )
    header = ["network", "plain gradient", "signxai", "bound"]
    return f"{explanation}\n\n{markdown(header, rows)}"


def _rows(name: str, settings: Settings) -> list[list[str]]:
    size = 32 if settings.quick else 224
    net, rows = _network(name, size), []
    for batch in BATCHES:
        x = torch.randn(batch, size, size, 3, generator=torch.Generator().manual_seed(SEED))
        case = Case(f"{name} b{batch}", net, x, [0] * batch)
        calls = {"gradient": partial(run.plain_gradient, case), "signxai": partial(run.by_signxai, case, METHOD)}
        seconds = interleaved_seconds(calls, settings.repeats)
        cost, gradient = ratios(seconds, "gradient")["signxai"], Spread.of(seconds["gradient"])
        time = f"{1000 * gradient.median:.0f} ms ({1000 * gradient.low:.0f}-{1000 * gradient.high:.0f})"
        rows.append([case.name, time, str(cost), marked(cost.median, BOUNDS.get(name))])
        settings.report(" | ".join(rows[-1]))
    return rows


def _network(name: str, size: int) -> Any:
    """A network of keras.applications with logits as outputs, random weights and biases that are not 0."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = importlib.import_module("keras")
    keras.utils.set_random_seed(SEED)
    net = getattr(keras.applications, name)(weights=None, classifier_activation=None, input_shape=(size, size, 3))
    generator = torch.Generator().manual_seed(SEED)
    for weight in net.weights:
        if weight.path.endswith(("bias", "beta", "moving_mean")):
            weight.assign(torch.randn(weight.shape, generator=generator) / 10)
    return net.requires_grad_(False)
