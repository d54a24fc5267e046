"""Signals from files as a network takes them: whole, a stretch, or the windows about beats."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai.cli.arguments import names_record
from signxai.cli.failures import Failure, NotHeldError, as_most, attempted, in_order, not_as_most
from signxai.cli.input_files import check_readable, is_readable, of_other_lengths
from signxai.cli.progress_bars import watched
from signxai.common.errors import InputError, OptionError, SignxaiError
from signxai.files import ARRAY_SUFFIXES, PICTURE_SUFFIXES
from signxai.models import Classifier
from signxai.timeseries.beat_files import read_beats
from signxai.timeseries.beats import AAMI_CLASSES, UNCLASSIFIED, Beats
from signxai.timeseries.checks import check_signal, find_flat_lines, find_gaps
from signxai.timeseries.detection import DETECTOR, detect_beats, voltage_leads
from signxai.timeseries.formats import format_of, signal_suffixes
from signxai.timeseries.reading import read_signal
from signxai.timeseries.signal_input import SignalInput
from signxai.timeseries.signals import VOLTS, Signal
from signxai.timeseries.windows import BeatWindows, beat_windows

__all__ = [
    "Excerpt",
    "Recording",
    "SignalBatch",
    "SignalOptions",
    "are_signals",
    "as_written_here",
    "check_beats",
    "joined_signals",
    "read_readable",
    "read_signals",
]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

_OTHER_SUFFIXES = (*ARRAY_SUFFIXES, *PICTURE_SUFFIXES)


@dataclass(frozen=True)
class SignalOptions:
    """What the user says of signals, see ``signxai explain --help``; None or nothing where nothing was said.

    `window` is in seconds, None at an open end; `beats` is a file or "detect"; `layout`, `highest_hz`, `summaries` and `summary_lead` are
    about what is drawn and written.
    """

    at_beats: tuple[int, ...] = ()
    window: tuple[float | None, float | None] | None = None
    sampling_rate: float | None = None
    units: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()
    beats: Path | None = None
    layout: str | None = None
    highest_hz: float | None = None
    summaries: tuple[Path, ...] = ()
    summary_lead: str | None = None

    def given(self) -> list[str]:
        """The options that were given, as they are written.

        >>> SignalOptions(at_beats=(12,), units=("mV",)).given()
        ['--at-beat', '--units']
        """
        values: dict[str, object] = {
            "--at-beat": self.at_beats,
            "--window": self.window,
            "--sampling-rate": self.sampling_rate,
            "--units": self.units,
            "--leads": self.leads,
            "--beats": self.beats,
            **self._of_figures(),
        }
        return [name for name, value in values.items() if value not in ((), None)]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that they name, beside the signals."""
        return () if self.beats is None or self.detects else (self.beats,)

    @property
    def detects(self) -> bool:
        """Whether beats are to be detected, whatever the files say."""
        return self.beats == Path("detect")

    def of_figures(self) -> list[str]:
        """The options about what is drawn and summed up that were given, as they are written."""
        return [name for name, value in self._of_figures().items() if value not in ((), None)]

    def _of_figures(self) -> dict[str, object]:
        of_summaries = {"--summary": self.summaries, "--summary-lead": self.summary_lead}
        return {"--layout": self.layout, "--highest-hz": self.highest_hz, **of_summaries}


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording read and prepared.

    Attributes:
        file: its name.
        recorded: as it was read.
        signal: as it is drawn: prepared, in physical units, with its beats.
        values: (leads, samples) of `signal` as the network takes them.
    """

    file: str
    recorded: Signal
    signal: Signal
    values: FloatArray

    def seconds(self, sample: int) -> float:
        """The time of a sample of `signal`."""
        return sample / self.signal.sampling_rate

    @property
    def beats(self) -> Beats:
        """Its beats; none where nobody looked for any."""
        return Beats(np.zeros(0, dtype=np.int64), ()) if self.signal.beats is None else self.signal.beats

    def beat_name(self, index: int) -> str:
        """A beat by its number, its time and what it was annotated as, or that it was detected."""
        return f"beat {index} at {self.seconds(int(self.beats.positions[index])):.3f} s, {self._said_of(index)}"

    def _said_of(self, index: int) -> str:
        symbol, origin = self.beats.symbols[index], self.beats.origin
        if origin != "annotated" and symbol == UNCLASSIFIED:
            return origin
        of_class = "" if AAMI_CLASSES[symbol] == symbol else f" (class {AAMI_CLASSES[symbol]})"
        return f"{origin}{' as' * (origin == 'given')} {symbol}{of_class}"


@dataclass(frozen=True, eq=False)
class Excerpt:
    """The samples `start` to `stop` of a recording, and the number of the beat that they are about, if they are about one."""

    recording: Recording
    start: int
    stop: int
    beat: int | None = None

    @property
    def values(self) -> FloatArray:
        """What the network takes, (leads, samples)."""
        return self.recording.values[:, self.start : self.stop]

    @property
    def signal(self) -> Signal:
        """What is drawn, without beats."""
        return replace(self.recording.signal, values=self.recording.signal.values[:, self.start : self.stop], beats=None)

    @property
    def start_s(self) -> float:
        return self.recording.seconds(self.start)

    @property
    def stop_s(self) -> float:
        return self.recording.seconds(self.stop)

    @property
    def beats(self) -> list[int]:
        """The numbers of the recording's beats that lie within."""
        positions = self.recording.beats.positions
        return [int(index) for index in np.flatnonzero((positions >= self.start) & (positions < self.stop))]

    @property
    def name(self) -> str:
        """The file, and which part of it this is."""
        if self.beat is not None:
            return f"{self.recording.file}, {self.recording.beat_name(self.beat)}"
        if self.stop - self.start == self.recording.values.shape[1]:
            return self.recording.file
        return f"{self.recording.file}, {self.start_s:.10g} s to {self.stop_s:.10g} s"


@dataclass(frozen=True, eq=False)
class SignalBatch:
    """What goes into the network.

    Attributes:
        excerpts: one per sample.
        strips: the stretches that are shown as one, each with the windows of its beats in `excerpts`; else none.
        left_out: the beats within the strips that are not explained, and why.
        notices: what was done to the recordings that nobody asked for.
        wanted: how the network takes signals.
    """

    excerpts: Sequence[Excerpt]
    strips: Sequence[Excerpt] = ()
    left_out: Sequence[str] = ()
    notices: Sequence[str] = ()
    wanted: SignalInput = field(default_factory=SignalInput)

    @property
    def names(self) -> list[str]:
        return [excerpt.name for excerpt in self.excerpts]

    @property
    def x(self) -> Array:
        """The network's input, float32 (N, leads, samples), or (N, samples, leads) where it has channels last."""
        return self.wanted.as_taken(np.stack([excerpt.values for excerpt in self.excerpts]).astype(np.float32))

    def leads_first(self, values: Array) -> Array:
        """The network's input, or a map of it, as (N, leads, samples)."""
        return np.swapaxes(values, 1, 2) if self.wanted.channels_last else values

    @property
    def files(self) -> list[int]:
        """(N) The number of the recording that each sample is of."""
        recordings = list(dict.fromkeys(excerpt.recording for excerpt in self.excerpts))
        return [recordings.index(excerpt.recording) for excerpt in self.excerpts]

    @property
    def sampling_rate(self) -> float:
        return self.excerpts[0].recording.signal.sampling_rate

    def repeated(self, rows: Sequence[int]) -> "SignalBatch":
        """The samples of these numbers, some of them several times.

        Raises:
            OptionError: in a strip, to which each beat adds one map.
        """
        if list(rows) == list(range(len(self.excerpts))):
            return self
        if self.strips:
            raise OptionError("of the beats of a strip one class each is explained; give one --target, or --at-beat")
        return replace(self, excerpts=[replace(self.excerpts[row]) for row in rows])

    def rows_of(self, strip: Excerpt) -> list[int]:
        """Which samples are windows of the strip's beats."""
        return [row for row, excerpt in enumerate(self.excerpts) if excerpt.recording is strip.recording]


def are_signals(paths: Sequence[Path], options: SignalOptions) -> bool:
    """Whether the files are signals, with a sampling rate, rather than pictures or arrays as a network takes them.

    Raises:
        OptionError: some are and others are pictures or arrays, or there are options for signals and none is one.
    """
    others = [path for path in paths if not _is_signal(path, options)]
    if not others:
        return True
    if signals := [path for path in paths if path not in others]:
        other = next((path for path in others if path.suffix.lower() in _OTHER_SUFFIXES and is_readable(path)), None)
        if other is None:  # what is of no kind, or broken, is a signal that cannot be read
            return True
        if one := next((path for path in signals if is_readable(path)), None):
            raise OptionError(f"inputs explained together are all signals or none; {one} is one, and {other} is none: explain them apart")
    if options.given():
        kinds = ", ".join(suffix for suffix in signal_suffixes() if suffix not in ARRAY_SUFFIXES)
        raise OptionError(
            f"{options.given()[0]} goes with signals ({kinds}, a WFDB record's name, or .npy and .npz with --sampling-rate), "
            f"and {others[0]} is none"
        )
    return False


def _is_signal(path: Path, options: SignalOptions) -> bool:
    suffix = path.suffix.lower()
    if suffix in (".npy", ".npz"):
        return options.sampling_rate is not None
    return format_of(path) is not None or names_record(path)


def read_signals(paths: Sequence[Path], classifier: Classifier, options: SignalOptions) -> SignalBatch:
    """Read and prepare recordings, and cut out of them what is to be explained.

    A recording is prepared as a whole, and cut afterwards. Gaps and flat lines are refused in what goes into the network; what
    they are elsewhere is the preparation's business.

    Raises:
        InputError: a file without what is asked for: leads, beats, a stretch without gaps and flat lines.
        OptionError: options that contradict each other, the file or the network, or that are missing.
        OSError: a file cannot be opened.
    """
    wanted = classifier.signal_input or SignalInput()
    if options.at_beats and options.window:
        raise OptionError("--at-beat and --window: give one of them")
    if options.at_beats and not wanted.about_beats:
        raise OptionError(
            "--at-beat: this network takes whatever stretch it is given; give --window, or let the factory return a "
            "signxai.models.Classifier whose signal_input has before_s and after_s"
        )
    check_beats(paths, options)
    recordings = [_recording(path, wanted, options) for path in watched(paths, "reading")]
    batch = joined_signals([replace(_batch(recording, wanted, options), notices=list(_notices(recording))) for recording in recordings])
    for excerpt in batch.excerpts:
        _check(excerpt)
    return replace(batch, wanted=wanted)


@dataclass(frozen=True, eq=False)
class ReadSignals:
    """What could be read of several recordings.

    Attributes:
        batch: of those that could be read.
        files: (N) the number of the file that each excerpt is of.
        failures: those that could not.
    """

    batch: SignalBatch
    files: list[int]
    failures: list[Failure]


def read_readable(paths: Sequence[Path], classifier: Classifier, options: SignalOptions) -> ReadSignals:
    """As ``read_signals``; recordings that cannot be read are failures, as long as one can.

    Raises:
        InputError, OSError: none of them can be read; or those that can differ in shape or sampling rate, and no more than half are alike.
        OptionError: as ``read_signals``.
    """
    check_beats(paths, options)
    read, failures = attempted(paths, partial(_read_one, classifier=classifier, options=options), may_fail=True)
    alike, others = as_most({number: _form(one) for number, one in read.items()})
    failures += not_as_most(paths, alike, others, "it is {}, and most are {}; explain it apart")
    batch = joined_signals([read[number] for number in alike])
    of_lengths = of_other_lengths(dict.fromkeys(batch.names, batch.x.shape[1:]), classifier)
    batch = replace(batch, notices=[*batch.notices, *of_lengths])
    return ReadSignals(batch, [number for number in alike for _ in read[number].excerpts], in_order(paths, failures))


def _read_one(path: Path, classifier: Classifier, options: SignalOptions) -> SignalBatch:
    """A recording; a file of another kind is here because it is broken, of which its own reader knows best."""
    if path.suffix.lower() in _OTHER_SUFFIXES and not _is_signal(path, options):
        check_readable(path)
    return read_signals([path], classifier, options)


def _form(batch: SignalBatch) -> str:
    """What is alike in signals that are explained together: of the excerpts of one recording, and of the strips that they lie in."""
    return ", in ".join(_size(each) for each in (batch.excerpts[0], *batch.strips[:1]))


def _size(excerpt: Excerpt) -> str:
    leads, samples = excerpt.values.shape
    return f"{leads} x {samples} at {excerpt.recording.signal.sampling_rate:g} Hz"


def check_beats(paths: Sequence[Path], options: SignalOptions) -> None:
    """Refuse to take the beats of one recording for those of several.

    Raises:
        OptionError: ``--beats`` names a file, and there are several recordings.
    """
    if options.files and len(paths) > 1:
        raise OptionError(f"--beats {options.beats}: holds the beats of one recording, and {len(paths)} are given; explain them apart")


def joined_signals(batches: Sequence[SignalBatch]) -> SignalBatch:
    """Several batches as one.

    Raises:
        InputError: they differ in shape or sampling rate.
    """
    batch = SignalBatch(
        [excerpt for each in batches for excerpt in each.excerpts],
        [strip for each in batches for strip in each.strips],
        [line for each in batches for line in each.left_out],
        [line for each in batches for line in each.notices],
        batches[0].wanted,
    )
    for excerpts in (batch.excerpts, batch.strips):
        _check_alike(excerpts)
    return batch


# Recordings


def _recording(path: Path, wanted: SignalInput, options: SignalOptions) -> Recording:
    units = options.units[0] if len(options.units) == 1 else options.units or None
    try:
        recorded = read_signal(path, sampling_rate=options.sampling_rate, lead_names=options.leads or None, units=units, check=False)
        recorded = _with_beats(recorded, wanted, options)
    except (InputError, OptionError) as error:
        raise type(error)(as_written_here(str(error))) from error
    try:
        prepared = wanted.prepare(recorded)
        signal, values = prepared.signal, np.asarray(prepared.values)
    except (InputError, OptionError) as error:
        raise type(error)(as_written_here(str(error))) from error
    except SignxaiError:
        raise
    except Exception as error:  # a factory's preparation is the user's code: it may raise anything
        raise InputError(f"{path}: the model's preparation failed with {type(error).__name__}: {error}") from error
    if values.shape != signal.values.shape:
        raise InputError(f"{path}: the model's preparation gives values of shape {values.shape} for a signal of {signal.values.shape}")
    return Recording(path.name, recorded, signal, values)


def _with_beats(recorded: Signal, wanted: SignalInput, options: SignalOptions) -> Signal:
    """The recording with the beats that the user has, or else its own; where it has none and some are needed, they are detected."""
    if options.beats and not options.detects:
        return recorded.with_beats(read_beats(options.beats, recorded))
    needed = recorded.beats is None and (wanted.about_beats or bool(options.summaries))
    return recorded.with_beats(detect_beats(recorded)) if needed or options.detects else recorded


def _notices(recording: Recording) -> Iterator[str]:
    if recording.beats.origin == "detected":
        leads = ", ".join(voltage_leads(recording.recorded).lead_names)
        count = f"{len(recording.beats)} beats are not annotated but detected"
        yield f"{recording.file}: its {count} ({DETECTOR} in {leads}); look at them, or give your own by --beats FILE"


_OPTIONS = {"sampling_rate=": "--sampling-rate", "lead_names=": "--leads", "units=": "--units", "length_s=": "--window-length"}


_LEFT_OUT = "leave that lead out by --leads, or save a stretch without the gap as a file of its own"
"""What can be done where a whole recording must have no gap, which ``--window`` does not cut."""


def as_written_here(message: str) -> str:
    """The library's message with the arguments as options.

    >>> as_written_here("give units=, such as 'mV'")
    "give --units, such as 'mV'"
    """
    message = message.replace("use a stretch without one (between)", _LEFT_OUT)
    for argument, option in _OPTIONS.items():
        message = message.replace(f"{argument},", f"{option},").replace(argument, f"{option} ")
    return message


# What is cut out


def _batch(recording: Recording, wanted: SignalInput, options: SignalOptions) -> SignalBatch:
    if not wanted.about_beats:
        return SignalBatch([_stretch(recording, options.window or (None, None))])
    if not len(recording.beats):
        raise InputError(
            f"{recording.file}: its annotations hold no beat, and this network explains beats one by one; --beats FILE gives them, and "
            "--beats detect has them found"
        )
    if options.window:
        return _beats_within(recording, _stretch(recording, options.window), wanted)
    if not options.at_beats:
        count = len(recording.beats)
        raise OptionError(
            f"{recording.file}: say which of its {count} {recording.beats.origin} beats to explain: --at-beat K (0 to {count - 1}; "
            "may be given again), or --window START:ENDs for all beats of a stretch"
        )
    return SignalBatch(list(_at_beats(recording, wanted, options.at_beats)))


def _stretch(recording: Recording, window: tuple[float | None, float | None]) -> Excerpt:
    samples, rate = recording.values.shape[1], recording.signal.sampling_rate
    start = 0 if window[0] is None else round(window[0] * rate)
    stop = samples if window[1] is None else round(window[1] * rate)
    if not 0 <= start < stop <= samples:
        said = ":".join("" if seconds is None else f"{seconds:.10g}" for seconds in window)
        raise NotHeldError(f"--window {said}s: {recording.file} runs from 0 s to {recording.signal.duration:.10g} s; give a stretch of it")
    return Excerpt(recording, start, stop)


def _around(recording: Recording, wanted: SignalInput) -> BeatWindows:
    assert wanted.before_s is not None
    assert wanted.after_s is not None
    return beat_windows(replace(recording.signal, values=recording.values), wanted.before_s, wanted.after_s)


def _at_beats(recording: Recording, wanted: SignalInput, numbers: Sequence[int]) -> Iterator[Excerpt]:
    around = _around(recording, wanted)
    count = len(recording.beats)
    for number in dict.fromkeys(numbers):
        if not 0 <= number < count:
            raise NotHeldError(f"--at-beat {number}: {recording.file} has {count} {recording.beats.origin} beats, 0 to {count - 1}")
        if fault := _fault(around, number):
            raise NotHeldError(
                f"--at-beat {number}: {recording.file}, {recording.beat_name(number)}: {fault}; the network takes "
                f"{wanted.before_s:g} s before a beat and {wanted.after_s:g} s behind it{_with_room(around)}"
            )
        yield _window(recording, around, number)


def _with_room(around: BeatWindows) -> str:
    return f"; beats {around.indices[0]} to {around.indices[-1]} have room" if len(around) else ""


def _fault(around: BeatWindows, number: int) -> str:
    """Why a beat has no window; nothing if it has one."""
    if number in around.at_an_edge:
        return "too near the recording's beginning or end"
    return "there is a gap in its window" if number in around.in_a_gap else ""


def _window(recording: Recording, around: BeatWindows, number: int) -> Excerpt:
    start = int(recording.beats.positions[number]) - around.beat_at
    return Excerpt(recording, start, start + around.values.shape[2], number)


def _beats_within(recording: Recording, strip: Excerpt, wanted: SignalInput) -> SignalBatch:
    around = _around(recording, wanted)
    faults = {number: _fault(around, number) for number in strip.beats}
    excerpts = [_window(recording, around, number) for number, fault in faults.items() if not fault]
    if not excerpts:
        raise InputError(
            f"{strip.name}: none of its {len(faults)} {strip.recording.beats.origin} beats has the network's window in the recording"
        )
    return SignalBatch(excerpts, [strip], [f"{recording.beat_name(number)}: {fault}" for number, fault in faults.items() if fault])


# What must hold of it


def _check_alike(excerpts: Sequence[Excerpt]) -> None:
    sizes = {_size(each): each.name for each in excerpts}
    if len(sizes) > 1:
        said = "; ".join(f"{name}: {size}" for size, name in sizes.items())
        raise InputError(f"signals explained together have one shape and sampling rate, these have {said}; explain them apart")


def _check(excerpt: Excerpt) -> None:
    """Refuse a stretch that the network would be wrong about."""
    recorded = excerpt.recording.recorded
    cut = recorded.between(excerpt.start_s, min(excerpt.stop_s, recorded.duration))
    gaps = [replace(gap, start_s=gap.start_s + excerpt.start_s, end_s=gap.end_s + excerpt.start_s) for gap in find_gaps(cut)]
    try:
        if all(unit in VOLTS for unit in recorded.units):
            check_signal(cut, start_s=excerpt.start_s)
        elif gaps:
            raise InputError(f"{excerpt.name}: gaps (no values): {', '.join(map(str, gaps))}")
    except InputError as error:
        instead = "; --window START:ENDs takes a stretch without them, --leads NAMES leaves leads out"
        raise InputError(f"{error}{instead if gaps or find_flat_lines(cut) else ''}") from error
    if np.isnan(excerpt.values).any():
        raise InputError(f"{excerpt.name}: the model's preparation leaves NaN in it")
