"""What a run over a data set computes: everything on which its numbers depend, so that another run can be told from it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from signxai._version import __version__
from signxai.common.errors import OptionError
from signxai.datasets.sources import Source
from signxai.methods.analyzer import flag
from signxai.names.grammar import parse_method

__all__ = ["Plan", "hash_of_structure", "hash_of_weights", "text_of_option"]

DTYPES = ("float32", "float16")
TARGETS = ("predicted", "label", "target")


@dataclass(frozen=True)
class Plan:
    """What is computed of each entry.

    Attributes:
        methods: names of the grammar.
        target: the class that is explained: "predicted", the entry's "label" or its "target", or a number for all.
        options: of ``signxai.explain_all``, each for the methods that take it.
        batch_size: entries in one batch, which is one chunk of the store.
        dtype: of the stored maps and inputs: "float32" or "float16".
        seed: of every draw.
        keeps_inputs: whether the store holds the inputs, too.
        output: from what the model returns to the outputs (N, classes), where it returns several tensors.

    Raises:
        MethodNameError: a name that the grammar does not know.
        OptionError: anything else that cannot be.
    """

    methods: tuple[str, ...]
    target: str | int = "predicted"
    options: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 32
    dtype: str = "float32"
    seed: int = 0
    keeps_inputs: bool = True
    output: Callable[[Any], Tensor] | None = None

    def __post_init__(self) -> None:
        for name in self.methods:
            parse_method(name)
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise OptionError(f"methods {', '.join(self.methods) or 'none'}: name at least one, and each once")
        for name in ("target", "batch_size", "seed"):
            if isinstance(value := getattr(self, name), np.integer):
                object.__setattr__(self, name, int(value))
        is_word = isinstance(self.target, str) and self.target in TARGETS
        if isinstance(self.target, bool) or not (is_word or isinstance(self.target, int)):
            raise OptionError(
                f"target={_short(self.target)} must be {', '.join(map(repr, TARGETS))} or the number of a class; where "
                "entries have one each, give them to the source, as targets="
            )
        if isinstance(self.batch_size, bool) or not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise OptionError(f"batch_size={self.batch_size!r} must be a whole number of at least 1")
        flag("keep_inputs", self.keeps_inputs)
        if self.dtype not in DTYPES:
            raise OptionError(f"dtype={self.dtype!r} must be one of {', '.join(DTYPES)}")
        taken = [name for name in ("at", "as_tensor", "create_graph", "batch_size", "seed", "output") if name in self.options]
        if taken:
            raise OptionError(f"{taken[0]}= does not go with a run over a data set, which gives maps of the input by settings of its own")

    def description(self, model: nn.Module, source: Source, name: str) -> dict[str, Any]:
        """What tells this run from another, as JSON has it: the model, the data set, the methods, the versions.

        Args:
            model, source: what is explained.
            name: the model's.

        Raises:
            OptionError: an option that no text can stand for.
        """
        own = {key: value for key, value in asdict(self).items() if key not in ("methods", "options", "output")}
        return {
            "model": {
                "name": name,
                "class": type(model).__qualname__,
                "weights": hash_of_weights(model),
                "structure": hash_of_structure(model),
            },
            "source": {"kind": source.kind, "entries": len(source.entries.keys), "hash": _hash(source)},
            "methods": {method: _spec(method) for method in self.methods},
            "options": {key: text_of_option(key, value) for key, value in self.options.items()},
            "settings": own | {"output": text_of_option("output", self.output)},
            "versions": {"signxai": __version__, "torch": str(torch.__version__), "numpy": np.__version__},
        }


def _short(value: object) -> str:
    """What was given, in a line that can be read."""
    return " ".join(repr(value).split())[:60]


def _hashes(model: nn.Module) -> dict[str, str]:
    return {"weights": hash_of_weights(model), "structure": hash_of_structure(model)}


def _hash(source: Source) -> str:
    return hashlib.sha256((source.entries.fingerprint() + source.content_hash()).encode()).hexdigest()


def _spec(method: str) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(json.dumps(asdict(parse_method(method)), default=str))
    return spec


def text_of_option(name: str, value: Any) -> Any:
    """An option as JSON has it: numbers and words as they are, arrays by their hash, functions by their name."""
    if isinstance(value, Tensor):
        plain = value.detach().cpu().contiguous()
        return {"shape": list(plain.shape), "dtype": str(plain.dtype), "hash": hashlib.sha256(_bytes_of(plain)).hexdigest()}
    if isinstance(value, np.ndarray):
        return {"shape": list(value.shape), "dtype": str(value.dtype), "hash": hashlib.sha256(value.tobytes()).hexdigest()}
    if isinstance(value, np.generic):
        return text_of_option(name, value.item())
    if isinstance(value, Mapping):
        return {str(key): text_of_option(name, part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [text_of_option(name, part) for part in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    raise OptionError(f"{name}={value!r}: by it, this run could not be told from another; give numbers, words, arrays or functions")


def hash_of_weights(model: nn.Module) -> str:
    """A hash of all parameters and buffers with their names, by which another model is told from this one.

    >>> a, b = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    >>> hash_of_weights(a) == hash_of_weights(a), hash_of_weights(a) == hash_of_weights(b)
    (True, False)
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if isinstance(tensor, Tensor):
            plain = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
            digest.update(_bytes_of(plain))
    return digest.hexdigest()


def _bytes_of(tensor: Tensor) -> memoryview | bytes:
    """The memory of a contiguous tensor on the CPU, of a type that NumPy does not have, too."""
    return tensor.view(-1).view(torch.uint8).numpy().data if tensor.numel() else b""


def hash_of_structure(model: nn.Module) -> str:
    """A hash of what modules a network consists of: their names, their classes and what they say of their settings.

    >>> a, b = torch.nn.Dropout(0.5), torch.nn.Dropout(0.25)
    >>> hash_of_structure(a) == hash_of_structure(a), hash_of_structure(a) == hash_of_structure(b)
    (True, False)
    """
    digest = hashlib.sha256()
    for name, module in model.named_modules():
        digest.update(f"{name} {type(module).__qualname__} {_settings_of(module)}\n".encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def _settings_of(module: nn.Module) -> str:
    """What a module says of its settings, without addresses in memory, which are others in each process."""
    with suppress(Exception):  # a user's module may raise anything
        return re.sub("0x[0-9a-fA-F]+", "", str(module.extra_repr()))
    return ""
