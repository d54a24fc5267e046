"""How the program begins. Nothing of the package is imported above, so that Ctrl-C while it is ends in a line, too."""

import sys

__all__ = ["main"]

_INTERRUPTED = 130


def main() -> None:
    """Run the command line; see ``signxai.cli.commands.main``."""
    try:
        from signxai.cli.commands import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("signxai: interrupted\n")
        sys.exit(_INTERRUPTED)
