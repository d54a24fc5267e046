"""``signxai evaluate``: methods compared by metrics on the decisions of a model, written as a page, tables or a figure."""

from pathlib import Path

import click

from signxai.cli import option_texts
from signxai.cli.arguments import ExplainCommand, Input, Place
from signxai.cli.interrupts import writing_at_its_end
from signxai.cli.model_options import ModelOptions
from signxai.cli.shared_options import (
    device_option,
    in_order,
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
)
from signxai.common.errors import OptionError
from signxai.evidence.records import METRICS, metric
from signxai.names.grammar import parse_method

__all__ = ["evaluate"]

_METRICS = ("srg", "mprt", "gini")


_options = in_order(
    click.argument("inputs", nargs=-1, metavar="[INPUT]...", type=Input(may_be_folder=True, may_be_missing=True)),
    model_options,
    click.option(
        "--method",
        "-m",
        "methods",
        multiple=True,
        required=True,
        metavar="NAME...",
        help="Methods by name; random_uniform, which explains nothing, is always among them.",
    ),
    click.option(
        "--metric",
        "metrics",
        multiple=True,
        metavar="NAME",
        help=f"A metric by name, as docs/evidence.md lists them; may be given again. Without it: {', '.join(_METRICS)}, and relevance_rank "
        "with --masks.",
    ),
    click.option(
        "--output",
        "outputs",
        multiple=True,
        type=Place(),
        metavar="FILE",
        help="Write a page (.html), the table (.csv, .tex) or the figures (.png, .pdf, .svg, ...); may be given again.",
    ),
    click.option(
        "--scores",
        type=Place(),
        metavar="FILE.csv",
        help="Write the score of each input, with its name and file, by each metric of each method.",
    ),
    click.option("--target", "targets", multiple=True, metavar="CLASS", help="As of `signxai explain`."),
    versus_option,
    click.option(
        "--masks",
        type=Input(),
        metavar="FILE",
        help="For metrics of localization: an array (.npy, .npz, .pt) that is not 0 where relevance should lie, for each input or for all.",
    ),
    click.option(
        "--groups",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="A text file with a line for each input that names its group, such as its patient: intervals and tests are then over groups.",
    ),
    click.option("--groups-by-file", is_flag=True, help="Each INPUT is a group, as recordings of one patient each."),
    click.option(
        "--unit",
        "removed",
        multiple=True,
        metavar="[NAME=]UNIT",
        help="What metrics remove at once: pixel or value; patch:8 of pictures, window:10 of signals, token of embeddings and ids. Of "
        "several inputs NAME=UNIT for each.",
    ),
    click.option("--imputer", metavar="IMPUTER", help="What takes its place: mean, blur, noisy_linear, interpolation, or a number."),
    click.option(
        "--metric-option",
        "metric_options",
        multiple=True,
        metavar="KEY=VALUE",
        help="An option of the metrics that take it, as steps=10; METRIC:KEY=VALUE gives it to one metric alone.",
    ),
    click.option(
        "--option",
        "options",
        multiple=True,
        metavar="KEY=VALUE",
        help="A parameter of the methods that take it; METHOD:KEY=VALUE gives it to one method alone.",
    ),
    several_options,
    signal_options,
    click.option(
        "--no-timing",
        is_flag=True,
        help="Do not measure what methods cost: each explains the inputs once, not up to nine times, and no table has costs.",
    ),
    click.option("--draws", type=click.IntRange(min=1), default=2000, show_default=True, help="Of the bootstrap."),
    relevance_option,
    seed_option,
    click.option("--batch-size", type=click.IntRange(min=1), help="Most samples in one forward pass: smaller needs less memory."),
    device_option,
)


@click.command(cls=ExplainCommand)
@_options
@writing_at_its_end
def evaluate(
    inputs: tuple[Path, ...],
    model: str,
    weights: str,
    own: ModelOptions,
    methods: tuple[str, ...],
    metrics: tuple[str, ...],
    outputs: tuple[Path, ...],
    scores: Path | None,
    targets: tuple[str, ...],
    versus: str | None,
    masks: Path | None,
    groups: Path | None,
    groups_by_file: bool,
    removed: tuple[str, ...],
    imputer: str | None,
    metric_options: tuple[str, ...],
    options: tuple[str, ...],
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
    no_timing: bool,
    draws: int,
    relevance: str | None,
    seed: int,
    batch_size: int | None,
    device: str,
) -> int:
    """Compare methods by metrics on each INPUT: which map fits the decision, which depends on what was learned, at what cost.

    INPUT is as of `signxai explain`: pictures, signals, or arrays (N, ...); of a network with several inputs an .npz with an array for
    each, or --input for each of them. Ctrl-C ends the comparison; what is done is printed and written, marked as partial, with exit
    status 130. Exit status 3: some of the inputs could not be read; methods are compared on the others.

    \b
    signxai evaluate cat.jpg dog.jpg --method gradient lrp_epsilon_0_25_std_x --unit patch:16 --output comparison.html
    signxai evaluate x.npy --model my_package.nets:load --method lrp_z gradient --metric srg --metric mprt --output table.tex
    signxai evaluate 208 233 --model ecg_beats --window :30s --method lrpsign_epsilon_0_25_std_x --unit window:10 --imputer interpolation
    signxai evaluate --input image=x.npy --input meta=meta.npy --model my_package.nets:joint --method lrp_z gradient --no-timing
    """
    if not (inputs or named):
        raise missing("INPUT", "a file")
    names = tuple(dict.fromkeys(methods))
    if not may_register_methods(model):
        for name in names:
            parse_method(name)  # a slip in a name is told before seconds go into loading torch
    measured = tuple(dict.fromkeys(metrics)) or (*_METRICS, *(("relevance_rank",) if masks else ()))
    for name in measured:
        _check_metric(name)
    for_one = [option for option in metric_options if ":" in option.partition("=")[0]]
    of_metrics = option_texts.parsed_options(for_one, measured, of="metric")
    shared = option_texts.options_for_all([option for option in metric_options if option not in for_one], of="metric")
    for_one_method = [option for option in options if ":" in option.partition("=")[0]]
    of_one = {name: found for name, found in option_texts.parsed_options(for_one_method, names).items() if found}
    of_methods = option_texts.options_for_all([option for option in options if option not in for_one_method])
    if relevance is not None and "relevance" in of_methods:
        raise click.UsageError("--relevance and --option relevance=: both say what relevance starts with; give one of them")
    of_methods |= {} if relevance is None else {"relevance": relevance}
    signals = signals_given(at_beats, window, sampling_rate, units, leads, beats)

    from signxai.cli.evaluate_files import EvaluateRequest, evaluate_files
    from signxai.cli.removed_units import RemovedUnits

    several = several_given(named, one_sample, explained, forward)
    return evaluate_files(
        EvaluateRequest(
            *(inputs, model, weights, names, of_metrics, shared, outputs, scores, targets, masks, groups, groups_by_file),
            *(RemovedUnits.read(removed), imputer, of_methods, signals, several, not no_timing, draws, seed, batch_size, device),
            own=own,
            own_options=of_one,
            versus=versus,
        ),
        say=click.echo,
    )


def _check_metric(name: str) -> None:
    """Refuse what is no metric.

    Raises:
        OptionError: there is none of this name, or something is written behind it.
    """
    alone, colon, option = name.partition(":")
    if colon and alone in METRICS:
        raise OptionError(
            f"--metric {name}: takes a name alone; write --metric {alone}{f' --metric-option {name}' if '=' in option else ''}"
        )
    metric(name)
