"""Models of Keras 3 from files, on torch: checked before Keras reads them, and what does not load said in a line."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Container, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from signxai.common.errors import InputError, MissingPackageError, ModelError
from signxai.keras_configs import KERAS_SUFFIXES, KerasFile, layer_with

__all__ = ["code_in", "load_keras", "load_keras_weights", "names_keras_file", "torch_keras"]

_BACKEND = "KERAS_BACKEND"
_LONGEST = 300


def names_keras_file(text: str) -> bool:
    """Whether a model's name is that of a file, or folder, of Keras.

    >>> names_keras_file("nets/vgg16.h5"), names_keras_file("torchvision:vgg16")
    (True, False)
    """
    path = Path(text)
    return path.suffix.lower() in KERAS_SUFFIXES or (path.is_dir() and (path / "saved_model.pb").exists())


def torch_keras() -> Any:
    """Keras, imported on torch.

    Where nothing has imported it yet, and ``KERAS_BACKEND`` says nothing, that is set to torch for this process.

    Raises:
        MissingPackageError: it is not installed.
        ModelError: it runs on another backend, or ``KERAS_BACKEND`` names another.
    """
    if "keras" not in sys.modules:
        if os.environ.get(_BACKEND, "torch") != "torch":
            raise _other_backend(f"{_BACKEND}={os.environ[_BACKEND]}")
        if find_spec("keras") is None:
            raise MissingPackageError("models of Keras need the package keras, which is missing: pip install 'signxai[keras]'")
        os.environ[_BACKEND] = "torch"
    keras = import_module("keras")
    if (version := str(keras.__version__)).startswith(("0.", "1.", "2.")):
        raise ModelError(f"Keras {version} is installed, and Keras 3 is needed: pip install 'signxai[keras]'")
    if (backend := keras.backend.backend()) != "torch":
        raise _other_backend(f"Keras was imported with the backend {backend}")
    return keras


def _other_backend(said: str) -> ModelError:
    return ModelError(
        f"{said}, and models are explained on torch: set {_BACKEND}=torch before Keras is imported (in a shell export {_BACKEND}=torch, in "
        f"Python os.environ['{_BACKEND}'] = 'torch' before import keras)"
    )


def load_keras(path: str | Path, *, trust: bool = False, custom_objects: Mapping[str, Any] | None = None) -> nn.Module:
    """Load a whole model that Keras 3 or ``tf.keras`` has saved, ``.keras`` or ``.h5``; the model is that of Keras, and a module of torch.

    TensorFlow is not needed. What a model was trained by (optimizer, loss) is not loaded. The file is read before Keras reads it: one
    that holds code, or names classes and functions that are not Keras' own, is refused before anything of it runs.

    Args:
        path: the file.
        trust: whether code in the file may run, as that of a Lambda layer; give it for files of your own alone.
        custom_objects: your own classes and functions, by the names under which the file knows them; what is registered by
            ``keras.saving.register_keras_serializable`` is known.

    Raises:
        ModelError: the file holds code, or what Keras 3 does not load: the message names the layer; or Keras runs on another backend.
        InputError: it is broken.
        MissingPackageError: keras or h5py is not installed.
        OSError: it cannot be opened.
    """
    path = Path(path)
    if not path.is_dir() and path.suffix.lower() not in KERAS_SUFFIXES:
        raise InputError(f"{path}: a file of a Keras model ends in {' or '.join(KERAS_SUFFIXES)}")
    path.stat()
    if not path.is_dir() and path.stat().st_size:
        torch_keras()
    file = KerasFile.read(path)
    keras = torch_keras()
    _refuse_lost_operations(file, _Known(custom_objects))
    if not trust:
        _refuse_code(file, _Known(custom_objects))
    return _loaded(keras, file, trust, custom_objects)


def code_in(path: str | Path) -> list[str]:
    """What of a file is no part of Keras itself, as its code: a line for each; none: it may be loaded without trusting it.

    Raises:
        as ``load_keras``.
    """
    torch_keras()
    return [f"{found.layer}: {found.what}" for found in KerasFile.read(Path(path)).found(_Known(None))]


class _Known(Container[object]):
    """The names that files have for the user's own classes and functions: those given, registered, and in scope.

    Args:
        given: by name.
    """

    def __init__(self, given: Mapping[str, Any] | None) -> None:
        self.given = given or {}

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self.given or sys.modules["keras"].saving.get_registered_object(name) is not None)


def _refuse_lost_operations(file: KerasFile, own: Container[object]) -> None:
    if lost := file.operations_lost(own):
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise ModelError(
            f"{file.path}: {lost[0]}{more}: an operation between layers, which an .h5 file does not keep; save the model as .keras, by "
            "model.save('NAME.keras'), where it was built"
        )


def _refuse_code(file: KerasFile, own: Container[object]) -> None:
    for found in file.found(own):
        remedy = found.remedy or "nothing of it was run; if the file is your own, --trust (in Python trust=True) lets it run"
        raise ModelError(f"{file.path}: {found.layer}: {found.what}; {remedy}")


def _loaded(keras: Any, file: KerasFile, trust: bool, custom_objects: Mapping[str, Any] | None) -> nn.Module:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")  # of a nested model; nobody trains here
            model = keras.saving.load_model(str(file.path), custom_objects=custom_objects, compile=False, safe_mode=not trust)
    except Exception as error:  # a layer may answer a configuration of another version in any way
        raise ModelError(f"{file.path}: Keras {keras.__version__} does not load it: {_said_of(error, file)}") from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"{file.path}: holds a {type(model).__name__}, not a model; save the model by model.save()")
    return model


_UNKNOWN_KEYWORDS = re.compile(r"[Uu]nrecognized keyword arguments passed to (\w+): *(\{'(\w+)'.*?\})")
_OF_A_LAYER = re.compile(r"class '(\w+)'.*?'name': '([^']*)'", re.S)
_ANEW = "build the model anew in Keras 3 and load its weights (--model package.module:factory --weights FILE.weights.h5)"


def _said_of(error: Exception, file: KerasFile) -> str:
    """What stopped Keras, in a line: the layer, if it can be told, what of it, and what to do."""
    text = str(error)
    if keywords := _UNKNOWN_KEYWORDS.search(text):
        kind, given, keyword = keywords.groups()
        layer = layer_with(file.config, kind, keyword) or f"a layer {kind}"
        return f"{layer} was saved with {given}, which it does not take any more; {_ANEW}"
    layer = "".join(f"layer {name!r} ({kind}): " for kind, name in _OF_A_LAYER.findall(text)[:1])
    reason = " ".join(text.rpartition("Exception encountered:")[2].partition(". Please")[0].split()) or type(error).__name__
    return f"{layer}{reason if len(reason) <= _LONGEST else f'{reason[:_LONGEST]} ...'}; {_ANEW}"


def load_keras_weights(model: nn.Module, path: Path) -> None:
    """Give a Keras model the weights of a file, ``.weights.h5`` or an older ``.h5``.

    Raises:
        ModelError: they belong to another model.
        InputError: the file is broken.
        OSError: it cannot be opened.
    """
    with path.open("rb") as file:
        if file.read(8) != b"\x89HDF\r\n\x1a\n":
            raise InputError(f"{path}: is no HDF5 file, or a broken one; save the weights anew, by model.save_weights('NAME.weights.h5')")
    try:
        model.load_weights(str(path))  # type: ignore[operator]
    except Exception as error:  # Keras has no kind of error of its own for weights that do not fit
        reason = " ".join(str(error).split())[:_LONGEST]
        raise ModelError(f"{path}: these weights belong to another model than {getattr(model, 'name', 'this one')}: {reason}") from error
