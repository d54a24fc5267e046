"""Texts: what a language model's answer rests on, token by token and word by word.

It works with the models and the fast tokenizers of Hugging Face's transformers, which it is handed; it imports transformers only to
load models from files. Importing it loads no torch: each public name is fetched from its module at first use.
"""

from typing import TYPE_CHECKING

from signxai.common.lazy import fetched_at_first_use

if TYPE_CHECKING:
    from signxai.text.bundled import language_model_folder, load_language_model
    from signxai.text.explaining import explain_text
    from signxai.text.model_directories import load_directory
    from signxai.text.results import GeneratedRelevance, TextRelevance, TextTarget, to_figure, to_html
    from signxai.text.words import Word

__all__ = [
    "GeneratedRelevance",
    "TextRelevance",
    "TextTarget",
    "Word",
    "explain_text",
    "language_model_folder",
    "load_directory",
    "load_language_model",
    "to_figure",
    "to_html",
]

_HOME = {
    "GeneratedRelevance": "signxai.text.results",
    "TextRelevance": "signxai.text.results",
    "TextTarget": "signxai.text.results",
    "Word": "signxai.text.words",
    "explain_text": "signxai.text.explaining",
    "language_model_folder": "signxai.text.bundled",
    "load_language_model": "signxai.text.bundled",
    "load_directory": "signxai.text.model_directories",
    "to_figure": "signxai.text.results",
    "to_html": "signxai.text.results",
}

__getattr__, __dir__ = fetched_at_first_use(__name__, _HOME, __all__)
