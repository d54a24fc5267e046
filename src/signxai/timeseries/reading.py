"""Signals from files: what the file says and what the caller says, made one."""

from collections.abc import Sequence
from math import isclose
from os import PathLike
from pathlib import Path

import numpy as np

from signxai.common.errors import InputError, OptionError
from signxai.timeseries.beats import Beats
from signxai.timeseries.checks import check_signal
from signxai.timeseries.file_content import FileContent, FloatArray
from signxai.timeseries.formats import REFERENCE_ANNOTATOR, SignalFormat, format_of, signal_suffixes
from signxai.timeseries.signals import Signal, lead_indices, unit_name

__all__ = ["read_signal"]

# Times that leave the rate this open, as a share and in Hz, do not tell it.
_TELLING, _HALF_A_HERTZ = 1e-3, 0.5


def read_signal(
    path: str | PathLike[str],
    *,
    sampling_rate: float | None = None,
    lead_names: Sequence[str] | None = None,
    units: str | Sequence[str] | None = None,
    annotator: str = REFERENCE_ANNOTATOR,
    check: bool = True,
) -> Signal:
    """Read a signal with its leads, units and sampling rate: WFDB, EDF, EDF+, BDF, CSV, .npy or .npz.

    What a file does not say must be given. What it says may be given too, and is then held against it: nothing is converted
    here (see `Signal.in_units` and `resample`).

    Args:
        path: the file; a WFDB record by any of .hea, .dat and .atr, or without suffix.
        sampling_rate: in Hz; needed for .npy and for a CSV without a column of times.
        lead_names: the leads to read, in this order; of an array that names none, the names of its leads.
        units: of the values, one for all or one per lead that is read; needed for .npy and for a CSV that names none.
        annotator: suffix of the WFDB annotations to read the beats from; a record need not have the reference, "atr".
        check: whether a signal with gaps, flat lines or impossible units is refused (`check_signal`); False to read
            it all the same, and use its good stretches.

    Returns:
        The signal, float64 (leads, samples), named after the file; with beats where a WFDB record has annotations.

    Raises:
        InputError: a broken file; leads that are missing or sampled at different rates; gaps, flat lines or
            impossible units; a package that is missing.
        OptionError: an unknown suffix, or an argument that is missing or contradicts the file.
        OSError: the file cannot be opened.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "sine.csv"
    ...     written = path.write_text("time,II (mV)\\n0.00,0.0\\n0.25,1.0\\n0.50,0.0\\n0.75,-1.0\\n")
    ...     read_signal(path)
    Signal 'sine': II in mV, 4 samples at 4 Hz (1 s)
    """
    place, row = _file_and_format(Path(path))
    content = row.read(place, annotator)
    chosen, names = _leads(place, content, lead_names)
    rate = _sampling_rate(place, content, chosen, names, sampling_rate)
    signal = Signal(
        values=_stacked(place, content, chosen, names),
        lead_names=names,
        units=_units(place, content, chosen, names, units),
        sampling_rate=rate,
        name=place.stem,
        beats=_beats(content, rate),
    )
    if check:
        check_signal(signal)
    return signal


def _file_and_format(path: Path) -> tuple[Path, SignalFormat]:
    """The file to read, and its format."""
    row = format_of(path)
    if row is not None:
        return path, row
    header = path.with_name(f"{path.name}.hea")  # a record's name may have a point in it
    row = format_of(header)
    if row is None or not header.exists():
        raise OptionError(f"{path}: neither a WFDB record ({header.name} is not there) nor one of {', '.join(signal_suffixes())}")
    return header, row


def _leads(path: Path, content: FileContent, wanted: Sequence[str] | None) -> tuple[list[int], list[str]]:
    """Which leads of the file are read, and what they are called."""
    if isinstance(wanted, str):
        raise OptionError(f"lead_names={wanted!r}: give a list of names, as [{wanted!r}]")
    count = len(content.leads)
    if not count:
        raise InputError(f"{path}: holds no lead")
    if content.lead_names is None:
        names = [str(number) for number in range(1, count + 1)] if wanted is None else list(wanted)
        if len(names) != count:
            raise OptionError(f"{path}: {len(names)} names for {count} leads; the file names none, so give one for each")
        return list(range(count)), names
    try:
        chosen = list(range(count)) if wanted is None else lead_indices(content.lead_names, wanted)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return chosen, [content.lead_names[index] for index in chosen]


def _sampling_rate(path: Path, content: FileContent, chosen: Sequence[int], names: Sequence[str], given: float | None) -> float:
    rates = [content.sampling_rates[index] for index in chosen]
    if len(set(rates)) > 1:
        each = ", ".join(f"{name} at {rate:g} Hz" for name, rate in zip(names, rates, strict=True))
        raise InputError(f"{path}: its leads are sampled differently ({each}); choose leads of one rate by lead_names=")
    return _agreed_rate(path, rates[0], given, content.rate_tolerance)


def _agreed_rate(path: Path, said: float | None, given: float | None, tolerance: float) -> float:
    if given is None:
        if said is None:
            raise OptionError(f"{path}: does not say its sampling rate; give sampling_rate=, in Hz")
        if tolerance > _TELLING and tolerance * said >= _HALF_A_HERTZ:
            raise OptionError(f"{path}: its times are too coarse to tell the sampling rate, about {said:g} Hz; give sampling_rate=")
        return said
    if not given > 0:
        raise OptionError(f"sampling_rate={given}: samples per second, above 0")
    if said is not None and not isclose(said, given, rel_tol=tolerance):
        raise OptionError(f"{path}: is sampled at {said:g} Hz, not {given:g} Hz; to change that, resample the signal")
    return given


def _stacked(path: Path, content: FileContent, chosen: Sequence[int], names: Sequence[str]) -> FloatArray:
    lengths = [len(content.leads[index]) for index in chosen]
    if len(set(lengths)) > 1 or not lengths[0]:
        each = ", ".join(f"{name}: {length}" for name, length in zip(names, lengths, strict=True))
        raise InputError(f"{path}: its leads do not have the same number of samples, at least one ({each})")
    return np.stack([content.leads[index] for index in chosen])


def _units(path: Path, content: FileContent, chosen: Sequence[int], names: Sequence[str], given: str | Sequence[str] | None) -> list[str]:
    said = [unit_name(content.units[index]) for index in chosen]
    if given is None:
        if "" in said:
            raise OptionError(f"{path}: does not say the unit of {names[said.index('')]!r}; give units=, such as 'mV'")
        return said
    told = [unit_name(unit) for unit in ([given] * len(said) if isinstance(given, str) else given)]
    if len(told) != len(said) or "" in told:
        raise OptionError(f"units={given!r}: one for all leads, or one for each of {', '.join(names)}")
    for name, of_file, of_caller in zip(names, said, told, strict=True):
        if of_file not in ("", of_caller):
            raise OptionError(f"{path}: {name!r} is in {of_file}, not {of_caller}; read it without units= and use in_units({of_caller!r})")
    return told


def _beats(content: FileContent, rate: float) -> Beats | None:
    if content.beat_times is None:
        return None
    return Beats(np.rint(content.beat_times * rate).astype(np.int64), content.beat_symbols)
