"""The table of metrics: each against the forward passes or explanations that it needs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from measuring import Spread, interleaved_clocks, keep_freed_memory, ratios
from PIL import Image
from tables import Settings, markdown, marked
from torch import Tensor, nn

import networks
from signxai import evidence as metrics
from signxai import explain
from signxai.datasets import beats_of
from signxai.evidence import METRICS
from signxai.models import load_classifier

Array: TypeAlias = "npt.NDArray[Any]"

BOUND = 1.1
SECONDS_OF_SRG = 3.0
MAP, METHOD = "lrp_epsilon_0_25_std_x", "gradient"
DATA = Path(metrics.__file__).parents[1] / "data"
FEW: dict[str, dict[str, Any]] = {
    "srg": {"steps": 5},
    "aopc": {"steps": 10},
    "deletion": {"steps": 10},
    "insertion": {"steps": 10},
    "faithfulness_correlation": {"samples": 10},
    "sensitivity_n": {"samples": 2},
    "infidelity": {"samples": 10},
    "max_sensitivity": {"samples": 5},
    "average_sensitivity": {"samples": 5},
    "smprt": {"smoothed": 3},
}
"""How much of what is counted: enough for a metric's own share to show, which is the same of each pass."""


@dataclass(frozen=True)
class Work:
    """A network, samples, and where their relevance should lie.

    Attributes:
        name: as the table shows it.
        net: float32; it is put in evaluation mode, and its parameters are frozen.
        x: the samples (N, ...).
        layers: those that are made random.
    """

    name: str
    net: nn.Module
    x: Tensor
    layers: list[str]
    target: list[int] = field(init=False)
    relevance: Array = field(init=False)

    def __post_init__(self) -> None:
        self.net.eval().requires_grad_(False)
        with torch.no_grad():
            object.__setattr__(self, "target", self.net(self.x.clone()).argmax(1).tolist())
        object.__setattr__(self, "relevance", explain(self.net, self.x, MAP, self.target))

    def mask(self) -> Array:
        """A quarter of each axis behind the channels, in the middle."""
        mask = np.zeros((len(self.x), 1, *self.x.shape[2:]), dtype=bool)
        mask[(slice(None), slice(None), *(slice(3 * size // 8, 5 * size // 8) for size in self.x.shape[2:]))] = True
        return mask


def evidence(settings: Settings) -> str:
    if not {MAP, METHOD} <= set(settings.methods):
        return ""
    threads = torch.get_num_threads()
    keep_freed_memory()
    torch.set_num_threads(1)
    try:
        parts = [_of_work(make(), settings) for make in _works(settings.quick)]
    finally:
        torch.set_num_threads(threads)
    explanation = (
        f"Each metric in units of exactly the forward passes, or explanations by {METHOD}, that it makes: as many, in batches of the same "
        "sizes, of points that lie there already; where models are random also one copy whose layers are drawn anew, which is explained as "
        "often as the metric's. The median of the ratios within each interleaved round, and their range: by the processor's time of this "
        f"process, and by the clock. One thread; freed memory stays with the process. Maps by {MAP}. Metrics of maps alone need nothing: "
        "microseconds for each sample."
    )
    return "\n\n".join([explanation, *parts])


def _works(quick: bool) -> list[Callable[[], Work]]:
    if quick:
        return [partial(_small, "1-D CNN, 3 signals")]
    return [_pictures, _beats]


def _small(name: str) -> Work:
    with torch.random.fork_rng():
        torch.manual_seed(networks.SEED)
        net = networks.cnn_1d()
        return Work(name, net, torch.randn(3, 12, 64), _all_layers(net))


def _all_layers(net: nn.Module) -> list[str]:
    return [name for name, module in net.named_modules() if any(True for _ in module.parameters(recurse=False))]


def _pictures(count: int = 16) -> Work:
    """Parts of the photo that comes with the package."""
    classifier, draws = load_classifier("efficientnet_lite0"), np.random.default_rng(networks.SEED)
    assert classifier.preprocess is not None
    with Image.open(DATA / "chelsea.png") as photo:
        parts = [_part(photo.convert("RGB"), draws) for _ in range(count)]
    layers = ["_conv_stem", "_blocks.5._project_conv", "_fc"]
    x = torch.stack([classifier.preprocess(part) for part in parts])
    return Work(f"EfficientNet-Lite0, {count} pictures", classifier.model, x, layers)


def _part(photo: Image.Image, draws: np.random.Generator, size: int = 240) -> Image.Image:
    left, top = (int(draws.integers(length - size)) for length in photo.size)
    return photo.crop((left, top, left + size, top + size))


def _beats(count: int = 64) -> Work:
    """Beats of the recording that comes with the package, again and again, with noise of their own."""
    classifier = load_classifier("ecg_beats")
    assert classifier.signal_input is not None
    source = beats_of([DATA / "233_1655s.hea"], classifier.signal_input)
    found = np.stack([source.read(index) for index in range(len(source.entries.keys))])
    noise = 0.05 * np.random.default_rng(networks.SEED).standard_normal((count, *found.shape[1:]))
    x = torch.from_numpy((found[np.arange(count) % len(found)] + noise).astype(np.float32))
    return Work(f"ecg_beats, {count} beats", classifier.model, x, _all_layers(classifier.model))


# A metric and what it needs


class Counting(nn.Module):
    """A network that notes how many samples it is given at once."""

    def __init__(self, net: nn.Module, note: Callable[[int], None]) -> None:
        super().__init__()
        self.net, self.note = net, note

    def forward(self, x: Tensor) -> Tensor:
        self.note(len(x))
        logits: Tensor = self.net(x)
        return logits


def _of_work(work: Work, settings: Settings) -> str:
    rows = [_row(name, work, settings) for name in METRICS if METRICS[name].takes in ("decision", "method")]
    header = ["metric", "options", "needs", "seconds", "metric / what it needs, processor", "bound", "by the clock"]
    alone = [_row_alone(name, work, settings) for name in METRICS if METRICS[name].takes in ("mask", "map")]
    parts = [markdown(header, rows), markdown(["metric of maps alone", "microseconds per sample"], alone)]
    if work.name.startswith("ecg_beats"):
        parts.append(_seconds_of_srg(work, settings))
    return "\n\n".join([f"### {work.name}", *parts])


def _row(name: str, work: Work, settings: Settings) -> list[str]:
    call, needed = (_decided if METRICS[name].takes == "decision" else _explained)(name, work)
    calls = {"metric": call, "needed": needed.run}
    wall, processor = interleaved_clocks(calls, settings.repeats)
    by_work, by_clock = (ratios(found, "needed")["metric"] for found in (processor, wall))
    seconds = f"{Spread.of(processor['metric']).median:.2f}"
    row = [name, _spelled(_options(name, work)), str(needed), seconds, str(by_work), marked(by_work.median, BOUND), str(by_clock)]
    settings.report(f"{work.name}: {' | '.join(row)}")
    return row


def _spelled(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value if not isinstance(value, list) else f'{len(value)} names'}" for name, value in options.items())


_OF_RANDOM_MODELS = ("mprt", "smprt", "emprt")


def _options(name: str, work: Work) -> dict[str, Any]:
    options = dict(FEW.get(name, {}))
    if name in _OF_RANDOM_MODELS:
        options["layers"] = work.layers
    return options


@dataclass(frozen=True)
class Needed:
    """What a metric needs, without the metric.

    Attributes:
        what: "passes" or "explanations".
        net: the model.
        sizes: of the batches; those of a copy of the model with random layers come last.
        one: runs a model on a batch of that size.
        of_copy: how many of the batches the copy is given.
        layers: of the model, that are drawn anew in the copy; empty: there is none.
    """

    what: str
    net: nn.Module
    sizes: Sequence[int]
    one: Callable[[nn.Module, int], object]
    of_copy: int = 0
    layers: Sequence[str] = ()

    def __str__(self) -> str:
        copied = f", a copy with {len(self.layers)} random layers" if self.layers else ""
        return f"{sum(self.sizes)} {self.what}, at most {max(self.sizes)} at once{copied}"

    def run(self) -> None:
        own = len(self.sizes) - self.of_copy
        for size in self.sizes[:own]:
            self.one(self.net, size)
        if self.layers:
            other = copy.deepcopy(self.net)
            _randomized(other, self.layers)
            for size in self.sizes[own:]:
                self.one(other, size)


def _randomized(net: nn.Module, layers: Sequence[str]) -> None:
    """Draw the parameters of layers anew, in torch's own way or, of a user's own module, normally."""
    for name in layers:
        layer: Any = net.get_submodule(name)
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
        else:
            for parameter in layer.parameters(recurse=False):
                parameter.normal_()


def _decided(name: str, work: Work) -> tuple[Callable[[], object], Needed]:
    """A metric of a decision, and its forward passes."""
    function, options, sizes = METRICS[name].function, _options(name, work), []
    function(Counting(work.net, sizes.append), work.x, work.relevance, work.target, **options)
    points = _points(work.x, max(sizes))

    def forward(net: nn.Module, size: int) -> None:
        with torch.no_grad():
            net(points[:size])

    return partial(function, work.net, work.x, work.relevance, work.target, **options), Needed("passes", work.net, sizes, forward)


def _explained(name: str, work: Work) -> tuple[Callable[[], object], Needed]:
    """A metric of a method, and its explanations."""
    function, options = METRICS[name].function, _options(name, work)
    own: list[int] = []
    of_copy: list[int] = []

    def noting(net: nn.Module, x: Tensor, target: Any) -> object:
        (own if net is work.net else of_copy).append(len(x))
        return explain(net, x, METHOD, target)

    function(work.net, work.x, noting, work.target, **options)
    sizes = own + of_copy
    points, target = _points(work.x, max(sizes)), work.target * max(sizes)

    def explained(net: nn.Module, size: int) -> None:
        explain(net, points[:size], METHOD, target[:size])

    layers = work.layers if name in _OF_RANDOM_MODELS else ()
    needed = Needed("explanations", work.net, sizes, explained, len(of_copy), layers)
    return partial(function, work.net, work.x, METHOD, work.target, **options), needed


def _points(x: Tensor, count: int) -> Tensor:
    return x.repeat(-(-count // len(x)), *(1,) * (x.ndim - 1))[:count]


def _row_alone(name: str, work: Work, settings: Settings) -> list[str]:
    metric = METRICS[name]
    given = (work.relevance, work.mask()) if metric.takes == "mask" else (work.relevance,)
    _, processor = interleaved_clocks({"metric": partial(metric.function, *given)}, settings.repeats)
    row = [name, f"{1e6 * Spread.of(processor['metric']).median / len(work.x):.0f}"]
    settings.report(f"{work.name}: {' | '.join(row)}")
    return row


def _seconds_of_srg(work: Work, settings: Settings) -> str:
    call = partial(metrics.srg, work.net, work.x, work.relevance, work.target)
    wall, _ = interleaved_clocks({"srg": call}, settings.repeats)
    seconds = Spread.of(wall["srg"])
    return f"SRG with its default of 20 steps: {seconds} s by the clock, bound {marked(seconds.median, SECONDS_OF_SRG, ' s')}."
