"""Files of Keras models on the command line: as a user gives them, and what is refused."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

import keras
from command_line import explained, in_a_new_interpreter, in_this_process, refused
from signxai import explain
from signxai.models import load_keras

layers = keras.layers
pytest.importorskip("h5py")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own, as it saves


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras_cli")
    keras.utils.set_random_seed(0)
    pictures = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(4, 3, activation="relu", name="stem"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax", name="classes"),
        ]
    )
    signals = keras.Sequential(
        [keras.Input((40, 2)), layers.Conv1D(4, 5, activation="relu"), layers.GlobalAveragePooling1D(), layers.Dense(2)]
    )
    for suffix in ("keras", "h5"):
        pictures.save(folder / f"pictures.{suffix}")
        signals.save(folder / f"signals.{suffix}")
    flat = [layers.Conv1D(4, 5, activation="relu"), layers.Flatten(), layers.Dense(2)]
    keras.Sequential([keras.Input((40, 2)), *flat]).save(folder / "flat.keras")
    any_length = [layers.Conv1D(4, 5), layers.GlobalAveragePooling1D(), layers.Dense(2)]
    keras.Sequential([keras.Input((None, 2)), *any_length]).save(folder / "any.keras")
    start = keras.Input(batch_shape=(4, 40, 2))
    keras.Model(start, layers.Dense(2)(keras.ops.reshape(start, (4, 80)))).save(folder / "four.keras")
    (folder / "names.txt").write_text("cat\ndog\nheron\n")
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(folder / "photo.png")
    np.savetxt(folder / "ecg.csv", random.normal(size=(40, 2)), delimiter=",", header="I,II", comments="")
    function = {"class_name": "__lambda__", "config": {"code": "", "defaults": None, "closure": None}}
    trick = {"module": "keras.layers", "class_name": "Lambda", "config": {"name": "trick", "function": function}, "registered_name": None}
    with zipfile.ZipFile(folder / "pictures.keras") as before, zipfile.ZipFile(folder / "trick.keras", "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"].insert(1, trick)
                content = json.dumps(config).encode()
            after.writestr(name, content)
    (folder / "torn.keras").write_bytes((folder / "pictures.keras").read_bytes()[:2000])
    (folder / "torn.h5").write_bytes((folder / "pictures.h5").read_bytes()[:2000])
    return folder


@pytest.fixture
def run(capsys, folder, monkeypatch):
    monkeypatch.chdir(folder)
    return lambda *args: in_this_process(*args, capsys=capsys)


PREPROCESSED = {
    "tf": lambda values: values / 127.5 - 1,
    "caffe": lambda values: values[..., ::-1] - np.array([103.939, 116.779, 123.68]),
    "torch": lambda values: (values / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
    "none": lambda values: values,
}


@pytest.mark.parametrize("preprocess", PREPROCESSED)
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_photo_is_explained_by_a_file_of_keras_as_python_does_it(run, folder, suffix, preprocess):
    args = ["photo.png", "--model", f"pictures.{suffix}", "--preprocess", preprocess, "--classes", "names.txt"]
    said = explained(run("explain", *args, "--method", "lrp_epsilon_0_25_std_x", "--output", "maps.png", "--save", "maps.npz"))
    assert "heron (class 2)" in said
    with np.load("maps.npz") as saved:
        x, relevance = saved["x"], saved["lrp_epsilon_0_25_std_x"]
    assert x.shape == (1, 12, 12, 3)
    low, high = (PREPROCESSED[preprocess](np.full((1, 3), value)) for value in (0.0, 255.0))
    assert (x >= np.minimum(low, high) - 1e-4).all()
    assert (x <= np.maximum(low, high) + 1e-4).all()
    np.testing.assert_array_equal(relevance, explain(load_keras(folder / f"pictures.{suffix}"), x, "lrp_epsilon_0_25_std_x"))


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_recording_is_explained_with_time_first(run, folder, suffix):
    args = ["ecg.csv", "--model", f"signals.{suffix}", "--sampling-rate", "100", "--units", "mV", "--method", "lrp_epsilon_0_1"]
    explained(run("explain", *args, "--output", "signal.png", "--save", "maps.npz"))
    with np.load("maps.npz") as saved:
        assert saved["x"].shape == (1, 40, 2)
        np.testing.assert_allclose(saved["x"][0], np.loadtxt("ecg.csv", delimiter=",", skiprows=1), rtol=1e-6)
        wanted = explain(load_keras(folder / f"signals.{suffix}"), saved["x"], "lrp_epsilon_0_1")
        np.testing.assert_array_equal(saved["lrp_epsilon_0_1"], wanted)


def test_reports_name_the_layers_of_keras(run):
    said = explained(run("inspect", "photo.png", "--model", "pictures.keras", "--preprocess", "tf", "--method", "lrp_z"))
    assert "stem: Conv2D" in said
    assert "classes: Dense" in said


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--model", "trick.keras"], ["trick.keras", "trick", "Python code", "--trust"]),
        (["--model", "torn.keras"], ["torn.keras"]),
        (["--model", "torn.h5"], ["torn.h5"]),
        (["--model", "missing.keras"], ["missing.keras"]),
        (["--model", "pictures.keras", "--preprocess", "tf", "--mean", "0", "--std", "1"], ["--preprocess tf", "--mean"]),
        (["--model", "pictures.keras", "--preprocess", "tf", "--size", "20"], ["12 x 12", "20 x 20"]),
        (["--model", "efficientnet_lite0", "--preprocess", "tf"], ["--preprocess tf", "Keras"]),
        (["--model", "torchvision:resnet18", "--weights", "none", "--trust"], ["--trust", "Keras"]),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(run, args, words):
    asked = args if "--preprocess" in args or "--trust" in args else [*args, "--preprocess", "tf"]
    refused(run("explain", "photo.png", *asked, "--method", "gradient", "--save", "never.npz"), *words)


@pytest.mark.slow
def test_a_process_of_its_own_loads_keras_on_torch_by_itself(folder, monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND")
    args = ["photo.png", "--model", "pictures.h5", "--preprocess", "caffe", "--method", "gradient", "--save", "own.npz"]
    explained(in_a_new_interpreter("explain", *args, cwd=folder))
    assert (folder / "own.npz").exists()


def test_an_array_of_another_shape_is_told_with_the_one_that_the_network_takes(run):
    np.save("other.npy", np.zeros((1, 2, 40), np.float32))
    assert len(refused(run("explain", "other.npy", "--model", "signals.keras", "--method", "gradient"), "(1, 2, 40)", "(N, 40, 2)")) < 200


@pytest.mark.parametrize(
    ("model", "shape", "words"),
    [
        ("signals", (40, 2), ["(40, 2)", "(N, 40, 2)", "counts the samples", "array[None]"]),
        ("signals", (200, 2), ["(200, 2)", "(N, 40, 2)", "counts the samples", "has other lengths"]),
        ("any", (200, 2), ["(200, 2)", "(N, any, 2)", "counts the samples"]),
        ("flat", (1, 35, 2), ["(1, 35, 2)", "(N, 40, 2)"]),
    ],
)
def test_an_array_in_a_shape_that_a_network_does_not_take_is_told_with_both(run, model, shape, words):
    np.save("shaped.npy", np.ones(shape, np.float32))
    refused(run("explain", "shaped.npy", "--model", f"{model}.keras", "--method", "gradient", "--save", "never.npz"), *words)


def test_a_recording_of_another_length_is_refused_or_told_with_both(run):
    np.savetxt("short.csv", np.random.default_rng(2).normal(size=(35, 2)), delimiter=",", header="I,II", comments="")
    args = ["short.csv", "--sampling-rate", "100", "--units", "mV", "--method", "gradient", "--save", "short.npz"]
    refused(run("explain", *args, "--model", "flat.keras"), "(1, 35, 2)", "(N, 40, 2)")
    said = explained(run("explain", *args, "--model", "signals.keras"))
    assert "a sample has the shape (35, 2), and the network says that it takes (40, 2)" in said
    assert "says that it takes" not in explained(run("explain", *args, "--model", "any.keras"))


@pytest.mark.parametrize("method", ["integrated_gradients_steps_6", "smoothgrad_samples_6"])
def test_a_network_for_a_number_of_samples_is_told_with_it(run, method):
    np.save("eight.npy", np.random.default_rng(3).normal(size=(8, 40, 2)).astype(np.float32))
    args = ["eight.npy", "--model", "four.keras", "--method", method, "--save", "eight.npz"]
    assert len(refused(run("explain", *args), "takes 4 samples at once", "--batch-size 4")) < 400
    refused(run("explain", *args, "--batch-size", "3"), "takes 4 samples at once", "this pass has 3")
    explained(run("explain", *args, "--batch-size", "4"))


def test_a_store_does_not_draw_channels_last_as_if_they_came_first(run):
    pytest.importorskip("zarr")
    np.save("many.npy", np.random.default_rng(1).normal(size=(3, 40, 2)).astype(np.float32))
    args = ["many.npy", "--model", "signals.keras", "--method", "gradient", "--store", "never.zarr"]
    refused(run("run", *args), "channels last", "ValuesView")
