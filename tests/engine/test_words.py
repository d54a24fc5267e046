"""Operations are named in tables: a word that names nothing would leave an operation without its rule, and nobody would see it."""

import ast
import importlib.util
import pkgutil

import pytest
import torch
import torch.utils.checkpoint

import signxai.engine
from signxai.engine import checkpoints
from signxai.engine.torch_functions import functions_named

TABLES = {"functions_named", "rule_for", "_follows", "follows_gradient", "_table"}


def words_of(source):
    """The names that the tables in a module's text hold, each with its line."""
    tree = ast.parse(source)
    assigned = [part for part in tree.body if isinstance(part, ast.Assign)]
    named = {getattr(target, "id", None): part.value for part in assigned for target in part.targets}
    for call in ast.walk(tree):
        name = getattr(call.func, "id", getattr(call.func, "attr", None)) if isinstance(call, ast.Call) else None
        if name in TABLES:
            wholes = [part.value for part in call.args if isinstance(part, ast.Starred)]
            wholes += [keyword.value for keyword in call.keywords if name == "_table"]
            for part in [*call.args, *(word for whole in wholes for word in _elements(whole, named))]:
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value, part.lineno


def _elements(whole, named):
    """The elements of a tuple, and of the tuples that are unpacked in it, which may have names of their own."""
    for part in getattr(named.get(getattr(whole, "id", None), whole), "elts", ()):
        yield from _elements(part.value, named) if isinstance(part, ast.Starred) else [part]


def all_words():
    """Module, name and line of every word."""
    for module in pkgutil.walk_packages(signxai.engine.__path__, "signxai.engine."):
        source = importlib.util.find_spec(module.name).loader.get_source(module.name)
        yield from ((module.name, word, line) for word, line in words_of(source))


@pytest.mark.skipif(torch.__version__ < "2.14", reason="older versions lack some functions")
def test_a_word_in_a_table_names_a_function():
    words = list(all_words())
    assert len(words) > 1000
    named = {word for _, word, _ in words if "::" in word or functions_named(word)}
    missing = [f"{module}:{line} {word}" for module, word, line in words if word not in named]
    assert missing == []


@pytest.mark.skipif(torch.__version__ < "2.14", reason="older versions lack some functions")
@pytest.mark.parametrize("name", checkpoints._STAND_INS)
def test_what_checkpoints_are_bypassed_by_stands_for_something(name):
    assert hasattr(torch.utils.checkpoint, name)
