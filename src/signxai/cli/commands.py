"""The command line: files in, files out. The commands are those of the modules ``*_commands``, by family.

Only click and method names are imported here and there; torch, NumPy and matplotlib wait for the command that needs them, so that
``signxai --help`` answers at once.
"""

import sys
from io import TextIOWrapper

import click

from signxai._version import __version__
from signxai.cli.certify_maps import certify
from signxai.cli.data_set_commands import cluster, export, report, run
from signxai.cli.evaluate_methods import evaluate
from signxai.cli.explain_commands import explain, inspect
from signxai.cli.name_commands import describe, methods
from signxai.cli.text_commands import text
from signxai.common.errors import SignxaiError, UnknownOptionError

__all__ = ["cli", "main"]

_ONLY_IN_PYTHON = (
    *("as_tensor", "at", "baseline_ids", "create_graph", "forward_kwargs", "output", "progress", "stochastic"),
    *("batch_size", "explained", "relevance", "seed", "imputer", "unit"),
)
"""Options that no KEY=VALUE gives: functions and structures, and those that have an option of their own here."""
_MISTAKE = 2
_INTERRUPTED = 130


def main() -> None:
    """Run the command line; a mistake ends in one line on stderr that says what to do, and exit status 2."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files that the terminal cannot write, as standard error has them
    try:
        status = cli.main(standalone_mode=False)
    except click.Abort:
        click.echo("signxai: interrupted", err=True)
        sys.exit(_INTERRUPTED)
    except (click.ClickException, SignxaiError, OSError) as error:
        click.echo(f"signxai: {_in_one_line(error)}", err=True)
        sys.exit(_MISTAKE)
    sys.exit(status if isinstance(status, int) else 0)


def _in_one_line(error: Exception) -> str:
    message = error.without(_ONLY_IN_PYTHON) if isinstance(error, UnknownOptionError) else str(error)
    if isinstance(error, click.UsageError):
        message = f"{error.format_message()} (see {error.ctx.command_path if error.ctx else 'signxai'} --help)"
    elif isinstance(error, click.ClickException):
        message = error.format_message()
    elif isinstance(error, OSError) and error.filename and error.strerror:
        message = f"{error.filename}: {error.strerror}"
    return " ".join(message.split())


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="signxai", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Show what a PyTorch network's decision rests on."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for _command in (explain, inspect, evaluate, certify, run, report, cluster, export, text, methods, describe):
    cli.add_command(_command)
