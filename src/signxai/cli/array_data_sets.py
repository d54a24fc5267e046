"""Data sets of arrays, of files: the one input of a network, or several by the names of the arguments of its forward."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from torch import nn

from signxai.cli.several_inputs import SAVED, SeveralOptions, arguments_of, check_arguments
from signxai.common.errors import InputError, OptionError
from signxai.datasets.packages import zarr_package
from signxai.datasets.sources import ArraySource
from signxai.files import refuse_complex, why_unreadable

__all__ = ["ARRAYS", "array_source"]

ARRAYS = (".npy", ".npz", ".zarr")
COLUMNS = ("label", "group", "target")
_ALIKE = 0.7
"""How near a name is to one of these that is taken for a misspelled one."""


def array_source(path: Path | None, model: nn.Module, several: SeveralOptions) -> ArraySource:
    """Arrays (N, ...) of files.

    Args:
        path: .npy; .npz and .zarr hold ``x`` and, if wanted, ``label``, ``group`` and ``target``, or instead of ``x`` an array for each
            argument of the network's forward. As for ``signxai explain``, ``x`` is one input without a name, with whatever beside it,
            unless each of the arrays is an argument of the network.
        model: the network.
        several: more inputs, each from a file with it alone.

    Raises:
        InputError: no such arrays, or one beside ``x`` is called almost as one of the three, such as ``labels``.
        OptionError: an input that is given twice, or of an option that goes with several.
        ModelError: the network takes no such argument, or needs another one.
        OSError: a file cannot be opened.
    """
    arrays = {} if path is None else _arrays(path)
    labels, groups, targets = (None if part is None else list(part[:]) for part in (arrays.pop(name, None) for name in COLUMNS))
    groups = None if groups is None else [str(name) for name in groups]
    inputs = {name.removeprefix(SAVED): array for name, array in arrays.items()}
    for name, array in inputs.items():
        refuse_complex(array.dtype, f"{path}: {name!r}")
    if not several.files and "x" in inputs and (len(inputs) == 1 or not set(inputs) <= set(arguments_of(model).names)):
        _refuse_options(several)
        _refuse_alike(path, inputs, arguments_of(model).names)
        return ArraySource(inputs["x"], labels, groups, targets, f"arrays {path.name if path else ''}")
    files = _files(path, list(inputs), several)
    inputs |= {name: _alone(file) for name, file in several.files}
    _check(inputs, files, path, model, several)
    return ArraySource(inputs, labels, groups, targets, f"arrays {', '.join(dict.fromkeys(file.name for file in files.values()))}")


def _files(path: Path | None, held: Sequence[str], several: SeveralOptions) -> dict[str, Path]:
    """The file of each input."""
    files = {} if path is None else dict.fromkeys(held, path)
    for name, file in several.files:
        if name in files:
            raise OptionError(f"--input {name}={file}: {files[name]} holds {name!r} already; leave one of them out")
        files[name] = file
    return files


def _check(inputs: Mapping[str, Any], files: Mapping[str, Path], path: Path | None, model: nn.Module, several: SeveralOptions) -> None:
    """Refuse inputs that the network does not take."""
    if not several.files and (not inputs or (len(inputs) == 1 and next(iter(inputs)) not in arguments_of(model).names)):
        raise InputError(
            f"{path}: holds {', '.join(inputs) or 'nothing'}; a data set is the array x (N, ...), and label, group, target (N,)"
        )
    check_arguments(model, files, dict(several.forward), [] if path is None else [path])
    if unknown := [name for name in several.explained if name not in inputs]:
        raise OptionError(f"--explained {unknown[0]}: is none of the inputs {', '.join(inputs)}")


def _refuse_alike(path: Path | None, held: Iterable[str], arguments: Collection[str]) -> None:
    """Refuse an array beside ``x`` that is no argument of the network, and called almost as the labels, groups or targets are.

    Raises:
        InputError: there is one.
    """
    for name in held:
        near = get_close_matches(name.lower(), COLUMNS, n=1, cutoff=_ALIKE)
        if near and name not in arguments:
            raise InputError(f"{path}: holds {name}, which is no array of a data set; did you mean {near[0]}? rename it, or leave it out")


def _refuse_options(several: SeveralOptions) -> None:
    if several.given():
        raise OptionError(
            f"{several.given()[0]} goes with several inputs, each with a name: --input NAME=FILE, or a file with several arrays"
        )


def _arrays(path: Path) -> dict[str, Any]:
    """The arrays of a file by name; of .npy the only one, as x."""
    kind = path.suffix.lower()
    return _zarr_arrays(path) if kind == ".zarr" else _npz_arrays(path) if kind == ".npz" else {"x": _npy_array(path)}


def _alone(path: Path) -> Any:
    """The only array of a file."""
    if path.suffix.lower() not in ARRAYS:
        raise InputError(f"{path}: inputs of a data set are arrays (N, ...) of {', '.join(ARRAYS)}")
    arrays = _arrays(path)
    if len(arrays) != 1:
        raise InputError(f"{path}: holds {', '.join(arrays) or 'nothing'}; give a file with one array alone")
    array = next(iter(arrays.values()))
    refuse_complex(array.dtype, str(path))
    return array


def _npy_array(path: Path) -> Any:
    with path.open("rb"):
        pass
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: no array that NumPy reads without unpickling{why_unreadable(error)}") from error


def _npz_arrays(path: Path) -> dict[str, Any]:
    with path.open("rb"):
        pass
    try:
        with np.load(path, allow_pickle=False) as content:
            return {key: content[key] for key in content.files}
    except (ValueError, EOFError, BadZipFile, KeyError, AttributeError, TypeError) as error:
        raise InputError(f"{path}: no arrays that NumPy reads without unpickling{why_unreadable(error)}") from error


def _zarr_arrays(path: Path) -> dict[str, Any]:
    zarr = zarr_package()
    try:
        return dict(sorted(zarr.open_group(path, mode="r").arrays()))  # it lists them as the file system does
    except (FileNotFoundError, ValueError, TypeError, KeyError, zarr.errors.BaseZarrError) as error:
        raise InputError(f"{path}: no group of zarr arrays: {error}") from error


def options_of(several: SeveralOptions) -> Mapping[str, Any]:
    """What ``signxai.explain`` is told beside the arrays."""
    explained: dict[str, Any] = {"explained": list(several.explained)} if several.explained else {}
    return explained | ({"forward_kwargs": dict(several.forward)} if several.forward else {})


def refuse_elsewhere(several: SeveralOptions, paths: Sequence[Path]) -> None:
    """Raise if options of several inputs are given with a data set that has none."""
    given = ["--input", *several.given()] if several.files else several.given()
    if given:
        raise OptionError(f"{given[0]}: goes with arrays ({', '.join(ARRAYS)}), and the data set is {', '.join(map(str, paths))}")
