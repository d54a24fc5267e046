"""The language models that come with the package, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model
from torch import nn

from signxai.common.errors import ModelError
from signxai.text.tokens import check_version

__all__ = ["LANGUAGE_MODELS", "language_model_folder", "load_language_model"]

LANGUAGE_MODELS = ("recall_words",)
"""Their names."""

_DATA = Path(__file__).parents[1] / "data"


def language_model_folder(name: str) -> Path:
    """Where a language model of the package lies, in the files that transformers reads, with its model card ``README.md``.

    Args:
        name: one of ``LANGUAGE_MODELS``.

    Raises:
        ModelError: there is no model of this name.

    >>> (language_model_folder("recall_words") / "README.md").read_text(encoding="utf-8").splitlines()[0]
    '# Model card: `recall_words`'
    """
    if name not in LANGUAGE_MODELS:
        raise ModelError(f"no language model {name!r} comes with the package; there is {', '.join(map(repr, LANGUAGE_MODELS))}")
    return _DATA / name


def load_language_model(name: str) -> tuple[nn.Module, Any]:
    """A language model of the package, in evaluation mode, and its tokenizer, as ``explain_text`` takes them.

    ``recall_words`` says the number that stands behind a colour: after ``red 4 blue 7 green 11 blue ?`` it says ``7``. Its model card
    says how it was trained, and how good it is. It reads its files by itself: nothing is downloaded, and the state of torch's
    generator is left as it was.

    Args:
        name: one of ``LANGUAGE_MODELS``.

    Returns:
        The model, a ``LlamaForCausalLM`` of transformers in float32 on the CPU, and its fast tokenizer.

    Raises:
        ModelError: there is no model of this name.
        OptionError: transformers is missing or too old; the message names the extra that brings it.

    >>> from signxai.text import explain_text
    >>> model, tokenizer = load_language_model("recall_words")
    >>> explain_text(model, tokenizer, "red 4 blue 7 green 11 blue ?", "lrp_epsilon_0_1").target.name
    '7'
    """
    folder = language_model_folder(name)
    check_version()
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    language_models: Any = AutoModelForCausalLM  # whose methods have no types
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    with torch.random.fork_rng(devices=()):  # the weights that it is made with are random
        model = language_models.from_config(config)
    load_model(model, folder / "model.safetensors")  # from_pretrained would show its progress
    return model.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)
