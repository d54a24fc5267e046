"""Fingerprints: a data set that is changed anywhere is told from that of an earlier run, as far as their docstrings say."""

import numpy as np
import pytest
import torch

from signxai.common import InputError
from signxai.datasets import ArraySource, TorchSource, fingerprints, image_folder, windows_of

SHAPE = (300, 4)


def hash_of(values):
    return ArraySource(values).content_hash()


def changed(values, place):
    other = values.copy()
    other[place] += 1
    return other


@pytest.mark.parametrize("row", [0, 1, 137, 298, 299])
@pytest.mark.parametrize("kind", ["array", "tensor", "view", "mapped"])
def test_every_value_in_memory_counts(kind, row, tmp_path):
    whole = np.random.default_rng(0).normal(size=SHAPE)

    def as_kind(values, name):
        np.save(tmp_path / name, values)
        kinds = {"tensor": torch.from_numpy(values), "view": np.asfortranarray(values), "mapped": np.load(tmp_path / name, mmap_mode="r")}
        return kinds.get(kind, values)

    before, other = as_kind(whole, "a.npy"), as_kind(changed(whole, (row, 3)), "b.npy")
    assert hash_of(before) == hash_of(before[:]) == hash_of(as_kind(whole.copy(), "c.npy"))
    assert hash_of(other) != hash_of(before)


def test_blocks_are_the_whole(monkeypatch):
    values = np.arange(1200).reshape(SHAPE)
    whole = hash_of(values)
    monkeypatch.setattr(fingerprints, "_BLOCK", 7 * 4 * 8)
    assert hash_of(values) == whole
    assert hash_of(changed(values, 17)) != whole


@pytest.mark.parametrize(("whole", "most", "rows"), [(300 * 32 - 1, 150, 150), (300 * 32 // 3, 4096, 100), (100, 4096, 16)])
def test_of_larger_arrays_rows_over_the_whole_count(whole, most, rows, monkeypatch):
    monkeypatch.setattr(fingerprints, "WHOLE", whole)
    monkeypatch.setattr(fingerprints, "_ROWS", most)
    values = np.zeros(SHAPE)
    differ = [hash_of(changed(values, row)) != hash_of(values) for row in range(len(values))]
    assert (sum(differ), differ[0], differ[-1]) == (rows, True, True)
    assert max(np.diff(np.flatnonzero(differ))) <= 300 / (rows - 1) + 1


def test_of_larger_mapped_files_their_time_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprints, "WHOLE", 100)
    values = np.zeros(SHAPE)
    np.save(tmp_path / "x.npy", values)
    before = hash_of(np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert hash_of(np.load(tmp_path / "x.npy", mmap_mode="r")) == before
    np.save(tmp_path / "x.npy", changed(values, 1))
    assert hash_of(np.load(tmp_path / "x.npy", mmap_mode="r")) != before


def test_shape_type_and_names_count():
    values = np.zeros(SHAPE)
    hashes = [hash_of(one) for one in (values, values.reshape(300, 2, 2), values.astype("i8"), {"a": values}, {"b": values})]
    assert len(set(hashes)) == len(hashes)


def test_of_other_arrays_16_entries_are_read():
    class Stored:
        shape, dtype, read = (1000, 3), "float64", ()

        def __getitem__(self, index):
            self.read = (*self.read, index)
            return np.zeros(3)

    stored = Stored()
    hash_of(stored)
    assert (len(stored.read), stored.read[0], stored.read[-1]) == (16, 0, 999)


class Entries(torch.utils.data.Dataset):
    """Vectors with labels; those that are ``broken`` cannot be read, those ``other`` have other values."""

    def __init__(self, count, broken=(), other=()):
        self.count, self.broken, self.other = count, broken, other

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index in self.broken:
            raise OSError(f"no file of {index}")
        return torch.full((3,), float(index in self.other)), index % 2


@pytest.mark.parametrize("index", [0, 13, 186, 199])
def test_entries_over_the_whole_of_a_torch_data_set_count(index):
    before = TorchSource(Entries(200)).content_hash()
    assert TorchSource(Entries(200)).content_hash() == before
    assert TorchSource(Entries(200, other=[index])).content_hash() != before
    assert TorchSource(Entries(200, broken=[index])).content_hash() != before
    assert TorchSource(Entries(201)).content_hash() != before


def test_an_entry_without_a_label_is_one_that_fails():
    source = TorchSource(Entries(5, broken=[0, 3]), has_labels=True)
    assert source.entries.labels == [None, 1, 0, None, 0]
    with pytest.raises(OSError, match="no file of 3"):
        source.read(3)
    with pytest.raises(OSError, match="no file of 0"):
        TorchSource(Entries(2, broken=[0, 1]), has_labels=True)


def test_what_is_in_files_counts_not_their_size_alone(tmp_path):
    for index in range(20):
        np.save(tmp_path / f"{index:02}.npy", np.full(4, float(index)))
    before = image_folder(tmp_path).content_hash()
    assert image_folder(tmp_path).content_hash() == before
    np.save(tmp_path / "11.npy", np.zeros(4))
    assert image_folder(tmp_path).content_hash() != before


def test_of_many_files_the_content_of_16_counts(tmp_path, monkeypatch):
    for index in range(40):
        np.save(tmp_path / f"{index:02}.npy", np.zeros(4))
    monkeypatch.setattr(fingerprints, "WHOLE", 40 * 160 - 1)
    before, differ = image_folder(tmp_path).content_hash(), 0
    for index in range(40):
        np.save(tmp_path / f"{index:02}.npy", np.ones(4))
        differ += image_folder(tmp_path).content_hash() != before
        np.save(tmp_path / f"{index:02}.npy", np.zeros(4))
    assert differ == 16


def test_files_that_cannot_be_read_are_no_end(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"x")
    source = image_folder(tmp_path)
    before = source.content_hash()
    (tmp_path / "a.npy").unlink()
    assert source.content_hash() != before


def test_one_file_is_no_list_of_files():
    with pytest.raises(InputError, match=r"files='a.hea' is one file; give a list: \['a.hea'\]"):
        windows_of("a.hea", 1.0)
