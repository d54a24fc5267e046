"""The commands that explain files: ``explain`` and ``inspect``."""

import os
from pathlib import Path

import click

from signxai.cli import option_texts
from signxai.cli.arguments import Command, ExplainCommand, FiniteRange, Input, Place, named_text
from signxai.cli.interrupts import writing_at_its_end
from signxai.cli.model_options import ModelOptions
from signxai.cli.shared_options import (
    device_option,
    may_register_methods,
    methods_option,
    missing,
    model_options,
    relevance_option,
    seed_option,
    several_given,
    several_options,
    signal_drawing_options,
    signal_options,
    signals_given,
    versus_option,
)
from signxai.names.grammar import parse_method

__all__ = ["explain", "inspect"]

_SEPARATORS = tuple({os.sep, "/"})


@click.command(cls=ExplainCommand)
@click.argument("inputs", nargs=-1, metavar="[INPUT]...", type=Input(may_be_folder=True, may_be_missing=True))
@model_options
@methods_option
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="CLASS",
    help="Class to explain, by number or name, or all; given again, a class for each input. Without it: the class that the network "
    "predicts.",
)
@versus_option
@click.option(
    "--above",
    type=FiniteRange(0, 1),
    metavar="P",
    help="Explain every class that the network gives at least this probability, as 0.5.",
)
@click.option(
    "--output",
    "outputs",
    multiple=True,
    type=Place(str),
    metavar="FIGURE",
    help="Write the maps as a figure (.png, .pdf, .svg, ...), eight inputs on a page; FOLDER/ makes a figure for each input; .npz and "
    ".safetensors are arrays, as by --save. May be given again.",
)
@click.option(
    "--save",
    "saves",
    multiple=True,
    type=Place(),
    metavar="MAPS.npz",
    help="Write the maps as arrays (.npz, .safetensors), with the files, classes and probabilities, and how they were made. May be given "
    "again.",
)
@click.option(
    "--table",
    type=Place(),
    metavar="FILE.csv",
    help="Write what is predicted and what is explained, a row for each input, of labels with the probability of each; its column path "
    "is the file as it was found.",
)
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="A parameter that the methods' names do not set, as steps=100; METHOD:KEY=VALUE gives it to one method alone.",
)
@click.option(
    "--at",
    "at",
    multiple=True,
    metavar="LAYER",
    help="Relevance at the output of this module of the network, by its dotted name, instead of at the input: as features.10; of one that "
    "is executed several times with the number of the execution, as relu[0]. May be given again; --save keeps it as METHOD@LAYER.",
)
@several_options
@click.option(
    "--names",
    "labels",
    multiple=True,
    type=named_text,
    metavar="NAME=A,B,...",
    help="In a figure of several inputs: what the numbers of a list, the leads of a signal or the tokens of this input are called.",
)
@click.option(
    "--own-scales",
    is_flag=True,
    help="In a figure of several inputs: a scale of colours for each input, instead of one for all of them.",
)
@click.option(
    "--overlay", is_flag=True, help="In a figure of pictures: lay the maps over the picture in gray, the more opaque the stronger."
)
@signal_options
@signal_drawing_options
@click.option("--frequency", is_flag=True, help="Of signals: show and keep the relevance of frequencies (in Hz) instead of that over time.")
@relevance_option
@seed_option
@click.option("--batch-size", type=click.IntRange(min=1), help="Most samples in one forward pass: smaller needs less memory.")
@device_option
@writing_at_its_end
def explain(
    inputs: tuple[Path, ...],
    model: str,
    weights: str,
    own: ModelOptions,
    methods: tuple[str, ...],
    targets: tuple[str, ...],
    versus: str | None,
    above: float | None,
    outputs: tuple[str, ...],
    saves: tuple[Path, ...],
    table: Path | None,
    options: tuple[str, ...],
    at: tuple[str, ...],
    named: tuple[tuple[str, Path], ...],
    one_sample: bool,
    explained: tuple[str, ...],
    forward: tuple[tuple[str, str], ...],
    labels: tuple[tuple[str, str], ...],
    own_scales: bool,
    overlay: bool,
    at_beats: tuple[int, ...],
    window: str | None,
    sampling_rate: float | None,
    units: str | None,
    leads: str | None,
    beats: Path | None,
    layout: str | None,
    highest_hz: float | None,
    summaries: tuple[Path, ...],
    summary_lead: str | None,
    frequency: bool,
    relevance: str | None,
    seed: int,
    batch_size: int | None,
    device: str,
) -> int:
    """Explain the decision on each INPUT: image files, folders of them, or patterns such as "photos/*.jpg"; signals (WFDB records,
    .edf, .bdf, .dcm, .scp, .xml of HL7 aECG, .csv, .tsv, .txt); or arrays (.npy, .npz, .pt) of shape (N, ...) as the network takes
    them. Of a network with several inputs an .npz with an array for each, by the names of the arguments of its forward, or --input
    for each of them.

    Exit status 3: some of the inputs could not be read; the others are explained. Interrupted, it writes nothing.

    \b
    signxai explain photos/ --method lrp_epsilon_0_25_std_x --output maps/ --table predictions.csv
    signxai explain cat.jpg --model torchvision:resnet18 --weights mine.pt --classes names.txt --size 224 --method gradient --save maps.npz
    signxai explain cat.jpg --method gradient lrp_epsilon_0_25_std_x --output maps.png --output maps.pdf --output maps.npz
    signxai explain cat.jpg --model torchvision:vgg16 --method grad_cam --target "tiger cat" --output maps.png
    signxai explain cat.jpg --method lrp_epsilon_0_25_std_x --target "tiger cat" --versus lynx --output contrast.png
    signxai explain ecg.npy --model my_package.nets:load --method lrpsign_epsilon_0_1 --save maps.npz
    signxai explain ecg.npy --model my_package.nets:load --method lrp_epsilon_0_25_std_x --above 0.5 --output labels.png
    signxai explain cat.jpg --method lrp_epsilon_0_25_std_x --at blocks.3 --at head --save layers.npz
    signxai explain 208.hea --model ecg_beats --at-beat 12 --method lrpsign_epsilon_0_25_std_x --output beat.png
    signxai explain 208 --model ecg_beats --window 600:610s --method lrp_epsilon_0_25_std_x --output strip.png
    signxai explain ecg.edf --model my_package.nets:load --leads I,II --window :10s --method gradient --frequency --output hertz.png
    signxai explain patients.npz --model my_package.nets:joint --method lrp_epsilon_0_25_std_x --output inputs.png --save maps.npz
    signxai explain --input image=cat.jpg --input meta=meta.npy --model my_package.nets:joint --method lrp_z --output inputs.png
    """
    if not (inputs or named):
        raise missing("INPUT", "a file")
    names = tuple(dict.fromkeys(methods))
    if not may_register_methods(model):
        for name in names:
            parse_method(name)  # a slip in a name is told before seconds go into loading torch
    parsed = option_texts.parsed_options(options, names)
    signals = signals_given(at_beats, window, sampling_rate, units, leads, beats, layout, highest_hz, summaries, summary_lead)

    from signxai.cli.decisions import Targets
    from signxai.cli.explain_files import Request, explain_files
    from signxai.cli.explain_results import ARCHIVE_SUFFIXES, FigurePlace

    several = several_given(named, one_sample, explained, forward, labels, own_scales)
    arrays = tuple(Path(output) for output in outputs if output.lower().endswith(ARCHIVE_SUFFIXES) and not Path(output).is_dir())
    drawn = [output for output in outputs if Path(output) not in arrays]
    figures = tuple(FigurePlace(Path(output), output.endswith(_SEPARATORS) or Path(output).is_dir()) for output in drawn)
    return explain_files(
        Request(
            *(inputs, model, weights, names, Targets(targets, above, versus), figures, (*saves, *arrays)),
            *(parsed, relevance, seed, batch_size, device, signals, frequency),
            at=at,
            overlay=overlay,
            several=several,
            own=own,
            table=table,
        ),
        say=click.echo,
    )


@click.command(cls=Command)
@click.argument("input", metavar="[INPUT]", required=False, type=Input())
@model_options
@click.option("--method", "-m", default="lrp_epsilon_0_25_std_x", show_default=True, metavar="NAME", help="An LRP method by name.")
@click.option("--target", metavar="CLASS", help="Class to explain, by number or name. Without it: the class that the network predicts.")
@versus_option
@click.option("--save", type=Place(), metavar="REPORT.json", help="Write the report as JSON.")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="A parameter that the method's name does not set.")
@several_options
@signal_options
@relevance_option
@seed_option
@device_option
@writing_at_its_end
def inspect(
    input: Path | None,
    model: str,
    weights: str,
    own: ModelOptions,
    method: str,
    target: str | None,
    versus: str | None,
    save: Path | None,
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
    relevance: str | None,
    seed: int,
    device: str,
) -> None:
    """Account for where relevance goes on INPUT, operation by operation: is the map of an LRP method to be trusted?

    \b
    signxai inspect cat.jpg --method lrp_epsilon_0_1
    signxai inspect ecg.npy --model my_package.nets:load --method lrpsign_epsilon_0_1 --save report.json
    signxai inspect 208.hea --model ecg_beats --at-beat 12
    signxai inspect patients.npz --model my_package.nets:joint --method lrp_epsilon_0_1
    """
    if not (input or named):
        raise missing("INPUT", "a file")
    if not may_register_methods(model):
        parse_method(method)
    parsed = option_texts.parsed_options(options, [method])[method]
    signals = signals_given(at_beats, window, sampling_rate, units, leads, beats)

    from signxai.cli.inspect_files import InspectRequest, inspect_files

    several = several_given(named, one_sample, explained, forward)
    request = InspectRequest(input, model, weights, method, target, versus, save, parsed, relevance, seed, device, signals, several, own)
    inspect_files(request, say=click.echo)
