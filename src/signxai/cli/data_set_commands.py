"""The commands on data sets: ``run`` explains one into a store, and ``report``, ``cluster`` and ``export`` say what is in it."""

from pathlib import Path

import click

from signxai.cli import option_texts
from signxai.cli.arguments import ExplainCommand, FiniteRange, Input, Place
from signxai.cli.first_imports import importing_for_good
from signxai.cli.model_options import ModelOptions
from signxai.cli.shared_options import (
    device_option,
    in_order,
    may_register_methods,
    methods_option,
    missing,
    model_options,
    relevance_option,
    seed_option,
    several_arrays_options,
    stored_methods_option,
    was_given,
)
from signxai.cli.units import known_units
from signxai.names.grammar import parse_method

__all__ = ["cluster", "export", "report", "run"]


_recording_options = in_order(
    click.option("--beats", is_flag=True, help="Of recordings: each annotated beat is an entry, in the network's window about it."),
    click.option("--beat-classes", metavar="NAMES", help="With --beats: only beats of these AAMI classes, as V,S."),
    click.option(
        "--window-length",
        type=FiniteRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Of recordings: each entry is a window of this length, and the windows follow each other.",
    ),
    click.option("--sampling-rate", type=FiniteRange(min=0, min_open=True), metavar="HZ", help="Of recordings that do not say it."),
    click.option(
        "--units",
        metavar="UNIT",
        callback=known_units,
        help="Of recordings that do not say them: one for all leads (mV), or one for each (mV,mmHg).",
    ),
    click.option("--leads", metavar="NAMES", help="Of recordings: the leads to read, in this order, as I,II,V1."),
)
_kept_options = in_order(
    click.option(
        "--batch-size",
        type=click.IntRange(min=1),
        default=32,
        show_default=True,
        metavar="N",
        help="So many entries are explained at once: more of them may be faster, fewer need less memory. The maps are the same but for "
        "rounding. A run that was ended goes on with the same number only.",
    ),
    click.option(
        "--half",
        is_flag=True,
        help="Keep maps and inputs as numbers of 16 bits instead of 32: half the space on disk, for some three digits of each value. How "
        "far each map is off by that is kept as well.",
    ),
    click.option(
        "--without-inputs",
        is_flag=True,
        help="Keep the maps alone, without what the network was given: less space on disk, but a report shows no pictures or signals then.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        metavar="N",
        help="So many processes read the next entries meanwhile, for files that take long to read; 0: none.",
    ),
    click.option(
        "--ray",
        is_flag=False,
        flag_value="here",
        metavar="[ADDRESS]",
        help="Spread the run over processes by Ray (extra `ray`): of this machine, or of the cluster at ADDRESS (auto, ray://HOST:10001).",
    ),
    click.option(
        "--actors",
        type=click.IntRange(min=1),
        metavar="N",
        help="With --ray: so many processes explain at once; without it as many as there are GPUs, or else CPUs.",
    ),
)


@click.command(cls=ExplainCommand)
@click.argument("sources", nargs=-1, metavar="[SOURCE]...", type=Input(may_be_folder=True, may_be_missing=True))
@model_options
@methods_option
@click.option(
    "--store",
    type=Place(),
    required=True,
    metavar="MAPS.zarr",
    help="The folder to keep the maps in. It has no default, as maps take much space. If the same command has begun it, the run goes on "
    "where it was; if another one has, that is said, and it stays as it is.",
)
@click.option(
    "--target",
    default="predicted",
    show_default=True,
    metavar="CLASS",
    help="The class that is explained of each entry: predicted (the one that the network gives it), label (the one that it belongs to), "
    "target (the one in the column of that name), or one class for all, by number or name.",
)
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="A parameter that the methods' names do not set, as steps=100, for each method that takes it; may be given again.",
)
@several_arrays_options
@_recording_options
@_kept_options
@relevance_option
@seed_option
@device_option
def run(
    sources: tuple[Path, ...],
    model: str,
    weights: str,
    own: ModelOptions,
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
    relevance: str | None,
    seed: int,
    device: str,
) -> int:
    """Explain every entry of a data set by one or several methods, and keep the maps in a store on disk.

    Ended by whatever, the same command goes on where it was. `signxai report` makes pages of the store.

    \b
    SOURCE is one of these:
      a folder of pictures   a sub-folder is the label of what is in it
      a table (.csv)         columns "file", perhaps "label", "group", "target"
      arrays                 .npy; .npz or .zarr with x, perhaps label, group, target
      recordings             one by one or in a folder, with --beats or --window-length

    Of a network with several inputs arrays by the names of the arguments of its forward instead of x, or --input for each of them.

    Exit status: 0 if all entries are explained, 3 if some failed, which is told at the end, 2 if the command is mistaken.

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

    with importing_for_good():
        from signxai.cli.data_set_sources import RecordingOptions
        from signxai.cli.run_data_sets import RunRequest, run_data_set
        from signxai.cli.several_inputs import SeveralOptions

    lists = [option_texts.listed(text) for text in (beat_classes, units, leads)]
    return run_data_set(
        RunRequest(
            sources=sources,
            model=model,
            weights=weights,
            methods=names,
            store=store,
            target=target,
            options=parsed | ({} if relevance in (None, "one_hot") else {"relevance": relevance}),
            batch_size=batch_size,
            half=half,
            keep_inputs=not without_inputs,
            workers=workers,
            seed=seed,
            device=device,
            ray=ray,
            actors=actors,
            of_recordings=RecordingOptions(beats, lists[0], window_length, sampling_rate, *lists[1:]),
            own=own,
            of_several=SeveralOptions(named, explained, tuple((name, option_texts.value(text)) for name, text in forward)),
        ),
        say=click.echo,
    )


@click.command(cls=ExplainCommand)
@click.argument("store", type=Place(), metavar="MAPS.zarr")
@click.option("--output", type=Place(), required=True, metavar="FOLDER", help="Where the pages go; an older report is replaced.")
@click.option("--title", default="", metavar="TEXT", help="Of the report. Without it: which data set is explained by which network.")
@click.option("--method", "-m", "methods", multiple=True, metavar="NAME...", help="Of the store's methods only these, in this order.")
def report(store: Path, output: Path, title: str, methods: tuple[str, ...]) -> None:
    """Write what `signxai run` has stored as pages that a browser opens from disk: classes, a gallery with filters, a page per entry.

    \b
    signxai report maps.zarr --output report/
    """
    with importing_for_good():
        from signxai.cli.report_data_sets import ReportRequest, report_data_set

    report_data_set(ReportRequest(store, output, title, tuple(dict.fromkeys(methods))), say=click.echo)


@click.command(cls=ExplainCommand)
@click.argument("store", type=click.Path(exists=True, file_okay=False, path_type=Path))
@stored_methods_option
@click.option("--class", "target", metavar="CLASS", help="Maps that explain this class, by number or name; each in turn without it.")
@click.option("--label", metavar="CLASS", help="Only entries that are said to belong to this class, by number or name.")
@click.option("--wrong", is_flag=True, help="Only entries that are predicted otherwise than labelled.")
@click.option("--right", is_flag=True, help="Only entries that are predicted as labelled.")
@click.option(
    "--side",
    type=click.IntRange(min=2),
    default=16,
    show_default=True,
    metavar="N",
    help="Before they are compared, maps of pictures are brought down to N x N places, those of signals to 4 N along time.",
)
@click.option(
    "--smoothing",
    type=FiniteRange(min=0, max=1, max_open=True),
    default=0.05,
    show_default=True,
    help="How far a thing may move and still be the same, as a share of a picture's side; along time half of it.",
)
@click.option(
    "--neighbours",
    type=click.IntRange(min=2),
    metavar="N",
    help="Each map is joined with the N that are most alike; without it 8, or half the root of the number of maps if that is more.",
)
@click.option("--umap", is_flag=True, help="Draw by UMAP rather than t-SNE (extra `umap`).")
@click.option("--seed", type=click.IntRange(min=0, max=2**32 - 1), default=0, show_default=True, help="Of every draw.")
def cluster(
    store: Path,
    methods: tuple[str, ...],
    target: str | None,
    label: str | None,
    wrong: bool,
    right: bool,
    side: int,
    smoothing: float,
    neighbours: int | None,
    umap: bool,
    seed: int,
) -> None:
    """Find which maps of a class are alike, by spectral relevance analysis, and keep the clusters in the STORE, in place of earlier ones.
    A cluster is a group of maps that lie closer together than the others; `signxai report` shows each.

    \b
    signxai cluster maps.zarr
    signxai cluster maps.zarr --method lrp_epsilon_0_25_std_x --class horse --right
    """
    with importing_for_good():
        from signxai.cli.cluster_maps import ClusterRequest, find_clusters
        from signxai.datasets.patterns import ClusterSettings

    settings = ClusterSettings(side, smoothing, neighbours, umap, seed)
    of_places = tuple(f"--{name}" for name in ("side", "smoothing") if was_given(name))
    if wrong and right:
        raise click.UsageError("--wrong and --right: no entry is both; give one of them, or none for all entries")
    only = wrong if wrong or right else None
    find_clusters(ClusterRequest(store, tuple(dict.fromkeys(methods)), target, label, only, settings, of_places), say=click.echo)


@click.command(cls=ExplainCommand)
@click.argument("store", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--virelay",
    "folder",
    required=True,
    type=Place(),
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
    with importing_for_good():
        from signxai.cli.export_maps import ExportRequest, export_maps

    export_maps(ExportRequest(store, folder, tuple(dict.fromkeys(methods)), target), say=click.echo)
