"""Classes that are asked for by words, numbers of people who count otherwise, and what picks entries of a store."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from signxai.common import InputError, OptionError, TargetError
from signxai.common.class_words import class_of_word
from signxai.datasets import ArraySource, Entries, cluster_maps, explain_dataset, image_folder
from signxai.datasets.classes import WrittenNumber, class_asked, class_number
from signxai.models import Classifier

pytest.importorskip("zarr")

DIGITS = ["1", "0", "7"]
COUNT = 6


def run(path, labels=None, names=(), **columns):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()
    values = np.random.default_rng(0).normal(size=(COUNT, 4)).astype("f4")
    return explain_dataset(network, ArraySource(values, labels, **columns), ["gradient"], path, class_names=names, batch_size=4)


@pytest.fixture(scope="module")
def of_digits(tmp_path_factory):
    return run(tmp_path_factory.mktemp("digits") / "maps.zarr", [0, 1, 2, 2, None, 0], DIGITS, groups=[1, 1, 2, 2, 12, 12])


def by_reading(word, names):
    """Every class that a word may mean, by name or by number."""
    named = {number for number, name in enumerate(names) if name == word}
    return named | {number for number in range(len(names)) if str(number) == word}


@pytest.mark.parametrize("names", [DIGITS, ["0", "1", "2"], ["cat", "owl", "2"], ["2", "1", "cat"]], ids=" ".join)
def test_a_word_means_what_it_can_only_mean(names):
    for word in {*names, "0", "1", "2"}:
        if len(readings := by_reading(word, names)) == 1:
            assert {class_asked(word, names, 3)} == readings
            assert not word.isdecimal() or {class_number(WrittenNumber(word), names, 3)} == readings
        else:
            with pytest.raises(TargetError, match=f"class '{word}': a name of class {names.index(word)}, and the number of the class"):
                class_asked(word, names, 3)


@pytest.mark.parametrize("value", [True, np.True_, 1.0, None, [1]])
def test_what_is_neither_a_number_nor_a_name_is_no_class(value):
    with pytest.raises(TargetError, match="a class is given by its number, a whole one, or by its name"):
        class_asked(value, [], 3)


def test_a_class_of_the_command_line_is_found_as_one_of_a_store():
    digits = Classifier(nn.Identity(), class_names=["1 (one)", "0", "7"])
    assert digits.class_index("7", 3) == 2 == digits.class_index("2", 3)
    for word in ("1", "0"):
        with pytest.raises(TargetError, match="and the number of the class"):
            digits.class_index(word, 3)
    assert class_of_word("+1", [], [], 3) == 1


def test_rows_are_asked_for_by_words_and_numbers(of_digits):
    assert of_digits.rows(label="7").tolist() == [2, 3] == of_digits.rows(label="2").tolist() == of_digits.rows(label=2).tolist()
    assert of_digits.rows(label=1).tolist() == [1] == of_digits.rows(label=np.int64(1)).tolist()
    for asked in ("label", "target", "predicted"):
        with pytest.raises(TargetError, match="class '0': a name of class 1, and the number of the class '1'"):
            of_digits.rows(**{asked: "0"})
        with pytest.raises(TargetError, match="class True: a class is given by its number"):
            of_digits.rows(**{asked: True})
    with pytest.raises(TargetError, match="class 7: the model has 3 classes"):
        of_digits.rows(label=7)


def test_labels_that_are_names_are_no_numbers(tmp_path):
    store = run(tmp_path / "maps.zarr", ["1", "0", "7", "1", "2", None], DIGITS)
    assert store.labels_that_are_no_classes() == ["2"]
    assert store.rows(label=0).tolist() == [0, 3]
    for word, said in (("1", "a name of class 0, and the number of the class '0'"), ("2", "a name, and the number of the class '7'")):
        with pytest.raises(TargetError, match=f"class '{word}': {said}"):
            store.rows(label=word)
    assert store.rows(label="7").tolist() == [2]


def test_numbers_among_names_are_the_classes_that_they_number(tmp_path):
    store = run(tmp_path / "maps.zarr", ["owl", 0, 2, 5, None, "lynx"], ["cat", "owl", "dog"])
    assert store.array("label").tolist() == ["owl", "cat", "dog", "5", "", "lynx"]
    assert store.labels_that_are_no_classes() == ["5", "lynx"]


@pytest.mark.parametrize("columns", [{"labels": [1, -1, 1]}, {"targets": [0, -5, 0]}, {"labels": np.array([1, -1, 0], dtype="i1")}])
def test_a_negative_number_is_not_taken_for_nobody_says(columns):
    ((name, values),) = columns.items()
    with pytest.raises(InputError, match=f"{name}: {values[1]} of entry b is no class: classes are numbered from 0; give their names"):
        Entries(["a", "b", "c"], **columns)


def test_negative_numbers_of_early_stores_are_told(of_digits, monkeypatch):
    array, early = of_digits.array, np.array([-5, 1, 2, 3, -1, 0])
    monkeypatch.setattr(of_digits, "array", lambda name, rows=None: early if name == "label" else array(name, rows))
    assert of_digits.labels_that_are_no_classes() == ["-5", "3"]


def test_classes_of_entries_are_plain(tmp_path):
    assert Entries(["a", "b"], labels=np.array([1, 0]), targets=torch.tensor([2, 0])).labels == [1, 0]
    assert [type(value) for value in Entries(["a", "b"], targets=torch.tensor([2, 0])).targets] == [int, int]
    with pytest.raises(InputError, match="True is no class"):
        Entries(["a"], labels=[True])


def test_a_written_number_goes_to_other_processes_whole():
    again = pickle.loads(pickle.dumps(WrittenNumber("007")))
    assert (again, again.word) == (7, "007")


def test_folders_that_are_called_by_digits_are_classes_by_name(tmp_path):
    for name in DIGITS:
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "a.npy", np.ones(4, dtype="f4"))
    network = nn.Sequential(nn.Linear(4, 3)).eval()
    store = explain_dataset(network, image_folder(tmp_path), ["gradient"], tmp_path / "maps.zarr", target="label", class_names=DIGITS)
    assert dict(zip(store.keys(), store.array("target").tolist(), strict=True)) == {"0/a.npy": 1, "1/a.npy": 0, "7/a.npy": 2}


def test_groups_are_names_whatever_they_were_given_as(of_digits):
    for group in (1, "1", np.int64(1)):
        assert of_digits.rows(group=group).tolist() == [0, 1]
    with pytest.raises(OptionError, match="no entry belongs to the group '3'; there are 1, 12, 2"):
        of_digits.rows(group=3)
    for group in (True, 1.0, ["1"]):
        with pytest.raises(OptionError, match="must be a name, or a whole number"):
            of_digits.rows(group=group)


@pytest.mark.parametrize("wrong", ["yes", 1, 0.0, []])
def test_wrong_is_a_truth_or_nothing(of_digits, wrong):
    with pytest.raises(OptionError, match="must be True, False or None"):
        of_digits.rows(wrong=wrong)
    assert of_digits.rows(wrong=np.True_).tolist() == of_digits.rows(wrong=True).tolist()


@pytest.mark.parametrize("asked", [{"target": True}, {"target": 0, "label": False}, {"target": 1.0}])
def test_clusters_are_not_of_a_truth(of_digits, asked):
    pytest.importorskip("sklearn")
    with pytest.raises(TargetError, match="a class is given by its number"):
        cluster_maps(of_digits.path, "gradient", **asked)


MASK = np.array([True, False, True, False, False, False])


PICKED = [[0, 2], np.array([0, 2], dtype="u1"), range(0, 3, 2), slice(0, 3, 2), slice(-6, -3, 2), [-6, 2], MASK, MASK.tolist()]


@pytest.mark.parametrize("rows", PICKED, ids=str)
def test_entries_are_picked_by_indices_slices_and_masks(of_digits, rows):
    maps = of_digits.relevance("gradient")
    assert np.array_equal(of_digits.relevance("gradient", rows), maps[[0, 2]])
    assert of_digits.keys(rows) == ["0", "2"]
    assert np.array_equal(of_digits.logits_of_targets(rows), of_digits.logits_of_targets()[[0, 2]])


@pytest.mark.parametrize("rows", [[], np.array([]), slice(3, 3), np.zeros(6, dtype=bool)], ids=str)
def test_no_entries_are_none(of_digits, rows):
    assert of_digits.relevance("gradient", rows).shape == (0, 4)


NO_PICK = [3, np.int64(3), [[0, 1]], ["a"], "a", [None], [0.5], [1.0], [[0], [1, 2]], slice("a", None), {0, 1}, [2**70]]


@pytest.mark.parametrize("rows", NO_PICK, ids=str)
def test_what_picks_no_entries_is_told_and_no_store_is_called_broken(of_digits, rows):
    for read in (lambda: of_digits.relevance("gradient", rows), lambda: of_digits.keys(rows), lambda: of_digits.inputs(rows)):
        with pytest.raises(OptionError, match=r"pick entries by a list of indices, such as .*, a slice, or a mask") as raised:
            read()
        assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("rows", "said"), [([6], "6 entries, and no 6"), ([0, -7], "6 entries, and no -7"), (MASK[:3], "the mask is of the shape")], ids=str
)
def test_entries_that_are_not_there_are_told(of_digits, rows, said):
    with pytest.raises(OptionError, match=said):
        of_digits.relevance("gradient", rows)
