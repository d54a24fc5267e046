"""The command that certifies maps."""

from pathlib import Path

import click

from signxai.cli import option_texts
from signxai.cli.arguments import Command, Input, Place, named_text
from signxai.cli.interrupts import writing_at_its_end
from signxai.cli.model_options import ModelOptions
from signxai.cli.shared_options import (
    device_option,
    may_register_methods,
    missing,
    model_options,
    relevance_option,
    seed_option,
    several_given,
    several_options,
    signal_options,
    signals_given,
    versus_option,
    was_given,
)
from signxai.names.grammar import parse_method

__all__ = ["certify"]


@click.command(cls=Command)
@click.argument("inputs", nargs=-1, metavar="[INPUT]...", type=Input(may_be_folder=True, may_be_missing=True))
@model_options
@click.option("--method", "-m", required=True, metavar="NAME", help="A method by name; see `signxai methods`.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="CLASS",
    help="Class to explain, by number or name; given again, a class for each input. Without it: the class that the network predicts.",
)
@versus_option
@click.option(
    "--require",
    "required",
    multiple=True,
    metavar="CHECK",
    help="A check that must pass for every input, or several parted by commas; all: no check may fail. Without it, nothing is required.",
)
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    type=named_text,
    metavar="CHECK=VALUE",
    help="Another limit of a check, as runner_up=0.8; may be given again.",
)
@click.option("--without-srg", is_flag=True, help="Leave out the symmetric relevance gain, which takes longest.")
@click.option("--json", "save", type=Place(), metavar="FILE.json", help="Write the certificate as JSON.")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="A parameter that the method's name does not set.")
@click.option(
    "--store",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="MAPS.zarr",
    help="Certify maps that `signxai run` has stored, and keep the certificates there, for `signxai report`; classes and options are its.",
)
@click.option(
    "--entry",
    "entries",
    multiple=True,
    metavar="KEY",
    help="Of a store: this entry, by its file, or its number where it has none; may be given again.",
)
@click.option(
    "--worst",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of a store: the N entries of whose relevance most is absorbed before it reaches the input. Without --entry and --worst: all.",
)
@several_options
@signal_options
@relevance_option
@seed_option
@device_option
@writing_at_its_end
def certify(
    inputs: tuple[Path, ...],
    model: str,
    weights: str,
    own: ModelOptions,
    method: str,
    targets: tuple[str, ...],
    versus: str | None,
    required: tuple[str, ...],
    thresholds: tuple[tuple[str, str], ...],
    without_srg: bool,
    save: Path | None,
    options: tuple[str, ...],
    store: Path | None,
    entries: tuple[str, ...],
    worst: int | None,
    named: tuple[tuple[str, Path], ...],
    one_sample: bool,
    explained: tuple[str, ...],
    forward: tuple[tuple[str, str], ...],
    at_beats: tuple[int, ...],
    window: str | None,
    sampling_rate: float | None,
    units: str | None,
    leads: str | None,
    beats: Path | None,
    relevance: str | None,
    seed: int,
    device: str,
) -> int:
    """Say how far the map of each INPUT may be trusted, by checks with limits and a sentence for each. INPUT is as for `signxai explain`.

    Exit status 1: a check that is required did not pass; 3: some of the inputs could not be read, the others are certified.
    Ctrl-C leaves the checks that are made, marked as partial.

    \b
    signxai certify cat.jpg --method lrp_epsilon_0_25_std_x
    signxai certify cat.jpg --method lrp_epsilon_0_1 --require random_all_layers,srg --json certificate.json
    signxai certify 208.hea --model ecg_beats --at-beat 12 --method lrpsign_epsilon_0_25_std_x --require all --threshold absorbed_by_bias=1
    signxai certify ecg.npy --model my_package.nets:load --method gradient_x_input --without-srg
    signxai certify --store maps.zarr --model my_package.nets:load --method lrp_epsilon_0_25_std_x --worst 20
    """
    _check_of_stores(store, entries, worst)
    if not (inputs or named or store):
        raise missing("INPUT", "a file")
    if not may_register_methods(model):
        parse_method(method)
    parsed = option_texts.parsed_options(options, [method])[method]
    signals = signals_given(at_beats, window, sampling_rate, units, leads, beats)
    checks = tuple(name for text in required for name in option_texts.listed(text))
    limits = {name: option_texts.value(text) for name, text in thresholds}

    if store:
        from signxai.cli.certify_entries import CertifyEntriesRequest, certify_stored_entries

        which = store, entries, worst
        return certify_stored_entries(
            CertifyEntriesRequest(*which, model, weights, method, checks, limits, not without_srg, seed, device, own.trust), say=click.echo
        )

    from signxai.cli.certify_files import CertifyRequest, certify_files
    from signxai.cli.decisions import Targets

    several = several_given(named, one_sample, explained, forward)
    return certify_files(
        CertifyRequest(
            *(inputs, model, weights, method, Targets(targets, versus=versus), checks, limits, not without_srg, save),
            *(parsed, relevance, seed, device, signals, several, own),
        ),
        say=click.echo,
    )


_NOT_OF_STORES = {
    "inputs": "INPUT",
    "named": "--input",
    "at_beats": "--at-beat",
    "save": "--json",
    "options": "--option",
    "targets": "--target",
    **{name: f"--{name.replace('_', '-')}" for name in ("versus", "one_sample", "explained", "forward", "window", "sampling_rate")},
    **{name: f"--{name}" for name in ("units", "leads", "beats", "relevance", "classes", "size", "mean", "std", "preprocess")},
}


def _check_of_stores(store: Path | None, entries: tuple[str, ...], worst: int | None) -> None:
    """Refuse options that do not go with a store, or go with one alone."""
    if store is None and (entries or worst):
        raise click.UsageError(f"{'--entry' if entries else '--worst'}: names entries of a store; give --store MAPS.zarr")
    if entries and worst:
        raise click.UsageError("--entry and --worst: both say which entries; give one of them")
    if store and (given := [option for name, option in _NOT_OF_STORES.items() if was_given(name)]):
        raise click.UsageError(f"{given[0]}: does not go with --store, whose run says what is explained, and how; leave it out")
