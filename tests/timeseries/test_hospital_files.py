"""Files of hospitals (DICOM waveforms, SCP-ECG, HL7 aECG) give what was written into them, and are refused where they leave it open."""

import binascii
import struct
import sys

import numpy as np
import pytest

from signxai.common import InputError, OptionError
from signxai.timeseries import read_signal

COUNTS = np.random.default_rng(0).integers(-400, 400, size=(2, 500)).cumsum(axis=1) // 8


# HL7 aECG, as text


def aecg(folder, counts=COUNTS, leads=("I", "AVR"), increment='value="0.002" unit="s"', scale='value="5" unit="uV"', series=1, extra=""):
    sequences = "".join(
        f'<component><sequence><code code="MDC_ECG_LEAD_{name}"/><value><origin value="0" unit="uV"/><scale {scale}/>'
        f"<digits>{' '.join(map(str, lead))}</digits></value></sequence></component>"
        for name, lead in zip(leads, counts, strict=True)
    )
    time = (
        '<component><sequence><code code="TIME_ABSOLUTE"/><value><head value="20200101120000"/>'
        f"<increment {increment}/></value></sequence></component>"
    )
    of_series = f'<series><code code="RHYTHM"/><component><sequenceSet>{time}{sequences}</sequenceSet></component></series>'
    path = folder / "made.xml"
    found = f"<component>{of_series}</component>" * series
    path.write_text(f'<?xml version="1.0"?><AnnotatedECG xmlns="urn:hl7-org:v3">{found}{extra}</AnnotatedECG>')
    return path


# SCP-ECG, by the standard's tables


def section(number, body):
    body += b"\0" * (len(body) % 2)
    head = struct.pack("<HIBB6s", number, 16 + len(body), 20, 20, b"SCPECG"[:6] if number == 0 else b"\0" * 6)
    return struct.pack("<H", binascii.crc_hqx(head + body, 0xFFFF)) + head + body


def scp(folder, counts=COUNTS, codes=(1, 2), interval_us=2000, nanovolts=5000, starts=(1, 1), simultaneous=True, break_it=False):
    """Two leads, uncompressed: no section 2, amplitudes as they are."""
    samples = counts.shape[1]
    flags = (0x04 if simultaneous else 0) | (len(counts) << 3)
    leads = b"".join(struct.pack("<IIB", start, start + samples - 1, code) for start, code in zip(starts, codes, strict=True))
    lengths = b"".join(struct.pack("<H", 2 * samples) for _ in counts)
    rhythm = struct.pack("<HHBB", nanovolts, interval_us, 0, 0) + lengths + counts.astype("<i2").tobytes()
    sections = [section(1, b"\xff\0\0"), section(3, struct.pack("<BB", len(counts), flags) + leads), section(6, rhythm)]
    size = 16 + 10 * 12
    pointers, at = struct.pack("<HII", 0, size, 7), 7 + size
    known = dict(zip((1, 3, 6), sections, strict=True))
    for number in range(1, 12):
        length = len(known.get(number, b""))
        pointers += struct.pack("<HII", number, length, at if length else 0)
        at += length
    content = section(0, pointers) + b"".join(sections)
    content = struct.pack("<I", 6 + len(content)) + content
    content = struct.pack("<H", binascii.crc_hqx(content, 0xFFFF)) + content
    path = folder / "made.scp"
    path.write_bytes(content[:-7] + bytes([content[-7] ^ 1]) + content[-6:] if break_it else content)
    return path


@pytest.mark.parametrize("write", [aecg, scp])
def test_leads_units_and_rate_are_those_that_were_written(tmp_path, write):
    pytest.importorskip("ecgdatakit")
    signal = read_signal(write(tmp_path))
    np.testing.assert_allclose(signal.in_units("uV").values, 5.0 * COUNTS)
    assert signal.lead_names == ("I", "aVR") if write is aecg else ("I", "II")
    assert (signal.sampling_rate, set(signal.units), signal.beats) == (500, {"uV"}, None)


@pytest.mark.parametrize(("write", "options"), [(aecg, {"increment": 'value="7.8125" unit="ms"'}), (scp, {"interval_us": 7812})])
def test_a_rate_that_is_no_whole_number_is_kept(tmp_path, write, options):
    pytest.importorskip("ecgdatakit")
    assert read_signal(write(tmp_path, **options)).sampling_rate == pytest.approx(128 if write is aecg else 1e6 / 7812, rel=1e-9)
    assert read_signal(aecg(tmp_path, increment='value="3.3" unit="ms"')).sampling_rate == pytest.approx(1000 / 3.3, rel=1e-9)


@pytest.mark.parametrize(
    ("write", "options", "words"),
    [
        (aecg, {"series": 2}, "2 rhythm series"),
        (aecg, {"increment": 'value="2" unit="h"'}, "increment"),
        (aecg, {"increment": ""}, "increment"),
        (aecg, {"counts": [["1", "2"], ["one", "two"]]}, "digits"),
        (scp, {"break_it": True}, "CRC"),
        (scp, {"starts": (1, 301)}, "do not begin at the same time"),
    ],
)
def test_what_is_broken_or_leaves_open_what_is_meant_is_refused(tmp_path, write, options, words):
    pytest.importorskip("ecgdatakit")
    with pytest.raises(InputError, match=words) as caught:
        read_signal(write(tmp_path, **options))
    assert f"made.{'xml' if write is aecg else 'scp'}" in str(caught.value)


def test_an_aecg_without_a_unit_asks_for_it_and_a_lead_too_large_is_refused(tmp_path):
    pytest.importorskip("ecgdatakit")
    with pytest.raises(OptionError, match="units="):
        read_signal(aecg(tmp_path, scale='value="5"'))
    with pytest.raises(InputError, match="no electrode on the skin"):
        read_signal(aecg(tmp_path, scale='value="5" unit="V"'))


def test_unknown_units_of_measurements_leave_the_leads_as_they_are(tmp_path):
    pytest.importorskip("ecgdatakit")
    measured = (
        "<component><series>"
        '<code code="REPRESENTATIVE_BEAT"/><subjectOf><annotationSet><component><annotation>'
        '<code code="MDC_ECG_HEART_RATE"/><value value="70" unit="furlong"/></annotation></component></annotationSet></subjectOf>'
        "</series></component>"
    )
    np.testing.assert_allclose(read_signal(aecg(tmp_path, extra=measured)).values, 5.0 * COUNTS)


@pytest.mark.parametrize("name", ["made.xml", "made.scp", "made.dcm"])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"<html></html>", bytes(range(256)) * 4])
def test_bytes_that_are_no_such_file_are_an_error_that_names_it(tmp_path, name, content):
    pytest.importorskip("ecgdatakit")
    pytest.importorskip("pydicom")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_signal(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="gone"):
        read_signal(tmp_path / f"gone{name[4:]}")


# DICOM


def group(
    pydicom,
    counts,
    leads,
    *,
    label="RHYTHM",
    originality="ORIGINAL",
    rate=500,
    sensitivity=1.25,
    baseline=0.0,
    unit="uV",
    skew=0,
    offset=None,
):
    item = pydicom.Dataset()
    item.MultiplexGroupLabel, item.WaveformOriginality = label, originality
    item.NumberOfWaveformChannels, item.NumberOfWaveformSamples = counts.shape
    item.SamplingFrequency, item.WaveformBitsAllocated, item.WaveformSampleInterpretation = rate, 16, "SS"
    item.WaveformPaddingValue = struct.pack("<h", -32768)
    item.WaveformData = counts.T.astype("<i2").tobytes()
    if offset is not None:
        item.MultiplexGroupTimeOffset = offset
    item.ChannelDefinitionSequence = []
    for name in leads:
        channel, source, units = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
        source.CodeValue, source.CodingSchemeDesignator, source.CodeMeaning = "2:1", "MDC", f"Lead {name} (Einthoven)"
        units.CodeValue, units.CodingSchemeDesignator, units.CodeMeaning = unit, "UCUM", unit
        channel.ChannelSourceSequence, channel.WaveformBitsStored, channel.ChannelSampleSkew = [source], 16, skew
        if sensitivity is not None:
            channel.ChannelSensitivity, channel.ChannelSensitivityUnitsSequence = sensitivity, [units]
            channel.ChannelSensitivityCorrectionFactor, channel.ChannelBaseline = 2.0, baseline
        item.ChannelDefinitionSequence.append(channel)
    return item


def dicom(folder, *groups):
    pydicom = pytest.importorskip("pydicom")
    content = pydicom.Dataset()
    content.SOPClassUID, content.SOPInstanceUID, content.Modality = "1.2.840.10008.5.1.4.1.1.9.1.1", "1.2.3", "ECG"
    content.WaveformSequence = [group(pydicom, *arguments, **options) for arguments, options in groups]
    content.file_meta = pydicom.dataset.FileMetaDataset()
    content.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    content.file_meta.MediaStorageSOPClassUID, content.file_meta.MediaStorageSOPInstanceUID = content.SOPClassUID, content.SOPInstanceUID
    path = folder / "made.dcm"
    writing = {"enforce_file_format": True} if int(pydicom.__version__.split(".")[0]) >= 3 else {"write_like_original": False}
    if "write_like_original" in writing:
        content.is_little_endian, content.is_implicit_VR = True, False
    content.save_as(path, **writing)
    return path


LEADS = (COUNTS, ["II", "V1"])


def test_a_dicom_waveform_has_the_values_of_its_sensitivity_and_no_median_beats(tmp_path):
    median = (COUNTS[:, :100], ["II", "V1"]), {"label": "MEDIAN BEAT", "originality": "DERIVED"}
    signal = read_signal(dicom(tmp_path, (LEADS, {"baseline": 30.0}), median))
    np.testing.assert_allclose(signal.values, 2.5 * COUNTS + 30)
    assert (signal.lead_names, signal.units, signal.sampling_rate, signal.beats) == (("II", "V1"), ("uV", "uV"), 500, None)


def test_what_padding_fills_is_a_gap(tmp_path):
    padded = COUNTS.copy()
    padded[1, 100:150] = -32768
    path = dicom(tmp_path, ((padded, ["II", "V1"]), {}))
    with pytest.raises(InputError, match=r"gaps .*V1 from 0.2 s to 0.3 s"):
        read_signal(path)
    values = read_signal(path, check=False).values
    assert np.isnan(values[1, 100:150]).all()
    np.testing.assert_allclose(values[0], 2.5 * COUNTS[0])


def test_groups_that_run_side_by_side_are_one_signal_and_others_are_refused(tmp_path):
    beside = [((COUNTS, ["I", "II"]), {"offset": 0}), ((COUNTS[::-1], ["V1", "V2"]), {"offset": 0})]
    signal = read_signal(dicom(tmp_path, *beside))
    assert signal.lead_names == ("I", "II", "V1", "V2")
    np.testing.assert_allclose(signal.values, 2.5 * np.concatenate([COUNTS, COUNTS[::-1]]))
    for later in ({"offset": 2500}, {}, {"offset": 0, "rate": 250}):
        with pytest.raises(InputError, match="not recorded at the same times"):
            read_signal(dicom(tmp_path, beside[0], ((COUNTS, ["V1", "V2"]), later)))


def cut_off(folder):
    path = dicom(folder, (LEADS, {}))
    path.write_bytes(path.read_bytes()[:-400])
    return path


def companded(folder):
    pydicom = pytest.importorskip("pydicom")
    path = dicom(folder, (LEADS, {}))
    content = pydicom.dcmread(path)
    content.WaveformSequence[0].WaveformBitsAllocated, content.WaveformSequence[0].WaveformSampleInterpretation = 8, "MB"
    content.save_as(path)
    return path


def too_short(folder):
    pydicom = pytest.importorskip("pydicom")
    path = dicom(folder, (LEADS, {}))
    content = pydicom.dcmread(path)
    content.WaveformSequence[0].NumberOfWaveformSamples = 700
    content.save_as(path)
    return path


BROKEN = {
    "cut off": (cut_off, "made.dcm"),
    "companded": (companded, "companded"),
    "more samples than data": (too_short, "made.dcm"),
    "no waveform": (dicom, "holds no waveform"),
    "median beats alone": (lambda folder: dicom(folder, (LEADS, {"label": "Median Beat"})), "averaged beats alone"),
    "skewed": (lambda folder: dicom(folder, (LEADS, {"skew": 3})), "3 samples off"),
    "no sampling rate": (lambda folder: dicom(folder, (LEADS, {"rate": 0})), "made.dcm: its sampling rate is 0"),
    "no voltage": (lambda folder: dicom(folder, (LEADS, {"unit": "mm[Hg]"})), "no voltage"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_dicom_file_that_cannot_be_a_signal_is_refused(tmp_path, name):
    pytest.importorskip("pydicom")
    make, words = BROKEN[name]
    with pytest.raises(InputError, match=words):
        read_signal(make(tmp_path))


def test_channels_without_sensitivity_ask_for_their_unit(tmp_path):
    path = dicom(tmp_path, (LEADS, {"sensitivity": None}))
    with pytest.raises(OptionError, match="units="):
        read_signal(path)
    np.testing.assert_allclose(read_signal(path, units="uV").values, COUNTS)


def test_the_ecg_of_a_cart_as_it_comes_with_pydicom():
    data = pytest.importorskip("pydicom.data")
    signal = read_signal(data.get_testdata_file("waveform_ecg.dcm"))
    assert signal.lead_names == ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
    assert (signal.values.shape, signal.sampling_rate) == ((12, 10000), 1000)
    one, two, three = signal.in_units("uV").values[:3]
    np.testing.assert_allclose(three, two - one, atol=3)  # Einthoven's law


@pytest.mark.parametrize(("suffix", "package"), [(".dcm", "pydicom"), (".scp", "ecgdatakit"), (".xml", "ecgdatakit")])
def test_a_missing_package_is_named_with_the_extra_that_brings_it(tmp_path, monkeypatch, suffix, package):
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / f"made{suffix}").write_bytes(b"x")
    with pytest.raises(InputError, match=rf'{package}.*pip install "signxai\[hospital\]"'):
        read_signal(tmp_path / f"made{suffix}")
