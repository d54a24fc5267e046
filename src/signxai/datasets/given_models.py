"""The model that a run is given: a network alone, or a classifier, which brings its preprocessing and the names of its classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from signxai.common.errors import ModelError, OptionError
from signxai.datasets.file_sources import FileSource
from signxai.datasets.recording_sources import RecordingSource
from signxai.datasets.sources import Source, as_text
from signxai.datasets.views import PictureView, Views, check_views
from signxai.models import Classifier
from signxai.timeseries.signal_input import SignalInput

__all__ = ["Given", "given"]


@dataclass(frozen=True, eq=False)
class Given:
    """What a run is given, with what the classifier says where nothing else was said.

    Attributes:
        model: the network.
        source: the data set; pictures are prepared.
        class_names: by class; empty: classes are numbered.
        output: from what the model returns to the outputs (N, classes), where it returns several tensors.
        view: how an entry is drawn; None: as the source says, or by its shape.
    """

    model: nn.Module
    source: Source
    class_names: Sequence[str] = ()
    output: Callable[[Any], Tensor] | None = None
    view: Views | None = None


def given(
    model: nn.Module | Classifier,
    source: Source,
    class_names: Sequence[str] | None = None,
    output: Callable[[Any], Tensor] | None = None,
    view: Views | None = None,
) -> Given:
    """Bring a model and a data set together; what is given by its own argument, or to the source, goes before what a classifier says.

    Raises:
        ModelError: the model is neither.
        OptionError: recordings are taken as they are, where the classifier prepares them; class names are in no order, or a view is none.

    >>> from pathlib import Path
    >>> given(Classifier(nn.Linear(4, 1), class_names=["V (ventricular)"]), FileSource(Path("."), ["a.npy"])).class_names
    ['V']
    """
    own_names = _in_order(class_names)
    if view is not None:
        check_views(view)
    if isinstance(model, nn.Module):
        return Given(model, source, own_names, output, view)
    if not isinstance(model, Classifier):
        raise ModelError(
            f"model: a torch.nn.Module or a signxai.models.Classifier is needed, not {type(model).__name__}; "
            "signxai.models.load_classifier(name) gives one"
        )
    _refuse_other_recordings(model, source)
    return Given(model.model, _prepared(model, source), own_names or names_of(model), output or model.output, view or _view(model, source))


def _in_order(class_names: Any) -> list[str]:
    """Names of classes as text, the first that of class 0; none where none are given.

    Raises:
        OptionError: what is given has no such order, or is none.

    >>> _in_order(("cat", 7)), _in_order(None)
    (['cat', '7'], [])
    """
    if class_names is None:
        return []
    if not isinstance(class_names, Sequence) and not (hasattr(class_names, "__array__") and np.ndim(class_names) == 1):
        raise OptionError(
            f"class_names={class_names!r:.60} is of the type {type(class_names).__name__}; give a list, of which the first name is that of "
            "class 0"
        )
    return [as_text(str(name)) for name in class_names]


def names_of(classifier: Classifier) -> list[str]:
    """What classes are called: in short, in full where that is the name of several, and with the number where that is, too.

    >>> names_of(Classifier(nn.Identity(), class_names=["N (normal)", "crane", "N (noise)", "crane"]))
    ['N (normal)', 'crane (1)', 'N (noise)', 'crane (3)']
    """
    numbers = range(len(classifier.class_names))
    short, full = Counter(classifier.short_name(index) for index in numbers), Counter(classifier.class_names)
    return [as_text(_name_of(classifier, index, short, full)) for index in numbers]


def _name_of(classifier: Classifier, index: int, short: Mapping[str, int], full: Mapping[str, int]) -> str:
    """The name of a class, by how many classes each name is that of."""
    name = classifier.class_names[index]
    if short[classifier.short_name(index)] == 1:
        return classifier.short_name(index)
    return name if full[name] == 1 else f"{name} ({index})"


def _prepared(classifier: Classifier, source: Source) -> Source:
    """The source, with pictures that nobody else prepares prepared by the classifier."""
    if isinstance(source, FileSource) and source.preprocess is None:
        return replace(source, preprocess=classifier.preprocess)
    return source


def _view(classifier: Classifier, source: Source) -> PictureView | None:
    """How pictures are drawn that the classifier prepared: by what its preprocessing ends with."""
    if isinstance(source, FileSource) and classifier.mean and source.preprocess in (None, classifier.preprocess):
        return PictureView(tuple(classifier.mean), tuple(classifier.std))
    return None


def _refuse_other_recordings(classifier: Classifier, source: Source) -> None:
    """Let recordings that were cut as they are be an error where the classifier prepares them: where windows lie hangs on that.

    Raises:
        OptionError: they were.
    """
    prepares = classifier.signal_input not in (None, SignalInput())
    if prepares and isinstance(source, RecordingSource) and source.signal_input == SignalInput():
        raise OptionError(
            "the source takes recordings as they are, but the classifier prepares them: make it with the classifier's signal_input, "
            "as by beats_of(files, classifier.signal_input); or explain classifier.model"
        )
