"""Several inputs of one network: from files, by the names of the arguments of its forward, or of the inputs of a Keras model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from signxai.cli.failures import Failure, attempted
from signxai.cli.input_files import check_readable, read_picture, unprepared
from signxai.cli.signal_files import SignalOptions, are_signals, check_beats, read_signals
from signxai.common.errors import InputError, ModelError, OptionError
from signxai.engine import keras_calls
from signxai.engine.keras_calls import Arguments
from signxai.engine.model_loan import unwrapped
from signxai.files import ARRAY_SUFFIXES, array_names, read_array, read_arrays
from signxai.models import Classifier

__all__ = [
    "SAVED",
    "SeveralInputs",
    "SeveralOptions",
    "arguments_of",
    "check_arguments",
    "check_several",
    "may_hold_several",
    "read_several",
]

Array = npt.NDArray[Any]

SAVED = "x/"
"""What stands before the names of inputs in files that ``--save`` wrote."""

_AXES_OF_SIGNALS = 3  # samples, leads, time


@dataclass(frozen=True)
class SeveralOptions:
    """What the user says of several inputs, see ``signxai explain --help``.

    Attributes:
        files: for each input its name and its file.
        explained: the names of those that get relevance; none: all that can.
        forward: arguments that are passed on as they are, each with its name.
        one_sample: whether each array is one sample, without an axis that counts samples.
        names: for some inputs, what their numbers, leads or tokens are called.
        own_scales: whether each input has a scale of colours of its own.
    """

    files: tuple[tuple[str, Path], ...] = ()
    explained: tuple[str, ...] = ()
    forward: tuple[tuple[str, object], ...] = ()
    one_sample: bool = False
    names: tuple[tuple[str, tuple[str, ...]], ...] = ()
    own_scales: bool = False

    def given(self) -> list[str]:
        """The options beside --input that were given, as they are written.

        >>> SeveralOptions(explained=("ecg",), one_sample=True).given()
        ['--explained', '--one-sample']
        """
        values = {"--explained": self.explained, "--forward": self.forward, "--one-sample": self.one_sample}
        return [name for name, value in values.items() if value] + self.of_figures()

    def of_figures(self) -> list[str]:
        """Those of them that are about a figure."""
        return [name for name, value in {"--names": self.names, "--own-scales": self.own_scales}.items() if value]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files."""
        return tuple(path for _, path in self.files)


@dataclass(frozen=True)
class SeveralInputs:
    """Several inputs of a network.

    Attributes:
        arrays: (N, ...) by keyword.
        names: (N) of the samples.
        explained: the names of those that get relevance; None: all that can.
        forward: arguments that are passed on, by keyword.
        labels: by input, what its numbers, leads or tokens are called.
        sampling_rates: of those that were read from files of signals, in Hz.
        counted_by: what says how many samples there are.
        pictures: the names of those that were read from pictures.
        notices: what of their files was not used as one might think.
        failures: files beside one that holds several inputs, which could not be read.
    """

    arrays: Mapping[str, Array]
    names: list[str]
    explained: tuple[str, ...] | None
    forward: Mapping[str, object]
    labels: Mapping[str, Sequence[str]]
    sampling_rates: Mapping[str, float]
    counted_by: str
    pictures: Sequence[str] = ()
    notices: Sequence[str] = ()
    failures: Sequence[Failure] = ()

    @property
    def options(self) -> dict[str, object]:
        """What ``signxai.explain`` is told beside the arrays."""
        options: dict[str, object] = {} if self.explained is None else {"explained": self.explained}
        return {**options, "forward_kwargs": dict(self.forward)} if self.forward else options

    def said(self) -> Iterator[str]:
        """What was taken for what, line by line."""
        samples = "1 sample" if len(self.names) == 1 else f"{len(self.names)} samples"
        yield f"{samples} of {len(self.arrays)} input{'s' * (len(self.arrays) != 1)}{self.counted_by}"
        width = max(map(len, (*self.arrays, *self.forward)))
        for key, values in self.arrays.items():
            shape = " x ".join(map(str, values.shape[1:])) or "1 number"
            constant = "" if self.explained is None or key in self.explained else ", not explained"
            yield f"  {key:{width}}  {shape}, {values.dtype}{constant}"
        for key, value in self.forward.items():
            yield f"  {key:{width}}  {value!r}, passed on"
        yield from self.notices


def read_several(paths: Sequence[Path], options: SeveralOptions, signals: SignalOptions, classifier: Classifier) -> SeveralInputs | None:
    """Several inputs, of ``--input`` and of a file that holds several arrays by name; None if there is one input without a name.

    A file that has an array named ``x`` holds one input, with whatever beside it, unless each of its arrays is an argument of the network.

    Raises:
        InputError: a file that holds no such inputs, or inputs that differ in how many samples they have.
        OptionError: a name that is given twice, or of no input, or a file without one.
        ModelError: the network takes no such argument, or needs another one.
    """
    model = classifier.model
    holding = [path for path in paths if _holds_several(path, model)]
    if holding and signals.given() and not options.files:
        raise OptionError(
            f"{signals.given()[0]} goes with files of signals, and {holding[0]} holds several inputs by name; give each from a file of its "
            "own, by --input NAME=FILE"
        )
    if not options.files and not holding:
        check_several(options)
        return None
    _, failures = attempted(paths, check_readable, may_fail=True) if paths else ({}, [])
    _check_files([path for path in paths if path not in {failure.path for failure in failures}], holding, options)
    return replace(_read(holding, options, signals, classifier), failures=failures)


def _read(holding: Sequence[Path], options: SeveralOptions, signals: SignalOptions, classifier: Classifier) -> SeveralInputs:
    """The inputs that files hold by name, and those that are named."""
    read = _Reading(options.one_sample)
    for path in holding:
        read.add_file(path)
    for name, path in options.files:
        read.add(name, path, classifier, signals)
    read.check_signal_options(signals)
    forward = dict(options.forward)
    check_arguments(classifier.model, read.files, forward, holding)
    read.check_samples()
    read.notices += unprepared(read.arrays_like_signals, classifier)
    _check_names(read.arrays, options)
    return SeveralInputs(
        read.arrays,
        read.sample_names(),
        tuple(options.explained) or None,
        forward,
        read.leads | dict(options.names),
        read.sampling_rates | read.rates_of_arrays,
        read.counted_by,
        read.pictures,
        read.notices,
    )


def check_several(options: SeveralOptions) -> None:
    """Refuse options of several inputs where there is one.

    Raises:
        OptionError: there are such options.
    """
    if options.given():
        raise OptionError(
            f"{options.given()[0]} goes with several inputs, each with a name: --input NAME=FILE, or an .npz with several arrays"
        )


def may_hold_several(path: Path) -> bool:
    """Whether a file may hold several inputs by name, as its suffix tells.

    >>> may_hold_several(Path("x.npz")), may_hold_several(Path("x.npy")), may_hold_several(Path("x.png"))
    (True, False, False)
    """
    return path.suffix.lower() in ARRAY_SUFFIXES and path.suffix.lower() != ".npy"


def _holds_several(path: Path, model: nn.Module) -> bool:
    if not may_hold_several(path):
        return False
    try:
        names = array_names(path)
    except (InputError, OSError):  # whoever reads it says what is wrong with it
        return False
    if len(names) < 2:
        return False
    return "x" not in names or set(names) <= set(arguments_of(model).names)


def _check_files(paths: Sequence[Path], holding: Sequence[Path], options: SeveralOptions) -> None:
    if others := [path for path in paths if path not in holding]:
        raise OptionError(
            f"{others[0]}: beside inputs with names this one needs its own: give it by --input NAME={others[0]}, with the argument of the "
            "model that it is"
        )
    if len(holding) > 1:
        raise OptionError(
            f"{holding[0]} and {holding[1]} both hold several inputs by name; put the samples into one file, on the first axis of each "
            "array, or explain them apart"
        )
    if twice := _twice([name for name, _ in options.files]):
        first, second = [path for name, path in options.files if name == twice][:2]
        raise OptionError(
            f"--input {twice}: is given twice, as {first} and as {second}; several samples of an input stand in one file, on the first axis"
        )
    for option, named in (("--forward", options.forward), ("--names", options.names)):
        if twice := _twice([name for name, _ in named]):
            raise OptionError(f"{option} {twice}: is given twice; leave one of them out")


def _twice(names: Sequence[str]) -> str | None:
    return next((name for number, name in enumerate(names) if name in names[:number]), None)


# Reading


@dataclass
class _Reading:
    """What was read so far, by the names of the inputs.

    Attributes:
        one_sample: whether arrays have no axis that counts samples.
        arrays: (N, ...).
        files: from which they are.
        leads, sampling_rates, excerpts: of those that are signals; the last are the names of what was cut out, one for each sample.
        rates_of_arrays: of arrays that are signals by ``--sampling-rate``.
        pictures: the names of those that are pictures.
        notices: what of these files was not used as one might think.
    """

    one_sample: bool
    arrays: dict[str, Array] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    leads: dict[str, Sequence[str]] = field(default_factory=dict)
    sampling_rates: dict[str, float] = field(default_factory=dict)
    rates_of_arrays: dict[str, float] = field(default_factory=dict)
    excerpts: dict[Path, list[str]] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def add_file(self, path: Path) -> None:
        """All arrays of a file that holds several by name; of one that ``--save`` wrote, the inputs in it."""
        names = array_names(path)
        saved = [name for name in names if name.startswith(SAVED)]
        for name, array in read_arrays(path, saved or names).items():
            self._add_array(name.removeprefix(SAVED), array, path)

    def add(self, name: str, path: Path, classifier: Classifier, signals: SignalOptions) -> None:
        """The one input that a file holds: an array, a signal or a picture."""
        if name in self.files:
            raise OptionError(f"--input {name}={path}: {self.files[name]} holds {name!r} already; leave one of them out")
        if path.suffix.lower() in ARRAY_SUFFIXES:
            if len(held := array_names(path)) > 1:
                raise InputError(f"--input {name}={path}: it holds several arrays ({', '.join(held)}); give a file with one of them alone")
            self._add_array(name, read_array(path, booleans=True), path)
        elif are_signals([path], SignalOptions()):
            self._add_signal(name, path, classifier, signals)
        else:
            self.pictures.append(name)
            picture, notices = read_picture(path, classifier)
            self.arrays[name] = np.ascontiguousarray(picture[None])
            self.notices += [f"{path.name}: {notice}" for notice in notices]
        self.files[name] = path

    def _add_array(self, name: str, array: Array, path: Path) -> None:
        if self.one_sample:
            array = array[None]
        elif not array.ndim or not len(array):
            raise InputError(
                f"{path}: {name!r} has the shape {array.shape}; the first axis counts the samples: (N, ...), N >= 1; for arrays of one "
                "sample without such an axis give --one-sample"
            )
        self.arrays[name], self.files[name] = np.ascontiguousarray(array), path

    def _add_signal(self, name: str, path: Path, classifier: Classifier, options: SignalOptions) -> None:
        check_beats([*(self.files[other] for other in self.sampling_rates), path], options)
        batch = read_signals([path], classifier, options)
        self.notices += batch.notices
        if batch.strips:
            raise OptionError(f"--window: of {name!r}, one of several inputs, beats are explained one by one: give --at-beat K")
        self.arrays[name] = batch.x
        self.sampling_rates[name], self.excerpts[path] = batch.sampling_rate, batch.names
        self.leads[name] = batch.excerpts[0].recording.signal.lead_names

    @property
    def arrays_like_signals(self) -> list[str]:
        """The names of arrays that have the axes of signals."""
        others = {*self.pictures, *self.sampling_rates}
        return [name for name, array in self.arrays.items() if array.ndim == _AXES_OF_SIGNALS and name not in others]

    def check_signal_options(self, options: SignalOptions) -> None:
        """Refuse options of signals where none of the inputs is one; of arrays the sampling rate may be told."""
        if not options.given() or self.sampling_rates:
            return
        if options.given() == ["--sampling-rate"] and options.sampling_rate is not None:
            self.rates_of_arrays = dict.fromkeys(self.arrays_like_signals, options.sampling_rate)
        if not self.rates_of_arrays:
            kinds = ", ".join(str(path) for path in self.files.values())
            raise OptionError(
                f"{options.given()[0]} goes with files of signals, and none of the inputs is one: {kinds}; of arrays (N, leads, "
                "samples) give --sampling-rate alone"
            )

    @property
    def counted_by(self) -> str:
        """What says how many samples there are, for the report."""
        if len(self.pictures) + len(self.sampling_rates) == len(self.arrays):
            return ""
        return ", each array taken as one (--one-sample)" if self.one_sample else ", counted by the first axis of each array"

    def check_samples(self) -> None:
        """Refuse inputs that differ in how many samples they have."""
        counts = {name: len(array) for name, array in self.arrays.items()}
        if len(set(counts.values())) == 1:
            return
        said = ", ".join(f"{name!r} has {count}" for name, count in counts.items())
        what_to_do = "" if self.one_sample else "; if each array is one sample, without such an axis, give --one-sample"
        raise InputError(f"the inputs have one number of samples, on the first axis of each, but of these {said}{what_to_do}")

    def sample_names(self) -> list[str]:
        """A name for each sample: of its files, or of what was cut out of them, and its number where nothing else tells samples apart."""
        count, files = len(next(iter(self.arrays.values()))), dict.fromkeys(self.files.values())
        names = [" + ".join(self.excerpts[path][row] if path in self.excerpts else path.name for path in files) for row in range(count)]
        return names if len(set(names)) == count else [f"{name}[{row}]" for row, name in enumerate(names)]


# What the network takes


def arguments_of(model: nn.Module) -> Arguments:
    """What the network takes by name: the arguments of its forward, or the inputs of a Keras model."""
    return keras_calls.arguments_of(unwrapped(model))


def check_arguments(model: nn.Module, inputs: Mapping[str, Path], forward: Mapping[str, object], holding: Sequence[Path]) -> None:
    """Refuse names that the network does not take, and say which it needs besides."""
    if twice := next((name for name in forward if name in inputs), None):
        raise OptionError(f"--forward {twice}: is an input already; leave one of them out")
    arguments = arguments_of(model)
    by_name = arguments.names
    if not arguments.takes_any and (unknown := [name for name in (*inputs, *forward) if name not in by_name]):
        path = inputs.get(unknown[0])
        alone = "; the array of one input must be the only one, or named 'x'" if path in holding else ""
        source = f"{path}: " if path else "--forward: "
        raise ModelError(f"{source}the model takes no argument {unknown[0]!r}; by name it takes {', '.join(by_name) or 'none'}{alone}")
    needed = [name for name in arguments.needed if name not in {*inputs, *forward}]
    if needed:
        raise ModelError(
            f"the model also needs {', '.join(map(repr, needed))}: give --input {needed[0]}=FILE, or --forward {needed[0]}=VALUE for a "
            "number that is passed on"
        )


def _check_names(inputs: Mapping[str, Array], options: SeveralOptions) -> None:
    for option, names in (("--explained", options.explained), ("--names", [name for name, _ in options.names])):
        if unknown := [name for name in names if name not in inputs]:
            raise OptionError(f"{option} {unknown[0]}: is none of the inputs {', '.join(inputs)}")
    if booleans := [name for name in options.explained if inputs[name].dtype == np.bool_]:
        raise OptionError(f"--explained {booleans[0]}: holds booleans, to which no relevance goes; name an input of numbers or token ids")
