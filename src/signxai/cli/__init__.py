"""The command line: what reads files, prints and writes; nothing else in the package knows it."""

from signxai.cli.starting import main

__all__ = ["main"]
