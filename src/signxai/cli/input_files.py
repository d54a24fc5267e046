"""Files to inputs: folders and patterns to files, pictures and arrays to a batch, and what could not be read by name."""

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai.cli.arguments import names_record
from signxai.cli.failures import Failure, as_most, attempted, check_some_exist, in_order, not_as_most
from signxai.cli.model_options import ModelOptions
from signxai.common.errors import InputError, OptionError
from signxai.datasets.sources import as_text
from signxai.engine.module_names import is_keras
from signxai.files import ARRAY_SUFFIXES, PICTURE_SUFFIXES, array_names, open_picture, read_array
from signxai.keras_input import input_shape_of, other_lengths
from signxai.models import Classifier
from signxai.timeseries.formats import format_of
from signxai.timeseries.reading import read_signal
from signxai.timeseries.signal_input import AsRecorded

__all__ = [
    "Found",
    "ReadInputs",
    "check_has_pictures",
    "check_readable",
    "distinct",
    "files_of",
    "is_readable",
    "of_other_lengths",
    "read_inputs",
    "read_picture",
    "told_of",
    "unprepared",
]

Array = npt.NDArray[Any]

_TOLD_WHY = (".heic", ".heif", ".avif")
"""Suffixes of pictures that cannot be read as a rule: in a folder they are tried, so that it is said why."""
_BESIDE_HEADERS = (".dat", ".atr", ".qrs", ".xws")
_FEW = 3


@dataclass(frozen=True)
class ReadInputs:
    """Inputs of one network, as one batch.

    Attributes:
        names: of the samples, as they are shown.
        x: (N, ...).
        paths: (N) the files that they are of.
        notices: what of the files was not used as one might think.
        failures: the files that could not be read.
        places: (N) the number of each sample among all that were given, where a file that could not be read counts as one.
        pictures: whether some are pictures.
    """

    names: list[str]
    x: Array
    paths: list[Path]
    notices: list[str]
    failures: list[Failure]
    places: list[int]
    pictures: bool


# Folders and patterns


@dataclass(frozen=True)
class Found:
    """The files that paths mean.

    Attributes:
        files: in the order in which they were given.
        notices: what in folders was left out.
        failures: the folders that cannot be looked into or hold no input, and the patterns that nothing matches.
    """

    files: tuple[Path, ...]
    notices: list[str]
    failures: list[Failure]

    @property
    def count(self) -> int:
        """How many were given, where a folder or a pattern of which there is nothing counts as one."""
        return len(self.files) + len(self.failures)


def files_of(given: Sequence[Path]) -> Found:
    """The files that paths mean, with what is in folders and what patterns such as ``photos/*.jpg`` match; and what was left out.

    Raises:
        NothingLeftError: there is no file at all: folders without any input, patterns that nothing matches, files that are not there.
            Beside files they are failures; a file that is not there is one of the files, and whoever reads it says so.
    """
    files: list[Path] = []
    notices: list[str] = []
    failures: list[Failure] = []
    for path in given:
        try:
            found = _found(path)
        except InputError as error:
            failures.append(Failure(path, str(error)))
            continue
        files += found.files
        notices += found.notices
        failures += found.failures
    check_some_exist(files, failures)
    return Found(tuple(files), notices, failures)


def _found(path: Path) -> Found:
    if names_record(path):  # a record of WFDB, whatever else has its name
        return Found((path,), [], [])
    if path.is_dir():
        found = _inside([path])
        if not found.files:
            reason = found.failures[0].reason if found.failures else f"{path}: holds {_NO_INPUTS}"
            raise InputError(reason)
        return found
    if os.path.lexists(path) or not glob.has_magic(str(path)):
        return Found((path,), [], [])
    matching = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
    found = _inside(matching, of_pattern=path)
    if not found.files:
        raise InputError(f"{path}: {'what matches this pattern holds ' + _NO_INPUTS if matching else 'no file matches this pattern'}")
    return found


_NO_INPUTS = f"no pictures ({', '.join(PICTURE_SUFFIXES)}), no arrays ({', '.join(ARRAY_SUFFIXES)}) and no signals"


def _inside(given: Sequence[Path], of_pattern: Path | None = None) -> Found:
    """The inputs among files and in folders with their sub-folders, all of one kind, and what was left out beside them.

    Args:
        given: the folder, or what a pattern matches.
        of_pattern: the pattern; None: it is a folder.
    """
    errors: list[OSError] = []
    folders = [path for path in given if path.is_dir()]
    in_folders = (path for folder in folders for path in _walked(folder, errors.append))
    inside = list(dict.fromkeys([*(path for path in given if path.is_file()), *in_folders]))
    failures = [Failure(Path(error.filename), f"{error.filename}: {error.strerror}") for error in errors]
    if files := _of_one_kind(inside):
        others = [path for path in inside if path not in set(files) and not _belongs(path, files)]
        return Found(tuple(files), list(_left_out(others, files, of_pattern or given[0])), failures)
    named = [path for path in given if path.is_file()]  # a pattern of names without suffixes may mean pictures, too
    return Found(tuple(named), [], failures)


def _of_one_kind(files: Sequence[Path]) -> list[Path]:
    """The pictures among files, else the arrays, else the recordings; where none of a kind can be read, those of the next with them."""
    kinds = [[path for path in files if is_one(path)] for is_one in (_is_picture, _is_array, _is_recording)]
    kinds = [kind for kind in kinds if kind]
    if len(kinds) < 2:
        return [path for kind in kinds for path in kind]
    last = next((number for number, kind in enumerate(kinds) if any(map(is_readable, kind))), 0)
    taken = {path for kind in kinds[: last + 1] for path in kind}
    return [path for path in files if path in taken]


def is_readable(path: Path) -> bool:
    """Whether a file holds what its name says: see ``check_readable``."""
    try:
        check_readable(path)
    except (InputError, OSError):
        return False
    return True


def check_readable(path: Path) -> None:
    """Refuse a file that does not hold what its name says: a picture, numbers or a signal, for which an option may be missing.

    Raises:
        InputError: it does not.
        OSError: it cannot be opened.
    """
    if _is_array(path):
        if len(array_names(path)) < 2:
            read_array(path, booleans=True)
    elif format_of(path) is not None or names_record(path):
        with suppress(OptionError):
            read_signal(path, check=False)
    else:
        open_picture(path)


def _walked(folder: Path, failed: Callable[[OSError], object]) -> Iterator[Path]:
    """The files in a folder and its sub-folders, in their order, but for hidden ones; of folders that are linked, once."""
    seen: set[Path] = set()
    found: list[Path] = []
    for inside, folders, names in os.walk(folder, onerror=failed, followlinks=True):
        real = Path(inside).resolve()
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith(".")]
        found += [] if real in seen else [Path(inside, name) for name in names if not name.startswith(".")]
        seen.add(real)
    yield from sorted(path for path in found if path.is_file())


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in (*PICTURE_SUFFIXES, *_TOLD_WHY)


def _is_array(path: Path) -> bool:
    return path.suffix.lower() in ARRAY_SUFFIXES


def _is_recording(path: Path) -> bool:
    return format_of(path) is not None and path.suffix.lower() not in _BESIDE_HEADERS


def _belongs(path: Path, files: Sequence[Path]) -> bool:
    """Whether a file is a part of a recording whose header is among the files."""
    return path.suffix.lower() in _BESIDE_HEADERS and path.with_suffix(".hea") in files


def _left_out(others: Sequence[Path], files: Sequence[Path], given: Path) -> Iterator[str]:
    if others:
        inside = [path.relative_to(given) if path.is_relative_to(given) else path for path in others[:_FEW]]
        named = ", ".join(path.as_posix() for path in inside) + (", ..." if len(others) > _FEW else "")
        yield f"{given}: {len(files)} input{'s' * (len(files) != 1)}; left out {named} ({len(others)} file{'s' * (len(others) != 1)})"


# Reading


def read_inputs(paths: Sequence[Path], classifier: Classifier, may_fail: bool = False) -> ReadInputs:
    """Pictures and arrays as one batch.

    Args:
        paths: files; see ``files_of``.
        classifier: the network, which says how a picture becomes its input.
        may_fail: whether files that cannot be read are failures, as long as one can, and those of another shape than more than half.

    Raises:
        InputError: a file holds no input of this network, or inputs have several shapes.
        OSError: a file cannot be opened.
    """
    read, failures = attempted(paths, lambda path: _read_batch(path, classifier), may_fail)
    shapes = {number: batch.shape[1:] for number, (batch, _) in read.items()}
    alike, others = as_most(shapes) if may_fail else (shapes, {})
    said = "its shape behind the batch axis is {}, and that of most inputs {}; explain it apart"
    failures = in_order(paths, [*failures, *not_as_most(paths, alike, others, said)])
    batches = {number: read[number][0] for number in alike}
    _check_shapes({paths[number]: batch.shape[1:] for number, batch in batches.items()})
    names = distinct(paths)
    rows = [(number, row) for number, batch in batches.items() for row in range(len(batch))]
    return ReadInputs(
        [names[number] if len(batches[number]) == 1 else f"{names[number]}[{row}]" for number, row in rows],
        # The order in memory chooses the convolution's algorithm: with one order for all, inputs saved and read again give the same bits.
        np.ascontiguousarray(np.concatenate(list(batches.values()))),
        [paths[number] for number, _ in rows],
        [
            *_told_together([(names[number], notice) for number in batches for notice in read[number][1]]),
            *unprepared([names[number] for number in batches if _is_array(paths[number])], classifier),
            *of_other_lengths({names[number]: batch.shape[1:] for number, batch in batches.items()}, classifier),
        ],
        failures,
        list(_places(len(paths), {number: len(batch) for number, batch in batches.items()})),
        any(path.suffix.lower() not in ARRAY_SUFFIXES for path in paths),
    )


def unprepared(names: Sequence[str], classifier: Classifier) -> Iterator[str]:
    """That arrays are not prepared by what a network declares for recordings."""
    wanted = classifier.signal_input
    if names and wanted is not None and wanted.prepare is not AsRecorded:
        few = ", ".join(names[:_FEW]) + (f" and {len(names) - _FEW} more" if len(names) > _FEW else "")
        yield (
            f"{few}: taken as it is, without the preparation of recordings that the model declares (signal_input); a recording, or an .npy "
            "(leads, samples) with --sampling-rate, is prepared"
        )


def of_other_lengths(shapes: Mapping[str, Sequence[int]], classifier: Classifier) -> Iterator[str]:
    """That samples differ in shape from what a Keras network says it takes, which it may take all the same."""
    found = {name: said for name, shape in shapes.items() if (said := other_lengths(classifier.model, shape))}
    if found:
        first, said = next(iter(found.items()))
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        yield f"{first}{more}: a sample has the shape {tuple(shapes[first])}, and the network says that it takes {said}"


def _told_together(notices: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Notices on files as lines; one for files of which the same is to be said.

    >>> list(_told_together([("a.png", "is large"), ("b.png", "is large"), ("c.png", "is small")]))
    ['a.png, b.png: is large', 'c.png: is small']
    """
    named: dict[str, list[str]] = {}
    for name, notice in notices:
        named.setdefault(notice, []).append(name)
    for notice, names in named.items():
        more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
        yield f"{', '.join(names[:_FEW])}{more}: {notice}"


def _places(given: int, samples: dict[int, int]) -> Iterator[int]:
    """The numbers, among all samples, of those that were read, where a file that was not counts as one sample."""
    place = 0
    for number in range(given):
        yield from range(place, place + samples.get(number, 0))
        place += samples.get(number, 1)


def distinct(paths: Sequence[Path]) -> list[str]:
    """The files' names, or their paths, where several files have one name.

    >>> distinct([Path("a/1.png"), Path("b/1.png"), Path("b/2.png"), Path("b/2.png")])
    ['a/1.png', 'b/1.png', '2.png', '2.png']
    """
    alike = Counter(path.name for path in dict.fromkeys(paths))
    return [as_text(path.name if alike[path.name] == 1 else str(path)) for path in paths]


def _check_shapes(shapes: dict[Path, tuple[int, ...]]) -> None:
    """Refuse samples of several shapes."""
    of_shape = {shape: path for path, shape in shapes.items()}
    if len(of_shape) > 1:
        said = "; ".join(f"{path} {shape}" for shape, path in of_shape.items())
        raise InputError(
            f"inputs explained together have one shape, behind the batch axis these have: {said}; explain them apart, or, if they are "
            "several inputs of one model, give each by --input NAME=FILE"
        )


def _read_batch(path: Path, classifier: Classifier) -> tuple[Array, Sequence[str]]:
    """The samples (N, ...) of a file, and what of it was not used as one might think."""
    if path.suffix.lower() in ARRAY_SUFFIXES:
        return _finite(_as_batch(read_array(path), path, classifier), path), ()
    x, notices = read_picture(path, classifier)
    return _finite(x[None], path), notices


def _finite(batch: Array, path: Path) -> Array:
    wrong = [] if batch.dtype.kind not in "fc" else [row for row, sample in enumerate(batch) if not np.isfinite(sample).all()]
    if wrong:
        where = f"sample {wrong[0]} of {len(batch)} holds" if len(batch) > 1 else "holds"
        first = ", ".join(map(str, np.argwhere(~np.isfinite(batch[wrong[0]]))[0]))
        raise InputError(f"{path}: {where} NaN or infinity, first at [{first}]; fill the gaps, or leave it out")
    return batch


def read_picture(path: Path, classifier: Classifier) -> tuple[Array, Sequence[str]]:
    """A picture as the network takes it (C, H, W), and what of the file is not in it.

    Raises:
        InputError: it is none, or nothing says how it becomes an input.
    """
    picture = open_picture(path)
    if classifier.preprocess is None and is_keras(classifier.model):
        raise InputError(
            f"{path}: this Keras model does not say how a picture becomes its input; give --preprocess (caffe, tf, torch or none, as "
            "keras.applications names it), or --mean and --std, or an array"
        )
    if classifier.preprocess is None:
        raise InputError(
            f"{path}: this model does not say how a picture becomes its input; give --size (with --mean and --std), or an array, "
            "or let the factory return a signxai.models.Classifier with preprocess="
        )
    try:
        return np.asarray(classifier.preprocess(picture.image)), picture.notices
    except Exception as error:  # a factory's preprocessing is the user's code: it may raise anything
        raise InputError(f"{path}: the model's preprocessing failed with {type(error).__name__}: {error}") from error


def _as_batch(array: Array, path: Path, classifier: Classifier) -> Array:
    if classifier.preprocess is not None and np.issubdtype(array.dtype, np.integer):
        raise InputError(f"{path}: holds {array.dtype}; an array is the network's input, already preprocessed; give pixels as a picture")
    if classifier.preprocess is not None and array.ndim == 3:
        return array[None]  # networks for pictures take (N, C, H, W): three axes are one picture
    said = input_shape_of(classifier.model) if is_keras(classifier.model) else None
    if said is not None and array.ndim == len(said) - 1:
        taken = ", ".join(["N", *("any" if length is None else str(length) for length in said[1:])])
        other = " and has other lengths" if other_lengths(classifier.model, array.shape) else ""
        raise InputError(
            f"{path}: its shape is {array.shape}, and the network takes ({taken}), where the first axis counts the samples: it lacks that "
            f"axis{other}; save one sample as array[None]{', in the lengths that the network takes' if other else ''}"
        )
    if array.ndim < 2 or len(array) == 0:
        raise InputError(f"{path}: its shape is {array.shape}; the first axis counts the samples: (N, ...), N >= 1")
    return array


def check_has_pictures(options: ModelOptions, pictures: bool) -> None:
    """Refuse to say how pictures are prepared where there are none.

    Raises:
        OptionError: it is said, and there are none.
    """
    if options.of_pictures() and not pictures:
        raise OptionError(f"{options.of_pictures()[0]}: prepares pictures, and none of the inputs is one; leave it out")


def told_of(classifier: Classifier, options: ModelOptions, pictures: bool) -> list[str]:
    """What whoever reads a report should know of the model, and how it prepares pictures, if there are some.

    Raises:
        OptionError: an option says how pictures are prepared, and there are none.
    """
    check_has_pictures(options, pictures)
    return [*classifier.notices, *([classifier.preparation] if classifier.preparation and pictures else [])]
