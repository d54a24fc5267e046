"""Waveforms of DICOM files (ECGs of carts and archives), read by the package pydicom."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from signxai.common.errors import InputError
from signxai.timeseries.file_content import FileContent, FloatArray, distinct, refused
from signxai.timeseries.packages import package

__all__ = ["read_dicom"]

_AVERAGED = ("MEDIAN", "REPRESENTATIVE", "AVERAGE")
_COMPANDED = ("MB", "AB")
_MOST_SKEW = 0.5  # samples
_LEAD = re.compile(r"lead\s+([^\s,;()]+)", re.IGNORECASE)


def read_dicom(path: Path) -> FileContent:
    """Read all channels of a DICOM waveform (PS3.3 C.10.9), in its units; median beats beside the recording are left out.

    What the padding value fills is a gap. Annotations are free of beats' classes, so that no beats are made of them.

    Raises:
        InputError: pydicom is missing, or the file is broken, holds no waveform, groups of channels that are not recorded
            together, or samples that are not linear.
        OSError: the file cannot be opened.
    """
    pydicom = package("pydicom", "reading DICOM files", "hospital")
    with path.open("rb"):
        pass
    with refused(path, "a DICOM file"):
        try:
            content = pydicom.dcmread(path)
        except pydicom.errors.InvalidDicomError as error:
            raise InputError(f"{path}: is no DICOM file: {error}") from error
        groups = _recorded(path, list(content.get("WaveformSequence") or ()))
        _require_rates(path, [group for _, group in groups])
        _require_together(path, [group for _, group in groups])
        read = [_channels(path, content, index, group) for index, group in groups]
    names = [name for of_group, _, _ in read for name in of_group]
    return FileContent(
        leads=[lead for _, leads, _ in read for lead in leads],
        lead_names=distinct(names),
        units=[unit for _, _, units in read for unit in units],
        sampling_rates=[float(groups[0][1].SamplingFrequency)] * len(names),
    )


def _recorded(path: Path, groups: Sequence[Any]) -> list[tuple[int, Any]]:
    """The groups of channels that were recorded, with their numbers; not the beats that were computed of them."""
    if not groups:
        raise InputError(f"{path}: holds no waveform; of DICOM, only waveforms are signals")
    numbered = [(index, group) for index, group in enumerate(groups) if not _is_averaged(group)]
    original = [(index, group) for index, group in numbered if str(group.get("WaveformOriginality", "")) == "ORIGINAL"]
    if not numbered:
        raise InputError(f"{path}: holds averaged beats alone, and no recording")
    return original or numbered


def _is_averaged(group: Any) -> bool:
    return any(word in str(group.get("MultiplexGroupLabel", "")).upper() for word in _AVERAGED)


def _require_rates(path: Path, groups: Sequence[Any]) -> None:
    for group in groups:
        if not 0 < float(group.SamplingFrequency) < float("inf"):
            raise InputError(f"{path}: its sampling rate is {group.SamplingFrequency} Hz; it must be above 0")


def _require_together(path: Path, groups: Sequence[Any]) -> None:
    """Refuse groups that do not run side by side: their leads would be taken for simultaneous ones."""
    told = {(group.get("MultiplexGroupTimeOffset"), float(group.SamplingFrequency), int(group.NumberOfWaveformSamples)) for group in groups}
    if len(groups) > 1 and (len(told) > 1 or None in next(iter(told))):
        raise InputError(f"{path}: its {len(groups)} groups of channels are not recorded at the same times; export them one by one")


def _channels(path: Path, content: Any, index: int, group: Any) -> tuple[list[str], list[FloatArray], list[str]]:
    """Names, values and units of a group's channels."""
    if str(group.WaveformSampleInterpretation) in _COMPANDED:
        raise InputError(f"{path}: its samples are companded ({group.WaveformSampleInterpretation}), not linear; export them as integers")
    definitions = list(group.ChannelDefinitionSequence)
    if len(definitions) != int(group.NumberOfWaveformChannels):
        raise InputError(f"{path}: describes {len(definitions)} of {group.NumberOfWaveformChannels} channels")
    for definition in definitions:
        _require_no_skew(path, definition, float(group.SamplingFrequency))
    multiplex_array = package("pydicom.waveforms.numpy_handler", "reading DICOM files", "hospital").multiplex_array
    raw = np.asarray(multiplex_array(content, index, as_raw=True))
    values = np.array(multiplex_array(content, index, as_raw=False), dtype=np.float64)
    values[_is_padding(group, raw)] = np.nan
    return [_name(definition) for definition in definitions], list(values.T), [_unit(definition) for definition in definitions]


def _is_padding(group: Any, raw: Any) -> Any:
    padding = group.get("WaveformPaddingValue")
    if padding is None:
        return np.zeros(raw.shape, dtype=bool)
    if isinstance(padding, bytes):
        padding = np.frombuffer(padding[: raw.dtype.itemsize], dtype=raw.dtype)[0]
    return raw == padding


def _require_no_skew(path: Path, definition: Any, rate: float) -> None:
    samples = float(definition.get("ChannelSampleSkew") or 0) + rate * float(definition.get("ChannelTimeSkew") or 0)
    if abs(samples) > _MOST_SKEW:
        raise InputError(f"{path}: channel {_name(definition)!r} is {samples:g} samples off the others in time")


def _name(definition: Any) -> str:
    """The lead, as in "Lead I (Einthoven)", or whatever the channel is called.

    >>> _name({"ChannelSourceSequence": [{"CodeMeaning": "Lead aVR (Goldberger)"}]}), _name({"ChannelLabel": "ECG 1"})
    ('aVR', 'ECG 1')
    """
    sources = definition.get("ChannelSourceSequence") or [{}]
    meaning = str(sources[0].get("CodeMeaning", ""))
    found = _LEAD.match(meaning)
    return found[1] if found else str(definition.get("ChannelLabel") or meaning)


def _unit(definition: Any) -> str:
    """What one is, behind the sensitivity; nothing where the file gives plain counts."""
    units = definition.get("ChannelSensitivityUnitsSequence")
    return str(units[0].get("CodeValue", "")) if units and definition.get("ChannelSensitivity") is not None else ""
