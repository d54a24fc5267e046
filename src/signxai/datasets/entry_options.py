"""Options of methods that have a row for each entry of a data set: each batch of entries gets its own, as a batch of samples does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from signxai.common.errors import OptionError
from signxai.datasets.parts import ONE
from signxai.engine.joint_inputs import in_container

__all__ = ["EntryRows", "options_at", "options_by_entry"]

Shape = tuple[int, ...]

_LIKE_INPUTS = ("baseline", "baseline_ids")
_BOUNDS = ("low", "high")


@dataclass(frozen=True, eq=False)
class EntryRows:
    """An array or tensor (N, ...) with a row for each entry."""

    values: npt.NDArray[Any] | Tensor

    def at(self, indices: Sequence[int]) -> npt.NDArray[Any] | Tensor:
        """The rows (n, ...) of some entries."""
        if isinstance(self.values, Tensor):
            return self.values[torch.tensor(indices, dtype=torch.int64, device=self.values.device)]
        return np.asarray(self.values[np.array(indices, dtype=np.int64)])


@dataclass(frozen=True)
class _DataSet:
    """What options are compared with: how many entries there are, their shapes by input, and how many of them are run together."""

    count: int
    shapes: Mapping[str, Shape]
    sizes: frozenset[int]

    def shapes_of(self, name: str) -> list[Shape]:
        """The shapes that an option may be like: of one input, or where it is not said which, of all."""
        return [self.shapes[name]] if name in self.shapes else list(self.shapes.values())


def options_by_entry(options: Mapping[str, Any], count: int, shapes: Mapping[str, Shape], batch_size: int) -> dict[str, Any]:
    """The options of a run, with ``EntryRows`` in the place of what has a row for each entry.

    Args:
        options: of ``signxai.explain_all``, as they were given.
        count: how many entries the data set has, N.
        shapes: of the parts of an entry, by name.
        batch_size: entries in a batch.

    Raises:
        OptionError: an array is neither one for all entries nor has a row for each, or nothing tells which of both.

    >>> options = options_by_entry({"steps": 9, "baseline": np.zeros((5, 2))}, count=5, shapes={"": (2,)}, batch_size=4)
    >>> options["steps"], options_at(options, [3, 4])["baseline"].shape
    (9, (2, 2))
    """
    sizes = frozenset({count, min(batch_size, count), count % batch_size or batch_size}) - {1}
    data_set = _DataSet(count, shapes, sizes)
    return {name: _by_entry(name, value, data_set) for name, value in options.items()}


def options_at(options: Mapping[str, Any], indices: Sequence[int]) -> dict[str, Any]:
    """The options for some entries: of ``EntryRows`` their rows, anything else as it is."""
    return {name: _at(value, indices) for name, value in options.items()}


def _at(value: Any, indices: Sequence[int]) -> Any:
    if isinstance(value, EntryRows):
        return value.at(indices)
    return in_container(value, lambda item: _at(item, indices), value)


def _by_entry(name: str, value: Any, data_set: _DataSet) -> Any:
    if name == "forward_kwargs" and isinstance(value, Mapping):
        return {key: _passed_on(item, data_set, is_argument=True) for key, item in value.items()}
    if name in _BOUNDS:
        return _bound(name, value, data_set)
    if name in _LIKE_INPUTS:
        return _like_inputs(name, value, data_set)
    if _is_array(value) and value.shape and len(value) == data_set.count > 1:
        raise OptionError(f"{name}= is an array of {len(value)} rows, one for each entry, and is one for all; give one value")
    return value


def _is_array(value: object) -> bool:
    return isinstance(value, Tensor | np.ndarray)


def _like_inputs(name: str, value: Any, data_set: _DataSet) -> Any:
    """An option in the shape of the inputs, or one for each of them."""
    if isinstance(value, Mapping):
        return {key: _like_input(f"{name} of {key!r}", item, data_set, data_set.shapes_of(str(key))) for key, item in value.items()}
    if isinstance(value, tuple) and not (name == "baseline" and ONE in data_set.shapes):  # one for each of several inputs, by position
        return tuple(_like_input(name, item, data_set, data_set.shapes_of(ONE)) for item in value)
    return _like_input(name, value, data_set, data_set.shapes_of(ONE))


def _like_input(name: str, value: Any, data_set: _DataSet, shapes: Sequence[Shape]) -> Any:
    """One entry for all, or a row for each: by the whole shape, as ``explain`` tells one sample from a batch.

    Raises:
        OptionError: it is neither.
    """
    array = value if _is_array(value) or not isinstance(value, list | tuple) else _as_array(name, value)
    shape = tuple(array.shape) if _is_array(array) else ()
    if not shape or any(shape in (one, (1, *one)) for one in shapes):
        return value
    if any(shape == (data_set.count, *one) for one in shapes):
        return _rows(name, array)
    raise OptionError(
        f"{name} has the shape {shape}; give a number, one entry {' or '.join(map(str, shapes))} for all, or a row for each of the "
        f"{data_set.count} entries"
    )


def _rows(name: str, values: Any) -> EntryRows:
    """The rows of all entries, told to be finite before the first is explained: a run that has begun does not end at one of them.

    Raises:
        OptionError: one has values that are no numbers.
    """
    array = values.detach().cpu().double().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.dtype.kind in "fc" and not (finite := np.isfinite(array.reshape(len(array), -1)).all(1)).all():
        row = int(finite.argmin())
        raise OptionError(f"{name}: the row of entry {row} (counted from 0) has values that are NaN or infinite; mend it, or leave it out")
    return EntryRows(values)


def _as_array(name: str, value: Any) -> npt.NDArray[Any]:
    """Numbers in lists as an array.

    Raises:
        OptionError: they are none.
    """
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise OptionError(f"{name} is no array of numbers: {error}") from error


def _bound(name: str, value: Any, data_set: _DataSet) -> Any:
    """A bound of inputs: of all, if it spreads to one entry (or has a single row, as for a layer that sees them in another shape)."""
    if (
        not _is_array(value)
        or len(value.shape) < 2
        or len(value) == 1
        or any(_spreads(value.shape, one) for one in data_set.shapes.values())
    ):
        return value
    if len(value) == data_set.count:
        return _rows(name, value)
    raise OptionError(
        f"{name} has the shape {tuple(value.shape)}; give a number, an array that spreads to one entry, or a row for each of the "
        f"{data_set.count} entries"
    )


def _spreads(shape: Sequence[int], wanted: Shape) -> bool:
    try:
        return np.broadcast_shapes(tuple(shape), wanted) == wanted
    except ValueError:
        return False


def _passed_on(value: Any, data_set: _DataSet, is_argument: bool = False) -> Any:
    """An argument of the model, or what is in it: tensors, and arrays that are an argument themselves, with a row for each entry go with
    the entries, anything else is passed whole.

    Raises:
        OptionError: in a batch it would be taken for a row for each of its entries, or a list may be meant so.
    """
    length = _rows_in(value)
    if length == data_set.count > 1 and (isinstance(value, Tensor) or (is_argument and _is_array(value))):
        return EntryRows(value)
    if length in data_set.sizes:
        what = "a list of numbers" if isinstance(value, list) else "an array"
        raise OptionError(
            f"forward_kwargs= has {what} of {length} rows, as many as entries in a batch or in all, of which nobody can tell whether they "
            "go with the entries; give a tensor with a row for each entry, a tuple or another batch_size if it is passed whole"
        )
    return in_container(value, lambda item: _passed_on(item, data_set), value)


def _rows_in(value: Any) -> int | None:
    """How many rows what may go with samples has, see ``JointInputs.at``; None: it is nothing of the kind."""
    if type(value) is list and value and all(isinstance(item, int | float) for item in value):
        return len(value)
    is_numeric = isinstance(value, np.ndarray) and value.dtype.kind in "biufc"
    has_rows = is_numeric or (isinstance(value, Tensor) and value.layout is torch.strided)
    return len(value) if has_rows and value.ndim else None
