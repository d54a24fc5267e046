"""The scripts of the original package's README run with nothing changed but what loads the model and the picture."""

import hashlib
import runpy
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from places import ROOT
from signxai import explain

pytest.importorskip("h5py")
keras = pytest.importorskip("keras")
if keras.config.backend() != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own, when it saves and loads
L = keras.layers
SCRIPTS = Path(__file__).parent / "scripts"
ORIGINAL = "# original: "
# SHA-256 of the blocks of Python in the README of signxai 1.1.9.2 (METADATA in its wheel), white space at the ends of lines left out.
README = {
    "vgg16": "718fdbf03a2931060559098c17e75f6ae1f46228b67d34f6d805c34286e3c01d",
    "mnist": "b779cb2def8e8c0f5ac082b677aa47ab165ba20f451caf874ab62fcc6bd98065",
}
# What stands for each line that is changed; None: nothing.
CHANGED = {
    "from tensorflow.keras.applications.vgg16 import VGG16": "from keras.applications.vgg16 import VGG16",
    "download_image(path)": None,
    "from tensorflow.python.keras.datasets import mnist": "from keras.datasets import mnist",
    "from tensorflow.python.keras.models import load_model": "from keras.models import load_model",
    "download_model(path)": None,
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a script in an empty folder, with figures that are drawn into a file."""
    from matplotlib import pyplot as plt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: plt.savefig("shown.png", dpi=20))
    yield lambda name: runpy.run_path(str(SCRIPTS / f"{name}.py"))
    plt.close("all")


def original_of(script):
    """The lines of the README's script, and the changed ones with what stands for them."""
    lines, changed = [], {}
    for line in script.splitlines()[2:]:  # behind what tells ruff to leave it as it is
        if line.startswith(ORIGINAL):
            lines.append(line.removeprefix(ORIGINAL))
            expected = CHANGED[lines[-1]]
            changed[lines[-1]] = expected
        elif line not in changed.values():
            lines.append(line)
    return lines, changed


@pytest.mark.parametrize("name", README)
def test_only_the_lines_that_load_differ_from_the_original(name):
    script = (SCRIPTS / f"{name}.py").read_text()
    lines, changed = original_of(script)
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == README[name]
    assert all(new is None or new in script.splitlines() for new in changed.values())
    assert len(changed) <= 3


@pytest.mark.slow
def test_the_script_for_vgg16(run, monkeypatch):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((224, 224, 3)),
            L.Conv2D(4, 8, strides=8, activation="relu", bias_initializer="normal"),
            L.MaxPooling2D(4),
            L.Flatten(),
            L.Dense(10, activation="softmax", bias_initializer="normal"),
        ]
    )
    monkeypatch.setattr(import_module("keras.applications.vgg16"), "VGG16", lambda weights: model)  # as the script imports it
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)).save("example.jpg")
    found = run("vgg16")
    assert found["R1"].shape == (224, 224, 3)
    assert np.array_equal(found["R1"], found["R3"])
    assert np.array_equal(found["R2"], found["R4"])
    x = keras.applications.vgg16.preprocess_input(keras.utils.img_to_array(keras.utils.load_img("example.jpg", target_size=(224, 224))))
    expected = explain(model, x[None], "lrpsign_epsilon_0_1_std_x", relevance="logit")[0]
    np.testing.assert_allclose(found["R2"], expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())
    assert Path("shown.png").stat().st_size > 0


@pytest.mark.slow
def test_the_script_for_mnist(run, monkeypatch):
    keras.utils.set_random_seed(0)
    digits = np.random.default_rng(0).integers(0, 256, (232, 28, 28), dtype=np.uint8)
    digits[231, :4] = 255
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: ((digits, digits[:, 0, 0]), (digits, digits[:, 0, 0])))
    dense = [L.Dense(16, activation="relu", bias_initializer="normal"), L.Dense(10, activation="softmax", bias_initializer="normal")]
    keras.Sequential([keras.Input((28, 28)), L.Flatten(), *dense]).save("model.h5")
    found = run("mnist")
    x, signs = found["x"], np.where(found["x"] >= -0.5, 1, -1)
    assert (x.min(), x.max()) == (-1, 0)
    for target, times_input, times_sign in ((3, "R1", "R2"), (8, "R3", "R4")):
        gradient = explain(found["model"], x[None], "gradient", target)[0]
        np.testing.assert_allclose(found[times_input], gradient * x, rtol=1e-6)
        np.testing.assert_allclose(found[times_sign], gradient * signs, rtol=1e-6)
    assert Path("shown.png").stat().st_size > 0


@pytest.mark.slow
def test_a_script_for_time_series(run):
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(2, 40, 3)).astype(np.float32)
    convolutions = [L.Conv1D(4, 3, activation="relu"), L.MaxPooling1D(2), L.Conv1D(4, 3, activation="relu", name="last_conv")]
    for_all = L.Dense(2, activation="softmax", kernel_initializer=keras.initializers.RandomUniform(0.1, 1))  # so that a map is not all zero
    model = keras.Sequential([keras.Input((40, 3)), *convolutions, L.GlobalAveragePooling1D(), for_all])
    model.save("ecg.keras")
    np.save("ecg.npy", x)
    found = run("time_series")
    expected = explain(model, x[:1], "lrpsign_epsilon_0_1_std_x", 1, relevance="logit")[0]
    np.testing.assert_allclose(found["R1"], expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    features = torch.tensor(x[:1])
    for layer in convolutions:
        features = layer(features)
    features = features[0].detach().cpu().numpy()
    cam = np.maximum(features @ for_all.kernel.value.detach().cpu().numpy()[:, 1], 0)
    stretched = np.interp((np.arange(40) + 0.5) * len(cam) / 40 - 0.5, np.arange(len(cam)), cam)  # centre on centre
    np.testing.assert_allclose(found["R2"], np.tile(stretched[:, None] / stretched.max(), 3), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["R3"], explain(model, x, "gradient_x_sign_mu_0_5", 1), rtol=1e-4, atol=1e-7)
    assert all(np.abs(shown).max() == 1 for shown in found["shown"])


def test_the_script_that_the_page_shows_is_the_one_that_runs():
    page = (ROOT / "docs" / "migrating.md").read_text()
    shown = page.partition("```py\n")[2].partition("```")[0]
    assert (SCRIPTS / "time_series.py").read_text().partition("\n\n")[2] == shown != ""
