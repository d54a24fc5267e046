"""The command line: files in, files out.

Only click and method names are imported here; torch, NumPy and matplotlib wait for the command that needs them, so that
``signxai --help`` answers at once.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import click

from signxai._version import __version__
from signxai.cli import option_texts
from signxai.cli.arguments import ExplainCommand, Input, TextCommand, named_file, named_text
from signxai.cli.evaluate_methods import evaluate
from signxai.common.errors import OptionError, SignxaiError
from signxai.names.grammar import list_methods, parse_method

__all__ = ["cli", "main"]

_MISTAKE = 2
_INTERRUPTED = 130


def main() -> None:
    """Run the command line; a mistake ends in one line on stderr that says what to do, and exit status 2."""
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
    message = str(error)
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


_model_option = click.option(
    "--model",
    default="efficientnet_lite0",
    show_default=True,
    metavar="MODEL",
    help="efficientnet_lite0 (its weights come with the extra `demo`), ecg_beats (heart beats of two-lead ECGs; reading them needs "
    "the extra `ecg`), torchvision:NAME, or package.module:factory, a callable that returns a torch.nn.Module, or a "
    "signxai.models.Classifier to have pictures and signals prepared and classes named.",
)
_weights_option = click.option(
    "--weights",
    default="DEFAULT",
    show_default=True,
    metavar="W",
    help="DEFAULT (pretrained; for a factory, its model as it comes), none (random, from the seed), or the file of a state dict "
    "(.pt, .pth, .safetensors).",
)
_versus_option = click.option(
    "--versus", metavar="CLASS", help="Explain the class rather than this one: the difference of their logits. By number or name."
)
_relevance_option = click.option(
    "--relevance",
    type=click.Choice(["one_hot", "logit"]),
    default="one_hot",
    show_default=True,
    help="What relevance starts with at the target: 1, or its logit.",
)
_seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the methods with noise, and of random weights."
)
_device_option = click.option("--device", default="cpu", show_default=True, help="Where to compute: cpu, cuda, cuda:1, mps, ...")
_SIGNAL_OPTIONS = (
    click.option(
        "--at-beat",
        "at_beats",
        multiple=True,
        type=click.IntRange(min=0),
        metavar="K",
        help="Of a signal: explain the annotated beat K, counted from 0, in the network's window about it; may be given again.",
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
        type=click.FloatRange(min=0, min_open=True),
        metavar="HZ",
        help="Of a signal whose file does not say it; .npy and .npz are signals (leads, samples) where it is given.",
    ),
    click.option(
        "--units", metavar="UNIT", help="Of a signal whose file does not say them: one for all leads (mV), or one for each (mV,mmHg)."
    ),
    click.option("--leads", metavar="NAMES", help="Of a signal: the leads to read, in this order, as I,II,V1."),
)


_SEVERAL_OPTIONS = (
    click.option(
        "--input",
        "named",
        multiple=True,
        type=named_file,
        metavar="NAME=FILE",
        help="Of a network with several inputs: the argument NAME of its forward, from a file with it alone; once for each. The first "
        "axis of an array counts the samples.",
    ),
    click.option(
        "--one-sample",
        is_flag=True,
        help="Of several inputs: each array is one sample, without an axis that counts samples.",
    ),
    click.option(
        "--explained",
        multiple=True,
        metavar="NAME",
        help="Of several inputs: only this one gets relevance, and the others are constants; may be given again.",
    ),
    click.option(
        "--forward",
        multiple=True,
        type=named_text,
        metavar="NAME=VALUE",
        help="Of several inputs: an argument that is passed on and not explained, a number, true, false, none or text, as scale=0.5.",
    ),
)


def _several_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_SEVERAL_OPTIONS):
        command = option(command)
    return command


def _missing_input() -> click.UsageError:
    return click.UsageError(
        "Missing argument 'INPUT': give a file, or --input NAME=FILE for each of several inputs", click.get_current_context()
    )


def _missing_source() -> click.UsageError:
    return click.UsageError(
        "Missing argument 'SOURCE': give a data set, or --input NAME=FILE for each of several inputs", click.get_current_context()
    )


def _signal_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_SIGNAL_OPTIONS):
        command = option(command)
    return command


@cli.command(cls=ExplainCommand)
@click.argument("inputs", nargs=-1, metavar="[INPUT]...", type=Input())
@_model_option
@_weights_option
@click.option("--method", "-m", "methods", multiple=True, required=True, metavar="NAME...", help="Methods by name; see `signxai methods`.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="CLASS",
    help="Class to explain, by number or name, or all; given again, a class for each input. Without it: the class that the network "
    "predicts.",
)
@_versus_option
@click.option(
    "--above",
    type=click.FloatRange(0, 1),
    metavar="P",
    help="Explain every class that the network gives at least this probability, as 0.5.",
)
@click.option("--output", type=click.Path(path_type=Path), metavar="FIGURE", help="Write the maps as a figure (.png, .pdf, .svg, ...).")
@click.option("--save", type=click.Path(path_type=Path), metavar="MAPS.npz", help="Write the maps as arrays.")
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
@_several_options
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
@_signal_options
@click.option("--frequency", is_flag=True, help="Of signals: show and keep the relevance of frequencies (in Hz) instead of that over time.")
@_relevance_option
@_seed_option
@click.option("--batch-size", type=click.IntRange(min=1), help="Most samples in one forward pass: smaller needs less memory.")
@_device_option
def explain(
    inputs: tuple[Path, ...],
    model: str,
    weights: str,
    methods: tuple[str, ...],
    targets: tuple[str, ...],
    versus: str | None,
    above: float | None,
    output: Path | None,
    save: Path | None,
    options: tuple[str, ...],
    at: tuple[str, ...],
    named: tuple[tuple[str, Path], ...],
    one_sample: bool,
    explained: tuple[str, ...],
    forward: tuple[tuple[str, str], ...],
    labels: tuple[tuple[str, str], ...],
    own_scales: bool,
    at_beats: tuple[int, ...],
    window: str | None,
    sampling_rate: float | None,
    units: str | None,
    leads: str | None,
    frequency: bool,
    relevance: str,
    seed: int,
    batch_size: int | None,
    device: str,
) -> None:
    """Explain the decision on each INPUT: image files; signals (WFDB records, .edf, .bdf, .csv, .tsv, .txt); or arrays (.npy,
    .npz, .pt) of shape (N, ...) as the network takes them. Of a network with several inputs an .npz with an array for each, by the
    names of the arguments of its forward, or --input for each of them.

    \b
    signxai explain cat.jpg --method gradient lrp_epsilon_0_25_std_x --output maps.png
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
        raise _missing_input()
    names = tuple(dict.fromkeys(methods))
    if not _may_register_methods(model):
        for name in names:
            parse_method(name)  # a slip in a name is told before seconds go into loading torch
    parsed = option_texts.parsed_options(options, names)
    stretch = option_texts.window(window)

    from signxai.cli.decisions import Targets
    from signxai.cli.explain_files import Request, explain_files
    from signxai.cli.several_inputs import SeveralOptions
    from signxai.cli.signal_files import SignalOptions

    signals = SignalOptions(at_beats, stretch, sampling_rate, option_texts.listed(units), option_texts.listed(leads))
    passed_on = tuple((name, option_texts.value(text)) for name, text in forward)
    called = tuple((name, option_texts.listed(text)) for name, text in labels)
    explain_files(
        Request(
            *(inputs, model, weights, names, Targets(targets, above, versus), output, save),
            *(parsed, relevance, seed, batch_size, device, signals, frequency),
            at=at,
            several=SeveralOptions(named, explained, passed_on, one_sample, called, own_scales),
        ),
        say=click.echo,
    )


def _may_register_methods(model: str) -> bool:
    return ":" in model and not model.startswith("torchvision:")


@cli.command()
@click.argument("input", metavar="[INPUT]", required=False, type=Input())
@_model_option
@_weights_option
@click.option("--method", "-m", default="lrp_epsilon_0_25_std_x", show_default=True, metavar="NAME", help="An LRP method by name.")
@click.option("--target", metavar="CLASS", help="Class to explain, by number or name. Without it: the class that the network predicts.")
@_versus_option
@click.option("--save", type=click.Path(path_type=Path), metavar="REPORT.json", help="Write the report as JSON.")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="A parameter that the method's name does not set.")
@_several_options
@_signal_options
@_relevance_option
@_seed_option
@_device_option
def inspect(
    input: Path | None,
    model: str,
    weights: str,
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
    relevance: str,
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
        raise _missing_input()
    if not _may_register_methods(model):
        parse_method(method)
    parsed = option_texts.parsed_options(options, [method])[method]
    stretch = option_texts.window(window)

    from signxai.cli.inspect_files import InspectRequest, inspect_files
    from signxai.cli.several_inputs import SeveralOptions
    from signxai.cli.signal_files import SignalOptions

    signals = SignalOptions(at_beats, stretch, sampling_rate, option_texts.listed(units), option_texts.listed(leads))
    several = SeveralOptions(named, explained, tuple((name, option_texts.value(text)) for name, text in forward), one_sample)
    inspect_files(
        InspectRequest(input, model, weights, method, target, versus, save, parsed, relevance, seed, device, signals, several),
        say=click.echo,
    )


@cli.command(cls=ExplainCommand)
@click.argument("sources", nargs=-1, metavar="[SOURCE]...", type=Input(may_be_folder=True))
@_model_option
@_weights_option
@click.option("--method", "-m", "methods", multiple=True, required=True, metavar="NAME...", help="Methods by name; see `signxai methods`.")
@click.option("--store", type=click.Path(path_type=Path), required=True, metavar="MAPS.zarr", help="Where maps are kept, and gone on with.")
@click.option(
    "--target",
    default="predicted",
    show_default=True,
    metavar="CLASS",
    help="What is explained of each entry: predicted, label, target (the column of that name), or one class for all.",
)
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="A parameter that the methods' names do not set.")
@_SEVERAL_OPTIONS[0]
@_SEVERAL_OPTIONS[2]
@_SEVERAL_OPTIONS[3]
@click.option("--beats", is_flag=True, help="Of recordings: each annotated beat is an entry, in the network's window about it.")
@click.option("--beat-classes", metavar="NAMES", help="Of recordings: only beats of these AAMI classes, as V,S.")
@click.option(
    "--window-length", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Of recordings: windows that follow each other."
)
@click.option("--sampling-rate", type=click.FloatRange(min=0, min_open=True), metavar="HZ", help="Of recordings that do not say it.")
@click.option("--units", metavar="UNIT", help="Of recordings that do not say them: one for all leads, or one for each.")
@click.option("--leads", metavar="NAMES", help="Of recordings: the leads to read, in this order, as I,II,V1.")
@click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True, metavar="N", help="Entries at once.")
@click.option("--half", is_flag=True, help="Keep maps in 16 bits, half as large; what that costs is stored with them.")
@click.option("--without-inputs", is_flag=True, help="Do not keep the inputs in the store; reports need them.")
@click.option("--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Processes that read ahead.")
@click.option(
    "--ray",
    is_flag=False,
    flag_value="here",
    metavar="[ADDRESS]",
    help="Spread the run over processes by Ray (extra `ray`): of this machine, or of the cluster at ADDRESS (auto, ray://HOST:10001).",
)
@click.option("--actors", type=click.IntRange(min=1), metavar="N", help="With --ray: how many explain at once.")
@_relevance_option
@_seed_option
@_device_option
def run(
    sources: tuple[Path, ...],
    model: str,
    weights: str,
    methods: tuple[str, ...],
    store: Path,
    target: str,
    options: tuple[str, ...],
    named: tuple[tuple[str, Path], ...],
    explained: tuple[str, ...],
    forward: tuple[tuple[str, str], ...],
    beats: bool,
    beat_classes: str | None,
    window_length: float | None,
    sampling_rate: float | None,
    units: str | None,
    leads: str | None,
    batch_size: int,
    half: bool,
    without_inputs: bool,
    workers: int,
    ray: str | None,
    actors: int | None,
    relevance: str,
    seed: int,
    device: str,
) -> int:
    """Explain every entry of a data set; ended, the same command goes on where it was. Exit status 3: some entries failed.

    SOURCE is a folder of pictures (sub-folders are labels), a table of files (.csv with a column "file"), arrays (.npy; .npz or .zarr
    with x, and label, group, target), or recordings, one by one or in a folder. Of a network with several inputs arrays by the names of
    the arguments of its forward instead of x, or --input for each of them.

    \b
    signxai run photos/ --method lrp_epsilon_0_25_std_x --store maps.zarr
    signxai run mitdb/ --model ecg_beats --beats --method lrpsign_epsilon_0_25_std_x --store beats.zarr --half
    signxai run patients.npz --model my_package.nets:joint --method lrp_epsilon_0_1 --store patients.zarr
    """
    if not (sources or named):
        raise _missing_source()
    names = tuple(dict.fromkeys(methods))
    if not _may_register_methods(model):
        for name in names:
            parse_method(name)
    parsed = option_texts.options_for_all(options)

    from signxai.cli.run_data_sets import RunRequest, run_data_set
    from signxai.cli.several_inputs import SeveralOptions

    several = SeveralOptions(named, explained, tuple((name, option_texts.value(text)) for name, text in forward))
    return run_data_set(
        RunRequest(
            *(sources, model, weights, names, store, target, parsed | ({} if relevance == "one_hot" else {"relevance": relevance})),
            *(batch_size, half, not without_inputs, workers, seed, device),
            *(beats, option_texts.listed(beat_classes), window_length, sampling_rate),
            *(option_texts.listed(units), option_texts.listed(leads), ray, actors),
            several=several,
        ),
        say=click.echo,
    )


@cli.command(cls=ExplainCommand)
@click.argument("store", type=click.Path(path_type=Path), metavar="MAPS.zarr")
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="Where the pages go; an older report is replaced."
)
@click.option("--title", default="", metavar="TEXT", help="Of the pages. Without it: the name of the model.")
@click.option("--method", "-m", "methods", multiple=True, metavar="NAME...", help="Of the store's methods only these, in this order.")
def report(store: Path, output: Path, title: str, methods: tuple[str, ...]) -> None:
    """Write what `signxai run` has stored as pages that a browser opens from disk: classes, a gallery with filters, a page per entry.

    \b
    signxai report maps.zarr --output report/
    """
    from signxai.cli.report_data_sets import ReportRequest, report_data_set

    report_data_set(ReportRequest(store, output, title, tuple(dict.fromkeys(methods))), say=click.echo)


@cli.command(cls=ExplainCommand)
@click.argument("store", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--method", "-m", "methods", multiple=True, metavar="NAME...", help="Whose maps; all of the store's without it.")
@click.option("--class", "target", metavar="CLASS", help="Maps that explain this class, by number or name; each in turn without it.")
@click.option("--label", metavar="CLASS", help="Only entries that are said to belong to this class, by number or name.")
@click.option("--wrong/--right", default=None, help="Only entries that are predicted otherwise than labelled, or only the others.")
@click.option(
    "--side", type=click.IntRange(min=2), default=16, show_default=True, help="Places to which a picture's sides are brought down."
)
@click.option(
    "--smoothing",
    type=click.FloatRange(min=0, max=1, max_open=True),
    default=0.05,
    show_default=True,
    help="How far a thing may move and still be the same, as a share of a picture's side.",
)
@click.option("--neighbours", type=click.IntRange(min=2), help="Of each map in the graph; 8, or half the root of their number, without it.")
@click.option(
    "--limit",
    type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
    default=0.2,
    show_default=True,
    help="Of the clustering `separated`: share of a cluster's weight in the graph that may leave it.",
)
@click.option("--umap", is_flag=True, help="Draw by UMAP rather than t-SNE (extra `umap`).")
@click.option("--seed", type=click.IntRange(min=0, max=2**32 - 1), default=0, show_default=True, help="Of every draw.")
def cluster(
    store: Path,
    methods: tuple[str, ...],
    target: str | None,
    label: str | None,
    wrong: bool | None,
    side: int,
    smoothing: float,
    neighbours: int | None,
    limit: float,
    umap: bool,
    seed: int,
) -> None:
    """Find which maps of a class are alike, by spectral relevance analysis, and keep the clusters in the STORE, in place of earlier ones.

    \b
    signxai cluster maps.zarr
    signxai cluster maps.zarr --method lrp_epsilon_0_25_std_x --class horse --right
    """
    from signxai.cli.cluster_maps import ClusterRequest, find_clusters
    from signxai.datasets.patterns import ClusterSettings

    settings = ClusterSettings(side, smoothing, neighbours, limit, umap, seed)
    find_clusters(ClusterRequest(store, tuple(dict.fromkeys(methods)), target, label, wrong, settings), say=click.echo)


@cli.command(cls=ExplainCommand)
@click.argument("store", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--virelay",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Write what ViRelAy 1.0 shows: entries, maps and clusters, a project for each method.",
)
@click.option("--method", "-m", "methods", multiple=True, metavar="NAME...", help="Whose maps; all of the store's without it.")
@click.option("--class", "target", metavar="CLASS", help="Only entries of which this class is explained, by number or name.")
def export(store: Path, folder: Path, methods: tuple[str, ...], target: str | None) -> None:
    """Write a STORE's entries, maps and clusters as another program reads them.

    \b
    signxai export maps.zarr --virelay horses --class horse
    """
    from signxai.cli.export_maps import ExportRequest, export_maps

    export_maps(ExportRequest(store, folder, tuple(dict.fromkeys(methods)), target), say=click.echo)


@cli.command(cls=TextCommand)
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option("--texts", "file", metavar="FILE", help="Read the texts from a file, one a line; - reads them from the standard input.")
@click.option(
    "--model",
    required=True,
    metavar="DIRECTORY",
    help="Of a language model and its tokenizer, as save_pretrained of transformers writes them: config.json, model.safetensors, "
    "tokenizer.json; or the name of the one that comes along, recall_words. Nothing is downloaded, and no code of it is executed.",
)
@click.option("--method", "-m", "methods", multiple=True, required=True, metavar="NAME...", help="Methods by name; see `signxai methods`.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="TOKEN",
    help="What is explained, a token (' Paris') or a class, by name or number (id:7 is always a number); given again, one for each text. "
    "Without it: what the model predicts.",
)
@click.option("--versus", metavar="TOKEN", help="Explain the target rather than this one: the difference of their logits.")
@click.option(
    "--max-new-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="Let the model continue the text by at most N tokens, and explain each of them.",
)
@click.option(
    "--output",
    "outputs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a page (.html), the numbers (.json) or a figure (.png, .pdf, .svg, ...); may be given again.",
)
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="As of `signxai explain`.")
@click.option(
    "--account/--no-account",
    default=None,
    help="Say what biases absorbed, by a second pass for each text. Without either: where the method is LRP.",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float16", "bfloat16", "float32", "float64"]),
    default="auto",
    show_default=True,
    help="The type to compute in; auto is that of the files.",
)
@_relevance_option
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the methods with noise.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Most points or generated tokens in one forward pass.")
@_device_option
def text(
    texts: tuple[str, ...],
    file: str | None,
    model: str,
    methods: tuple[str, ...],
    targets: tuple[str, ...],
    versus: str | None,
    max_new_tokens: int | None,
    outputs: tuple[Path, ...],
    options: tuple[str, ...],
    account: bool | None,
    dtype: str,
    relevance: str,
    seed: int,
    batch_size: int | None,
    device: str,
) -> None:
    """Show which tokens of each TEXT the answer of a language model rests on: a causal or masked one, an encoder-decoder, or a classifier.

    Texts stand before --method, or behind --, as a single word after a method is read as another method.

    \b
    signxai text "The capital of France is" --model ./gpt2 --method lrp_epsilon_0_1 --target " Paris" --versus " Rome"
    signxai text "a fine film" "a dull one" --model ./sentiment --method lrp_epsilon_0_1 --output films.html --output films.json
    signxai text --texts reviews.txt --model ./sentiment --method lrp_epsilon_0_1 gradient_x_input --output reviews.json
    signxai text "Once upon a time" --model ./gpt2 --method lrp_epsilon_0_1 --max-new-tokens 8 --output story.png
    """
    names = tuple(dict.fromkeys(methods))
    for name in names:
        parse_method(name)
    parsed = option_texts.parsed_options(options, names)

    from signxai.cli.explain_texts import TextRequest, explain_texts

    explain_texts(
        TextRequest(
            *(texts, file, model, names, targets, versus, max_new_tokens, outputs, parsed, account),
            *(dtype, relevance, seed, batch_size, device),
        ),
        say=click.echo,
    )


@cli.command()
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


@cli.command()
@click.argument("name")
def describe(name: str) -> None:
    """Print what a method's NAME says: its parameters, its formula and the paper."""
    from signxai.names.describe import describe as described

    click.echo(described(parse_method(name)))


cli.add_command(evaluate)
