"""What ``signxai explain`` does: read the inputs, predict, explain by each method, report, write."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from torch import nn
from tqdm import tqdm

from signxai.api import explain
from signxai.common.errors import InputError, ModelError, OptionError
from signxai.common.naming import parse_method
from signxai.common.plots import Sample, heading, image_figure, signal_figure
from signxai.files import ARRAY_SUFFIXES, FIGURE_SUFFIXES, check_destination, read_array, read_image, write_together
from signxai.models import Classifier, load_classifier, move_to
from signxai.torch_signxai.utils import predict

__all__ = ["Request", "explain_files"]

Array = npt.NDArray[Any]

_TOP = 5
_MOST_SHOWN = 8  # inputs in the figure and in the report; --save keeps all
_OWN_OPTIONS = {"seed": "--seed", "batch_size": "--batch-size", "relevance": "--relevance", "as_tensor": "--save"}


@dataclass(frozen=True)
class Request:
    """What the user asked for: see ``signxai explain --help``. `options` are by method, then by name."""

    inputs: tuple[Path, ...]
    model: str
    weights: str
    methods: tuple[str, ...]
    targets: tuple[str, ...]
    output: Path | None
    save: Path | None
    options: Mapping[str, Mapping[str, object]]
    relevance: str
    seed: int
    batch_size: int | None
    device: str


@dataclass(frozen=True)
class _Decisions:
    """The inputs, one by one, with what the network says: names (N), x (N, ...), logits (N, classes), explained classes (N)."""

    names: list[str]
    x: Array
    logits: Array
    targets: list[int]


def explain_files(request: Request, say: Callable[[str], None]) -> None:
    """Carry out the request; nothing is written before everything is computed.

    Args:
        request: what to do.
        say: takes each line of the report.

    Raises:
        SignxaiError: any mistake in the request; the message says what to do.
        OSError: a file cannot be read or written.
    """
    _check_request(request)
    classifier = load_classifier(request.model, request.weights, seed=request.seed, progress=sys.stderr.isatty())
    for method in request.methods:
        parse_method(method)
    names, x = _read_inputs(request.inputs, classifier)
    if request.output:
        _figure_of(x)
    model = move_to(classifier.model, request.device)
    logits = _logits(model, x, request.batch_size)
    decisions = _Decisions(names, x, logits, _targets(request.targets, classifier, logits))
    for line in _predictions(decisions, classifier):
        say(line)
    maps = _explain_all(request, model, decisions)
    for path in _write(request, decisions, maps, classifier):
        say(f"wrote {path}")
    if not (request.output or request.save):
        say("nothing written: --output FIGURE.png draws the maps, --save MAPS.npz keeps them")


def _check_request(request: Request) -> None:
    destinations = [(request.output, FIGURE_SUFFIXES), (request.save, (".npz",))]
    for path, suffixes in destinations:
        if path:
            check_destination(path, suffixes, request.inputs)
    for options in request.options.values():
        for name in options.keys() & _OWN_OPTIONS.keys():
            raise OptionError(f"--option {name}=: this one has an option of its own, {_OWN_OPTIONS[name]}")


# Inputs


def _read_inputs(paths: tuple[Path, ...], classifier: Classifier) -> tuple[list[str], Array]:
    """A name for each sample, and all samples as one batch."""
    batches = [_read_batch(path, classifier) for path in paths]
    shapes = {batch.shape[1:]: path for path, batch in zip(paths, batches, strict=True)}
    if len(shapes) > 1:
        said = "; ".join(f"{path} {shape}" for shape, path in shapes.items())
        raise InputError(f"inputs explained together have one shape, behind the batch axis these have: {said}; explain them apart")
    names = [name for path, batch in zip(paths, batches, strict=True) for name in _sample_names(path, len(batch))]
    # The order in memory chooses the convolution's algorithm: with one order for all, inputs saved and read again give the same bits.
    return names, np.ascontiguousarray(np.concatenate(batches))


def _sample_names(path: Path, samples: int) -> list[str]:
    return [path.name] if samples == 1 else [f"{path.name}[{index}]" for index in range(samples)]


def _read_batch(path: Path, classifier: Classifier) -> Array:
    if path.suffix.lower() in ARRAY_SUFFIXES:
        return _as_batch(read_array(path), path, classifier)
    image = read_image(path)
    if classifier.preprocess is None:
        raise InputError(
            f"{path}: this model does not say how a picture becomes its input; give an array, "
            "or let the factory return a signxai.models.Classifier with preprocess="
        )
    try:
        return np.asarray(classifier.preprocess(image))[None]
    except Exception as error:  # a factory's preprocessing is the user's code: it may raise anything
        raise InputError(f"{path}: the model's preprocessing failed with {type(error).__name__}: {error}") from error


def _as_batch(array: Array, path: Path, classifier: Classifier) -> Array:
    if classifier.preprocess is not None and np.issubdtype(array.dtype, np.integer):
        raise InputError(f"{path}: holds {array.dtype}; an array is the network's input, already preprocessed; give pixels as a picture")
    if classifier.preprocess is not None and array.ndim == 3:
        return array[None]  # networks for pictures take (N, C, H, W): three axes are one picture
    if array.ndim < 2 or len(array) == 0:
        raise InputError(f"{path}: its shape is {array.shape}; the first axis counts the samples: (N, ...), N >= 1")
    return array


# The network's decisions


def _logits(model: nn.Module, x: Array, batch_size: int | None) -> Array:
    step = batch_size or len(x)
    logits = torch.cat([predict(model, x[first : first + step]).cpu() for first in range(0, len(x), step)])
    if logits.ndim != 2 or len(logits) != len(x):
        raise ModelError(
            f"the command line explains classifiers, outputs (N, classes); this network gives {tuple(logits.shape)} "
            f"for {len(x)} samples: use signxai.explain with a target for such outputs"
        )
    return logits.double().numpy()


def _targets(texts: tuple[str, ...], classifier: Classifier, logits: Array) -> list[int]:
    if not texts:
        return [int(index) for index in logits.argmax(axis=1)]
    if len(texts) not in (1, len(logits)):
        raise OptionError(f"{len(texts)} targets for {len(logits)} inputs; give one for all, or one for each")
    chosen = [classifier.class_index(text, logits.shape[1]) for text in texts]
    return chosen * (len(logits) // len(chosen))


def _predictions(decisions: _Decisions, classifier: Classifier) -> Iterator[str]:
    for name, x, logits, target in zip(decisions.names[:_MOST_SHOWN], decisions.x, decisions.logits, decisions.targets, strict=False):
        yield f"{name} ({' x '.join(map(str, x.shape))})"
        probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        for index in np.argsort(-logits, kind="stable")[:_TOP]:
            yield f"  {probabilities[index]:7.2%}  {_numbered(classifier, index)}, logit {logits[index]:.2f}"
        yield f"  explained: {_numbered(classifier, target)}"
    if len(decisions.names) > _MOST_SHOWN:
        yield f"and {len(decisions.names) - _MOST_SHOWN} more inputs"


def _numbered(classifier: Classifier, index: int) -> str:
    name, number = classifier.class_name(index), f"class {index}"
    return number if name == number else f"{name} ({number})"


# Explaining


def _explain_all(request: Request, model: nn.Module, decisions: _Decisions) -> dict[str, Array]:
    maps: dict[str, Array] = {}
    width = max(map(len, request.methods))
    with tqdm(request.methods, desc="explaining", unit="method", leave=False, disable=None) as bar:
        for method in bar:
            bar.set_postfix_str(method)
            start = time.perf_counter()
            maps[method] = _explain_one(request, model, decisions, method)
            bar.write(f"{method:{width}}  {_summary(maps[method], time.perf_counter() - start)}", file=sys.stdout)
    return maps


def _explain_one(request: Request, model: nn.Module, decisions: _Decisions, method: str) -> Array:
    options = {**request.options[method], "batch_size": request.batch_size, "seed": request.seed, "relevance": request.relevance}
    return np.asarray(explain(model, decisions.x, method, decisions.targets, **options))


def _summary(relevance: Array, seconds: float) -> str:
    return f"{seconds:7.2f} s   sum {relevance.sum():10.4g}   min {relevance.min():10.4g}   max {relevance.max():10.4g}"


# Results


def _write(request: Request, decisions: _Decisions, maps: Mapping[str, Array], classifier: Classifier) -> list[Path]:
    writers: dict[Path, Callable[[Path], None]] = {}
    if request.output:
        writers[request.output] = _draw(decisions, maps, classifier).savefig
    if request.save:
        what = {"name": decisions.names, "x": decisions.x, "logits": decisions.logits, "target": decisions.targets}
        writers[request.save] = partial(_save, content={**what, **maps})
    write_together(writers)
    return list(writers)


def _save(path: Path, content: Mapping[str, Any]) -> None:
    np.savez(path, **content)


def _figure_of(x: Array) -> Callable[[list[Sample]], Figure]:
    """The figure that suits inputs (N, ...).

    Raises:
        InputError: none does.
    """
    if x.ndim == 4:
        return image_figure
    if x.ndim == 3:
        return signal_figure
    if x.ndim == 2:
        return partial(signal_figure, x_label="index")
    raise InputError(f"a figure shows images (C, H, W) and signals (leads, time), not inputs of shape {x.shape[1:]}; use --save instead")


def _draw(decisions: _Decisions, maps: Mapping[str, Array], classifier: Classifier) -> Figure:
    samples = []
    for index, name in enumerate(decisions.names[:_MOST_SHOWN]):
        x = classifier.picture(decisions.x[index]) if decisions.x.ndim == 4 else decisions.x[index]
        one = {method: values[index] for method, values in maps.items()}
        samples.append(Sample(x, one, f"{name}: {_heading(decisions, index, classifier)}"))
    return _figure_of(decisions.x)(samples)


def _heading(decisions: _Decisions, index: int, classifier: Classifier) -> str:
    logits, target = decisions.logits[index], decisions.targets[index]
    predicted = int(logits.argmax())
    return heading(classifier.class_name(predicted), logits[predicted], classifier.class_name(target), logits[target])
