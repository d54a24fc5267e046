"""What an import loads, what a path gives, and which way imports go."""

import ast
import contextlib
import importlib
import importlib.util
import re
import sys
from functools import cache
from inspect import Parameter, isfunction, signature
from pathlib import Path

import pytest

import signxai
from processes import loaded, printed

SOURCE = Path(signxai.__file__).parent
MODULES = {
    ".".join(("signxai", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}


HEAVY = ("torch", "torchvision", "zennit", "matplotlib", "numpy", "PIL")


@pytest.mark.parametrize(
    "code",
    [
        "import signxai",
        "import signxai; signxai.__version__; dir(signxai)",
        "import signxai; signxai.parse_method('lrp_epsilon_0_37_x_sign')",
        "import signxai; signxai.list_methods('lrp*')",
        "from signxai.common import MethodNameError, SignxaiError",
        "import signxai.names.grammar, signxai.common.errors",
        "import signxai.timeseries; dir(signxai.timeseries)",
        "import signxai.text; dir(signxai.text)",
        "import signxai.datasets; dir(signxai.datasets)",
        "import signxai.reports; dir(signxai.reports)",
        "import signxai.evidence; dir(signxai.evidence)",
        "import signxai.adapters; dir(signxai.adapters)",
    ],
)
def test_no_torch_is_loaded_before_it_is_needed(code):
    assert loaded(code, *HEAVY) == []


@pytest.mark.slow
def test_explain_is_found_at_first_use():
    code = "import signxai, sys; f = signxai.explain; import signxai.api; print(f is signxai.api.explain, 'torch' in sys.modules)"
    assert printed(code) == "True True"


def test_the_visualization_needs_no_torch():
    assert loaded("import signxai.common.visualization, signxai.figures.map_plots", "torch") == []


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="banana"):
        signxai.banana  # noqa: B018


PATHS = {
    "signxai": [
        "explain", "explain_all", "inspect_model", "list_methods", "parse_method", "__version__", "SignxaiError", "register_method",
        "register_rule", "rules_for", "certify", "compare_methods", "Comparison", "show",
    ],
    "signxai.api": ["explain", "explain_all"],
    "signxai.torch_signxai": ["calculate_relevancemap", "calculate_relevancemaps"],
    "signxai.torch_signxai.utils": ["remove_softmax", "NoSoftmaxWrapper"],
    "signxai.torch_signxai.methods.signed": ["calculate_sign_mu"],
    "signxai.torch_signxai.methods.zennit_impl": [
        "GradientAnalyzer", "GradientXInputAnalyzer", "GradientXSignAnalyzer", "IntegratedGradientsAnalyzer", "SmoothGradAnalyzer",
        "VarGradAnalyzer", "GuidedBackpropAnalyzer", "DeconvNetAnalyzer", "GradCAMAnalyzer", "LRPAnalyzer", "AdvancedLRPAnalyzer",
        "LRPSequential", "DeepTaylorAnalyzer",
    ],
    "signxai.timeseries": [
        "AAMI_CLASSES", "BeatWindows", "Beats", "Normalization", "Signal", "Stretch", "bandpass", "beat_windows", "check_signal",
        "find_flat_lines", "find_gaps", "notch", "read_signal", "resample", "window", "STANDARD_LEADS", "plot_ecg", "dft_relevance",
        "stdft_relevance", "ShortTimeRelevance", "SpectralRelevance", "plot_spectrogram", "plot_spectrum", "EcgSample", "plot_ecg_maps",
        "SpectrumSample", "plot_spectrum_maps", "BEAT_CLASSES", "BeatNetwork", "PreparedSignal", "load_beat_network", "prepare_for_beats",
        "SignalInput", "AsRecorded", "PARTS", "RelevanceSummary", "SummaryRow", "WAVES", "Waves", "detect_beats", "find_waves",
        "plot_summary", "read_beats", "summarize",
    ],
    "signxai.evidence": [
        "CRITERIA", "Certificate", "CertifiedSample", "Check", "Criterion", "Place", "certify",
        "METRICS", "Blur", "ChannelsLast", "Constant", "Curve", "Imputer", "Interpolation", "Mean", "Metric", "NoisyLinear",
        "Patch", "Pixel", "RandomizationCurve", "RunOptions", "Spans", "Token", "Unit", "Value", "Window", "aopc", "auc",
        "average_sensitivity", "beat_spans", "box_mask", "completeness", "deletion", "effective_complexity", "emprt", "entropy",
        "faithfulness_correlation", "gini", "infidelity", "insertion", "interval_mask", "max_sensitivity", "metric", "mprt",
        "perturbation_curve", "perturbation_curves", "pointing_game", "random_logit", "randomization_curve", "relevance_mass",
        "relevance_rank", "road", "sensitivities", "sensitivity_n", "sensitivity_n_curve", "smprt", "srg", "top_k_intersection",
        "compare_methods", "Comparison", "ComparisonRow", "MetricCurves", "RankSummary", "DEFAULT_METRICS",
    ],
    "signxai.text": [
        "GeneratedRelevance", "TextRelevance", "TextTarget", "Word", "explain_text", "language_model_folder", "load_directory",
        "load_language_model", "to_figure", "to_html",
    ],
    "signxai.reports": ["write_report"],
    "signxai.common.visualization": ["normalize_relevance_map", "relevance_to_heatmap", "overlay_heatmap"],
    "signxai.common": [
        "SignxaiError", "MethodNameError", "OptionError", "TargetError", "InputError", "ModelError", "ForwardError", "StoreError",
        "MapError", "MissingPackageError",
    ],
}  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_what_a_path_gives(path):
    module = importlib.import_module(path)
    assert [name for name in PATHS[path] if not hasattr(module, name)] == []


@pytest.mark.parametrize(
    "path",
    [
        "signxai",
        "signxai.torch_signxai",
        "signxai.torch_signxai.methods.zennit_impl",
        "signxai.common",
        "signxai.timeseries",
        "signxai.evidence",
        "signxai.text",
        "signxai.reports",
    ],
)
def test_all_is_pinned(path):
    beyond = {"Analyzer", "Batch", "GuidedGradCAMAnalyzer", "MethodLRPAnalyzer", "RandomUniformAnalyzer"}
    assert set(importlib.import_module(path).__all__) == set(PATHS[path]) | (beyond if path.endswith("zennit_impl") else set())


ARGUMENTS = {
    "GradientAnalyzer": "model",
    "GradientXInputAnalyzer": "model",
    "GradientXSignAnalyzer": "model, mu=0.0",
    "IntegratedGradientsAnalyzer": "model, steps=50, baseline=None",
    "SmoothGradAnalyzer": "model, noise_level=0.2, num_samples=50",
    "VarGradAnalyzer": "model, num_samples=50, noise_level=0.2",
    "GuidedBackpropAnalyzer": "model",
    "DeconvNetAnalyzer": "model",
    "GradCAMAnalyzer": "model, target_layer=None",
    "LRPAnalyzer": "model, rule='epsilon', epsilon=1e-06",
    "AdvancedLRPAnalyzer": "model, rule_type",
    "LRPSequential": "model, first_layer_rule='zbox', middle_layer_rule='alphabeta', last_layer_rule='epsilon'",
    "DeepTaylorAnalyzer": "model, epsilon=1e-06",
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_arguments_of_an_analyzer_by_name_and_in_order(name):
    analyzer = getattr(importlib.import_module("signxai.torch_signxai.methods.zennit_impl"), name)
    positional = [
        parameter.name if parameter.default is Parameter.empty else f"{parameter.name}={parameter.default!r}"
        for parameter in signature(analyzer).parameters.values()
        if parameter.kind is Parameter.POSITIONAL_OR_KEYWORD
    ]
    assert ", ".join(positional) == ARGUMENTS[name]


@pytest.mark.parametrize(
    ("path", "function", "expected"),
    [
        ("signxai.api", "explain", "model, x, method_name, target_class"),
        ("signxai.torch_signxai", "calculate_relevancemap", "method, x, model, neuron_selection"),
        ("signxai.torch_signxai", "calculate_relevancemaps", "methods, x, model, neuron_selection"),
        ("signxai.torch_signxai.methods.signed", "calculate_sign_mu", "x, mu, vlow, vhigh"),
        ("signxai.common.visualization", "normalize_relevance_map", "relevance_map, percentile"),
        ("signxai.common.visualization", "relevance_to_heatmap", "relevance_map, cmap, symmetric"),
        ("signxai.common.visualization", "overlay_heatmap", "image, heatmap, alpha"),
    ],
)
def test_the_arguments_of_a_function_by_name_and_in_order(path, function, expected):
    parameters = signature(getattr(importlib.import_module(path), function)).parameters.values()
    assert ", ".join(p.name for p in parameters if p.kind is Parameter.POSITIONAL_OR_KEYWORD) == expected


def public_callables(module):
    """The public functions, classes and methods of a module, by name."""
    for name in getattr(module, "__all__", ()):
        public = getattr(module, name)
        if isinstance(public, type):
            yield from (
                (f"{module.__name__}.{name}.{key}", part) for key, part in vars(public).items() if isfunction(part) and key[0] != "_"
            )
        if callable(public):
            yield f"{module.__name__}.{name}", public


def signatures():
    """What help shows of them, but of modules whose packages are not there."""
    found = {}
    for name in MODULES.keys() - {"signxai.__main__"}:
        with contextlib.suppress(ImportError):
            found |= dict(public_callables(importlib.import_module(name)))
    return {name: signature_of(public) for name, public in found.items()}


def signature_of(public):
    with contextlib.suppress(ValueError):  # some types of Python's own have none
        return str(signature(public))
    return ""


def test_help_names_types_of_numpy_as_numpy_does():
    found = signatures()
    assert [name for name, text in found.items() if "_typing" in text or "_array_like" in text] == []
    assert "signal: 'npt.ArrayLike'" in found["signxai.figures.ecg_plots.plot_ecg"]


CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


def layers_written_down():
    """The layers in CONTRIBUTING.md, lowest first: the paths of each, and the other packages that it imports."""
    section = CONTRIBUTING.read_text(encoding="utf-8").partition("## Where things are\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `src/signxai/")]
    return [(re.findall(r"`src/signxai/([^`]+)`", paths), set(re.findall(r"`(\w+)`", packages))) for paths, _, packages in rows]


LAYERS = layers_written_down()


def is_part_of(path, place):
    return path.startswith(place) if place.endswith("/") else path == place


def layer_of(name):
    """The number of a module's layer; a file's own row goes before its folder's."""
    path = MODULES[name].relative_to(SOURCE).as_posix()
    found = [(len(place), number) for number, (places, _) in enumerate(LAYERS) for place in places if is_part_of(path, place)]
    assert found, f"{name} is in no layer: add src/signxai/{path} to the table in CONTRIBUTING.md"
    return max(found)[1]


def modules_imported(source, package):
    """Every module that a source text imports, anywhere in it, also inside functions and for types only.

    A package's `__init__` that is read for a submodule alone does not count: `from package import submodule` imports the submodule.
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            found |= {inner if (inner := f"{base}.{alias.name}") in MODULES else base for alias in node.names}
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in ("import_module", "__import__"):
            found |= {first.value for first in node.args[:1] if isinstance(first, ast.Constant)}
    return found


@cache
def imported_by(name):
    path = MODULES[name]
    return modules_imported(path.read_text(encoding="utf-8"), name if path.name == "__init__.py" else name.rpartition(".")[0])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("import signxai.api", "signxai.api"),
        ("from signxai.api import explain", "signxai.api"),
        ("from signxai import api", "signxai.api"),
        ("from signxai import explain", "signxai"),
        ("from signxai.engine.graph import *", "signxai.engine.graph"),
        ("from . import graph", "signxai.engine.graph"),
        ("from .ops import sums", "signxai.engine.ops.sums"),
        ("from ..api import explain", "signxai.api"),
        ("def f():\n    import torch.nn", "torch.nn"),
        ("if TYPE_CHECKING:\n    from signxai.api import explain", "signxai.api"),
        ("module = import_module('signxai.api')", "signxai.api"),
        ("module = importlib.import_module('signxai.api')", "signxai.api"),
    ],
)
def test_every_way_to_import_is_seen(line, expected):
    assert modules_imported(line, "signxai.engine") == {expected}


def test_every_place_in_the_table_of_layers_is_there_once():
    places = [place for places, _ in LAYERS for place in places]
    assert [place for place in places if not (SOURCE / place).exists() or places.count(place) > 1] == []
    assert {layer_of(name) for name in MODULES} == set(range(len(LAYERS)))


@pytest.mark.parametrize("number", range(len(LAYERS)), ids=[places[0] for places, _ in LAYERS])
def test_modules_import_from_their_own_layer_and_lower_ones(number):
    imports = [(name, found) for name in MODULES if layer_of(name) == number for found in sorted(imported_by(name)) if found in MODULES]
    assert [f"{name} imports {found}" for name, found in imports if layer_of(found) > number] == []


@pytest.mark.parametrize("number", range(len(LAYERS)), ids=[places[0] for places, _ in LAYERS])
def test_a_layer_imports_the_other_packages_that_are_written_beside_it(number):
    roots = {found.partition(".")[0] for name in MODULES if layer_of(name) == number for found in imported_by(name)}
    assert roots - sys.stdlib_module_names - {"signxai"} == LAYERS[number][1]


NEVER_BELOW = {
    "click": "cli/",
    "tqdm": "datasets/",
    "matplotlib": "common/visualization.py",
    "PIL": "files.py",
    "torch": "engine/",
    "numpy": "engine/",
}


@pytest.mark.parametrize(("package", "lowest"), NEVER_BELOW.items())
def test_the_lowest_layer_that_may_import_a_package(package, lowest):
    assert next(places[0] for places, packages in LAYERS if package in packages) == lowest


def within(name, package):
    return name == package or name.startswith(package + ".")


NAME_READERS = ("signxai.methods.registry", "signxai.methods.explainer")


def test_the_analyzers_do_not_know_the_registry():
    analyzers = [name for name in MODULES if within(name, "signxai.methods") and name not in NAME_READERS]
    assert [name for name in analyzers if "signxai.methods.registry" in imported_by(name)] == []


def test_imports_form_no_circle():
    graph = {name: sorted(found for found in imported_by(name) if found in MODULES) for name in MODULES}
    state = {}

    def visit(name, path):
        assert state.get(name) != "open", " -> ".join([*path, name])
        if name not in state:
            state[name] = "open"
            for found in graph[name]:
                visit(found, [*path, name])
            state[name] = "done"

    for name in graph:
        visit(name, [])


def test_the_library_does_not_print_and_catches_only_what_it_can_answer():
    library = [name for name in MODULES if not within(name, "signxai.cli")]
    assert [name for name in library if any(map(prints_or_catches_all, ast.walk(ast.parse(MODULES[name].read_text()))))] == []


def prints_or_catches_all(node):
    is_print = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    return is_print or (isinstance(node, ast.ExceptHandler) and node.type is None)


def test_no_two_files_of_tests_have_one_name():
    """pytest imports them by that alone."""
    names = [path.name for path in Path(__file__).parents[1].rglob("test_*.py")]
    assert [name for name in names if names.count(name) > 1] == []
