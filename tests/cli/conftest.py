"""A user's shell in a user's folder; each module fills a folder of its own."""

import shutil
from functools import partial

import pytest

from command_line import in_this_process


@pytest.fixture
def here(folder, monkeypatch):
    """The module's folder as the present one; what a test leaves there goes."""
    before = set(folder.iterdir())
    monkeypatch.chdir(folder)
    yield folder
    for path in set(folder.iterdir()) - before - {folder / "__pycache__"}:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@pytest.fixture
def run(here, capsys):
    """Call the command line in the user's folder."""
    return partial(in_this_process, capsys=capsys)
