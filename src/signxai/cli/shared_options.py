"""The options that several commands take, each written once, and what commands have in common."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from click.core import ParameterSource

from signxai.cli import option_texts
from signxai.cli.arguments import FiniteRange, Place, Seed, named_file, named_text
from signxai.cli.first_imports import importing_for_good
from signxai.cli.model_options import ModelOptions
from signxai.cli.units import known_units

if TYPE_CHECKING:
    from signxai.cli.several_inputs import SeveralOptions
    from signxai.cli.signal_files import SignalOptions

__all__ = [
    "device_option",
    "in_order",
    "may_register_methods",
    "methods_option",
    "missing",
    "model_options",
    "relevance_option",
    "seed_option",
    "several_arrays_options",
    "several_given",
    "several_options",
    "signal_drawing_options",
    "signal_options",
    "signals_given",
    "stored_methods_option",
    "versus_option",
    "was_given",
]

Command = TypeVar("Command", bound=Callable[..., Any])


def in_order(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Several options as one decorator: help lists them in this order."""

    def decorated(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


_model = click.option(
    "--model",
    default="efficientnet_lite0",
    show_default=True,
    metavar="MODEL",
    help="efficientnet_lite0 (its weights come with the extra `demo`), ecg_beats (heart beats of two-lead ECGs; reading them needs "
    "the extra `ecg`), torchvision:NAME, timm:NAME (with --weights FILE or none), or package.module:factory, a callable "
    "that returns a torch.nn.Module, or a signxai.models.Classifier to have pictures and signals prepared and classes named; or a file "
    "of a whole Keras model (.keras, .h5; it needs the extra `keras`).",
)
_weights = click.option(
    "--weights",
    type=Place(str),
    default="DEFAULT",
    show_default=True,
    metavar="W",
    help="DEFAULT (pretrained; for a factory, its model as it comes), none (random, from the seed), or the file of a state dict "
    "or a checkpoint with one (.pt, .pth, .ckpt, .safetensors, .bin, .tar); of one with several, as of averaged weights, FILE:KEY; of a "
    "factory's Keras model .weights.h5.",
)
versus_option = click.option(
    "--versus", metavar="CLASS", help="Explain the class rather than this one: the difference of their logits. By number or name."
)
relevance_option = click.option(
    "--relevance",
    type=click.Choice(["one_hot", "logit"]),
    help="What relevance starts with at the target: 1, or its logit, which is for LRP: gradients are multiplied with it. "
    "Without it one_hot; with --versus logit for LRP that divides by the logit, whose map is then that of the difference.",
)
seed_option = click.option("--seed", type=Seed(), default=0, show_default=True, help="Of the methods with noise, and of random weights.")
device_option = click.option("--device", default="cpu", show_default=True, help="Where to compute: cpu, cuda, cuda:1, mps, ...")
methods_option = click.option(
    "--method", "-m", "methods", multiple=True, required=True, metavar="NAME...", help="Methods by name; see `signxai methods`."
)
stored_methods_option = click.option(
    "--method", "-m", "methods", multiple=True, metavar="NAME...", help="Whose maps; all of the store's without it."
)
_classes = click.option(
    "--classes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The names of the network's classes, in their order: a text with one a line, a table (.csv, .tsv) with numbers or without, or "
    ".json (a list, or names by number).",
)
_size = click.option(
    "--size",
    metavar="SIZE",
    help="Of pictures, instead of the preparation that the model brings: 224 (scaled to a shorter side of 224, the middle 224 x 224 cut "
    "out), 256:224 (scaled to 256, the middle 224 x 224) or 240x320 (height x width).",
)
_mean = click.option(
    "--mean",
    metavar="NUMBERS",
    help="Of pictures: what is subtracted from values from 0 to 1, for red, green and blue, as 0.485,0.456,0.406.",
)
_std = click.option("--std", metavar="NUMBERS", help="Of pictures: by what the difference is divided, as 0.229,0.224,0.225.")
_preprocess = click.option(
    "--preprocess",
    type=click.Choice(["caffe", "tf", "torch", "none"]),
    help="Of pictures for a Keras model, as keras.applications names it: caffe (blue, green, red from 0 to 255 less ImageNet's mean), tf "
    "(-1 to 1), torch (by ImageNet's mean and standard deviation) or none (0 to 255).",
)
_trust = click.option(
    "--trust", is_flag=True, help="Let code in a file of Keras run, as that of a Lambda layer; without it such files are refused."
)


def _as_one_argument(command: Command) -> Command:
    """Give a command what is said of its model as one argument, `own`."""

    @wraps(command)
    def called(
        *,
        classes: Path | None,
        size: str | None,
        mean: str | None,
        std: str | None,
        preprocess: str | None,
        trust: bool,
        **others: object,
    ) -> object:
        return command(own=ModelOptions(classes, size, mean, std, preprocess, trust), **others)

    return cast("Command", called)


model_options = in_order(_model, _weights, _classes, _size, _mean, _std, _preprocess, _trust, _as_one_argument)
signal_options = in_order(
    click.option(
        "--at-beat",
        "at_beats",
        multiple=True,
        type=click.IntRange(min=0),
        metavar="K",
        help="Of a signal: explain the beat K, counted from 0, in the network's window about it; may be given again. Beats that are not "
        "annotated are detected (by neurokit2, of the extra `ecg`), and marked so.",
    ),
    click.option(
        "--window",
        metavar="START:ENDs",
        help="Of a signal: take this stretch of seconds, as 600:610s, :10s or 50s:. A network that takes windows about beats explains "
        "each beat of the stretch that has its window in the recording; it is shown as one strip, in which the maps of overlapping "
        "windows add up.",
    ),
    click.option(
        "--sampling-rate",
        type=FiniteRange(min=0, min_open=True),
        metavar="HZ",
        help="Of a signal whose file does not say it; .npy and .npz are signals (leads, samples) where it is given.",
    ),
    click.option(
        "--units",
        metavar="UNIT",
        callback=known_units,
        help="Of a signal whose file does not say them: one for all leads (mV), or one for each (mV,mmHg).",
    ),
    click.option("--leads", metavar="NAMES", help="Of a signal: the leads to read, in this order, as I,II,V1."),
    click.option(
        "--beats",
        type=Place(),
        metavar="FILE",
        help="Of a signal: its beats, instead of those annotated: a table with a column sample or time (s), and symbol where it is known, "
        "or WFDB annotations; or the word detect, to have them found.",
    ),
)
signal_drawing_options = in_order(
    click.option(
        "--layout",
        type=click.Choice(["clinical", "rows"]),
        help="Of ECGs: three rows of four leads, which follow each other in time, above a rhythm strip; or all of each lead. Without it: "
        "clinical for 8 to 12 standard leads of at most 10 s.",
    ),
    click.option(
        "--highest-hz",
        type=FiniteRange(min=0, min_open=True),
        metavar="HZ",
        help="With --frequency: the end of the axis, at most half the sampling rate of the network's input. Without it: what holds 99 % of "
        "the relevance and of the power of all leads.",
    ),
    click.option(
        "--summary",
        "summaries",
        multiple=True,
        type=Place(),
        metavar="FILE",
        help="Of ECGs: write relevance for and against by lead, beat and wave (P, QRS, ST, T), as a table (.csv) or a figure "
        "(.png, .pdf, .svg, ...); may be given again. Waves are found by neurokit2, of the extra `ecg`.",
    ),
    click.option(
        "--summary-lead",
        metavar="NAME",
        help="With --summary FIGURE: the lead that is drawn as a strip. Without it: II (or MLII), else the first.",
    ),
)
_input = click.option(
    "--input",
    "named",
    multiple=True,
    type=named_file,
    metavar="NAME=FILE",
    help="Of a network with several inputs: the argument NAME of its forward, from a file with it alone; once for each. The first "
    "axis of an array counts the samples.",
)
_one_sample = click.option(
    "--one-sample",
    is_flag=True,
    help="Of several inputs: each array is one sample, without an axis that counts samples.",
)
_explained = click.option(
    "--explained",
    multiple=True,
    metavar="NAME",
    help="Of several inputs: only this one gets relevance, and the others are constants; may be given again.",
)
_forward = click.option(
    "--forward",
    multiple=True,
    type=named_text,
    metavar="NAME=VALUE",
    help="Of several inputs: an argument that is passed on and not explained, a number, true, false, none or text, as scale=0.5.",
)
several_options = in_order(_input, _one_sample, _explained, _forward)
several_arrays_options = in_order(_input, _explained, _forward)
"""Of a data set, whose arrays always count their samples."""


def signals_given(
    at_beats: tuple[int, ...],
    window: str | None,
    sampling_rate: float | None,
    units: str | None,
    leads: str | None,
    beats: Path | None,
    layout: str | None = None,
    highest_hz: float | None = None,
    summaries: tuple[Path, ...] = (),
    summary_lead: str | None = None,
) -> "SignalOptions":
    """What ``signal_options`` and ``signal_drawing_options`` were given, read.

    Raises:
        OptionError: one cannot be read.
    """
    stretch = option_texts.window(window)  # a slip is told before seconds go into loading torch

    with importing_for_good():
        from signxai.cli.signal_files import SignalOptions

    stated = option_texts.listed(units), option_texts.listed(leads)
    return SignalOptions(at_beats, stretch, sampling_rate, *stated, beats, layout, highest_hz, summaries, summary_lead)


def several_given(
    named: tuple[tuple[str, Path], ...],
    one_sample: bool,
    explained: tuple[str, ...],
    forward: tuple[tuple[str, str], ...],
    labels: tuple[tuple[str, str], ...] = (),
    own_scales: bool = False,
) -> "SeveralOptions":
    """What ``several_options`` were given, read.

    Raises:
        OptionError: one cannot be read.
    """
    passed_on = tuple((name, option_texts.value(text)) for name, text in forward)
    called = tuple((name, option_texts.listed(text)) for name, text in labels)

    from signxai.cli.several_inputs import SeveralOptions

    return SeveralOptions(named, explained, passed_on, one_sample, called, own_scales)


def missing(argument: str, what: str) -> click.UsageError:
    """The mistake of a command without any input."""
    said = f"Missing argument '{argument}': give {what}, or --input NAME=FILE for each of several inputs"
    return click.UsageError(said, click.get_current_context())


def was_given(parameter: str) -> bool:
    """Whether an option of the command that runs stands on the command line, rather than being what it is by default."""
    return click.get_current_context().get_parameter_source(parameter) is ParameterSource.COMMANDLINE


def may_register_methods(model: str) -> bool:
    """Whether making a model runs code of the user, which may register methods: their names are read after it then."""
    return ":" in model and not model.startswith(("torchvision:", "timm:"))
