"""The inputs of a command and what the network says to them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from signxai.common.errors import InputError, ModelError, OptionError
from signxai.engine.prediction import predict
from signxai.files import ARRAY_SUFFIXES, read_array, read_image
from signxai.models import Classifier

__all__ = ["MOST_SHOWN", "Decisions", "decide", "numbered", "predictions", "read_inputs"]

Array = npt.NDArray[Any]

MOST_SHOWN = 8
"""So many inputs are shown in a figure and in a report; files keep all."""

_TOP = 5


@dataclass(frozen=True)
class Decisions:
    """The inputs, one by one, with what the network says: names (N), x (N, ...), logits (N, classes), explained classes (N)."""

    names: list[str]
    x: Array
    logits: Array
    targets: list[int]


# Inputs


def read_inputs(paths: tuple[Path, ...], classifier: Classifier) -> tuple[list[str], Array]:
    """A name for each sample, and all samples as one batch.

    Raises:
        InputError: a file holds no input of this network.
    """
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


def decide(
    names: list[str], x: Array, classifier: Classifier, model: nn.Module, targets: tuple[str, ...], batch_size: int | None
) -> Decisions:
    """Predict, and settle which class of each input is to be explained.

    Raises:
        SignxaiError: the network is no classifier for these inputs, or a target is none of its classes.
    """
    logits = _logits(model, x, batch_size)
    return Decisions(names, x, logits, _targets(targets, classifier, logits))


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


def predictions(decisions: Decisions, classifier: Classifier) -> Iterator[str]:
    """For each input its name, the top classes and the class that is explained, line by line."""
    for name, x, logits, target in zip(decisions.names[:MOST_SHOWN], decisions.x, decisions.logits, decisions.targets, strict=False):
        yield f"{name} ({' x '.join(map(str, x.shape))})"
        probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        for index in np.argsort(-logits, kind="stable")[:_TOP]:
            yield f"  {probabilities[index]:7.2%}  {numbered(classifier, index)}, logit {logits[index]:.2f}"
        yield f"  explained: {numbered(classifier, target)}"
    if len(decisions.names) > MOST_SHOWN:
        yield f"and {len(decisions.names) - MOST_SHOWN} more inputs"


def numbered(classifier: Classifier, index: int) -> str:
    """A class by its name, if it has one, and its number."""
    name, number = classifier.class_name(index), f"class {index}"
    return number if name == number else f"{name} ({number})"
