"""Stores of relevance maps, opened for reading: what was computed, picked out by class, label, group, or by being wrong."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai.common.class_words import class_of_word
from signxai.common.errors import OptionError
from signxai.datasets.certificates import certificates_in, certified
from signxai.datasets.classes import class_asked
from signxai.datasets.clusters import FOLDER, Clusters, clustered, clusters_read
from signxai.datasets.parts import as_given, place_of
from signxai.datasets.store_checks import METADATA, check_failed, check_names, check_shape, held, names_of_arrays, refuse_lost
from signxai.datasets.store_writer import MANIFEST, Failure, array_of, attributes_of, indices_of, opened, read_array, read_manifest
from signxai.datasets.views import Views, view_read, views_of
from signxai.evidence.certificate import Certificate

__all__ = ["Store"]

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]
Picked = Sequence[int] | Array | slice
"""Entries by their indices, by a mask (N,), or by a slice."""


class Store:
    """Relevance maps of a data set, on disk; nothing is read before it is asked for, but what it says of itself and of its arrays.

    Any reader of zarr 3 sees the same: ``zarr.open_group("maps.zarr")["relevance/lrp_z"][:10]``.

    Args:
        path: the folder that ``explain_dataset`` wrote.

    Attributes:
        path: where it lies.
        run: what was computed: model with a hash of its weights, data set, methods, options, versions.
        failed: the entries that could not be read or explained, whose rows hold NaN.
        class_names: by class; empty: classes are numbered.
        input_names: of a network with several inputs what they are called; empty: an entry is one array.
        view: how an entry is drawn; with several inputs a dict from the name of each.

    Raises:
        StoreError: it is no store, of a newer version, or broken.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._group = opened(self.path, "r")
        attributes = attributes_of(self.path, self._group)
        self.run: dict[str, Any] = attributes["run"]
        self.class_names: list[str] = attributes["class_names"]
        self.input_names: list[str] = attributes.get("inputs", [])
        self._count: int = self.run["source"]["entries"]
        arrays = self._arrays(attributes.get("arrays", []))
        self._classes: int = arrays["logits"].shape[1]
        check_names(self.path, self.class_names, self._classes)
        self.view: Any = view_read(attributes["view"]) if "view" in attributes else self._view_by_shape()
        manifest = read_manifest(self.path, attributes)
        self.failed = [Failure(index, key, reason) for index, key, reason in manifest["failed"]]
        size = attributes["batch_size"]
        self._done = [(first * size, min(stop * size, len(self))) for first, stop in manifest["done"]]
        if self.failed:
            check_failed(self.path / MANIFEST / METADATA, manifest["failed"], self.keys())

    def _arrays(self, listed: Sequence[str]) -> dict[str, Any]:
        """The arrays of zarr that there must be, by name; ``listed`` are those that the store says it has.

        Raises:
            StoreError: one is missing or broken.
        """
        names = names_of_arrays(self.path, self.run, self.input_names, listed)
        arrays = {name: array_of(self.path, self._group, name) for name in names}
        for name, array in arrays.items():
            check_shape(self.path, name, array, self._count)
        return arrays

    def _view_by_shape(self) -> Views:
        """How entries of a store that does not say it are drawn."""
        return views_of({"": self._group[f"relevance/{self.methods[0]}"].shape[1:]}, None)

    def __len__(self) -> int:
        """How many entries the data set has."""
        return self._count

    def __contains__(self, name: object) -> bool:
        """Whether there is an array, or a group of them, of this name."""
        return held(self.path, name)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r}): {len(self.rows())} of {len(self)} entries by {', '.join(self.methods)}"

    @property
    def methods(self) -> list[str]:
        """The names of the methods."""
        return list(self.run["methods"])

    @property
    def is_complete(self) -> bool:
        """Whether every entry has had its turn."""
        done: int = sum(stop - start for start, stop in self._done)
        return done == len(self)

    @property
    def predicts_classes(self) -> bool:
        """Whether the largest of several logits predicts a class; a network of one logit says by it how much, not which."""
        return self._classes > 1

    @property
    def knows_labels(self) -> bool:
        """Whether entries have labels whose classes are known, so that they can be compared with predicted ones."""
        if not self.predicts_classes or "label" not in self:
            return False
        return bool(self.class_names) or array_of(self.path, self._group, "label").dtype.kind in "iu"

    def rows(
        self,
        *,
        target: int | str | None = None,
        label: int | str | None = None,
        predicted: int | str | None = None,
        group: str | int | None = None,
        wrong: bool | None = None,
    ) -> Rows:
        """The entries that were explained, as indices in their order; of several conditions those that meet all.

        Args:
            target: the class that was explained; as all classes by its number, an int, or by a word: its name, or its number.
            label: the class that they are said to belong to; also a label that is the name of none.
            predicted: the class of the largest logit, of several.
            group: what they belong to, such as a patient; a number as it is written.
            wrong: True: those whose predicted class is not their label; False: those where it is, both without those that have no label;
                None: all.

        Raises:
            OptionError: the store does not have what is asked for, as which class is predicted where the network has one logit, or
                ``wrong`` or ``group`` is of another type.
            TargetError: there is no such class, or a word is the name of one and the number of another.
        """
        if wrong is not None and not isinstance(wrong, bool | np.bool_):
            raise OptionError(f"wrong={wrong!r} must be True, False or None")
        for name, asked in {"predicted": predicted, "wrong": wrong}.items():
            if asked is not None and not self.predicts_classes:
                raise OptionError(
                    f"{self.path}: {name}={asked!r}: the network has one logit, which predicts no class among several; leave it out, and "
                    "pick entries by array('logits') and a threshold of your own"
                )
        chosen = self._is_explained()
        if target is not None:
            chosen &= self.array("target") == self._number(target)
        if predicted is not None:
            chosen &= self.predictions() == self._number(predicted)
        if label is not None:
            chosen &= self._has_label(label)
        if wrong is not None:
            chosen &= self._has_any_label() & ((self.predictions() != self._labels()) == wrong)
        if group is not None:
            chosen &= self._is_in(group)
        return np.flatnonzero(chosen)

    def _is_in(self, group: str | int) -> npt.NDArray[np.bool_]:
        """Which entries belong to a group.

        Raises:
            OptionError: none does.
        """
        if isinstance(group, bool | np.bool_) or not isinstance(group, str | int | np.integer):
            raise OptionError(f"group={group!r} must be a name, or a whole number")
        names = np.array([str(name) for name in self.array("group")])
        if str(group) not in names:
            known = sorted(set(names.tolist()))
            raise OptionError(f"{self.path}: no entry belongs to the group {str(group)!r}; there are {', '.join(known[:10])}")
        return np.asarray(names == str(group))

    def _is_explained(self) -> npt.NDArray[np.bool_]:
        """Of each entry whether it was explained."""
        explained = np.zeros(len(self), dtype=bool)
        for start, stop in self._done:
            explained[start:stop] = True
        explained[[failure.index for failure in self.failed]] = False
        return explained

    def relevance(self, method: str, rows: Picked | None = None) -> Any:
        """Maps of a method (n, ...), of some entries, by their indices, a mask (N,) or a slice, or all; with several inputs a dict from the
        name of each that has maps.

        Raises:
            OptionError: the store has no such method, or no such entries.
            StoreError: the files of some of them are broken or gone.
        """
        if method not in self.methods:
            raise OptionError(f"{self.path} has no {method!r}; it has {', '.join(self.methods)}")
        return self._of_parts(f"relevance/{method}", rows)

    def values_of_a_map(self, method: str) -> int:
        """How many values one map of a method has, of all inputs together."""
        held = self._group[f"relevance/{method}"]
        arrays = [held] if hasattr(held, "shape") else [array for _, array in held.arrays()]
        return sum(int(np.prod(array.shape[1:])) for array in arrays)

    def inputs(self, rows: Picked | None = None) -> Any:
        """Inputs (n, ...), of some entries or all; with several a dict from the name of each.

        Raises:
            OptionError: the store was made without them.
        """
        if "input" not in self:
            raise OptionError(f"{self.path} has no 'input'; run with the inputs kept")
        return self._of_parts("input", rows)

    def _of_parts(self, name: str, rows: Picked | None) -> Array | dict[str, Array]:
        """An array; with several inputs those of each that has one, by name."""
        names = self.input_names or [""]
        places = {part: place_of(name, part) for part in names}
        return as_given({part: self.array(place, rows) for part, place in places.items() if place in self})

    def keys(self, rows: Picked | None = None) -> list[str]:
        """What entries are called: their files, or indices."""
        return [str(key) for key in self.array("key", rows)]

    def predictions(self) -> Rows:
        """The class of the largest logit of each entry (N,); -1 where there is none, and everywhere if the network has one logit only."""
        if not self.predicts_classes:
            return np.full(len(self), -1)
        logits = self.array("logits")
        is_there = np.isfinite(logits).all(1)
        return np.where(is_there, np.where(np.isfinite(logits), logits, 0).argmax(1), -1)

    def logits_of_targets(self, rows: Picked | None = None) -> Array:
        """The logit of the explained class of some entries (n,), or of all; NaN where none is explained."""
        targets, logits = self.array("target", rows), self.array("logits", rows)
        found: Array = np.take_along_axis(logits, np.maximum(targets, 0)[:, None], 1)[:, 0].astype(np.float64)
        return np.where(targets >= 0, found, np.nan)

    def array(self, name: str, rows: Picked | None = None) -> Array:
        """An array of the store by its name, of some entries, by their indices, a mask (N,) or a slice, or all.

        Raises:
            OptionError: the store has no such array, the array no such entries, or ``rows`` is nothing that picks any.
            StoreError: it is broken, or the files of some of these entries are broken or gone.
        """
        if name not in self:
            raise OptionError(f"{self.path} has no {name!r}")
        array = array_of(self.path, self._group, name)
        chosen = None if rows is None else indices_of(rows, array.shape[0], f"{self.path}: {name}")
        values = read_array(self.path, name, array, chosen)
        if not name.startswith(f"{FOLDER}/"):
            check_shape(self.path, name, array, len(self))
            every = np.arange(len(self))
            refuse_lost(self.path, name, array, values, every if chosen is None else every[chosen], self._is_explained())
        return values

    def certified(self) -> list[str]:
        """Of which methods it has certificates, see ``certify_entries``; in the order of their names."""
        return certified(self.path)

    def certificates(self, method: str) -> dict[int, Certificate]:
        """The certificates of a method's maps, by the index of the entry; none where none was made.

        Raises:
            OptionError: the store has no such method.
            StoreError: they are broken.
        """
        if method not in self.methods:
            raise OptionError(f"{self.path} has no {method!r}; it has {', '.join(self.methods)}")
        return certificates_in(self.path, method, self.keys())

    def certificate(self, entry: int | str, method: str) -> Certificate:
        """The certificate of a method's map of one entry.

        Args:
            entry: its index, or its key.
            method: whose map.

        Raises:
            OptionError: there is no such entry or method, or the map has no certificate.
            StoreError: certificates are broken.
        """
        index, held = self.index_of(entry), self.certificates(method)
        if index not in held:
            raise OptionError(f"{self.path}: {method} of {entry!r} has no certificate; make one by `signxai certify --store`")
        return held[index]

    def index_of(self, entry: int | str) -> int:
        """The index of an entry that is given by it, or by its key.

        Raises:
            OptionError: there is none, or several are called so.
        """
        if not isinstance(entry, str):
            return int(indices_of([entry], len(self), str(self.path))[0]) % len(self)
        found = [index for index, key in enumerate(self.keys()) if key == entry]
        if len(found) != 1:
            near = ", ".join(get_close_matches(entry, self.keys()) or self.keys()[:3])
            which = f"the entries {', '.join(map(str, found))} are called so; give an index" if found else f"there are {near}"
            raise OptionError(f"{self.path}: no one entry is called {entry!r}; {which}")
        return found[0]

    def clustered(self) -> list[tuple[str, int]]:
        """Of which method and class it has clusters, see ``cluster_maps``; in the order of their names."""
        return clustered(self.path)

    def clusters(self, method: str, target: int | str) -> Clusters:
        """The clusters among a method's maps of one class.

        Args:
            method: whose maps.
            target: the class that they explain, by number or name.

        Raises:
            OptionError: there are none.
            TargetError: there is no such class.
        """
        return clusters_read(self.path, self._group, method, self._number(target))

    def class_of(self, value: int | str) -> int:
        """The number of a class that is given by it, or by its name.

        Raises:
            TargetError: there is none.
        """
        return self._number(value)

    def labels_that_are_no_classes(self) -> list[str]:
        """The labels, in their order, that are names or numbers of no class: whoever has one is never predicted as labelled."""
        labels = self.array("label")
        if labels.dtype.kind in "iu":
            return [str(number) for number in np.unique(labels[(labels >= self._sides()) | (labels < -1)]).tolist()]
        return sorted({str(name) for name in labels} - {*self.class_names, ""}) if self.class_names else []

    def _sides(self) -> int:
        """How many classes labels may name: a network of one logit decides between two."""
        return max(self._classes, 2)

    def _has_label(self, label: int | str) -> npt.NDArray[np.bool_]:
        """Which entries have a label: by its name as it stands there, or by the class that it means."""
        labels = self.array("label")
        if labels.dtype.kind not in "iu" and isinstance(label, str):
            words = np.array([str(name) for name in labels])
            if label in words:
                self._refuse_other_meaning(label)
                return np.asarray(words == label)
        return np.asarray(self._labels() == class_asked(label, self.class_names, self._sides()))

    def _refuse_other_meaning(self, label: str) -> None:
        """Raise if a label that stands there is the number of a class that is called otherwise.

        Raises:
            TargetError: it is.
        """
        if self.class_names:
            names = list(dict.fromkeys([*self.class_names, label]))
            class_of_word(label, [names.index(label)], names, len(self.class_names))

    def _has_any_label(self) -> npt.NDArray[np.bool_]:
        """Which entries have a label, if only the name of no class."""
        labels = self.array("label")
        return np.asarray(labels >= 0) if labels.dtype.kind in "iu" else np.array([str(name) != "" for name in labels])

    def _labels(self) -> Rows:
        """The label of each entry as the number of a class (N,); -1 where nobody says."""
        labels = self.array("label")
        if labels.dtype.kind in "iu":
            return labels.astype(np.int64)
        if not self.class_names:
            raise OptionError(f"{self.path}: labels are names, and nobody said which class each is; run with class_names=")
        return np.array([self.class_names.index(str(name)) if str(name) in self.class_names else -1 for name in labels])

    def _number(self, value: int | str) -> int:
        return class_asked(value, self.class_names, self._classes)
