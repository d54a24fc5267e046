"""The commands on names of methods: which there are, and what one says."""

import click

from signxai.cli.arguments import Command
from signxai.common.errors import OptionError
from signxai.names.grammar import list_methods, parse_method

__all__ = ["describe", "methods"]


@click.command(cls=Command)
@click.argument("pattern", required=False)
def methods(pattern: str | None) -> None:
    """List method names with a line of meaning each; PATTERN is as in a shell: 'lrp*std_x'."""
    from signxai.names.describe import summary

    names = list_methods(pattern)
    if not names:
        hint = " (any LRP name takes _cp at its end: `signxai describe lrp_z_cp`)" if pattern and "cp" in pattern else ""
        raise OptionError(f"no listed method matches {pattern!r}{hint}; a pattern is as in a shell, '*std_x*'; `signxai methods` lists all")
    width = max(map(len, names))
    for name in names:
        click.echo(f"{name:{width}}  {summary(parse_method(name))}")


@click.command(cls=Command)
@click.argument("name")
def describe(name: str) -> None:
    """Print what a method's NAME says: its parameters, its formula and the paper."""
    from signxai.names.describe import describe as described

    click.echo(described(parse_method(name)))
