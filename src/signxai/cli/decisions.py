"""What the network says to the inputs of a command."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from signxai.cli.failures import Failure
from signxai.cli.progress_bars import watched
from signxai.common.class_words import number_in
from signxai.common.errors import ModelError, OptionError, TargetError
from signxai.engine.forward import OutputOption
from signxai.engine.prediction import prediction
from signxai.files import ARRAY_SUFFIXES
from signxai.models import Classifier
from signxai.targets import Contrast, contrast

__all__ = ["MOST_SHOWN", "Decisions", "Inputs", "Targets", "decide", "in_list", "numbered", "predictions", "said"]

Array = npt.NDArray[Any]
Inputs: TypeAlias = "Array | Mapping[str, Array]"
"""Samples (N, ...) of a network with one input, or of one with several, by keyword."""

MOST_SHOWN = 8
"""So many inputs are shown on a page of a figure, and at length in a report."""

_TOP = 5
_AT_ONCE = 32
"""So many samples are predicted in one pass, at most, where the user says nothing."""


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
        notes: by row, what headings of figures have to add.
        turned: by row, the methods whose maps have their signs turned.
        turned_in_part: by row, the methods whose maps have the signs of one class's part turned, of two that are compared.
    """

    names: list[str]
    x: Inputs
    logits: Array
    targets: list[int]
    probabilities: Array
    inputs: list[int]
    are_labels: bool
    versus: list[int] | None = None
    notes: Mapping[int, str] = field(default_factory=dict)
    turned: Mapping[int, Sequence[str]] = field(default_factory=dict)
    turned_in_part: Mapping[int, Sequence[str]] = field(default_factory=dict)

    @property
    def array(self) -> Array:
        """The inputs (N, ...) of a network that takes one."""
        assert isinstance(self.x, np.ndarray)
        return self.x

    @property
    def explained(self) -> list[int] | Contrast:
        """What is explained, as ``signxai.explain`` takes it."""
        return self.targets if self.versus is None else contrast(self.targets, self.versus)

    def names_of_figures(self, name_of: Callable[[int], str]) -> list[str]:
        """The name of each, with the explained class behind it where several of an input are explained."""
        times = Counter(self.inputs)
        each = zip(self.names, self.inputs, self.targets, strict=True)
        return [f"{name}, {name_of(target)}" if times[number] > 1 else name for name, number, target in each]

    def note(self, rows: Sequence[int]) -> str:
        """What a heading has to add of samples that are shown together."""
        return "".join(dict.fromkeys(self.notes[row] for row in rows if row in self.notes))

    def rather_than(self, row: int, name_of: Callable[[int], str]) -> str:
        """What a heading says of the class with which the explained one is compared."""
        return "" if self.versus is None else f" rather than {name_of(self.versus[row])}"

    def rather_than_with_numbers(self, row: int, name_of: Callable[[int], str]) -> str:
        """The same of one sample, with what the network says of that class, and by how much the logits differ, which is explained."""
        if self.versus is None:
            return ""
        other, logits = self.versus[row], self.logits[row]
        said = f"({self.probabilities[row, other] * 100:.2f} %, logit {logits[other]:.2f})"
        return f"{self.rather_than(row, name_of)} {said}; logits differ by {logits[self.targets[row]] - logits[other]:+.2f}"


# The network's decisions


@dataclass(frozen=True)
class Targets:
    """Which classes are to be explained.

    Attributes:
        texts: names or numbers, one for all inputs or one for each; "all"; none: the predicted class.
        above: explain each class with at least this probability instead; None: do not.
        versus: the name or number of a class with which each is compared; None: with none.

    Raises:
        OptionError: --above and --target, of which either chooses the classes.
    """

    texts: tuple[str, ...] = ()
    above: float | None = None
    versus: str | None = None

    def __post_init__(self) -> None:
        if self.above is not None and self.texts:
            raise OptionError("--above chooses the classes by their probability, so --target does not go with it; leave one of them out")

    def check(self, classifier: Classifier) -> None:
        """Refuse what can be seen to be mistaken before the network has run.

        Raises:
            TargetError: a name that is none of the classes'.
            OptionError: a class is to be compared with itself.
        """
        explained = [_known_index(text, classifier) for text in self.texts]
        if self.versus is None:
            return
        if _means_all(self.versus, classifier):
            raise OptionError(f"--versus {self.versus}: is compared with one class; name that one")
        index = _known_index(self.versus, classifier)
        if self.means_all(classifier):
            raise OptionError(f"--target all, --versus {self.versus}: every class is explained itself; name others by --target")
        if index is not None and index in explained:
            raise _compared_with_itself(self.versus, classifier, index)

    def check_count(self, samples: int) -> None:
        """Refuse several classes that are not one for each input.

        Raises:
            OptionError: if they are not.
        """
        if len(self.texts) not in (0, 1, samples):
            raise OptionError(f"{len(self.texts)} targets for {samples} inputs; give one for all, or one for each")

    def means_all(self, classifier: Classifier) -> bool:
        """Whether every class of each input is to be explained."""
        return len(self.texts) == 1 and _means_all(self.texts[0], classifier)

    def at(self, places: Sequence[int], count: int, failures: Sequence[Failure]) -> "Targets":
        """Those of the inputs at these places among ``count``, where some of the others could not be read.

        Raises:
            OptionError: there is a class for each input, and it cannot be told which are those of the inputs that were read.
        """
        if len(self.texts) < 2 or not failures:
            return self
        if len(self.texts) != count or any(failure.path.suffix.lower() in ARRAY_SUFFIXES for failure in failures):
            return self.unless(failures)
        return replace(self, texts=tuple(self.texts[place] for place in places))

    def unless(self, failures: Sequence[Failure]) -> "Targets":
        """These, unless there is a class for each input and some could not be read.

        Raises:
            OptionError: so it is.
        """
        if len(self.texts) > 1 and failures:
            raise OptionError(f"{len(self.texts)} targets, one for each input, and not all can be read: {failures[0].reason}")
        return self


def _known_index(text: str, classifier: Classifier) -> int | None:
    """The number of a class before the network has run; None: of all of them, or of a network whose number of classes is not known yet.

    Raises:
        TargetError: it is no class.
    """
    if _means_all(text, classifier):
        return None
    if classifier.class_names:
        return classifier.class_index(text, len(classifier.class_names))
    number = number_in(text)
    if number is None:
        raise TargetError(f"target {text!r} is no class: this network's classes have numbers only; give one, or --classes FILE")
    return number


def _compared_with_itself(text: str, classifier: Classifier, index: int) -> OptionError:
    return OptionError(f"--versus {text}: {numbered(classifier, index)} is explained itself; name another class, or another --target")


def _means_all(text: str, classifier: Classifier) -> bool:
    """Whether a target means every class."""
    return text.strip().lower() == "all" and "all" not in {name.lower() for name in classifier.class_names}


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
    parts = [_rows(x, rows) for rows in _parts(len(names), batch_size)]
    targets.check(classifier)
    targets.check_count(len(names))
    logits, activation = _logits(model, parts, len(names), classifier.output, forward_kwargs)
    classifier.check_names(logits.shape[1])
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
        raise _compared_with_itself(text, classifier, index)
    return [index] * len(explained)


def _parts(count: int, batch_size: int | None) -> list[range]:
    """The rows that are predicted at once: so many as the user says, or some of about the same number, so that progress is seen."""
    step = batch_size or math.ceil(count / math.ceil(count / _AT_ONCE))
    return [range(first, min(first + step, count)) for first in range(0, count, step)]


def _rows(x: Inputs, rows: Sequence[int]) -> Inputs:
    """Some of the samples."""
    if isinstance(x, Mapping):
        return {key: values[list(rows)] for key, values in x.items()}
    return np.asarray(x[list(rows)])


def _count(part: Inputs) -> int:
    return len(next(iter(part.values())) if isinstance(part, Mapping) else part)


def _logits(
    model: nn.Module, parts: Sequence[Inputs], samples: int, output: OutputOption, forward_kwargs: Mapping[str, object] | None
) -> tuple[Array, str | None]:
    """The logits of the parts of a batch, and what the network makes probabilities of them by."""
    shown = watched(parts, "predicting", [_count(part) for part in parts])
    found = [prediction(model, part, output=output, forward_kwargs=forward_kwargs) for part in shown]
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
        return [[int(index) for index in np.flatnonzero(row >= targets.above)] for row in probabilities]
    if targets.means_all(classifier):
        return [list(range(classes))] * len(logits)
    if not texts:
        return [[int(index)] for index in logits.argmax(axis=1)]
    chosen = [[classifier.class_index(text, classes)] for text in texts]
    return chosen * (len(logits) // len(chosen))


def predictions(decisions: Decisions, classifier: Classifier) -> Iterator[str]:
    """For each input its name, the top classes and those that are explained; of those after the first few a line each."""
    rows_of: dict[int, list[int]] = {}
    for row, index in enumerate(decisions.inputs):
        rows_of.setdefault(index, []).append(row)
    for rows in list(rows_of.values())[:MOST_SHOWN]:
        yield from _at_length(decisions, rows, classifier)
    if len(rows_of) > MOST_SHOWN:
        yield f"and {len(rows_of) - MOST_SHOWN} more inputs, each with its most probable class:"
    for rows in list(rows_of.values())[MOST_SHOWN:]:
        explained = [decisions.targets[row] for row in rows]
        best = int(np.argmax(decisions.logits[rows[0]]))
        others = "" if explained == [best] and decisions.versus is None else f"; {_explained(decisions, rows, classifier)}"
        yield f"  {decisions.names[rows[0]]}: {said(decisions, rows[0], best, classifier).strip()}{others}"


def _at_length(decisions: Decisions, rows: Sequence[int], classifier: Classifier) -> Iterator[str]:
    """Of one input its name, the top classes and those that are explained."""
    first, explained = rows[0], [decisions.targets[row] for row in rows]
    shape = "" if isinstance(decisions.x, Mapping) else f" ({' x '.join(map(str, decisions.x[first].shape))})"
    yield f"{decisions.names[first]}{shape}"
    order = np.argsort(-decisions.logits[first], kind="stable")
    shown = {*explained, *([] if decisions.versus is None else [decisions.versus[row] for row in rows])}
    for index in [*order[:_TOP], *(index for index in order[_TOP:] if index in shown)]:
        yield f"  {said(decisions, first, int(index), classifier)}"
    yield f"  {_explained(decisions, rows, classifier)}"


def _explained(decisions: Decisions, rows: Sequence[int], classifier: Classifier) -> str:
    rather_than = decisions.rather_than(rows[0], partial(numbered, classifier))
    classes = [decisions.targets[row] for row in rows]
    return f"explained: {', '.join(in_list(classifier, index, numbered(classifier, index)) for index in classes)}{rather_than}"


def said(decisions: Decisions, row: int, index: int, classifier: Classifier) -> str:
    """What the network says of a class of an input: the probability and the logit."""
    return f"{decisions.probabilities[row, index]:7.2%}  {numbered(classifier, index)}, logit {decisions.logits[row, index]:.2f}"


def in_list(classifier: Classifier, index: int, told: str) -> str:
    """What is told of a class, as it stands in a list; its name is quoted if it has a comma, which would part it in two."""
    name = classifier.class_name(index)
    return told.replace(name, f'"{name}"', 1) if "," in name else told


def numbered(classifier: Classifier, index: int) -> str:
    """A class by its name, if it has one, and its number."""
    name, number = classifier.class_name(index), f"class {index}"
    return number if name == number else f"{name} ({number})"
