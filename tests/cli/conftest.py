"""A user's shell in a user's folder; each module fills a folder of its own."""

import shutil
import subprocess
import sys

import pytest

from signxai import cli


@pytest.fixture
def here(folder, monkeypatch):
    """The module's folder as the present one; what a test leaves there goes."""
    before = set(folder.iterdir())
    monkeypatch.chdir(folder)
    yield folder
    for path in set(folder.iterdir()) - before - {folder / "__pycache__"}:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture
def run(here, monkeypatch, capsys):
    """Call the command line in this process, which spares loading torch each time."""

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["signxai", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(args, ended.value.code, out, err)

    return call
