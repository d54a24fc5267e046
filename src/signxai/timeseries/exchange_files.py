"""Recordings that hospitals exchange (SCP-ECG, HL7 annotated ECG), read by the package ecgdatakit."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from signxai.common.errors import InputError
from signxai.timeseries.file_content import FileContent, distinct, refused
from signxai.timeseries.packages import package

__all__ = ["read_aecg", "read_scp"]

# What ecgdatakit warns of and leaves the leads as they are: a measurement whose unit it does not know, a further section.
_HARMLESS = re.compile(r"Unit .* not recognised; value ignored|SCP-ECG: Section 12 .* not loaded")


def read_scp(path: Path) -> FileContent:
    """Read all leads of an SCP-ECG file (EN 1064): its rhythm data, unpacked; neither median beats nor measurements.

    Raises:
        InputError: ecgdatakit is missing, or the file is broken (checksums count), compressed in a form that ecgdatakit does not
            read, or its leads do not begin together.
        OSError: the file cannot be opened.
    """
    record = _record(path, "scp_ecg", "SCPECGParser", "an SCP-ECG file")
    return _content(path, record, 1e6 / float(record.raw_metadata["rhythm_sample_interval_us"]))


def read_aecg(path: Path) -> FileContent:
    """Read all leads of the rhythm series of an HL7 annotated ECG (ANSI/HL7 V3 aECG R1): neither median beats nor annotations.

    Raises:
        InputError: ecgdatakit is missing, or the file is broken, is other XML, or has several series, of which it is not known
            which is meant.
        OSError: the file cannot be opened.
    """
    record = _record(path, "hl7_aecg", "HL7aECGParser", "an HL7 aECG file")
    return _content(path, record, float(record.raw_metadata["rhythm_time"]["sampling_rate_exact"]))


def _record(path: Path, module: str, parser: str, kind: str) -> Any:
    """What ecgdatakit reads of a file; whatever it warns of is an error, unless the leads are none the worse for it."""
    kit = package("ecgdatakit", f"reading {kind}", "hospital")
    parsers = package(f"ecgdatakit.parsing.parsers.{module}", f"reading {kind}", "hospital")
    with path.open("rb"):
        pass
    with refused(path, kind), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            record = getattr(parsers, parser)().parse(path)
        except kit.ECGDataKitError as error:
            said = str(error).removeprefix(f"{path}: ").replace(str(path), "the file")  # which is named once, at the beginning
            raise InputError(f"{path}: {kind} that cannot be read: {said}") from error
    faults = [str(warning.message) for warning in told if not _is_harmless(str(warning.message))]
    if faults:
        raise InputError(f"{path}: {kind} that is not read as it stands: {'; '.join(faults)}")
    return record


def _is_harmless(message: str) -> bool:
    # A rate that is no whole number is rounded there, and taken as it is here.
    return bool(_HARMLESS.search(message)) or "is not an integer; rounded" in message


def _content(path: Path, record: Any, rate: float) -> FileContent:
    leads = list(record.leads)
    if len({lead.annotations.get("start_sample") for lead in leads}) > 1:
        raise InputError(f"{path}: its leads do not begin at the same time; export them one by one")
    return FileContent(
        leads=[np.asarray(lead.samples, dtype=np.float64) * lead.resolution + lead.offset for lead in leads],
        lead_names=distinct([lead.label for lead in leads]),
        units=[lead.resolution_unit for lead in leads],
        sampling_rates=[rate] * len(leads),
    )
