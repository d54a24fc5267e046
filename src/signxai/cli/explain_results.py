"""What ``signxai explain`` writes: figures by pages or one for each input, arrays with what says what they are, a table of predictions."""

import csv
import json
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torchvision
from matplotlib.figure import Figure

from signxai._version import __version__
from signxai.cli.decisions import MOST_SHOWN, Decisions
from signxai.cli.failures import Failure
from signxai.common.errors import OptionError
from signxai.datasets.sources import as_text
from signxai.figures.paging import NumberedSample, page_writers
from signxai.figures.saving import write_to
from signxai.files import FIGURE_SUFFIXES, check_destination, check_folder
from signxai.models import Classifier
from signxai.names.grammar import parse_method

__all__ = ["ARCHIVE_SUFFIXES", "Drawing", "FigurePlace", "Made", "saved_with", "versions", "what_is_saved", "writer_of_table"]

Array = npt.NDArray[Any]
Draw: TypeAlias = Callable[[Sequence[NumberedSample]], Figure]
"""From the numbers of some inputs, and of their maps, to a figure of them."""
Writer: TypeAlias = Callable[[Path], None]

ARCHIVE_SUFFIXES = (".npz", ".safetensors")


@dataclass(frozen=True)
class Drawing:
    """What is to be drawn.

    Attributes:
        names: of what is shown, one for each figure where each has its own.
        maps: how many each has.
        draw: draws those of these numbers.
    """

    names: Sequence[str]
    maps: int
    draw: Draw

    @property
    def samples(self) -> list[NumberedSample]:
        """All that is shown, each with all of its maps."""
        return [NumberedSample(number, range(self.maps)) for number in range(len(self.names))]


@dataclass(frozen=True)
class FigurePlace:
    """Where figures go: a file, or a folder, in which each input has a figure of its own.

    Attributes:
        path: the file, or the folder, which is created if it is not there.
        is_folder: which of both.
    """

    path: Path
    is_folder: bool

    def check(self, inputs: tuple[Path, ...]) -> None:
        """Refuse a place that cannot be written to.

        Raises:
            OptionError: if it is one.
        """
        if not self.is_folder:
            check_destination(self.path, FIGURE_SUFFIXES, inputs)
            for page in _links_among_pages(self.path):
                check_destination(page, FIGURE_SUFFIXES, inputs)
        elif self.path.is_dir():
            check_folder(self.path, self.path)
        elif self.path.is_symlink():
            raise OptionError(f"{self.path}/: is a link that leads nowhere; remove it, or choose another name")
        elif self.path.exists():
            raise OptionError(f"{self.path}/: is a file; name a folder")
        else:
            check_folder(self.path.parent, self.path)

    def writers(self, drawing: Drawing, inputs: tuple[Path, ...]) -> dict[Path, Writer]:
        """What writes each of the files.

        Raises:
            OptionError: one of them is an input.
        """
        if self.is_folder:
            files = zip(drawing.samples, self._in_folder(drawing.names), strict=True)
            writers: dict[Path, Writer] = {path: partial(_write_figure, drawing.draw, sample) for sample, path in files}
            _check_no_links(writers)
        else:
            writers = page_writers(drawing.draw, drawing.samples, self.path, per_page=MOST_SHOWN)
        _check_unused(writers, inputs)
        return writers

    def check_names(self, names: Sequence[str], others: tuple[Path, ...]) -> None:
        """Refuse a folder in which the figure of an input would be a file that is read or written, too, a link, or a folder.

        Raises:
            OptionError: if it is one.
        """
        if self.is_folder:
            _check_unused(self._in_folder(names), others)
            _check_no_links(self._in_folder(names))

    def _in_folder(self, names: Sequence[str]) -> list[Path]:
        return [self.path / f"{stem}.png" for stem in _stems(names)]

    def said(self, count: int, inputs: int, writers: Mapping[Path, Writer]) -> list[str]:
        """What is to be said of where the maps of so many inputs are shown, of which each may have several."""
        if self.is_folder or (count <= MOST_SHOWN and len(writers) == 1):
            return []
        where = "on pages in one file" if len(writers) == 1 else f"on {len(writers)} pages, {self.path.name} to {list(writers)[-1].name}"
        each = "" if count == inputs else f", with {count} explained classes in all,"
        shown = f"{inputs} inputs{each} are" if inputs != 1 else f"1 input{each} is"
        return [f"{shown} shown {where}; --output FOLDER/ makes one figure for each{' input' if count == inputs else ''}"]


def _check_unused(paths: Iterable[Path], others: tuple[Path, ...]) -> None:
    used = {given.resolve() for given in others}
    for path in paths:
        if path.resolve() in used:
            raise OptionError(f"{path}: is read or written too, and would be lost; choose another place for figures")


def _check_no_links(paths: Iterable[Path]) -> None:
    """Refuse to write through links that lie in a folder: whoever names a folder means it alone."""
    for path in paths:
        if path.is_symlink():
            raise OptionError(f"{path}: is a link, and what it leads to would be written over; remove it, or choose another folder")
        if path.is_dir():
            raise OptionError(f"{path}: is a folder, and the name of a figure; choose another folder")


def _links_among_pages(path: Path) -> list[Path]:
    """The links that bear names of further pages of a figure."""
    of_pages = re.compile(rf"{re.escape(path.stem)}-\d+")
    beside = path.parent.iterdir()
    return sorted(other for other in beside if other.suffix == path.suffix and of_pages.fullmatch(other.stem) and other.is_symlink())


def _write_figure(draw: Draw, sample: NumberedSample, path: Path) -> None:
    write_to(draw([sample]), path)


_LONGEST = 60
"""So many letters of an input's name are in that of its figure: file systems take 255 bytes, of which some are the suffix."""


def _stems(names: Sequence[str]) -> list[str]:
    """A name for each file, of those of inputs: without what files' names may not have, and no two alike.

    >>> _stems(["cat.jpg", "a/cat.jpg", "x.npy[3]", "cat.jpg"])
    ['cat', 'a_cat', 'x_3', 'cat-2']
    """
    stems: list[str] = []
    taken: set[str] = set()
    for name in names:
        first = re.sub(r"\.[A-Za-z0-9]+(?=\[[^.]*$|$)|\.[A-Za-z0-9]+(?=,? [^.]*$)", "", name, count=1)
        stem = first = re.sub(r"[^\w.-]+", "_", first).strip("_.-")[-_LONGEST:] or "input"
        number = 1
        while stem.lower() in taken:
            number += 1
            stem = f"{first}-{number}"
        taken.add(stem.lower())
        stems.append(stem)
    return stems


# Arrays


@dataclass(frozen=True)
class Made:
    """How maps were made, as it is kept with them.

    Attributes:
        model, weights: as they were named.
        methods: for each its options.
        settings: of the command, by name.
        preparation: how pictures were prepared; nothing: as the model brings it, or there are none.
    """

    model: str
    weights: str
    methods: Mapping[str, Mapping[str, object]]
    settings: Mapping[str, object]
    preparation: str = ""

    def spec(self) -> dict[str, Any]:
        """All of it, and what each method's name means, as JSON has it."""
        methods = {name: {**asdict(parse_method(name)), "options": dict(options)} for name, options in self.methods.items()}
        about = {"model": self.model, "weights": self.weights, "methods": methods, **self.settings}
        return about | ({"preparation": self.preparation} if self.preparation else {})


def versions() -> dict[str, str]:
    """The versions of what computes."""
    packages = {"signxai": __version__, "torch": torch.__version__, "torchvision": torchvision.__version__, "numpy": np.__version__}
    return {**{name: str(version) for name, version in packages.items()}, "python": platform.python_version()}


def what_is_saved(
    decisions: Decisions, classifier: Classifier, paths: Sequence[str], failures: Sequence[Failure], made: Made
) -> dict[str, Array]:
    """What says of saved maps what they are: for each sample its file, what the network says of it and what is explained, and how
    everything was made; texts are arrays of text, which are read without unpickling."""
    classes = decisions.logits.shape[1]
    content = {
        "name": np.array(decisions.names),
        "path": np.array([paths[index] for index in decisions.inputs]),
        "logits": decisions.logits,
        "probability": decisions.probabilities,
        "target": np.array(decisions.targets),
        "target_name": np.array([classifier.class_name(target) for target in decisions.targets]),
        "class_names": np.array([classifier.class_name(index) for index in range(classes)]),
        "spec": np.array(json.dumps(made.spec(), ensure_ascii=False)),
        "versions": np.array(json.dumps(versions())),
    }
    if decisions.versus is not None:
        content["versus"] = np.array(decisions.versus)
    if failures:
        content["failed_path"] = np.array([str(failure.path) for failure in failures])
        content["failed_reason"] = np.array([failure.reason for failure in failures])
    return content


def saved_with(path: Path, content: Mapping[str, Array]) -> None:
    """Write arrays, as .npz or .safetensors; in the latter texts are its metadata, lists of them as JSON."""
    if path.suffix.lower() == ".npz":
        arrays: dict[str, Any] = dict(content)
        np.savez(path, **arrays)
        return
    from safetensors.numpy import save

    texts = {name: values for name, values in content.items() if values.dtype.kind == "U"}
    numbers = {name: np.ascontiguousarray(values) for name, values in content.items() if name not in texts}
    metadata = {name: values.item() if values.ndim == 0 else json.dumps(values.tolist()) for name, values in texts.items()}
    path.write_bytes(save(numbers, metadata))


# The table


def writer_of_table(decisions: Decisions, classifier: Classifier, paths: Sequence[str]) -> Writer:
    """What writes a table of what is predicted and explained, with a row for each explained class of each input; of labels, of which
    several may be predicted, also with the probability of each."""
    rows = [list(_row(decisions, row, classifier, paths)) for row in range(len(decisions.names))]
    return partial(_write_table, list(_columns(decisions, classifier)), rows)


_OF_A_CLASS = ("class", "class_name", "probability", "logit")


def _columns(decisions: Decisions, classifier: Classifier) -> Iterator[str]:
    yield from ("name", "path")
    for kind in ("predicted", "explained", *([] if decisions.versus is None else ["versus"])):
        yield from (f"{kind}_{column}" for column in _OF_A_CLASS)
    if decisions.are_labels:
        yield from (f"probability_of_{classifier.class_name(index)}" for index in range(decisions.logits.shape[1]))


def _row(decisions: Decisions, row: int, classifier: Classifier, paths: Sequence[str]) -> Iterator[object]:
    predicted = int(decisions.logits[row].argmax())
    yield from (decisions.names[row], as_text(paths[decisions.inputs[row]]))
    versus = [] if decisions.versus is None else [decisions.versus[row]]
    for index in (predicted, decisions.targets[row], *versus):
        probability, logit = decisions.probabilities[row, index], decisions.logits[row, index]
        yield from (index, classifier.class_name(index), f"{probability:.6g}", f"{logit:.6g}")
    if decisions.are_labels:
        yield from (f"{probability:.6g}" for probability in decisions.probabilities[row])


def _write_table(columns: Sequence[str], rows: Sequence[Sequence[object]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(rows)
