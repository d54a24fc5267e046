"""The commands on data sets: ``run`` explains one into a store, and ``report``, ``cluster`` and ``export`` say what is in it."""

from pathlib import Path

import click

from signxai.cli import option_texts
from signxai.cli.arguments import ExplainCommand, Input
from signxai.cli.shared_options import (
    device_option,
    may_register_methods,
    methods_option,
    missing,
    model_options,
    relevance_option,
    seed_option,
    several_arrays_options,
    stored_methods_option,
)
from signxai.names.grammar import parse_method

__all__ = ["cluster", "export", "report", "run"]


@click.command(cls=ExplainCommand)
@click.argument("sources", nargs=-1, metavar="[SOURCE]...", type=Input(may_be_folder=True))
@model_options
@methods_option
@click.option("--store", type=click.Path(path_type=Path), required=True, metavar="MAPS.zarr", help="Where maps are kept, and gone on with.")
@click.option(
    "--target",
    default="predicted",
    show_default=True,
    metavar="CLASS",
    help="What is explained of each entry: predicted, label, target (the column of that name), or one class for all.",
)
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="A parameter that the methods' names do not set.")
@several_arrays_options
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
@relevance_option
@seed_option
@device_option
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
        raise missing("SOURCE", "a data set")
    names = tuple(dict.fromkeys(methods))
    if not may_register_methods(model):
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


@click.command(cls=ExplainCommand)
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


@click.command(cls=ExplainCommand)
@click.argument("store", type=click.Path(exists=True, file_okay=False, path_type=Path))
@stored_methods_option
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

    settings = ClusterSettings(side, smoothing, neighbours, umap, seed)
    find_clusters(ClusterRequest(store, tuple(dict.fromkeys(methods)), target, label, wrong, settings), say=click.echo)


@click.command(cls=ExplainCommand)
@click.argument("store", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--virelay",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Write what ViRelAy 1.0 shows: entries, maps and clusters, a project for each method.",
)
@stored_methods_option
@click.option("--class", "target", metavar="CLASS", help="Only entries of which this class is explained, by number or name.")
def export(store: Path, folder: Path, methods: tuple[str, ...], target: str | None) -> None:
    """Write a STORE's entries, maps and clusters as another program reads them.

    \b
    signxai export maps.zarr --virelay horses --class horse
    """
    from signxai.cli.export_maps import ExportRequest, export_maps

    export_maps(ExportRequest(store, folder, tuple(dict.fromkeys(methods)), target), say=click.echo)
