"""Sources: what each knows before reading, what it reads, and what it says of what cannot be read."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from comparing import deviation
from signxai.common import InputError, OptionError
from signxai.datasets import ArraySource, SignalView, TorchSource, beats_of, image_folder, manifest, windows_of
from signxai.models import load_classifier
from signxai.timeseries import beat_windows, prepare_for_beats, read_signal

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def photos(tmp_path):
    for name, colour in {"cats/a.png": (255, 0, 0), "cats/deep/b.jpg": (0, 255, 0), "dogs/a.png": (0, 0, 255)}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4), colour).save(tmp_path / name)
    (tmp_path / "dogs" / "notes.txt").write_text("no picture")
    (tmp_path / "dogs" / ".hidden.png").write_text("hidden")
    return tmp_path


def pixels(picture):
    return torch.tensor(np.asarray(picture)).permute(2, 0, 1) / 255


def test_a_folder_has_its_sub_folders_as_labels(photos):
    source = image_folder(photos, pixels)
    assert source.entries.keys == ["cats/a.png", "cats/deep/b.jpg", "dogs/a.png"]
    assert source.entries.labels == ["cats", "cats", "dogs"]
    assert source.read(2).shape == (3, 4, 6)
    assert source.read(2)[:, 0, 0].tolist() == [0, 0, 1]


def test_a_flat_folder_has_no_labels(photos):
    assert image_folder(photos / "cats" / "deep", pixels).entries.labels is None
    with pytest.raises(InputError, match=r"a\.png lies beside sub-folders"):
        image_folder(photos / "cats", pixels)
    (photos / "empty").mkdir()
    with pytest.raises(InputError, match="holds no pictures"):
        image_folder(photos / "empty", pixels)
    with pytest.raises(NotADirectoryError, match="nowhere"):
        image_folder(photos / "nowhere", pixels)


def test_a_table_has_labels_targets_and_groups(photos):
    table = photos / "table.csv"
    table.write_text("file,label,group,target\ndogs/a.png,dog,rex,3\ncats/a.png,cat,tom,0\n")
    source = manifest(table, pixels)
    assert source.entries.keys == ["dogs/a.png", "cats/a.png"]
    assert source.entries.labels == ["dog", "cat"]
    assert source.entries.groups == ["rex", "tom"]
    assert source.entries.targets == [3, 0]
    assert source.read(1)[:, 0, 0].tolist() == [1, 0, 0]


@pytest.mark.parametrize(("text", "said"), {
    "file,labels\na.png,cat\n": "allowed are file, label, target, group",
    "label\ncat\n": "of which file is needed",
    "file\n": "lists no files",
    "": "has the columns none",
    "file,label\na.png,\n": "row 2 has no label",
    "file\na.png\na.png\n": "two entries are called 'a.png'",
}.items())  # fmt: skip
def test_a_table_that_is_none_says_why(text, said, tmp_path):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        manifest(tmp_path / "table.csv")


def test_what_only_looks_like_a_number_is_a_name(tmp_path):
    labels = ["--5", "+-1", "+4", "9223372036854775807", "9223372036854775808", "9" * 5000]
    (tmp_path / "table.csv").write_text("\n".join(["file,label", *(f"{index}.png,{label}" for index, label in enumerate(labels))]))
    assert manifest(tmp_path / "table.csv").entries.labels == ["--5", "+-1", 4, 2**63 - 1, "9223372036854775808", "9" * 5000]


def test_a_class_beyond_64_bits_is_refused():
    with pytest.raises(InputError, match="class 9223372036854775808 is no whole number of 64 bits, but is that of entry 1"):
        ArraySource(np.zeros((2, 2)), labels=[0, 2**63])


def test_broken_and_missing_files_are_errors_when_their_turn_comes(photos):
    (photos / "cats" / "a.png").write_bytes((photos / "cats" / "a.png").read_bytes()[:20])
    source = image_folder(photos, pixels)
    with pytest.raises(InputError, match=r"a\.png"):
        source.read(0)
    (photos / "dogs" / "a.png").unlink()
    with pytest.raises(FileNotFoundError):
        source.read(2)
    with pytest.raises(InputError, match="how a picture becomes the network's input"):
        image_folder(photos).read(1)


def test_a_preprocessing_that_raises_anything_is_an_entry_that_fails(photos):
    def halves(picture):
        return picture.of_no_such_name

    with pytest.raises(InputError, match=r"a\.png: preprocess= failed: AttributeError: .*of_no_such_name"):
        image_folder(photos, halves).read(0)


def test_another_content_has_another_hash(photos):
    before = image_folder(photos, pixels).content_hash()
    assert image_folder(photos, pixels).content_hash() == before
    with (photos / "dogs" / "a.png").open("ab") as file:
        file.write(b"more")
    assert image_folder(photos, pixels).content_hash() != before


@pytest.mark.parametrize("values", [3, np.zeros(5), [1, 2]])
def test_what_is_no_array_is_refused(values):
    with pytest.raises(InputError, match=r"an array \(N, \.\.\.\) is needed"):
        ArraySource(values)


def test_lists_of_another_length_are_refused():
    with pytest.raises(InputError, match="2 labels of 3 entries"):
        ArraySource(np.zeros((3, 2)), labels=[0, 1])
    with pytest.raises(InputError, match="is no class"):
        ArraySource(np.zeros((3, 2)), labels=[0, 1, 0.5])


def test_a_torch_data_set_is_read_by_index():
    x = torch.arange(12.0).view(4, 3)
    source = TorchSource(torch.utils.data.TensorDataset(x, torch.tensor([1, 0, 1, 1])), has_labels=True)
    assert source.entries.labels == [1, 0, 1, 1]
    assert np.array_equal(source.read(2), x[2])
    with pytest.raises(InputError, match="without a second part"):
        TorchSource(torch.utils.data.TensorDataset(x), has_labels=True)
    with pytest.raises(InputError, match="has no length"):
        TorchSource(iter([]))


RECORDS = sorted({path.with_suffix("") for path in DATA.rglob("*.hea")})


@pytest.fixture(scope="module")
def classifier():
    return load_classifier("ecg_beats")


@pytest.mark.skipif(not RECORDS, reason="no recordings")
def test_beats_are_the_windows_about_annotations(classifier):
    record = next(path for path in RECORDS if read_signal(path).beats is not None)
    source = beats_of([record], classifier.signal_input)
    prepared = prepare_for_beats(read_signal(record))
    wanted = beat_windows(prepared.signal, classifier.signal_input.before_s, classifier.signal_input.after_s)
    assert source.entries.labels == list(wanted.beats.classes)
    assert set(source.entries.groups) == {record.name}
    at = int(wanted.beats.positions[1]) - wanted.beat_at
    assert np.array_equal(source.read(1), prepared.values[:, at : at + wanted.values.shape[2]])
    again = pickle.loads(pickle.dumps(source))
    assert np.array_equal(again.read(1), source.read(1))


@pytest.mark.skipif(not RECORDS, reason="no recordings")
def test_windows_follow_each_other():
    signal = read_signal(RECORDS[0])
    source = windows_of([RECORDS[0]], 1.0)
    length = round(signal.sampling_rate)
    assert len(source.entries.keys) == signal.values.shape[1] // length
    assert deviation(source.read(1), signal.values[:, length : 2 * length]) == 0
    with pytest.raises(OptionError, match="length_s=0"):
        windows_of([RECORDS[0]], 0)


def test_a_recording_that_cannot_be_read_is_an_entry_that_fails(tmp_path):
    (tmp_path / "broken.csv").write_text("no signal")
    source = windows_of([tmp_path / "broken.csv"], 1.0)
    assert source.entries.keys == [str(tmp_path / "broken.csv")]
    with pytest.raises(InputError, match="broken"):
        source.read(0)


@pytest.mark.skipif(not RECORDS, reason="no recordings")
def test_a_view_says_how_entries_are_drawn(classifier):
    signal = read_signal(RECORDS[0])
    drawn = windows_of([RECORDS[0]], 1.0).view
    assert (drawn.sampling_rate, drawn.lead_names, drawn.units) == (signal.sampling_rate, signal.lead_names, signal.units[0])
    record = next(path for path in RECORDS if read_signal(path).beats is not None)
    prepared = prepare_for_beats(read_signal(record)).signal
    of_beats = beats_of([record], classifier.signal_input).view
    units = "interquartile ranges of the recording's lead (the network's scaling; not mV)"
    before = classifier.signal_input.before_s
    assert of_beats == SignalView(prepared.sampling_rate, prepared.lead_names, units, before, "the beat's annotation")


def test_leads_that_differ_by_recording_are_called_by_all_their_names(tmp_path):
    for number, names in enumerate((("MLII", "V1"), ("MLII", "V5"), ("MLII", "V1"))):
        x = np.random.default_rng(number).normal(size=(2, 300))
        np.savez(tmp_path / f"{number}.npz", x=x, sampling_rate=100, units="mV", lead_names=names)
    view = windows_of(sorted(tmp_path.iterdir()), 1.0).view
    assert (view.lead_names, view.units, view.event) == (("MLII", "channel 2 (V1 or V5 by recording)"), "mV", "")
