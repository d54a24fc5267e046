"""Measures the networks of keras.applications, with random weights, and writes the figures into docs/keras.md.

Keras has to run on torch: this sets ``KERAS_BACKEND``. The tests take networks from here.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import torch
from torch import Tensor

import keras
import signxai
from signxai.common import SignxaiError

sys.path.append(str(Path(__file__).parent))
architectures = importlib.import_module("architectures")

BEGIN, END = "<!-- keras:begin -->", "<!-- keras:end -->"


@contextmanager
def in_float64() -> Iterator[None]:
    """Let Keras compute in float64: on torch, ``Dense`` and means take their values as float32 otherwise, whatever the policy."""
    types = importlib.import_module("keras.src.backend.common.dtypes").BIT64_TO_BIT32_DTYPE
    before, policy, narrowed = keras.config.floatx(), keras.config.dtype_policy(), types["float64"]
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    types["float64"] = "float64"
    try:
        yield
    finally:
        keras.config.set_floatx(before)
        keras.config.set_dtype_policy(policy)
        types["float64"] = narrowed


def randomized(net: Any, seed: int = 0) -> Any:
    """The network with all its weights and statistics drawn anew, of a size that keeps signals alive."""
    generator = torch.Generator().manual_seed(seed)
    for weight in net.weights:
        value = weight.value.detach()
        drawn = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        weight.assign(_scaled(drawn, weight.path.rpartition("/")[2], "depthwise" in weight.path).to(value))
    return net


def _scaled(drawn: Tensor, name: str, is_depthwise: bool) -> Tensor:
    """Normally distributed numbers as values of a weight of this name."""
    if name.endswith("variance"):
        return 0.5 + drawn.abs()
    if name == "gamma":
        return 1 + 0.3 * drawn
    if drawn.ndim < 2:
        return 0.3 * drawn
    taken: int = drawn[..., 0, 0].numel() if is_depthwise and drawn.ndim == 4 else drawn[..., 0].numel()
    return drawn * (1.5 / taken) ** 0.5


def nasnet(blocks: int, filters: int, stem: int, **options: Any) -> Any:
    """A NASNet by its numbers: Keras' functions of their names refuse torch, their builder runs."""
    builder = importlib.import_module("keras.src.applications.nasnet").NASNet
    sizes = {"penultimate_filters": filters, "num_blocks": blocks, "stem_block_filters": stem, "filter_multiplier": 2}
    return builder(default_size=224, skip_reduction=False, **sizes, **options)


@dataclass(frozen=True)
class Network:
    """A network to be measured, with ten classes, whose outputs are logits.

    Attributes:
        name: of its function in ``keras.applications``.
        size: rows and columns of its input.
        is_piecewise_linear: law 1 holds for it.
    """

    name: str
    size: int = 64
    is_piecewise_linear: bool = True

    def built(self) -> Any:
        """The network with random weights; in float64 within ``in_float64``."""
        build: Callable[..., Any] = getattr(keras.applications, self.name)
        options = {"weights": None, "classes": architectures.CLASSES, "classifier_activation": None}
        if self.name == "NASNetMobile":
            build, options = nasnet, options | {"blocks": 4, "filters": 1056, "stem": 32}
        return randomized(build(input_shape=(self.size, self.size, 3), **options))

    def sample(self, seed: int = 1) -> Tensor:
        """One random sample (1, rows, columns, 3)."""
        return torch.randn(1, self.size, self.size, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


_SIZES = {"InceptionV3": 107, "InceptionResNetV2": 107, "Xception": 71}
_PIECEWISE_LINEAR = (
    *("VGG16", "VGG19", "ResNet50", "ResNet50V2", "MobileNet", "MobileNetV2", "DenseNet121", "InceptionV3", "InceptionResNetV2"),
    *("Xception", "NASNetMobile"),
)
_OTHERS = ("MobileNetV3Small", "MobileNetV3Large", "EfficientNetB0", "EfficientNetV2B0", "EfficientNetV2S", "ConvNeXtTiny")
NETWORKS: dict[str, Network] = {
    **{name: Network(name, _SIZES.get(name, 64)) for name in _PIECEWISE_LINEAR},
    **{name: Network(name, is_piecewise_linear=False) for name in _OTHERS},
}
"""One network of each family, and others."""
MEASURED = (
    *("VGG16", "ResNet50V2", "MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "DenseNet121", "InceptionV3", "ConvNeXtTiny", "Xception"),
    "NASNetMobile",
)
"""Those of the table."""
DOCUMENT = Path(__file__).parents[1] / "docs" / "keras.md"


def last_convolution(net: Any) -> Any:
    """The last layer of convolutions whose output has more than one position."""
    convolutions = (keras.layers.Conv2D, keras.layers.SeparableConv2D, keras.layers.DepthwiseConv2D)
    found = [layer for layer in net.layers if isinstance(layer, convolutions) and layer.output.shape[1] > 1]
    return found[-1]


def grad_cam_deviation(net: Any, x: Tensor, layer: Any) -> float:
    """How far ``grad_cam`` at a layer is from its formula in operations of Keras, of one sample with channels last; a map's maximum is 1.

    The class is the first whose map is not zero everywhere.

    Raises:
        ValueError: all of them are.
    """
    features, logits = keras.Model(net.input, [layer.output, net.output])(x)
    for target in range(architectures.CLASSES):
        (gradient,) = torch.autograd.grad(logits[0, target], features, retain_graph=True)
        weights = keras.ops.mean(gradient, axis=(1, 2), keepdims=True)
        cam = keras.ops.relu(keras.ops.sum(weights * features, axis=-1)).detach()
        if cam.max() > 0:
            break
    else:
        raise ValueError("the map of every class is zero everywhere: comparing with it says nothing")
    cam = torch.nn.functional.interpolate(cam[:, None], x.shape[1:3], mode="bilinear")[:, 0, :, :, None]
    got = signxai.explain(net, x, "grad_cam", target, layer=layer, as_tensor=True)
    return float((torch.as_tensor(got) - cam / cam.max()).abs().max())


def row(network: Network) -> list[str]:
    """What the table says of a network: as that of torchvision's, and Grad-CAM at the last convolution."""
    net, x = network.built(), network.sample()
    target = architectures.predicted(net, x)
    cells: list[str] = architectures._account_row(network.name, net, x, target, network.is_piecewise_linear)
    return [*cells, f"{grad_cam_deviation(net, x, last_convolution(net)):.0e}"]


def figures(names: Sequence[str]) -> str:
    """The table, one row for each network; one that fails says so on stderr."""
    rows = []
    for name in names:
        try:
            rows.append(row(NETWORKS[name]))
            print(" ".join(rows[-1]), file=sys.stderr, flush=True)  # noqa: T201
        except (SignxaiError, UserWarning) as error:
            print(name, error, file=sys.stderr, flush=True)  # noqa: T201
    sums = ("R at input", "bias", "stabilizer", "elsewhere", "unaccounted")
    table = architectures.table(("network", "million parameters", "sample", "operations", "law 1", *sums, "Grad-CAM"), rows)
    return "\n".join([f"Measured with keras {keras.__version__}, torch {torch.__version__.partition('+')[0]}.", "", *table])


def main() -> None:
    """Measure everything, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="some of the networks: their table is only printed")
    names = parser.parse_args().names
    torch.set_num_threads(1)
    with in_float64():
        text = figures(names or MEASURED)
    if names:
        print(text)  # noqa: T201
    else:
        architectures.written_into(DOCUMENT, text, BEGIN, END)


if __name__ == "__main__":
    main()
