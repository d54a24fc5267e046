"""What a file of Keras says of its model, read before Keras reads it: which classes and functions it names, and whether it holds code."""

from __future__ import annotations

import inspect
import json
import sys
import zipfile
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from signxai.common.errors import InputError, MissingPackageError, ModelError

__all__ = ["KERAS_SUFFIXES", "Found", "KerasFile", "layer_with"]

KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")

_HDF5, _ZIP = b"\x89HDF\r\n\x1a\n", b"PK"
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MEMBERS = {_CONFIG, _WEIGHTS, "metadata.json"}
_MOST_OF_A_CONFIG = 256 * 2**20
_SAVED_MODEL = "saved_model.pb"

_PLAIN = {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__", "__tuple__", "TensorShape"}
"""Classes by which Keras' files write plain values."""
_CODE = {"__lambda__": "it is Python code", "__typespec__": "it is of TensorFlow"}
_CODE_OF_LAYERS = {
    "TorchModuleWrapper": "a pickled module of PyTorch, which is code",
    "JaxLayer": "a function of JAX",
    "FlaxLayer": "a pickled module of Flax, which is code",
    "TFSMLayer": "a SavedModel of TensorFlow, which is code",
    "StringLookup": "a vocabulary, which may be any file of this machine",
    "IntegerLookup": "a vocabulary, which may be any file of this machine",
    "TextVectorization": "a vocabulary, which may be any file of this machine",
}
_OF_TENSORFLOW = {"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod", "InstanceMethod", "InstanceProperty"}
_NAMES_OF_KERAS = (
    "layers",
    "models",
    "initializers",
    "regularizers",
    "constraints",
    "dtype_policies",
    "quantizers",
    "losses",
    "metrics",
    "optimizers",
)
_FUNCTIONS_OF_KERAS = ("activations", "ops", "losses", "metrics")
_FUNCTIONAL = "keras.src.models.functional"
_BASES = ("Layer", "Operation", "Initializer", "Regularizer", "DTypePolicy", "Loss", "Metric", "Optimizer", "Quantizer")


@dataclass(frozen=True)
class Found:
    """Something in a file that Keras' own layers are not made of.

    Attributes:
        layer: the layer that it belongs to, with its class.
        what: what it is.
        remedy: what to do; "": trust the file.
    """

    layer: str
    what: str
    remedy: str = ""


@dataclass(frozen=True)
class KerasFile:
    """A file of a whole Keras model, ``.keras`` or ``.h5``, of which nothing but its configuration was read.

    Attributes:
        path: the file.
        config: the model's configuration, as JSON has it.
        is_archive: whether it is of the format ``.keras``, rather than HDF5.
        strange: what else is in the file, where nothing else should be.
    """

    path: Path
    config: Mapping[str, Any]
    is_archive: bool
    strange: Sequence[str] = ()

    @classmethod
    def read(cls, path: Path) -> KerasFile:
        """Read the configuration; no class that it names is imported, and no code in it runs.

        Raises:
            ModelError: a folder, a file of weights alone, or a file of another kind.
            InputError: the file is broken.
            MissingPackageError: h5py is needed, and not installed.
            OSError: it cannot be opened.
        """
        start = _start_of(path)
        is_archive = path.suffix.lower() == ".keras"
        if not start.startswith(_ZIP if is_archive else _HDF5):
            raise _other_kind(path, start, is_archive)
        config, strange = _of_archive(path) if is_archive else _of_hdf5(path)
        if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
            raise InputError(f"{path}: its configuration describes no model; save it anew by model.save()")
        # What a model was trained by is not loaded.
        return cls(path, {name: value for name, value in config.items() if name != "compile_config"}, is_archive, strange)

    def found(self, own: Container[object]) -> Iterator[Found]:
        """What in the configuration is no layer, initializer or function of Keras itself; Keras is imported by then.

        Args:
            own: classes and functions of the user, by the names under which files know them.
        """
        yield from (Found("the file", what) for what in self.strange)
        yield from _within(self.config, own, "the model")

    def operations_lost(self, own: Container[object]) -> list[str]:
        """Operations between layers that the file names and does not keep, as HDF5 files: Keras would search for layers of their names.

        Args:
            own: as of ``found``.
        """
        return [] if self.is_archive else [_layer_named(part) for part in _parts(self.config) if _is_lost(part, own)]


def _start_of(path: Path) -> bytes:
    if path.is_dir():
        what = "a SavedModel of TensorFlow" if (path / _SAVED_MODEL).exists() else "a folder"
        raise ModelError(
            f"{path}: is {what}, and models of Keras 3 are files; where it was made load it and save it by model.save('NAME.keras') or "
            "model.save('NAME.h5')"
        )
    with path.open("rb") as file:
        return file.read(len(_HDF5))


def _other_kind(path: Path, start: bytes, is_archive: bool) -> InputError:
    if not start:
        return InputError(f"{path}: is empty")
    other = _HDF5 if is_archive else _ZIP
    if start.startswith(other):
        kind, suffix = ("HDF5", ".h5") if is_archive else ("an archive of Keras", ".keras")
        return InputError(f"{path}: is {kind} by what it holds; rename it to {path.with_suffix(suffix).name}")
    return InputError(f"{path}: is no {'.keras archive' if is_archive else 'HDF5 file'}, or a broken one; save the model anew")


def _of_archive(path: Path) -> tuple[Any, list[str]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if missing := sorted({_CONFIG, _WEIGHTS} - names):
                raise InputError(f"{path}: lacks {missing[0]}, and is no whole file of a Keras 3 model; save the model anew")
            if broken := archive.testzip():
                raise InputError(f"{path}: is broken, {broken} in it cannot be read; save or copy it anew")
            if archive.getinfo(_CONFIG).file_size > _MOST_OF_A_CONFIG:
                raise InputError(f"{path}: its {_CONFIG} is larger than that of any model")
            config = json.loads(archive.read(_CONFIG))
            with archive.open(_WEIGHTS) as weights:
                linked = _linked(path, weights)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: is broken ({error}); save or copy it anew") from error
    return config, [*(f"it holds {name}, which no layer that is explained needs" for name in sorted(names - _MEMBERS)), *linked]


def _of_hdf5(path: Path) -> tuple[Any, list[str]]:
    h5py = _h5py()
    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
            if text is None:
                raise ModelError(
                    f"{path}: holds weights alone, without the layers that they are of; give --model package.module:factory, which "
                    f"returns the Keras model, and --weights {path.name} (in Python: model.load_weights)"
                )
            strange = list(_links_of(file))
        return json.loads(text), strange
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        if isinstance(error, ModelError):
            raise
        raise InputError(f"{path}: is broken ({_first_line(error)}); save or copy it anew") from error


def _linked(path: Path, weights: Any) -> list[str]:
    try:
        with _h5py().File(weights, "r") as file:
            return list(_links_of(file))
    except (OSError, KeyError, RuntimeError) as error:
        raise InputError(f"{path}: its weights are broken ({_first_line(error)}); save or copy it anew") from error


def _links_of(group: Any) -> Iterator[str]:
    """What in a file of HDF5 leads to other files."""
    h5py = _h5py()
    for name in group:
        if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
            yield f"{group.name.rstrip('/')}/{name} leads to another file"
            continue
        item = group[name]
        if isinstance(item, h5py.Group):
            yield from _links_of(item)
        elif isinstance(item, h5py.Dataset) and item.external:
            yield f"the values of {item.name} are in another file"


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise MissingPackageError("models of Keras need the package h5py, which is missing: pip install 'signxai[keras]'") from error
    return h5py


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def layer_with(config: Any, kind: str, keyword: str) -> str:
    """The first layer of a class whose configuration has a keyword, as it is called in messages; "": there is none."""
    pending = [config]
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending += reversed(part)
        elif isinstance(part, dict):
            if part.get("class_name") == kind and keyword in (part.get("config") or {}):
                return _layer_named(part)
            pending += reversed(part.values())
    return ""


# What a configuration names


def _within(value: Any, own: Container[object], layer: str) -> Iterator[Found]:
    """What in a part of a configuration is not Keras' own."""
    pending: list[tuple[Any, str]] = [(value, layer)]
    while pending:
        part, layer = pending.pop()
        if isinstance(part, list):
            pending += [(item, layer) for item in reversed(part)]
        elif isinstance(part, dict):
            layer = _layer_named(part) or layer
            if "class_name" in part:
                yield from _object(part, own, layer)
            pending += [(item, layer) for item in reversed(part.values())]


def _parts(value: object) -> Iterator[Mapping[str, Any]]:
    """Every part of a configuration that has names, in order."""
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            yield part
        if isinstance(part, dict | list):
            pending += reversed(list(part.values() if isinstance(part, dict) else part))


def _is_lost(part: Mapping[str, Any], own: Container[object]) -> bool:
    """Whether a part is an operation between layers, as ``keras.ops`` has them, that no layer of the same name is in its place.

    A layer always says its type or whether it is trained. One of the same name takes an operation's place where it knows all of the
    operation's numbers and is called as that was, on one tensor or one list of them; Keras 3.4, which keeps no name among the numbers, puts
    a layer with numbers of its own there.
    """
    kind, config, nodes = part.get("class_name"), part.get("config"), part.get("inbound_nodes")
    if not isinstance(kind, str) or not isinstance(config, dict) or not isinstance(nodes, list) or part.get("module") or kind in own:
        return False
    if {"trainable", "dtype", "layers"} & config.keys() or kind not in _operations():
        return False
    layer = getattr(sys.modules["keras"].layers, kind, None)
    known = {"name"} if layer is None else {"name", *inspect.signature(layer.__init__).parameters}
    is_called_alike = all(isinstance(node, dict) and len(node.get("args", ())) == 1 and not node.get("kwargs") for node in nodes)
    return layer is None or "name" not in config or not config.keys() <= known or not is_called_alike


def _operations() -> set[str]:
    """The names of the classes of ``keras.ops``."""
    pending, found = [sys.modules["keras"].Operation], set[str]()
    while pending:
        kinds = pending.pop().__subclasses__()
        pending += kinds
        found |= {kind.__name__ for kind in kinds if kind.__module__.startswith("keras.src.ops.")}
    return found


def _layer_named(part: Mapping[str, Any]) -> str:
    """What a layer is called, with its class; "": the part is none."""
    config, kind = part.get("config"), part.get("class_name")
    name = config.get("name", part.get("name")) if isinstance(config, dict) else None
    is_policy = isinstance(kind, str) and kind.endswith("Policy")
    return f"layer {name!r} ({kind})" if isinstance(name, str) and isinstance(kind, str) and not is_policy else ""


def _object(part: Mapping[str, Any], own: Container[object], layer: str) -> Iterator[Found]:
    kind, module, config = part["class_name"], part.get("module"), part.get("config")
    if not isinstance(kind, str) or not isinstance(module, str | None):
        yield Found(layer, f"a class {kind!r:.60} of the module {module!r:.60}")
    elif kind in _PLAIN:
        return
    elif kind in _CODE:
        yield Found(layer, _CODE[kind])
    elif kind == "Policy" and module is None:  # of Keras 2, which Keras 3 reads as its DTypePolicy
        return
    elif kind == "function":
        yield from _function(config, module, part.get("registered_name"), own, layer)
    elif part.get("registered_name") in own or kind in own:
        return
    elif kind in _OF_TENSORFLOW:
        remedy = "build the model with layers of Keras in its place, and save that"
        yield Found(layer, "an operation of TensorFlow, which Keras 3 cannot run on torch", remedy)
    elif kind in _CODE_OF_LAYERS:
        yield Found(layer, f"it holds {_CODE_OF_LAYERS[kind]}")
    elif kind == "Lambda":
        yield from _lambda(config, own, layer)
    elif not _is_of_keras(kind, module):
        of = f" of the module {module!r:.60}" if module else ""
        is_old = module is not None and module.startswith("keras.") and _is_of_keras(kind, None)
        remedy = "if Keras 2 wrote it, save it there as .h5" if is_old else _custom(kind)
        yield Found(layer, f"the class {kind!r:.60}{of} is not Keras' own", remedy)


def _function(config: Any, module: str | None, registered: Any, own: Container[object], layer: str) -> Iterator[Found]:
    if config in own or registered in own:
        return
    places = _FUNCTIONS_OF_KERAS if module in (None, "builtins") else [str(module).removeprefix("keras.")]
    if isinstance(config, str) and config.isidentifier() and not config.startswith("_"):
        keras = sys.modules["keras"]
        if any(place in _FUNCTIONS_OF_KERAS and callable(getattr(getattr(keras, place), config, None)) for place in places):
            return
    of = f" of the module {module!r:.60}" if module not in (None, "builtins") else ""
    yield Found(layer, f"the function {config!r:.60}{of} is not Keras' own", _custom(config))


def _custom(name: object) -> str:
    """What to do about a class or function of this name that is somebody's own."""
    return f"give custom_objects={{{name!r:.60}: ...}} in Python, or on the command line --model package.module:factory"


def _lambda(config: Any, own: Container[object], layer: str) -> Iterator[Found]:
    """A layer of a function: by its name one of Keras or of the user, or else code."""
    written = [config.get(name) for name in ("function", "output_shape", "mask")] if isinstance(config, dict) else [None]
    types = [config.get(name) for name in ("function_type", "output_shape_type")] if isinstance(config, dict) else []
    if (
        isinstance(written[0], list)
        or "lambda" in types
        or any(isinstance(one, dict) and one.get("class_name") in _CODE for one in written)
    ):
        # Of the newer format the code within is found as such.
        if isinstance(written[0], list) or "lambda" in types:
            yield Found(layer, _CODE["__lambda__"])
    elif isinstance(written[0], str):
        yield from _function(written[0], None, None, own, layer)
    elif not isinstance(written[0], dict):
        yield Found(layer, "it names no function")


def _is_of_keras(kind: str, module: str | None) -> bool:
    """Whether a class is one of Keras itself that a model may be made of: found here, and not by what a file says to import."""
    if not kind.isidentifier() or kind.startswith("_"):
        return False
    found = [getattr(place, kind, None) for place in _places_of(module)]
    return any(isinstance(one, type) and issubclass(one, _allowed()) for one in found)


def _places_of(module: str | None) -> list[object]:
    """Where in Keras a class of this module stands; of one without a module, as older files write it, everywhere where it may."""
    keras = sys.modules["keras"]
    if module is None:
        return [keras, sys.modules[_FUNCTIONAL], *(getattr(keras, name, None) for name in _NAMES_OF_KERAS)]
    if module.startswith("keras.src.backend."):  # optimizers, whose class depends on the backend
        return [keras.optimizers]
    if module == "keras" or module.startswith("keras.src."):
        return [sys.modules.get(module)]
    place: object = keras if module.startswith("keras.") else None
    for name in module.split(".")[1:]:
        place = getattr(place, name, None)
    return [place if isinstance(place, ModuleType) else None]


def _allowed() -> tuple[type, ...]:
    keras = sys.modules["keras"]
    places = (keras, keras.constraints, keras.quantizers, keras.random)
    names = (*_BASES, "Constraint", "QuantizationConfig", "SeedGenerator")
    return tuple(kind for place in places for name in names if isinstance(kind := getattr(place, name, None), type))
