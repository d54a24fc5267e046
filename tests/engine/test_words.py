"""Operations are named in tables: a word that names nothing would leave an operation without its rule, and nobody would see it."""

import ast
from pathlib import Path

import pytest
import torch

import signxai.engine
from signxai.engine.torch_functions import functions_named

ENGINE = Path(signxai.engine.__file__).parent
TABLES = {"functions_named", "rule_for", "_follows", "follows_gradient"}


def words_of(path):
    """The names that a file's tables hold, each with its line."""
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name = getattr(call.func, "id", getattr(call.func, "attr", None)) if isinstance(call, ast.Call) else None
        if name in TABLES:
            starred = [part.value for part in call.args if isinstance(part, ast.Starred)]
            parts = [*call.args, *(word for whole in starred if isinstance(whole, ast.Tuple) for word in whole.elts)]
            yield from [(one.value, one.lineno) for one in parts if isinstance(one, ast.Constant) and isinstance(one.value, str)]


WORDS = sorted((path.relative_to(ENGINE).as_posix(), word, line) for path in ENGINE.rglob("*.py") for word, line in words_of(path))


@pytest.mark.skipif(torch.__version__ < "2.14", reason="older versions lack some functions")
def test_a_word_in_a_table_names_a_function():
    assert len(WORDS) > 1000
    named = {word for _, word, _ in WORDS if "::" in word or functions_named(word)}
    missing = [f"{path}:{line} {word}" for path, word, line in WORDS if word not in named]
    assert missing == []
