"""Measures the methods on the networks that people use, and writes the figures into docs/architectures.md.

All networks are random (see ``family_member``) with ten classes, but for EfficientNet-Lite0 with its real weights. The tests
take networks and measures from here.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from torch import Tensor, nn

import signxai
from signxai.common import ModelError, SignxaiError
from signxai.inspecting import Report

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))
randomized = importlib.import_module("networks").randomized

DOCUMENT = ROOT / "docs" / "architectures.md"
BEGIN, END = "<!-- figures:begin -->", "<!-- figures:end -->"
CLASSES = 10
METHODS = ("lrp_epsilon_0_1", "lrp_alpha_1_beta_0", "guided_backprop", "grad_cam")
ACCOUNTED_METHOD = "lrp_epsilon_0_1"

_OPTIONS: dict[str, dict[str, Any]] = {"googlenet": {"init_weights": False}, "inception_v3": {"init_weights": False}}


# Networks


class DoubleConvolution(nn.Sequential):
    """Two convolutions with batch norm and ReLU, as at every level of a U-Net."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
        )  # fmt: skip


class UNet(nn.Module):
    """A small U-Net (Ronneberger et al. 2015): one transposed convolution and one bilinear way up; logits (N, classes, rows, columns)."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.down1, self.down2 = DoubleConvolution(3, width), DoubleConvolution(width, 2 * width)
        self.bottom = DoubleConvolution(2 * width, 4 * width)
        self.widen = nn.ConvTranspose2d(4 * width, 2 * width, 2, stride=2)
        self.up2, self.up1 = DoubleConvolution(4 * width, 2 * width), DoubleConvolution(3 * width, width)
        self.head = nn.Conv2d(width, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Classes of every pixel."""
        one = self.down1(x)
        two = self.down2(F.max_pool2d(one, 2))
        deep = self.widen(self.bottom(F.max_pool2d(two, 2)))
        deep = self.up2(torch.cat([two, deep], 1))
        deep = F.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=False)
        logits: Tensor = self.head(self.up1(torch.cat([one, deep], 1)))
        return logits


class Logits(nn.Module):
    """A Hugging Face model as a function from pixels, or from embeddings of tokens, to logits; ``constants`` are one sample's."""

    def __init__(self, model: nn.Module, argument: str, **constants: Tensor) -> None:
        super().__init__()
        self.model = model
        self.argument = argument
        self.constants = constants

    def forward(self, x: Tensor) -> Tensor:
        """The logits alone."""
        constants = {name: value.expand(len(x), *value.shape[1:]) for name, value in self.constants.items()}
        logits: Tensor = self.model(**{self.argument: x}, **constants).logits
        return logits


def hugging_face_vit(attention: str = "eager") -> nn.Module:
    """A tiny ViTForImageClassification for images (3, 32, 32)."""
    transformers = importlib.import_module("transformers")
    config = transformers.ViTConfig(
        image_size=32, patch_size=8, hidden_size=24, intermediate_size=48, num_hidden_layers=3, num_attention_heads=3, num_labels=CLASSES
    )
    config._attn_implementation = attention
    return Logits(transformers.ViTForImageClassification(config), "pixel_values")


def hugging_face_bert(attention: str = "eager") -> nn.Module:
    """A tiny BertForSequenceClassification on the embeddings (7, 24) of tokens, the last two of which are padding."""
    transformers = importlib.import_module("transformers")
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=24, intermediate_size=48, num_hidden_layers=3, num_attention_heads=3, num_labels=CLASSES,
        max_position_embeddings=16,
    )  # fmt: skip
    config._attn_implementation = attention
    mask = torch.tensor([[1, 1, 1, 1, 1, 0, 0]])
    return Logits(transformers.BertForSequenceClassification(config), "inputs_embeds", attention_mask=mask)


def from_torchvision(name: str, **options: Any) -> nn.Module:
    """A classifier of torchvision by its name, without weights."""
    model: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=CLASSES, **_OPTIONS.get(name, {}), **options)
    return model


@dataclass(frozen=True)
class Network:
    """A network to be measured.

    Attributes:
        build: makes it.
        shape: of a sample.
        piecewise_linear: law 1 holds for it.
        target: a tuple index into logits with more axes; None: the predicted class.
        needs: a package without which there is no such network.
    """

    build: Callable[[], nn.Module]
    shape: tuple[int, ...] = (3, 96, 96)
    piecewise_linear: bool = True
    target: tuple[int, ...] | None = None
    needs: str = "torchvision"

    def built(self) -> nn.Module:
        """The network with random parameters, in float64 and eval."""
        return randomized(self.build())

    def sample(self) -> Tensor:
        """One random sample (1, ...)."""
        return torch.randn(1, *self.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    @property
    def is_available(self) -> bool:
        """Whether its package is installed."""
        return importlib.util.find_spec(self.needs) is not None


_PIECEWISE_LINEAR = (
    *("alexnet", "vgg11_bn", "resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "densenet121", "googlenet", "inception_v3"),
    *("squeezenet1_1", "mobilenet_v2", "mnasnet0_5", "shufflenet_v2_x0_5", "regnet_x_400mf"),
)
_OTHERS = (
    *("mobilenet_v3_small", "efficientnet_b0", "efficientnet_v2_s", "convnext_tiny", "regnet_y_400mf", "vit_b_16", "swin_t", "maxvit_t"),
)
_IMAGE = (3, 224, 224)

NETWORKS: dict[str, Network] = {
    **{name: Network(partial(from_torchvision, name)) for name in _PIECEWISE_LINEAR},
    "U-Net": Network(UNet, (3, 32, 32), target=(4, 10, 21)),
    **{
        name: Network(partial(from_torchvision, name), _IMAGE if name in ("vit_b_16", "maxvit_t") else (3, 96, 96), piecewise_linear=False)
        for name in _OTHERS
    },
}
"""The networks that are accounted for."""

HUGGING_FACE: dict[str, Network] = {
    "ViTForImageClassification, tiny": Network(hugging_face_vit, (3, 32, 32), False, needs="transformers"),
    "BertForSequenceClassification, tiny": Network(hugging_face_bert, (7, 24), False, needs="transformers"),
}
"""The same for Hugging Face's transformers."""

FAMILIES: dict[str, str] = {
    "alexnet": "alexnet", "convnext_tiny": r"convnext_\w+", "densenet121": r"densenet\d+", "efficientnet_b0": r"efficientnet_b\d",
    "efficientnet_v2_s": r"efficientnet_v2_\w", "googlenet": "googlenet", "inception_v3": "inception_v3", "maxvit_t": r"maxvit_\w",
    "mnasnet0_5": r"mnasnet\d_\d+", "mobilenet_v2": "mobilenet_v2", "mobilenet_v3_small": r"mobilenet_v3_\w+",
    "regnet_x_400mf": r"regnet_x_\w+", "regnet_y_400mf": r"regnet_y_\w+", "resnet18": r"resnet\d+", "resnext50_32x4d": r"resnext\w+",
    "shufflenet_v2_x0_5": r"shufflenet_v2_\w+", "squeezenet1_1": r"squeezenet1_\d", "swin_t": r"swin_[a-z]", "swin_v2_t": r"swin_v2_\w",
    "vgg11": r"vgg\d+", "vgg11_bn": r"vgg\d+_bn", "vit_b_32": r"vit_\w+", "wide_resnet50_2": r"wide_resnet\w+",
}  # fmt: skip
"""From the variant that stands for a family of torchvision's classifiers to a pattern of the family's names."""

_SMALLEST = {"inception_v3": 75, "maxvit_t": 224}


def family_member(name: str) -> tuple[nn.Module, Tensor]:
    """The variant that stands for a family as it begins its training, with nothing at 0, and the smallest input that it takes."""
    size = _SMALLEST.get(name, 64)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        net = from_torchvision(name, **({"image_size": size} if name.startswith("vit") else {})).eval()
        for parameter in net.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return net, torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))


# Measures


def predicted(net: nn.Module, x: Tensor) -> int:
    """The class of the largest logit."""
    with torch.no_grad():
        return int(net(x)[0].argmax())


def law_1_deviation(net: nn.Module, x: Tensor, target: Any) -> float:
    """How far ``lrp_z`` with relevance="logit" is from gradient times input, relative to the largest value.

    Raises:
        ValueError: if gradient times input is zero everywhere.
    """
    leaf = x.clone().requires_grad_()
    logit = net(leaf)[(0, *target) if isinstance(target, tuple) else (0, target)]
    expected = torch.autograd.grad(logit, leaf)[0] * x
    scale = float(expected.abs().max())
    if scale == 0:
        raise ValueError("gradient times input is zero everywhere: a law that compares with it says nothing")
    got = signxai.explain(net, x, "lrp_z", target, relevance="logit", as_tensor=True)
    return float((torch.as_tensor(got) - expected).abs().max()) / scale


def imbalance(report: Report) -> float:
    """What a report leaves unaccounted, relative to the larger of 1 and the sum of what was absorbed, each absolute."""
    absorbed = sum(
        abs(value) for row in report.rows for value in (row.absorbed_by_bias, row.absorbed_by_stabilizer, row.absorbed_elsewhere)
    )
    return abs(report.unaccounted) / max(1.0, absorbed)


def outcomes(net: nn.Module, x: Tensor, methods: Iterable[str] = METHODS) -> dict[str, str]:
    """For each method "runs", or the message with which it refuses the network; an unknown operation counts as an error."""
    found = {}
    for method in methods:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                signxai.explain(net, x, method)
                found[method] = "runs"
            except (SignxaiError, UserWarning) as error:
                found[method] = str(error)
    return found


# The document


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table: the first column to the left, numbers to the right."""
    line = "| " + " | ".join(header) + " |"
    return [line, "| --- |" + " ---: |" * (len(header) - 1), *("| " + " | ".join(row) + " |" for row in rows)]


def _account_row(name: str, net: nn.Module, x: Tensor, target: Any, piecewise_linear: bool) -> list[str]:
    deviation = f"{law_1_deviation(net, x, target):.0e}" if piecewise_linear else ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = signxai.inspect_model(net, x, ACCOUNTED_METHOD, target)
    sums = (report.relevance_at_input, report.absorbed_by_bias, report.absorbed_by_stabilizer, report.absorbed_elsewhere)
    size = sum(parameter.numel() for parameter in net.parameters()) / 1e6
    shape = " x ".join(map(str, x.shape[1:]))
    numbers = [("0" if abs(value) < 5e-13 else f"{value:.3g}") for value in sums]
    return [name, f"{size:.3g}", shape, str(len(report.rows)), deviation, *numbers, f"{report.unaccounted:.0e}"]


def _account(say: Callable[[str], None]) -> list[str]:
    rows = []
    for name, network in {**NETWORKS, **HUGGING_FACE}.items():
        if not network.is_available:
            continue
        say(name)
        net, x = network.built(), network.sample()
        target = predicted(net, x) if network.target is None else network.target
        rows.append(_account_row(name, net, x, target, network.piecewise_linear))
    lite = lite0()
    if lite is not None:
        say("efficientnet_lite0")
        net, x = lite[0].double(), lite[1].double()
        rows.append(_account_row("EfficientNet-Lite0, real weights", net, x, predicted(net, x), piecewise_linear=True))
    sums = ("R at input", "bias", "stabilizer", "elsewhere", "unaccounted")
    return table(("network", "million parameters", "sample", "operations", "law 1", *sums), rows)


def lite0() -> tuple[nn.Module, Tensor] | None:
    """EfficientNet-Lite0 with its weights and the photo of a cat, or None where its packages are missing."""
    from signxai.models import load_classifier

    try:
        classifier = load_classifier("efficientnet_lite0")
    except ModelError:
        return None
    assert classifier.preprocess is not None
    return classifier.model.eval(), classifier.preprocess(Image.open(ROOT / "src/signxai/data/chelsea.png").convert("RGB"))[None]


def _sweep(say: Callable[[str], None]) -> list[str]:
    rows, reasons = [], list[str]()
    members: list[tuple[str, Callable[[], tuple[nn.Module, Tensor] | None]]] = [
        *((name, partial(family_member, name)) for name in FAMILIES),
        ("EfficientNet-Lite0, real weights", lite0),
    ]
    for name, make in members:
        made = make()
        if made is None:
            continue
        say(f"methods on {name}")
        cells = []
        for outcome in outcomes(*made).values():
            if outcome != "runs" and outcome not in reasons:
                reasons.append(outcome)
            cells.append("runs" if outcome == "runs" else f"refused ({reasons.index(outcome) + 1})")
        rows.append([name, str(made[1].shape[-1]), *cells])
    notes = [f'- ({index}) "{reason}"' for index, reason in enumerate(reasons, 1)]
    return [*table(("network", "size", *(f"`{method}`" for method in METHODS)), rows), "", *notes]


def figures(say: Callable[[str], None]) -> str:
    """Everything that stands between the markers."""
    versions = f"torch {torch.__version__.partition('+')[0]}, torchvision {torchvision.__version__.partition('+')[0]}"
    if importlib.util.find_spec("transformers") is not None:
        versions += f", transformers {importlib.import_module('transformers').__version__}"
    accounts = ["### Accounts", "", *_account(say)]
    return "\n".join([f"Measured with {versions}.", "", *accounts, "", "### Methods by family", "", *_sweep(say)])


def written_into(document: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    """Put the text between two markers; the document is whole at any time.

    Raises:
        ValueError: if the document has no markers.
    """
    before = document.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    if not pattern.search(before):
        raise ValueError(f"{document} has no place for figures: write {begin} and {end} into it, each on its own line")
    beside = document.with_name(document.name + ".new")
    beside.write_text(pattern.sub(lambda _: f"{begin}\n{text}\n{end}", before), encoding="utf-8")
    os.replace(beside, document)


def main() -> None:
    """Measure everything, one line on stderr for each network, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=DOCUMENT, help="the document between whose markers the figures go")
    output = parser.parse_args().output
    torch.set_num_threads(1)
    written_into(output, figures(lambda line: print(line, file=sys.stderr, flush=True)))  # noqa: T201


if __name__ == "__main__":
    main()
