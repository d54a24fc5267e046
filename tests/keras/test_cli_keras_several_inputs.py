"""Keras models with several inputs on the command line: inputs go by the names of their input layers."""

import numpy as np
import pytest

import keras
from command_line import explained, in_a_process, in_this_process, refused
from signxai import explain
from signxai.models import load_keras

layers = keras.layers
pytest.importorskip("h5py")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own, as it saves
ARRAYS = ["--input", "ecg=ecg.npy", "--input", "meta=meta.npy"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras_several")
    keras.utils.set_random_seed(0)
    ecg, meta = keras.Input((40, 2), name="ecg"), keras.Input((3,), name="meta")
    pooled = layers.GlobalAveragePooling1D()(layers.Conv1D(4, 5, activation="relu")(ecg))
    out = layers.Dense(3)(layers.Concatenate()([pooled, layers.Dense(4, activation="relu")(meta)]))
    for suffix in ("keras", "h5"):
        keras.Model([ecg, meta], out).save(folder / f"two.{suffix}")
    keras.Model({"meta": meta, "ecg": ecg}, out).save(folder / "by_name.keras")
    random = np.random.default_rng(0)
    x = {"ecg": random.normal(size=(3, 40, 2)).astype("float32"), "meta": random.normal(size=(3, 3)).astype("float32")}
    for name, values in x.items():
        np.save(folder / f"{name}.npy", values)
    np.savez(folder / "in.npz", **x)
    np.savez(folder / "more.npz", **x, age=x["meta"])
    np.save(folder / "meta_of_one.npy", x["meta"][:1])
    np.savetxt(folder / "ecg.csv", x["ecg"][0], delimiter=",", header="I,II", comments="")
    return folder


@pytest.fixture
def run(capsys, folder, monkeypatch):
    monkeypatch.chdir(folder)
    return lambda *args: in_this_process(*args, capsys=capsys)


def x_of(folder):
    with np.load(folder / "in.npz") as held:
        return dict(held)


@pytest.mark.parametrize(
    "given", [ARRAYS, ["in.npz"], [*ARRAYS[2:], *ARRAYS[:2]]], ids=["each from a file", "one file", "in another order"]
)
@pytest.mark.parametrize("model", ["two.keras", "two.h5", "by_name.keras"])
def test_each_input_goes_to_the_input_layer_of_its_name(run, folder, model, given):
    explained(run("explain", *given, "--model", model, "--method", "lrp_epsilon_0_25_std_x", "--save", "maps.npz"))
    wanted = explain(load_keras(model), x_of(folder), "lrp_epsilon_0_25_std_x")
    with np.load("maps.npz") as saved:
        for name, relevance in wanted.items():
            np.testing.assert_allclose(saved[f"lrp_epsilon_0_25_std_x/{name}"], relevance, rtol=1e-4, atol=1e-6)


def test_a_recording_is_an_input_of_time_and_leads_and_is_drawn_as_a_signal(run, folder):
    args = ["--input", "ecg=ecg.csv", "--input", "meta=meta_of_one.npy", "--sampling-rate", "100", "--units", "mV", "--model", "two.keras"]
    explained(run("explain", *args, "--method", "lrp_z", "--output", "signal.svg", "--save", "signal.npz"))
    with np.load("signal.npz") as saved:
        np.testing.assert_allclose(saved["x/ecg"], x_of(folder)["ecg"][:1], rtol=1e-6)
        assert saved["lrp_z/ecg"].shape == (1, 40, 2)


def test_names_of_leads_are_those_of_channels_last(run):
    names = [*ARRAYS, "--names", "ecg=I,II", "--method", "lrp_z", "--model", "two.keras"]
    explained(run("explain", *names, "--output", "named.png"))


@pytest.mark.parametrize("command", ["inspect", "certify", "evaluate"])
def test_other_commands_take_them_too(run, command):
    cheap = {"evaluate": ["--metric", "gini"]}.get(command, [])
    assert "ecg" in explained(run(command, *ARRAYS, "--model", "two.keras", "--method", "lrp_z", *cheap)) or command == "inspect"


@pytest.mark.parametrize("command", ["explain", "inspect", "certify", "evaluate"])
def test_names_that_are_no_inputs_and_inputs_that_are_missing_are_refused(run, command):
    model = ["--model", "two.keras", "--method", "lrp_z", *(["--output", "no.png"] if command == "explain" else [])]
    refused(run(command, *ARRAYS, "--input", "age=meta.npy", *model), "'age'", "ecg, meta")
    refused(run(command, "more.npz", *model), "more.npz", "'age'", "ecg, meta")
    refused(run(command, *ARRAYS[:2], *model), "needs 'meta'", "--input meta=FILE")


def test_python_refuses_them_as_well(folder):
    model, x = load_keras(folder / "two.keras"), x_of(folder)
    with pytest.raises(ValueError, match="no input 'age'; its inputs are ecg, meta"):
        explain(model, x | {"age": x["meta"]}, "lrp_z", 0)
    with pytest.raises(ValueError, match="needs the input 'meta'"):
        explain(model, {"ecg": x["ecg"]}, "lrp_z", 0)


def test_a_model_of_one_input_takes_it_by_name(folder):
    first = keras.Input((5,), name="table-of-values")
    model, x = keras.Model(first, layers.Dense(2)(first)), np.ones((1, 5), "float32")
    np.testing.assert_array_equal(explain(model, {"table-of-values": x}, "lrp_z", 0)["table-of-values"], explain(model, x, "lrp_z", 0))


@pytest.mark.slow
def test_a_user_explains_two_inputs_of_a_file(folder):
    done = in_a_process("explain", *ARRAYS, "--model", "two.keras", "--method", "lrp_z", "--output", "own.png", cwd=folder)
    assert "of all |R|, ecg" in explained(done)
