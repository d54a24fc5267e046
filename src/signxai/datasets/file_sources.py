"""Data sets of files: a folder of pictures with a sub-folder for each class, and a table of files with their labels."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from signxai.common.errors import InputError, SignxaiError
from signxai.datasets.classes import WrittenNumber
from signxai.datasets.fingerprints import hash_of_files
from signxai.datasets.sources import Class, Entries, is_of_64_bits
from signxai.files import ARRAY_SUFFIXES, PICTURE_SUFFIXES, read_array, read_image

__all__ = ["FileSource", "image_folder", "manifest"]

Array = npt.NDArray[Any]
Preprocess = Callable[[Image.Image], Any]

COLUMNS = ("file", "label", "target", "group")


@dataclass(frozen=True, eq=False)
class FileSource:
    """Files, each one entry: a picture that ``preprocess`` makes an array of, or an array as it is.

    Args:
        folder: to which the files' names are relative.
        files: the names, which are the entries' keys, as ``as_text`` spells those that are no UTF-8.
        preprocess: from a picture (8-bit RGB) to the network's input; None: pictures are refused.
        labels, groups, targets: as ``Entries`` has them.
        kind: what it is, and where it comes from.
    """

    folder: Path
    files: Sequence[str]
    preprocess: Preprocess | None = None
    labels: Sequence[Class | None] | None = None
    groups: Sequence[str] | None = None
    targets: Sequence[Class] | None = None
    kind: str = "files"
    entries: Entries = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "entries", Entries(list(self.files), self.labels, self.groups, self.targets))

    def content_hash(self) -> str:
        """Of the sizes of all files, of which -1 says that one is missing, and of what is in them: in all where that is up to 256 MB
        together, else in 16 from the first to the last.
        """
        return hash_of_files([self.folder / file for file in self.files])

    def read(self, index: int) -> Array:
        path = self.folder / self.files[index]
        if path.suffix.lower() in ARRAY_SUFFIXES:
            return read_array(path)
        if self.preprocess is None:
            raise InputError(
                f"{path}: nobody says how a picture becomes the network's input; give preprocess=, or (on the command line) let the "
                "factory return a signxai.models.Classifier with preprocess=, or give arrays"
            )
        return _preprocessed(self.preprocess, path)


def _preprocessed(preprocess: Preprocess, path: Path) -> Array:
    picture = read_image(path)
    try:
        return np.asarray(preprocess(picture))
    except (SignxaiError, OSError):
        raise
    except Exception as error:  # the user's preprocessing may raise anything
        raise InputError(f"{path}: preprocess= failed: {type(error).__name__}: {error}") from error


def image_folder(folder: str | Path, preprocess: Preprocess | None = None) -> FileSource:
    """The pictures, and arrays, of a folder; those in a sub-folder have its name as their label.

    Args:
        folder: sub-folders are searched to any depth; the first part of a file's path is its label. Where no file lies in a sub-folder,
            there are no labels. Names that begin with a dot are left out.
        preprocess: as for ``FileSource``.

    Raises:
        InputError: the folder holds neither pictures nor arrays, or files both beside and within sub-folders.
        OSError: there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise NotADirectoryError(f"{root}: is no folder")
    files = sorted(_files_in(root), key=lambda path: path.parts)
    if not files:
        raise InputError(f"{root}: holds no pictures ({', '.join(PICTURE_SUFFIXES)}) and no arrays ({', '.join(ARRAY_SUFFIXES)})")
    in_folders = [len(path.parts) > 1 for path in files]
    if any(in_folders) and not all(in_folders):
        lone = files[in_folders.index(False)]
        raise InputError(f"{root}: {lone} lies beside sub-folders that are labels; put it into one, or describe the data set by a table")
    labels = [path.parts[0] for path in files] if all(in_folders) else None
    return FileSource(root, [path.as_posix() for path in files], preprocess, labels, kind=f"folder {root.name}")


def _files_in(root: Path) -> list[Path]:
    found = [path.relative_to(root) for path in root.rglob("*") if path.suffix.lower() in (*PICTURE_SUFFIXES, *ARRAY_SUFFIXES)]
    return [path for path in found if not any(part.startswith(".") for part in path.parts) and (root / path).is_file()]


def manifest(table: str | Path, preprocess: Preprocess | None = None) -> FileSource:
    """The files that a table lists: CSV with a heading, of the columns ``file`` and, if wanted, ``label``, ``target`` and ``group``.

    Args:
        table: UTF-8; files are relative to its folder. A class is a name, or a whole number that is no name of a class.
        preprocess: as for ``FileSource``.

    Raises:
        InputError: no such columns, an empty field, or a file listed twice.
        OSError: it cannot be opened.
    """
    path = Path(table)
    rows = _rows(path)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    for name, values in columns.items():
        if "" in values:
            raise InputError(f"{path}: row {values.index('') + 2} has no {name}; fill the column, or leave it out")
    labels, targets = (None if name not in columns else [_class(text) for text in columns[name]] for name in ("label", "target"))
    return FileSource(path.parent, columns["file"], preprocess, labels, columns.get("group"), targets, f"table {path.name}")


def _rows(path: Path) -> list[Mapping[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            reader = csv.DictReader(file, strict=True)
            rows: list[Mapping[str, str]] = [
                {key: (value or "").strip() for key, value in row.items() if key is not None} for row in reader
            ]
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(f"{path}: no CSV in UTF-8: {error}") from error
        names = list(reader.fieldnames or ())
    unknown = [name for name in names if name not in COLUMNS]
    if "file" not in names or unknown:
        raise InputError(f"{path}: has the columns {', '.join(names) or 'none'}; allowed are {', '.join(COLUMNS)}, of which file is needed")
    if not rows:
        raise InputError(f"{path}: lists no files")
    return rows


def _class(text: str) -> Class:
    """The class that a field of a table names: a whole number of 64 bits, which may be a name as well, or a name.

    >>> _class("-3"), _class("--3"), _class("99999999999999999999")
    (-3, '--3', '99999999999999999999')
    """
    return WrittenNumber(text) if re.fullmatch(r"[+-]?\d{1,19}", text) and is_of_64_bits(int(text)) else text
