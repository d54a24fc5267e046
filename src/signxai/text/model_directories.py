"""Language models from directories of files, as transformers saves them: nothing is downloaded, unpickled or executed."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from signxai.common.errors import InputError, ModelError, OptionError
from signxai.text.bundled import LANGUAGE_MODELS, language_model_folder
from signxai.text.tokens import check_version, vocabulary_of

__all__ = ["BUNDLED", "DTYPES", "Loaded", "directory_of", "load_directory", "read_directory"]

BUNDLED = {name: language_model_folder(name) for name in LANGUAGE_MODELS}
"""The language models that come with the package: the directory of each name."""

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}
"""The types in which a model can be loaded, by name."""

_CLASSIFIER = "a classifier of texts"
_HEADS = {
    "a causal language model": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    _CLASSIFIER: "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "a masked language model": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    "an encoder-decoder": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
}
"""What is explained, and the table of transformers that names the classes of it."""

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model", "*.tiktoken")
_FEW = 8


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model and its tokenizer, as their directory holds them.

    Attributes:
        model: in evaluation mode, on the CPU.
        tokenizer: its own, a fast one.
        unused: the tensors of its files that the model has no place for.
        is_classifier: whether it tells classes apart, rather than tokens.
    """

    model: nn.Module
    tokenizer: Any
    unused: tuple[str, ...]
    is_classifier: bool


def load_directory(path: str | Path, *, dtype: str = "auto") -> tuple[nn.Module, Any]:
    """Load a language model and its tokenizer from a directory, as ``save_pretrained`` writes it.

    Weights are read from safetensors alone, so nothing is unpickled; no code of the directory is executed, and nothing is asked of a
    network. ``architectures`` of ``config.json`` says which class the model is of.

    Args:
        path: of the directory, with ``config.json``, ``model.safetensors`` (or its parts and their index) and the tokenizer's files; or
            the name of a model that comes with the package.
        dtype: the type of the weights: "auto" (that of the files), "float16", "bfloat16", "float32" or "float64".

    Returns:
        The model, in evaluation mode, and its tokenizer.

    Raises:
        InputError: no such directory, or one without the files.
        ModelError: weights that are missing or broken, or a model that is not explained as a text, or that needs code of its own.
        OptionError: another dtype, or the extra ``text`` is missing.

    A warning names the tensors of the files that the model does not use.

    >>> from tempfile import TemporaryDirectory
    >>> from tokenizers import Tokenizer, models
    >>> from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
    >>> model = GPT2LMHeadModel(GPT2Config(vocab_size=2, n_embd=8, n_layer=1, n_head=2, bos_token_id=None, eos_token_id=None))
    >>> words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"the": 0, "cat": 1}, unk_token="the")))
    >>> with TemporaryDirectory() as folder:
    ...     _ = model.save_pretrained(folder), words.save_pretrained(folder)
    ...     again, tokenizer = load_directory(folder)
    >>> type(again).__name__, tokenizer.get_vocab()["cat"]
    ('GPT2LMHeadModel', 1)
    """
    found = read_directory(directory_of(path), dtype)
    if found.unused:
        warnings.warn(f"{path}: the model does not use {named(found.unused)} of its files", UserWarning, stacklevel=2)
    return found.model, found.tokenizer


def directory_of(name_or_path: str | Path) -> Path:
    """The directory that a name of a bundled model, or a path, stands for."""
    return BUNDLED.get(str(name_or_path), Path(name_or_path))


def read_directory(path: Path, dtype: str = "auto") -> Loaded:
    """As ``load_directory``, with the names of the tensors that are not used instead of a warning."""
    check_version()
    if dtype != "auto" and dtype not in DTYPES:
        raise OptionError(f"dtype={dtype!r} must be auto or one of {', '.join(DTYPES)}")
    config = _checked_files(path)
    kind = _class_of(config, path)
    with _silent_transformers():
        tokenizer = _tokenizer(path)
        model, unused = _model(kind, path, dtype)
    return Loaded(model, tokenizer, unused, kind.__name__ in _classes_in(_HEADS[_CLASSIFIER]))


def named(names: tuple[str, ...]) -> str:
    """Names of tensors, or the first of many.

    >>> named(("a", "b"))
    '2 tensors (a, b)'
    """
    shown = ", ".join(names[:_FEW]) + (", ..." if len(names) > _FEW else "")
    return f"{len(names)} tensor{'' if len(names) == 1 else 's'} ({shown})"


# What a directory must hold


def _checked_files(path: Path) -> dict[str, Any]:
    """The configuration of a directory that holds all that is needed.

    Raises:
        InputError, ModelError: what is missing.
    """
    if not path.is_dir():
        bundled = f", or one of the names {', '.join(BUNDLED)}" if BUNDLED else ""
        what = "is a file" if path.is_file() else "no such directory"
        raise InputError(
            f"{path}: {what}; give one that holds config.json, model.safetensors and the tokenizer's files, as save_pretrained writes "
            f"them{bundled}. Nothing is downloaded"
        )
    if (path / "adapter_config.json").exists():
        raise ModelError(f"{path}: holds an adapter (adapter_config.json); merge it into its model and save that: merge_and_unload()")
    config = _read_json(path / "config.json")
    if not any((path / name).is_file() for name in _WEIGHTS):
        pickled = sorted(file.name for pattern in _PICKLES for file in path.glob(pattern))
        others = f"{', '.join(pickled)} would have to be unpickled, which can run code" if pickled else "there are no weights"
        raise ModelError(f"{path}: no {_WEIGHTS[0]}; {others}; save the model anew: model.save_pretrained(directory)")
    if not any(file for pattern in _VOCABULARIES for file in path.glob(pattern)):
        raise InputError(f"{path}: no tokenizer (no {', '.join(_VOCABULARIES)}); save it there: tokenizer.save_pretrained(directory)")
    own = path / "tokenizer_config.json"
    if own.is_file() and (_read_json(own).get("auto_map") or {}):
        raise ModelError(f"{path}: its tokenizer needs code of its own (auto_map in {own.name}), which is not run")
    return config


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path.parent}: no {path.name}; a directory as save_pretrained writes it holds one")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or no UTF-8
        raise InputError(f"{path}: broken: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, and an object is expected")
    return content


def _class_of(config: dict[str, Any], path: Path) -> Any:
    """The class of transformers that the configuration names.

    Raises:
        ModelError: no class of a model that is explained.
    """
    import transformers

    names = config.get("architectures")
    if not (isinstance(names, list) and len(names) == 1 and isinstance(names[0], str)):
        raise ModelError(f"{path}: architectures of config.json is {names!r}; it must name one class, such as ['GPT2LMHeadModel']")
    [name] = names
    if config.get("quantization_config"):
        raise ModelError(f"{path}: its weights are quantized; load it by transformers, and hand it to signxai.text.explain_text")
    if any(name in _classes_in(table) for table in _HEADS.values()):
        kind = getattr(transformers, name)
        if config.get("model_type") != kind.config_class.model_type:
            raise ModelError(
                f"{path}: config.json says model_type {config.get('model_type')!r}, and {name} is of {kind.config_class.model_type!r}"
            )
        return kind
    if config.get("auto_map"):
        raise ModelError(f"{path}: {name} needs code of its own (auto_map in config.json), which is not run")
    raise ModelError(
        f"{path}: architectures of config.json says {name}, which is not explained; what is: {', '.join(_HEADS)}, "
        f"such as {', '.join(_EXAMPLES)}"
    )


_EXAMPLES = ("LlamaForCausalLM", "BertForSequenceClassification", "BertForMaskedLM", "T5ForConditionalGeneration")


def _classes_in(table: str) -> frozenset[str]:
    """The names of the classes in a table of transformers."""
    from transformers.models.auto import modeling_auto

    entries = getattr(modeling_auto, table).values()
    return frozenset(name for names in entries for name in ([names] if isinstance(names, str) else names))


# Loading


def _model(kind: Any, path: Path, dtype: str) -> tuple[nn.Module, tuple[str, ...]]:
    """The model, and the tensors of its files that it has no place for.

    Raises:
        ModelError: weights that are missing, broken, or of other shapes.
    """
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    try:
        model, report = kind.from_pretrained(
            str(path),
            dtype=DTYPES.get(dtype, "auto"),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # refused below, with their names
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, AttributeError, StrictDataclassError, SafetensorError) as error:
        raise ModelError(f"{path}: {kind.__name__} cannot be loaded from it: {_in_a_line(error)}") from error
    other = tuple(sorted(f"{name} {tuple(held)}, not {tuple(needed)}" for name, held, needed in report["mismatched_keys"]))
    if other:
        raise ModelError(f"{path}: its files hold {named(other)}: config.json does not describe them")
    missing = tuple(sorted(report["missing_keys"]))
    if missing:
        raise ModelError(
            f"{path}: its files lack {named(missing)} of {kind.__name__}, which would be random; save the whole model, or let "
            "architectures of config.json name the class that was saved"
        )
    return model.eval(), tuple(sorted(report["unexpected_keys"]))


def _tokenizer(path: Path) -> Any:
    """The tokenizer.

    Raises:
        InputError: none that can be loaded, or one without words.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(path), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # of broken files the package tokenizers raises Exception itself
        raise InputError(f"{path}: its tokenizer cannot be loaded: {_in_a_line(error)}") from error
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise InputError(f"{path}: its tokenizer has no words, as its vocabulary is missing; save it anew: tokenizer.save_pretrained(...)")
    return vocabulary_of(tokenizer).tokenizer


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def _silent_transformers() -> Iterator[None]:
    """Without the bars and warnings that transformers writes while it loads: what matters in them is checked here."""
    from transformers import utils

    logging: Any = utils.logging
    level, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if has_bars:
            logging.enable_progress_bar()
