"""What an import loads, what a path gives, and which way imports go."""

import ast
import importlib
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
        "explain", "explain_all", "inspect_model", "list_methods", "parse_method", "__version__", "register_method", "register_rule",
        "rules_for",
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
        "SignalInput",
    ],
    "signxai.common.visualization": ["normalize_relevance_map", "relevance_to_heatmap", "overlay_heatmap"],
    "signxai.common": ["SignxaiError", "MethodNameError", "OptionError", "TargetError", "InputError", "ModelError", "ForwardError"],
}  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_what_a_path_gives(path):
    module = importlib.import_module(path)
    assert [name for name in PATHS[path] if not hasattr(module, name)] == []


@pytest.mark.parametrize(
    "path", ["signxai", "signxai.torch_signxai", "signxai.torch_signxai.methods.zennit_impl", "signxai.common", "signxai.timeseries"]
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
    from inspect import Parameter, signature

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
    from inspect import Parameter, signature

    parameters = signature(getattr(importlib.import_module(path), function)).parameters.values()
    assert ", ".join(p.name for p in parameters if p.kind is Parameter.POSITIONAL_OR_KEYWORD) == expected


def imported_by(name):
    """All modules that a module's source imports, anywhere in it but under TYPE_CHECKING."""
    path, found = MODULES[name], set()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module
            found |= ({base} - {name}) | {f"{base}.{alias.name}" for alias in node.names if f"{base}.{alias.name}" in MODULES}
    return found


def within(name, package):
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("name", [name for name in MODULES if within(name, "signxai.common")])
def test_common_imports_neither_torch_nor_what_stands_above_it(name):
    forbidden = ("torch", "torchvision", "zennit", "signxai.torch_signxai", "signxai.api", "signxai.cli")
    assert [found for found in imported_by(name) if any(within(found, package) for package in forbidden)] == []


@pytest.mark.parametrize("name", [name for name in MODULES if within(name, "signxai.torch_signxai")])
def test_the_torch_side_imports_neither_the_door_nor_the_command_line(name):
    forbidden = ("signxai.cli", "signxai.api", "matplotlib", "click", "PIL")
    assert [found for found in imported_by(name) if any(within(found, package) for package in forbidden)] == []


NAME_READERS = ("signxai.methods.registry", "signxai.methods.explainer")


@pytest.mark.parametrize("name", [name for name in MODULES if within(name, "signxai.methods") and name not in NAME_READERS])
def test_the_analyzers_do_not_know_the_registry(name):
    assert "signxai.methods.registry" not in imported_by(name)


def test_imports_form_no_circle():
    graph = {name: {found for found in imported_by(name) if found in MODULES and found != "signxai"} for name in MODULES}
    graph["signxai"] = set()  # it fetches its names lazily
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


@pytest.mark.parametrize("name", [name for name in MODULES if not within(name, "signxai.cli")])
def test_the_library_does_not_print_and_catches_only_what_it_can_answer(name):
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        assert not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print")
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None)
