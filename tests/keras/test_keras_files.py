"""Files of Keras models: what loads, and what is refused before any of it runs."""

import base64
import json
import marshal
import shutil
import sys
import zipfile

import numpy as np
import pytest

from signxai import certify, explain
from signxai.common.errors import InputError, ModelError
from signxai.engine.relevance import UnknownOperationWarning
from signxai.keras_files import load_keras, torch_keras

keras = pytest.importorskip("keras")
h5py = pytest.importorskip("h5py")
layers = keras.layers

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own, as it saves


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras_files")
    inner = keras.Sequential([keras.Input((20, 2)), layers.LSTM(3, name="inner_lstm", return_sequences=True)], name="inner")
    net = keras.Sequential(
        [
            keras.Input((20, 2)),
            layers.TimeDistributed(layers.Dense(3, kernel_regularizer="l2"), name="each"),
            layers.Dense(2, activation="gelu", name="again"),
            inner,
            layers.Bidirectional(layers.LSTM(3), name="both"),
            layers.Dense(2, activation="softmax", name="classes"),
        ]
    )
    for suffix in ("keras", "h5"):
        net.save(folder / f"net.{suffix}")
    x = keras.Input((8, 8, 3))
    keras.Model(x, keras.ops.mean(layers.Conv2D(2, 3, activation="relu")(x) + 1.0, axis=(1, 2))).save(folder / "ops.keras")
    return folder


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(2, 20, 2)).astype(np.float32)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_file_gives_the_model_that_keras_itself_loads(folder, x, suffix):
    path = folder / f"net.{suffix}"
    own, of_keras = load_keras(str(path)), keras.saving.load_model(path, compile=False)
    np.testing.assert_array_equal(own.predict(x, verbose=0), of_keras.predict(x, verbose=0))
    assert not own.compiled


def test_operations_of_keras_between_layers_are_its_own(folder):
    assert load_keras(folder / "ops.keras").output_shape == (None, 2)


# Files with another configuration than that of Keras' own layers


@pytest.mark.parametrize("mode", ["int8", "int4"])
@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize:UserWarning")  # Keras' own, of layers without weights
def test_a_quantized_model_loads_as_keras_itself_loads_it(tmp_path, mode, suffix):
    net = keras.Sequential([keras.Input((8,)), layers.Dense(4, activation="relu"), layers.Dense(2)])
    try:
        net.quantize(mode)
    except ValueError:
        pytest.skip(f"this Keras has no {mode}")
    path, x = tmp_path / f"net.{suffix}", np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    net.save(path)
    loaded = load_keras(path)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), net.predict(x, verbose=0))
    np.testing.assert_array_equal(explain(loaded, x, "gradient", 0), explain(net, x, "gradient", 0))
    if mode == "int8":  # which rounds inputs, too; int4 multiplies with floating-point weights
        with pytest.warns(UnknownOperationWarning, match="relevance follows its gradient"):
            explain(loaded, x, "lrp_z", 0)


@pytest.fixture
def marker(tmp_path):
    """A file that code would write if it ran."""
    return tmp_path / "it_ran"


def changed(path, change, folder):
    """A copy of a file whose configuration is another."""
    copy = folder / path.name
    if path.suffix == ".h5":
        shutil.copy(path, copy)
        with h5py.File(copy, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            change(config)
            file.attrs["model_config"] = json.dumps(config)
        return copy
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(copy, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            after.writestr(name, content)
    return copy


def inserted(config, part):
    config["config"]["layers"].insert(1, part)


def within_time(config, part):
    config["config"]["layers"][1]["config"]["layer"] = part


def within_both_directions(config, part):
    config["config"]["layers"][4]["config"]["backward_layer"] = part


def within_a_nested_model(config, part):
    config["config"]["layers"][3]["config"]["layers"].insert(1, part)


def as_activation(config, part):
    config["config"]["layers"][2]["config"]["activation"] = part


PLACES = [inserted, within_time, within_both_directions, within_a_nested_model, as_activation]


def code_of(marker):
    """A function that writes the marker, as Keras keeps a lambda."""
    function = eval(f"lambda x: (open({str(marker)!r}, 'w').close(), x)[1]")
    return base64.b64encode(marshal.dumps(function.__code__)).decode()


def lambda_layer(marker):
    function = {"class_name": "__lambda__", "config": {"code": code_of(marker), "defaults": None, "closure": None}}
    return {"module": "keras.layers", "class_name": "Lambda", "config": {"name": "trick", "function": function}, "registered_name": None}


def old_lambda_layer(marker):
    config = {"name": "trick", "function": [code_of(marker), None, None], "function_type": "lambda", "module": "__main__"}
    return {"class_name": "Lambda", "config": config}


def bare_lambda(marker):
    return {"class_name": "__lambda__", "config": {"code": code_of(marker), "defaults": None, "closure": None}}


def imported_class(marker):
    return {"module": "marked", "class_name": "Layer", "config": {}, "registered_name": "marked>Layer"}


def imported_class_as_of_keras(marker):
    return {"module": "keras.src.marked", "class_name": "Layer", "config": {}}


def imported_function(marker):
    return {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}


def builtin_function(marker):
    return {"module": "builtins", "class_name": "function", "config": "exec", "registered_name": "exec"}


def downloading_function(marker):
    return {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"}


def function_as_class(marker):
    return {"module": "keras.utils", "class_name": "get_file", "config": {"fname": "x", "origin": f"file://{marker}"}}


def loader_as_class(marker):
    return {"module": "keras.saving", "class_name": "load_model", "config": {"filepath": str(marker)}}


def switch_as_class(marker):
    return {"module": "keras.config", "class_name": "enable_unsafe_deserialization", "config": {}}


def pickled_module(marker):
    return {"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": {"name": "trick", "module": "gASV"}}


def vocabulary(marker):
    return {"module": "keras.layers", "class_name": "StringLookup", "config": {"name": "trick", "vocabulary": "/etc/passwd"}}


def class_of_no_text(marker):
    return {"module": ["keras"], "class_name": {"a": 1}, "config": {}}


TRICKS = [
    lambda_layer, old_lambda_layer, bare_lambda, imported_class, imported_class_as_of_keras, imported_function, builtin_function,
    downloading_function, function_as_class, loader_as_class, switch_as_class, pickled_module, vocabulary, class_of_no_text,
]  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_no_code_of_a_file_runs_wherever_in_it_it_stands(folder, tmp_path, marker, monkeypatch, suffix, trick):
    (tmp_path / "marked.py").write_text(f"open({str(marker)!r}, 'w').close()")
    monkeypatch.syspath_prepend(tmp_path)
    for place in PLACES:
        path = changed(folder / f"net.{suffix}", lambda config, place=place: place(config, trick(marker)), tmp_path)
        with pytest.raises(ModelError, match=r"Python code|is not Keras' own|pickled|vocabulary|a class \{"):
            load_keras(path)
    assert not marker.exists()
    assert not {"marked", "keras.src.marked"} & sys.modules.keys()


@pytest.mark.parametrize("make", [lambda_layer, old_lambda_layer])
def test_a_trusted_file_runs_its_code(folder, tmp_path, marker, x, make):
    suffix = "h5" if make is old_lambda_layer else "keras"
    path = changed(folder / f"net.{suffix}", lambda config: inserted(config, make(marker)), tmp_path)
    load_keras(path, trust=True).predict(x, verbose=0)
    assert marker.exists()


def test_functions_of_keras_in_lambda_layers_are_no_code(folder, tmp_path):
    net = keras.Sequential([keras.Input((4,)), layers.Lambda(keras.ops.tanh), layers.Activation(keras.activations.gelu)])
    net.save(tmp_path / "net.keras")
    assert load_keras(tmp_path / "net.keras").output_shape == (None, 4)


def test_classes_of_the_user_are_named_by_an_argument_or_registered(tmp_path):
    class Doubled(layers.Layer):
        def call(self, x):
            return 2 * x

    keras.Sequential([keras.Input((4,)), Doubled(name="twice")]).save(tmp_path / "net.keras")
    with pytest.raises(ModelError, match=r"layer 'twice' \(Doubled\).*custom_objects="):
        load_keras(tmp_path / "net.keras")
    given = load_keras(tmp_path / "net.keras", custom_objects={"Doubled": Doubled})
    with keras.saving.custom_object_scope({"Doubled": Doubled}):
        scoped = load_keras(tmp_path / "net.keras")
    for net in (given, scoped):
        assert float(net(np.ones((1, 4)))[0, 0]) == 2


def test_values_that_lie_in_other_files_are_refused(folder, tmp_path):
    shutil.copy(folder / "net.h5", tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5", "r+") as file:
        file["elsewhere"] = h5py.ExternalLink("/etc/other.h5", "/x")
    with pytest.raises(ModelError, match=r"/elsewhere leads to another file"):
        load_keras(tmp_path / "net.h5")


def test_what_no_layer_needs_is_refused_in_an_archive(folder, tmp_path):
    shutil.copy(folder / "net.keras", tmp_path / "net.keras")
    with zipfile.ZipFile(tmp_path / "net.keras", "a") as archive:
        archive.writestr("assets/../../x", "x")
    with pytest.raises(ModelError, match=r"it holds assets/../../x"):
        load_keras(tmp_path / "net.keras")


# What older versions wrote


def as_keras_2(config):
    """The configuration as ``tf.keras`` 2 writes it to HDF5."""
    config["config"].pop("dtype", None)
    first = config["config"]["layers"][0]["config"]
    first["batch_input_shape"] = first.pop("batch_shape")
    first.pop("optional", None)
    for layer in config["config"]["layers"]:
        layer["config"]["dtype"] = "float32"
        for name, value in layer["config"].items():
            if isinstance(value, dict) and name.endswith("initializer"):
                layer["config"][name] = {"class_name": value["class_name"], "config": value["config"]}


def test_hdf5_of_keras_2_loads(folder, tmp_path, x):
    path = changed(folder / "net.h5", as_keras_2, tmp_path)
    np.testing.assert_array_equal(load_keras(path).predict(x, verbose=0), load_keras(folder / "net.h5").predict(x, verbose=0))


def with_time_major(config):
    config["config"]["layers"][3]["config"]["layers"][1]["config"]["time_major"] = False


def with_an_operation_of_tensorflow(config):
    inserted(config, {"class_name": "TFOpLambda", "config": {"name": "tf.math.multiply", "function": "math.multiply"}})


def with_a_class_of_somebody(config):
    inserted(config, {"class_name": "Attention2", "config": {"name": "look"}})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (with_time_major, r"layer 'inner_lstm' \(LSTM\) was saved with \{'time_major': False\}.*--weights"),
        (with_an_operation_of_tensorflow, r"layer 'tf.math.multiply' \(TFOpLambda\): an operation of TensorFlow"),
        (with_a_class_of_somebody, r"layer 'look' \(Attention2\).*custom_objects="),
    ],
)
def test_what_keras_3_does_not_load_is_said_with_its_layer(folder, tmp_path, change, said):
    with pytest.raises(ModelError, match=said) as caught:
        load_keras(changed(folder / "net.h5", change, tmp_path))
    assert "\n" not in str(caught.value)


OPERATIONS = {
    "GetItem": lambda h: h[:, 1:],
    "Relu": keras.ops.relu,
    "Multiply": lambda h: h * 2.0,
    "Add": lambda h: h + h,
    "Subtract": lambda h: 1 - h,
    "Maximum": lambda h: keras.ops.maximum(h, 0.0),
    "Sum": lambda h: keras.ops.sum(h, axis=-1, keepdims=True),
    "Average": lambda h: keras.ops.average(h, axis=-1)[..., None],
    "Reshape": lambda h: keras.ops.reshape(h, (-1, 20, 2)),
}


def with_an_operation(function):
    x = keras.Input((12, 4))
    hidden = function(keras.layers.Conv1D(4, 3)(x))
    return keras.Model(x, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling1D()(hidden)))


@pytest.mark.parametrize("kind", OPERATIONS)
@pytest.mark.parametrize("trust", [False, True])
def test_operations_between_layers_that_hdf5_does_not_keep_are_named_with_what_to_save(tmp_path, kind, trust):
    net, x = with_an_operation(OPERATIONS[kind]), np.random.default_rng(0).normal(size=(2, 12, 4)).astype("float32")
    for suffix in ("h5", "keras"):
        net.save(tmp_path / f"net.{suffix}")
    with pytest.raises(ModelError, match=rf"layer '\w+' \({kind}\).*an operation between layers.*save the model as \.keras"):
        load_keras(tmp_path / "net.h5", trust=trust)
    np.testing.assert_array_equal(load_keras(tmp_path / "net.keras").predict(x, verbose=0), net.predict(x, verbose=0))


@pytest.mark.parametrize("function", [lambda h: keras.ops.concatenate([h, h], axis=1), lambda h: keras.ops.softmax(h, axis=1)])
def test_an_operation_that_is_a_layer_is_loaded_as_that(tmp_path, function):
    net, x = with_an_operation(function), np.random.default_rng(0).normal(size=(2, 12, 4)).astype("float32")
    net.save(tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5") as file:
        layers = json.loads(file.attrs["model_config"])["config"]["layers"]
    if any("name" not in layer["config"] for layer in layers):  # as Keras 3.4 writes it, which loads another function
        with pytest.raises(ModelError, match=r"an operation between layers.*save the model as \.keras"):
            load_keras(tmp_path / "net.h5")
        return
    np.testing.assert_array_equal(load_keras(tmp_path / "net.h5").predict(x, verbose=0), net.predict(x, verbose=0))


def test_what_a_model_was_trained_by_does_not_matter(folder, tmp_path, x):
    net = load_keras(folder / "net.h5")
    net.compile("adam", "mse")
    net.save(tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5", "r+") as file:
        training = json.loads(file.attrs["training_config"])
        training["optimizer_config"] = {"class_name": "Custom>AdamWeightDecay", "config": {"lr": 0.1, "decay": 0.1}}
        file.attrs["training_config"] = json.dumps(training)
    assert load_keras(tmp_path / "net.h5").output_shape == (None, 2)


# Broken files


def empty(path, folder):
    path.write_bytes(b"")


def text(path, folder):
    path.write_text("not a model")


def cut(path, folder):
    path.write_bytes((folder / path.name).read_bytes()[:3000])


def without_configuration(path, folder):
    if path.suffix == ".keras":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model.weights.h5", b"")
    else:
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = "no json"


def of_the_other_kind(path, folder):
    shutil.copy(folder / ("net.h5" if path.suffix == ".keras" else "net.keras"), path)


def damaged(path, folder):
    content = bytearray((folder / path.name).read_bytes())
    middle = len(content) // 2
    content[200:middle] = bytes(middle - 200)
    path.write_bytes(content)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("broken", [empty, text, cut, without_configuration, of_the_other_kind, damaged])
def test_a_broken_file_is_told_in_a_line(folder, tmp_path, suffix, broken):
    path = tmp_path / f"net.{suffix}"
    broken(path, folder)
    with pytest.raises(InputError) as caught:
        load_keras(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_folders_missing_files_and_weights_alone_are_told_apart(folder, tmp_path):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"SavedModel of TensorFlow.*model.save\('NAME.keras'\)"):
        load_keras(tmp_path / "saved")
    with pytest.raises(FileNotFoundError):
        load_keras(tmp_path / "missing.keras")
    load_keras(folder / "net.keras").save_weights(tmp_path / "net.weights.h5")
    with pytest.raises(ModelError, match=r"holds weights alone.*--weights net.weights.h5"):
        load_keras(tmp_path / "net.weights.h5")
    with pytest.raises(InputError, match=r"ends in .keras or .h5"):
        load_keras(tmp_path / "net.onnx")


def test_another_backend_is_told_with_what_to_set(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    with pytest.raises(ModelError, match=r"backend tensorflow.*KERAS_BACKEND=torch"):
        torch_keras()


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, rate: float = 0.0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.body, self.pool, self.head = layers.Conv2D(4, 3, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(3)
        self.drop = layers.Dropout(rate) if rate else layers.Activation("linear")

    def get_config(self):
        return super().get_config() | {"rate": self.rate}

    def call(self, x, training=None):
        return self.head(self.drop(self.pool(self.body(x)), training=training) if self.rate else self.pool(self.body(x)))


@pytest.mark.filterwarnings("ignore:`build..` was called on layer:UserWarning")  # Keras' own, of a class without build()
@pytest.mark.parametrize("rate", [0.0, 0.5])
@pytest.mark.parametrize("load", [load_keras, keras.models.load_model], ids=["load_keras", "keras"])
def test_a_subclassed_model_from_a_file_is_explained_as_the_one_that_was_saved(tmp_path, rate, load):
    """Keras hands its variables to torch only where somebody asks for the parameters."""
    net, x = Subclassed(rate), np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype(np.float32)
    net(x, training=False)
    net.save(tmp_path / "net.keras")
    loaded = load(tmp_path / "net.keras")
    for name in ("gradient", "lrp_epsilon_0_1"):
        np.testing.assert_array_equal(explain(loaded, x, name, 1), explain(net, x, name, 1))
    checks = [str(certify(one, x[:1], "lrp_epsilon_0_1", 1)).split("srg ")[1].split()[:1] for one in (loaded, net)]
    assert checks[0] == checks[1]
