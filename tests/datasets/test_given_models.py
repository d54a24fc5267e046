"""A run takes a classifier as it takes a network, and has pictures prepared and classes named by it, but for what is said otherwise."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms.functional import to_tensor

from places import PACKAGE_DATA
from signxai.common import ModelError, OptionError, TargetError
from signxai.datasets import ArraySource, PictureView, beats_of, explain_dataset, image_folder, windows_of
from signxai.models import Classifier, load_classifier
from signxai.timeseries import SignalInput

pytest.importorskip("zarr")

METHODS = ["gradient_x_input"]
MEAN, STD = (0.5,) * 3, (0.25,) * 3
RECORD = PACKAGE_DATA / "233_1655s.hea"


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return Classifier(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), to_tensor, ["cat (a pet)", "dog"], MEAN, STD)


@pytest.fixture
def photos(tmp_path):
    for number, name in enumerate(("cat/a.png", "dog/b.png", "dog/c.png")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), 40 * number + 10, dtype=np.uint8)).save(path)
    return tmp_path / "photos"


def test_pictures_are_prepared_and_classes_named_by_the_classifier(classifier, photos, tmp_path):
    store = explain_dataset(classifier, image_folder(photos), METHODS, tmp_path / "maps.zarr", target="label")
    assert store.class_names == ["cat", "dog"]
    assert list(store.array("target")) == [0, 1, 1]
    assert np.allclose(store.inputs()[:, 0, 0, 0], np.array([10, 50, 90]) / 255)
    assert store.view == PictureView(MEAN, STD)
    assert store.run["model"]["name"] == "Sequential"


def test_what_is_said_otherwise_goes_before_the_classifier(classifier, photos, tmp_path):
    doubled = image_folder(photos, preprocess=lambda picture: 2 * to_tensor(picture))
    given = {"class_names": ["chat", "chien"], "output": lambda outputs: outputs.flip(1), "target": 0}
    store = explain_dataset(classifier, doubled, METHODS, tmp_path / "maps.zarr", **given)
    assert store.class_names == ["chat", "chien"]
    assert np.allclose(store.inputs()[:, 0, 0, 0], np.array([10, 50, 90]) / 255 * 2)
    assert store.view == PictureView(), "what the classifier's preprocessing ends with says nothing of another one"
    with torch.no_grad():
        assert np.allclose(store.array("logits"), classifier.model(torch.from_numpy(store.inputs())).flip(1), atol=1e-6)
    other = explain_dataset(classifier, image_folder(photos), METHODS, tmp_path / "seen.zarr", view=PictureView(STD, MEAN))
    assert other.view == PictureView(STD, MEAN)


def test_arrays_are_taken_as_they_are(classifier, tmp_path):
    values = np.random.default_rng(0).normal(size=(5, 3, 4, 4)).astype("f4")
    store = explain_dataset(classifier, ArraySource(values), METHODS, tmp_path / "maps.zarr")
    assert np.array_equal(store.inputs(), values)
    assert (store.view, store.class_names) == (PictureView(), ["cat", "dog"])


def test_a_class_may_be_named(classifier, tmp_path):
    source = ArraySource(np.ones((3, 3, 4, 4), dtype="f4"))
    assert list(explain_dataset(classifier, source, METHODS, tmp_path / "maps.zarr", target="dog").array("target")) == [1, 1, 1]
    with pytest.raises(TargetError, match=r"class 'cow' is none of the model's: the classes are cat, dog"):
        explain_dataset(classifier, source, METHODS, tmp_path / "other.zarr", target="cow")


@pytest.mark.parametrize("model", ["ecg_beats", nn.Linear, None])
def test_what_is_no_model_is_refused(model, tmp_path):
    with pytest.raises(ModelError, match=r"a torch.nn.Module or a signxai.models.Classifier is needed, not .*load_classifier\(name\)"):
        explain_dataset(model, ArraySource(np.ones((3, 4))), METHODS, tmp_path / "maps.zarr")
    assert not (tmp_path / "maps.zarr").exists()


def test_names_that_are_not_one_for_each_class_are_refused(classifier, tmp_path):
    with pytest.raises(OptionError, match="3 names, where the model has 2 classes"):
        explain_dataset(classifier, ArraySource(np.ones((3, 3, 4, 4))), METHODS, tmp_path / "maps.zarr", class_names=["a", "b", "c"])


def test_recordings_that_the_classifier_would_prepare_otherwise_are_refused(tmp_path):
    classifier = load_classifier("ecg_beats")
    with pytest.raises(OptionError, match="takes recordings as they are, but the classifier prepares them"):
        explain_dataset(classifier, windows_of([RECORD], 1.0), METHODS, tmp_path / "maps.zarr")
    with pytest.raises(OptionError, match="takes windows about beats, and no others"):
        windows_of([RECORD], 1.0, classifier.signal_input)
    source = beats_of([RECORD], classifier.signal_input, ["V"])
    store = explain_dataset(classifier, source, METHODS, tmp_path / "maps.zarr", target="label")
    assert store.class_names == ["N", "S", "V", "F"]
    assert len(store.rows(target="V")) == len(store) > 0


def test_recordings_of_a_classifier_that_takes_them_as_they_are(tmp_path):
    classifier = Classifier(nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), signal_input=SignalInput())
    classifier.model(torch.zeros(1, 2, 360))
    assert len(explain_dataset(classifier, windows_of([RECORD], 1.0), METHODS, tmp_path / "maps.zarr")) > 0


def test_failures_are_logged_in_one_line(classifier, photos, tmp_path, caplog):
    for name in ("a", "b"):
        (photos / "dog" / f"{name}.png").write_bytes(b"no picture")
    with caplog.at_level(logging.WARNING):
        explain_dataset(classifier, image_folder(photos), METHODS, tmp_path / "maps.zarr")
    [line] = caplog.messages
    assert line.startswith("2 of 4 entries failed, the first dog/a.png: neither a picture")
