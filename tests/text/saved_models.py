"""Directories of language models, as transformers saves them."""

from __future__ import annotations

import json

from transformers.utils import logging

from language_models import bart, bert_classifier, bert_masked, gpt2, llama, of_bytes, of_words, t5

KINDS = {
    "gpt2": (gpt2, of_bytes),
    "llama": (llama, of_bytes),
    "classifier": (bert_classifier, of_words),
    "masked": (bert_masked, of_words),
    "t5": (t5, of_words),
    "bart": (bart, of_words),
}


def save(folder, kind):
    """Write a small model with random weights, in float32; returns its directory."""
    make, tokens = KINDS[kind]
    tokenizer = tokens()
    has_bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    make(tokenizer).float().save_pretrained(folder / kind)
    if has_bars:
        logging.enable_progress_bar()
    tokenizer.save_pretrained(folder / kind)
    return folder / kind


def change(path, **values):
    """Change entries of a JSON file; None removes one."""
    content = json.loads(path.read_text()) | values
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))
