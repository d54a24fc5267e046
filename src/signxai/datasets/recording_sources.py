"""Data sets of recordings: windows of equal length, or a window about each annotated beat."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai.common.errors import InputError, OptionError, SignxaiError
from signxai.datasets.fingerprints import hash_of_files
from signxai.datasets.sources import Class, Entries
from signxai.datasets.views import SignalView
from signxai.timeseries.beats import AAMI_CLASSES
from signxai.timeseries.reading import read_signal
from signxai.timeseries.signal_input import AsRecorded, SignalInput
from signxai.timeseries.signals import Signal
from signxai.timeseries.windows import beat_windows

__all__ = ["RecordingSource", "Window", "beats_of", "windows_of"]

Array = npt.NDArray[Any]

_NAMED = 3
"""Names of a lead that are all told, at most."""


@dataclass(frozen=True)
class Window:
    """The samples ``start`` to ``stop`` of a recording, as it is prepared.

    Attributes:
        file: the recording.
        start, stop: its first sample, and the one behind its last.
        name: what it is called.
        label: the class that it was annotated as; None: nobody says.
    """

    file: str
    start: int
    stop: int
    name: str
    label: Class | None = None


@dataclass(frozen=True, eq=False)
class RecordingSource:
    """Windows of recordings; the recording read last is kept, so that its windows are read at once.

    Args:
        windows: each is an entry; those of one recording stand together.
        signal_input: how a recording becomes what the network takes.
        options: of ``read_signal``.
        groups: what belongs together, such as the recordings of one patient, by file; None: each recording by itself.
        kind: what it is, and where it comes from.
        view: how a window is drawn; None: by its shape.
    """

    windows: Sequence[Window]
    signal_input: SignalInput = field(default_factory=SignalInput)
    options: Mapping[str, Any] = field(default_factory=dict)
    groups: Mapping[str, str] | None = None
    kind: str = "recordings"
    view: SignalView | None = None
    entries: Entries = field(init=False, repr=False)

    def __post_init__(self) -> None:
        labels = [window.label for window in self.windows]
        known = labels if any(label is not None for label in labels) else None
        groups = [(self.groups or {}).get(window.file, Path(window.file).stem) for window in self.windows]
        object.__setattr__(self, "entries", Entries([window.name for window in self.windows], known, groups))
        object.__setattr__(self, "_prepared", lru_cache(maxsize=1)(self._prepare))

    _prepared: Callable[[str], Array] = field(init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_prepared"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        object.__setattr__(self, "_prepared", lru_cache(maxsize=1)(self._prepare))

    def _prepare(self, file: str) -> Array:
        return self.signal_input.prepare(read_signal(file, **self.options)).values

    def content_hash(self) -> str:
        """Of the windows' names, their places, and the files, as ``FileSource`` has it of its own."""
        places = [(window.file, window.start, window.stop) for window in self.windows]
        files = [Path(file) for file in dict.fromkeys(window.file for window in self.windows)]
        parts = [path for file in files for path in sorted(file.parent.glob(f"{file.stem}.*"))]
        return hashlib.sha256(f"{places} {hash_of_files(parts)}".encode()).hexdigest()

    def read(self, index: int) -> Array:
        window = self.windows[index]
        if window.stop == window.start:
            self._prepared(window.file)
            raise InputError(f"{window.file}: has no annotated beats")
        values = np.array(self._prepared(window.file)[:, window.start : window.stop])
        if np.isnan(values).any():
            raise InputError(f"{window.name}: there is a gap in the recording")
        return self.signal_input.as_taken(values)


def windows_of(
    files: Sequence[str | Path],
    length_s: float,
    signal_input: SignalInput = SignalInput(),  # noqa: B008 - it cannot be changed
    **options: Any,
) -> RecordingSource:
    """Windows of equal length that follow each other, without what is left over at the end of each recording.

    Args:
        files: recordings, as ``read_signal`` reads them.
        length_s: of a window, in seconds.
        signal_input: how a recording becomes what the network takes.
        **options: of ``read_signal``.

    A recording that cannot be read is an entry of its own, which fails when its turn comes.

    Raises:
        InputError: a recording has no room for a window, or ``files`` is one instead of a list.
        OptionError: the length is no such number, or the network takes windows about beats.
    """
    _refuse_one(files)
    if signal_input.about_beats:
        raise OptionError("signal_input takes windows about beats, and no others: give beats_of(files, signal_input)")
    windows: list[Window] = []
    seen: list[Signal] = []
    for file in map(str, files):
        signal = _prepared_signal(file, signal_input, options)
        if signal is None:
            windows.append(Window(file, 0, 0, file))
            continue
        seen.append(signal)
        length = round(length_s * signal.sampling_rate) if length_s > 0 else 0
        if length < 1:
            raise OptionError(f"length_s={length_s}: at least {1 / signal.sampling_rate:g} s, one sample of {file}")
        starts = range(0, signal.values.shape[1] - length + 1, length)
        if not starts:
            raise InputError(f"{file}: has {signal.values.shape[1] / signal.sampling_rate:g} s, less than a window of {length_s:g} s")
        windows += [Window(file, at, at + length, f"{file} {at / signal.sampling_rate:.10g} s") for at in starts]
    kind = f"windows of {length_s:g} s of {len(files)} recordings"
    return RecordingSource(windows, signal_input, options, kind=kind, view=_view(seen, signal_input))


def beats_of(files: Sequence[str | Path], signal_input: SignalInput, classes: Sequence[str] = (), **options: Any) -> RecordingSource:
    """A window about each annotated beat that has room for one; its label is its AAMI class.

    Args:
        files: annotated recordings, as ``read_signal`` reads them.
        signal_input: how a recording becomes what the network takes, and where its window about a beat begins and ends.
        classes: the AAMI classes that are taken; none: all.
        **options: of ``read_signal``.

    A recording that cannot be read, or in which no beat is annotated, is an entry of its own, which fails when its turn comes.

    Raises:
        OptionError: the network takes no windows about beats, or no such class.
        InputError: ``files`` is one instead of a list.
    """
    before, after = signal_input.before_s, signal_input.after_s
    if before is None or after is None:
        raise OptionError("signal_input takes no windows about beats: give before_s= and after_s=")
    unknown = [name for name in classes if name not in set(AAMI_CLASSES.values())]
    if unknown:
        raise OptionError(f"class {unknown[0]!r}: the AAMI classes are {', '.join(sorted(set(AAMI_CLASSES.values())))}")
    _refuse_one(files)
    windows: list[Window] = []
    seen: list[Signal] = []
    for file in map(str, files):
        signal = _prepared_signal(file, signal_input, options)
        if signal is None or signal.beats is None:
            windows.append(Window(file, 0, 0, file))
            continue
        seen.append(signal)
        around = beat_windows(signal, before, after)
        for place, position, name in zip(around.indices, around.beats.positions, around.beats.classes, strict=True):
            if not classes or name in classes:
                start = int(position) - around.beat_at
                stop = start + around.values.shape[2]
                windows.append(Window(file, start, stop, f"{file} beat {int(place)}", name))
    view = _view(seen, signal_input, beat_at_s=before)
    return RecordingSource(windows, signal_input, options, kind=f"beats of {len(files)} recordings", view=view)


def _refuse_one(files: Sequence[str | Path]) -> None:
    """Raise if one file stands for a list of files.

    Raises:
        InputError: it does.
    """
    if isinstance(files, str | Path):
        raise InputError(f"files={str(files)!r} is one file; give a list: [{str(files)!r}]")


def _view(signals: Sequence[Signal], signal_input: SignalInput, beat_at_s: float = 0.0) -> SignalView | None:
    """How windows of recordings are drawn: with the units that are the same in all of them, and what the leads are called."""
    rates = {signal.sampling_rate for signal in signals}
    if len(rates) != 1:
        return None
    units = {unit for signal in signals for unit in signal.units} if signal_input.prepare is AsRecorded else {signal_input.units}
    names = _lead_names([tuple(signal.lead_names) for signal in signals])
    event = "the beat's annotation" if signal_input.about_beats and beat_at_s else ""
    return SignalView(rates.pop(), names, units.pop() if len(units) == 1 else "", beat_at_s, event)


def _lead_names(recorded: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """What the leads of several recordings are called together; where recordings differ, what each may be.

    >>> _lead_names([("MLII", "V1"), ("MLII", "V5")])
    ('MLII', 'channel 2 (V1 or V5 by recording)')
    """
    if len({len(names) for names in recorded}) != 1:
        return ()
    by_place = [list(dict.fromkeys(names)) for names in zip(*recorded, strict=True)]
    return tuple(_lead_name(place, names) for place, names in enumerate(by_place, 1))


def _lead_name(place: int, names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"channel {place} ({_either(names)} by recording)"


def _either(names: Sequence[str]) -> str:
    """Some words, of which one holds.

    >>> _either(["V1", "V5"]), _either(["V1", "V2", "V4", "V5"])
    ('V1 or V5', 'V1, V2 or 2 others')
    """
    if len(names) > _NAMED:
        return f"{', '.join(names[: _NAMED - 1])} or {len(names) - _NAMED + 1} others"
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _prepared_signal(file: str, signal_input: SignalInput, options: Mapping[str, Any]) -> Signal | None:
    """A recording as it is drawn; None where it cannot be read, which is said when its turn comes."""
    try:
        return signal_input.prepare(read_signal(file, **options)).signal
    except (SignxaiError, OSError):
        return None
