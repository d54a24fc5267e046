"""The inputs of a command and what the network says to them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from signxai.common.errors import InputError, ModelError, OptionError
from signxai.engine.forward import OutputOption
from signxai.engine.prediction import prediction
from signxai.files import ARRAY_SUFFIXES, read_array, read_image
from signxai.models import Classifier
from signxai.targets import Contrast, contrast

__all__ = ["MOST_SHOWN", "Decisions", "Inputs", "Targets", "decide", "numbered", "predictions", "read_inputs", "read_picture", "said"]

Array = npt.NDArray[Any]
Inputs: TypeAlias = "Array | Mapping[str, Array]"
"""Samples (N, ...) of a network with one input, or of one with several, by keyword."""

MOST_SHOWN = 8
"""So many inputs are shown in a figure and in a report; files keep all."""

_TOP = 5


@dataclass(frozen=True)
class Decisions:
    """What is explained, one by one, with what the network says; an input of which several classes are explained stands there as often.

    Attributes:
        names: (N) of the inputs.
        x: (N, ...) the inputs.
        logits: (N, classes).
        targets: (N) the explained classes.
        probabilities: (N, classes).
        inputs: (N) the number of the input.
        are_labels: whether each class has a probability of its own, as by a sigmoid, and several may be predicted.
        versus: (N) the classes rather than which these are explained; None: they are explained by themselves.
    """

    names: list[str]
    x: Inputs
    logits: Array
    targets: list[int]
    probabilities: Array
    inputs: list[int]
    are_labels: bool
    versus: list[int] | None = None

    @property
    def array(self) -> Array:
        """The inputs (N, ...) of a network that takes one."""
        assert isinstance(self.x, np.ndarray)
        return self.x

    @property
    def explained(self) -> list[int] | Contrast:
        """What is explained, as ``signxai.explain`` takes it."""
        return self.targets if self.versus is None else contrast(self.targets, self.versus)

    def rather_than(self, row: int, name_of: Callable[[int], str]) -> str:
        """What a heading says of the class with which the explained one is compared."""
        return "" if self.versus is None else f" rather than {name_of(self.versus[row])}"


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
        raise InputError(
            f"inputs explained together have one shape, behind the batch axis these have: {said}; explain them apart, or, if they are "
            "several inputs of one model, give each by --input NAME=FILE"
        )
    names = [name for path, batch in zip(paths, batches, strict=True) for name in _sample_names(path, len(batch))]
    # The order in memory chooses the convolution's algorithm: with one order for all, inputs saved and read again give the same bits.
    return names, np.ascontiguousarray(np.concatenate(batches))


def _sample_names(path: Path, samples: int) -> list[str]:
    return [path.name] if samples == 1 else [f"{path.name}[{index}]" for index in range(samples)]


def _read_batch(path: Path, classifier: Classifier) -> Array:
    if path.suffix.lower() in ARRAY_SUFFIXES:
        return _as_batch(read_array(path), path, classifier)
    return read_picture(path, classifier)[None]


def read_picture(path: Path, classifier: Classifier) -> Array:
    """A picture as the network takes it (C, H, W).

    Raises:
        InputError: it is none, or nothing says how it becomes an input.
    """
    image = read_image(path)
    if classifier.preprocess is None:
        raise InputError(
            f"{path}: this model does not say how a picture becomes its input; give an array, "
            "or let the factory return a signxai.models.Classifier with preprocess="
        )
    try:
        return np.asarray(classifier.preprocess(image))
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


@dataclass(frozen=True)
class Targets:
    """Which classes are to be explained.

    Attributes:
        texts: names or numbers, one for all inputs or one for each; "all"; none: the predicted class.
        above: explain each class with at least this probability instead; None: do not.
        versus: the name or number of a class with which each is compared; None: with none.
    """

    texts: tuple[str, ...] = ()
    above: float | None = None
    versus: str | None = None


def decide(
    names: list[str],
    x: Inputs,
    classifier: Classifier,
    model: nn.Module,
    targets: Targets,
    batch_size: int | None,
    forward_kwargs: Mapping[str, object] | None = None,
) -> Decisions:
    """Predict, and settle which classes of each input are to be explained.

    Raises:
        SignxaiError: the network is no classifier for these inputs, or a target is none of its classes.
    """
    step = batch_size or len(names)
    parts = [_rows(x, range(first, min(first + step, len(names)))) for first in range(0, len(names), step)]
    logits, activation = _logits(model, parts, len(names), classifier.output, forward_kwargs)
    activation = classifier.activation or activation or ("sigmoid" if logits.shape[1] == 1 else "softmax")
    values = torch.from_numpy(logits)
    probabilities = (values.sigmoid() if activation == "sigmoid" else values.softmax(dim=1)).numpy()
    chosen = _targets(targets, classifier, logits, probabilities)
    inputs = [index for index, classes in enumerate(chosen) for _ in classes]
    if not inputs:
        raise OptionError(f"--above {targets.above:g}: no class of any input is as probable; the highest is {probabilities.max():.2%}")
    explained = [index for classes in chosen for index in classes]
    versus = None if targets.versus is None else _versus(targets.versus, explained, classifier, logits.shape[1])
    return Decisions(
        [names[i] for i in inputs],
        _rows(x, inputs),
        logits[inputs],
        explained,
        probabilities[inputs],
        inputs,
        activation == "sigmoid",
        versus,
    )


def _versus(text: str, explained: list[int], classifier: Classifier, classes: int) -> list[int]:
    """The class with which each explained one is compared."""
    index = classifier.class_index(text, classes)
    if index in explained:
        raise OptionError(f"--versus {text}: {numbered(classifier, index)} is explained itself; name another class, or another --target")
    return [index] * len(explained)


def _rows(x: Inputs, rows: Sequence[int]) -> Inputs:
    """Some of the samples."""
    if isinstance(x, Mapping):
        return {key: values[list(rows)] for key, values in x.items()}
    return np.asarray(x[list(rows)])


def _logits(
    model: nn.Module, parts: Sequence[Inputs], samples: int, output: OutputOption, forward_kwargs: Mapping[str, object] | None
) -> tuple[Array, str | None]:
    """The logits of the parts of a batch, and what the network makes probabilities of them by."""
    found = [prediction(model, part, output=output, forward_kwargs=forward_kwargs) for part in parts]
    logits = torch.cat([part.logits.cpu() for part in found])
    if logits.ndim == 1 and len(logits) == samples:
        logits = logits[:, None]
    if logits.ndim != 2 or len(logits) != samples:
        raise ModelError(
            f"the command line explains classifiers, outputs (N, classes); this network gives {tuple(logits.shape)} "
            f"for {samples} samples: use signxai.explain with a target for such outputs"
        )
    return logits.double().numpy(), found[0].activation


def _targets(targets: Targets, classifier: Classifier, logits: Array, probabilities: Array) -> list[list[int]]:
    """The explained classes of each input."""
    texts, classes = targets.texts, logits.shape[1]
    if targets.above is not None:
        if texts:
            raise OptionError("--above chooses the classes by their probability, so --target does not go with it; leave one of them out")
        return [[int(index) for index in np.flatnonzero(row >= targets.above)] for row in probabilities]
    if [text.strip().lower() for text in texts] == ["all"] and "all" not in {name.lower() for name in classifier.class_names}:
        return [list(range(classes))] * len(logits)
    if not texts:
        return [[int(index)] for index in logits.argmax(axis=1)]
    if len(texts) not in (1, len(logits)):
        raise OptionError(f"{len(texts)} targets for {len(logits)} inputs; give one for all, or one for each")
    chosen = [[classifier.class_index(text, classes)] for text in texts]
    return chosen * (len(logits) // len(chosen))


def predictions(decisions: Decisions, classifier: Classifier) -> Iterator[str]:
    """For each input its name, the top classes and those that are explained, line by line."""
    rows_of: dict[int, list[int]] = {}
    for row, index in enumerate(decisions.inputs):
        rows_of.setdefault(index, []).append(row)
    for rows in list(rows_of.values())[:MOST_SHOWN]:
        first, explained = rows[0], [decisions.targets[row] for row in rows]
        shape = "" if isinstance(decisions.x, Mapping) else f" ({' x '.join(map(str, decisions.x[first].shape))})"
        yield f"{decisions.names[first]}{shape}"
        order = np.argsort(-decisions.logits[first], kind="stable")
        for index in [*order[:_TOP], *(index for index in order[_TOP:] if index in explained)]:
            yield f"  {said(decisions, first, int(index), classifier)}"
        rather_than = decisions.rather_than(first, partial(numbered, classifier))
        yield f"  explained: {', '.join(numbered(classifier, index) for index in explained)}{rather_than}"
    if len(rows_of) > MOST_SHOWN:
        yield f"and {len(rows_of) - MOST_SHOWN} more inputs"


def said(decisions: Decisions, row: int, index: int, classifier: Classifier) -> str:
    """What the network says of a class of an input: the probability and the logit."""
    return f"{decisions.probabilities[row, index]:7.2%}  {numbered(classifier, index)}, logit {decisions.logits[row, index]:.2f}"


def numbered(classifier: Classifier, index: int) -> str:
    """A class by its name, if it has one, and its number."""
    name, number = classifier.class_name(index), f"class {index}"
    return number if name == number else f"{name} ({number})"
