"""The tables: each function measures and returns Markdown."""

from __future__ import annotations

import copy
import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import isnan

import competitors as run
import torch
from measuring import Call, Spread, deviation, interleaved_seconds, peak_mebibytes, process_peak_mebibytes, ratios
from torch import Tensor

import networks
from networks import Case
from signxai import parse_method
from signxai.methods.registry import analyzer_for

# Method -> the most it may cost, in plain gradients: (VGG16, ResNet50, EfficientNet-Lite0), and what to aim for everywhere.
NETWORKS_WITH_BOUNDS = ("VGG16", "ResNet50", "EfficientNet-Lite0")
BOUNDS: dict[str, tuple[tuple[float, float, float], float]] = {
    **dict.fromkeys(("lrp_epsilon_0_1", "lrp_z", "lrp_epsilon_0_25_std_x", "lrpsign_epsilon_0_25_std_x"), ((1.35, 1.5, 1.8), 1.15)),
    **dict.fromkeys(("lrp_zplus", "lrp_alpha_1_beta_0", "lrp_sequential_composite_a"), ((2.0, 2.1, 2.6), 1.6)),
    **dict.fromkeys(("lrp_alpha_2_beta_1", "lrp_sequential_composite_b"), ((3.0, 3.2, 3.8), 2.5)),
    "lrp_gamma_0_25": ((3.5, 3.7, 4.2), 2.5),
}
REPEATED = ("integrated_gradients", "smoothgrad", "vargrad")
REPEATED_BOUND = 1.05
OVERHEAD_METHODS = ("gradient", "lrp_epsilon_0_1", "lrp_epsilon_0_25_std_x", "lrp_zplus")
OVERHEAD_BOUND = 1000.0  # microseconds
MEMORY_METHOD = "lrp_epsilon_0_1"
MEMORY_BOUND = 1.5
PATH_STEPS = 1000
PATH_BOUND = 4096.0  # MiB
NOTHING = "-"


@dataclass(frozen=True)
class Settings:
    """What the tables share: how often, how large, and which methods and networks."""

    repeats: int
    quick: bool
    methods: Sequence[str]
    cases: Mapping[str, Callable[[], Case]]
    report: Callable[[str], None]  # is told about each row as soon as it is there

    def of(self, methods: Iterable[str]) -> list[str]:
        return [method for method in methods if method in self.methods]


def all_methods() -> list[str]:
    return list(dict.fromkeys((*BOUNDS, *REPEATED, *OVERHEAD_METHODS)))


def marked(value: float, bound: float | None, unit: str = "", at_least: bool = False) -> str:
    """The bound, and whether it is kept.

    >>> marked(1.2, 1.35), marked(1.4, 1.35), marked(1.4, None), marked(1.7, 1.6, at_least=True)
    ('1.35 ✓', '1.35 **missed**', '-', '1.6 ✓')
    """
    if bound is None or isnan(value):
        return NOTHING if bound is None else f"{bound:g}{unit}"
    is_kept = value >= bound if at_least else value <= bound
    return f"{bound:g}{unit} {'✓' if is_kept else '**missed**'}"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# LRP


def lrp(settings: Settings) -> str:
    methods = settings.of(BOUNDS)
    parts = [_lrp_of(make(), methods, settings) for make in settings.cases.values()] if methods else []
    explanation = (
        "Time in plain gradients (one forward pass and the gradient of the input, parameters frozen, same batch): the median of the "
        "ratios within each interleaved round, and their range. Memory: rise of the resident memory during one call, in that of the "
        "plain gradient. Deviation: largest difference by the largest value, for signxai with Zennit's stabilizer 1e-6 (its default "
        "is 0: exact); in float64 on the first sample. Zennit has no rule std_x or sign. Its batch-norm merge is given without the "
        "eps that 0.5.1 leaves in place. Captum's LRP supports VGG16 only (no addition of two tensors, no Conv1d); its rules for z+ "
        "and gamma compute something else for biases, negative inputs and negative outputs, so they have no deviation. lrp_z, "
        "and every rule at a residual addition, divides by sums however small: that magnifies float32's rounding, float64 tells more. "
        "On EfficientNet-Lite0 lrp_z differs by what it is: where ReLU6 cuts off, the constant takes the relevance here, as gradient "
        "times input has it, and Zennit lets it pass. nan: the peer's map holds NaN."
    )
    return "\n\n".join([explanation, *parts]) if parts else ""


def _lrp_of(case: Case, methods: list[str], settings: Settings) -> str:
    header = ["method", "signxai", "bound", "aim", "Zennit", "Captum", "memory: signxai, Zennit, Captum"]
    header += ["from Zennit: f32, f64", "from Captum: f32"]
    precise, for_captum = case.in_float64(), case.without_inplace() if case.captum_lrp else None
    rows, gradient_seconds, gradient_memory = [], [], []
    for method in methods:
        calls = _lrp_calls(case, for_captum, method)
        seconds = interleaved_seconds(calls, settings.repeats)
        gradient_seconds += seconds["gradient"]
        memory = {name: peak_mebibytes(call) for name, call in calls.items()}
        gradient_memory.append(memory["gradient"])
        rows.append(_lrp_row(case, method, ratios(seconds, "gradient"), memory, _deviations(case, precise, for_captum, method)))
        settings.report(f"{case.name}: {' | '.join(rows[-1])}")
    middle = Spread.of(gradient_seconds)
    head = f"### {case.name}\n\nPlain gradient: {1000 * middle.median:.0f} ms ({1000 * middle.low:.0f}-{1000 * middle.high:.0f})"
    return f"{head}, {Spread.of(gradient_memory).median:.0f} MiB.\n\n{markdown(header, rows)}"


def _lrp_calls(case: Case, for_captum: Case | None, method: str) -> dict[str, Call]:
    calls: dict[str, Call] = {"gradient": partial(run.plain_gradient, case), "signxai": partial(run.by_signxai, case, method)}
    if method in run.ZENNIT_RULES:
        calls["Zennit"] = partial(run.by_zennit, case, method)
    if for_captum and method in run.CAPTUM_RULES:
        calls["Captum"] = partial(run.by_captum, for_captum, method)
    return calls


def _lrp_row(case: Case, method: str, cost: dict[str, Spread], memory: dict[str, float], deviations: tuple[str, str]) -> list[str]:
    bounds, aim = BOUNDS[method]
    bound = bounds[NETWORKS_WITH_BOUNDS.index(case.bounds)] if case.bounds else None
    ours = cost["signxai"]
    peers = [str(cost[name]) if name in cost else NOTHING for name in ("Zennit", "Captum")]
    memories = ", ".join(_part(memory[name], memory["gradient"]) if name in memory else NOTHING for name in ("signxai", "Zennit", "Captum"))
    return [method, str(ours), marked(ours.median, bound), marked(ours.median, aim if bound else None), *peers, memories, *deviations]


def _deviations(case: Case, precise: Case, for_captum: Case | None, method: str) -> tuple[str, str]:
    from_zennit = [_from_zennit(each, method) for each in (case, precise)] if method in run.ZENNIT_RULES else []
    from_captum = NOTHING
    if for_captum and method in run.SAME_IN_CAPTUM:
        scaled = run.by_signxai(case, method, stabilizer=run.STABILIZER) * run.target_logits(case)  # Captum starts with the logit
        from_captum = f"{deviation(scaled, run.by_captum(for_captum, method)):.0e}"
    return ", ".join(from_zennit) or NOTHING, from_captum


def _from_zennit(case: Case, method: str) -> str:
    return f"{deviation(run.by_signxai(case, method, stabilizer=run.STABILIZER), run.by_zennit(case, method)):.0e}"


# Methods of many gradients


def repeated(settings: Settings) -> str:
    methods = settings.of(REPEATED)
    points, chunks = (4, (1, 2, 4)) if settings.quick else (50, (1, 2, 5, 10, 25, 50))
    wanted = [make for name, make in settings.cases.items() if name.startswith(("VGG16 b1", "ResNet", "1-D CNN"))]
    rows = [row for make in wanted if methods for row in _repeated_rows(make().first_sample(), methods, points, chunks, settings)]
    header = ["network", "method", "gradients: chunk, seconds", "signxai", "bound", "Captum", "its chunk"]
    header += ["Captum / signxai", "from Captum"]
    explanation = (
        f"{points} points on one sample, in units of {points} plain gradients in chunks of the size that is fastest for them; Captum "
        f"with the chunk that is fastest for it, by the faster of two tries of a chunk of {', '.join(map(str, chunks))}; signxai with "
        "its defaults. Deviation of integrated_gradients: Captum's trapezoid sums to (n - 1) / n, which is taken out; the others draw "
        "their own noise."
    )
    return f"{explanation}\n\n{markdown(header, rows)}" if rows else ""


def _repeated_rows(case: Case, methods: list[str], points: int, chunks: Sequence[int], settings: Settings) -> Iterable[list[str]]:
    fastest = _fastest({chunk: partial(run.gradients_in_chunks, case, chunk, chunk) for chunk in chunks}, settings)
    for method in methods:
        captum_fastest = _fastest({chunk: partial(run.repeated_by_captum, case, method, chunk, chunk) for chunk in chunks[1:]}, settings)
        calls: dict[str, Call] = {
            "gradient": partial(run.gradients_in_chunks, case, points, fastest),
            "signxai": partial(run.repeated_by_signxai, case, method, points),
            "Captum": partial(run.repeated_by_captum, case, method, points, captum_fastest),
        }
        seconds = interleaved_seconds(calls, settings.repeats, warm_up=False)
        cost = ratios(seconds, "gradient")
        faster = ratios(seconds, "signxai")["Captum"]
        row = [
            case.name, method, f"{fastest}, {Spread.of(seconds['gradient']).median:.2f}",
            str(cost["signxai"]), marked(cost["signxai"].median, REPEATED_BOUND), str(cost["Captum"]), str(captum_fastest),
            f"{faster} {'✓' if faster.median >= 1 else '**missed**'}", _from_captum(case, method, points, captum_fastest),
        ]  # fmt: skip
        settings.report(" | ".join(row))
        yield row


def _fastest(calls: Mapping[int, Call], settings: Settings) -> int:
    """The chunk size whose call, of one chunk, is fastest by point: the better of two tries each."""
    seconds = interleaved_seconds({str(chunk): call for chunk, call in calls.items()}, min(2, settings.repeats), warm_up=False)
    return min(calls, key=lambda chunk: min(seconds[str(chunk)]) / chunk)


def _from_captum(case: Case, method: str, points: int, chunk: int) -> str:
    if method != "integrated_gradients":
        return NOTHING
    expected: Tensor = run.repeated_by_captum(case, method, points, chunk) * (points / (points - 1))
    return f"{deviation(run.repeated_by_signxai(case, method, points), expected):.0e}"


# Overhead


def overhead(settings: Settings) -> str:
    methods = settings.of(OVERHEAD_METHODS)
    if not methods:
        return ""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    makers = networks.small_cases(settings.quick).values()
    rows = [_overhead_row(case, method, settings) for case in (make() for make in makers) for method in methods]
    torch.set_num_threads(threads)
    header = [
        "network",
        "method",
        "plain gradient",
        "arithmetic alone",
        "network never seen",
        "bound",
        "explain again",
        "bound",
        "analyzer used again",
    ]
    header += ["deviation"]
    explanation = (
        "Microseconds of one call of signxai.explain on one sample beyond the arithmetic alone, in the same interleaved round (median "
        "and range of the middle half; each time the mean of five calls in a row), on one thread: on fresh copies of the network, on "
        "one already explained, and with an analyzer used again. The arithmetic alone is the method's tensor operations written out "
        "by hand for these networks, without watching, autograd or checks (of `gradient`: the plain gradient). Deviation: of explain "
        "from that, in float32."
    )
    return f"{explanation}\n\n{markdown(header, rows)}"


def _overhead_row(case: Case, method: str, settings: Settings) -> list[str]:
    rounds, number = (3, 2) if settings.quick else (20 * settings.repeats, 5)
    fresh = iter([Case(case.name, copy.deepcopy(case.net), case.x, case.target) for _ in range(rounds * number + 1)])
    analyzer = analyzer_for(parse_method(method), case.net, {"as_tensor": True})
    calls: dict[str, Call] = {
        "gradient": partial(run.plain_gradient, case),
        "by hand": partial(run.by_hand, case, method),
        "never seen": lambda: run.by_signxai(next(fresh), method),
        "again": partial(run.by_signxai, case, method),
        "analyzer": lambda: analyzer.analyze(case.x, case.target),
    }
    seconds = interleaved_seconds(calls, rounds, number=number)
    beyond = {name: _microseconds([a - b for a, b in zip(seconds[name], seconds["by hand"], strict=True)]) for name in calls}
    beyond |= {name: _microseconds(seconds[name]) for name in ("gradient", "by hand")}
    never_seen, again = (marked(beyond[name].median, OVERHEAD_BOUND) for name in ("never seen", "again"))
    shown = {name: f"{spread.median:.0f} ({spread.low:.0f}-{spread.high:.0f})" for name, spread in beyond.items()}
    row = [case.name, method, shown["gradient"], shown["by hand"], shown["never seen"], never_seen, shown["again"], again]
    row.append(shown["analyzer"])
    row.append(f"{deviation(run.by_signxai(case, method), run.by_hand(case, method)):.0e}")
    settings.report(" | ".join(row))
    return row


def _microseconds(seconds: list[float]) -> Spread:
    ordered = sorted(1e6 * value for value in seconds)
    quarter = len(ordered) // 4
    return Spread.of(ordered[quarter : len(ordered) - quarter])


# Memory


def memory(settings: Settings) -> str:
    rows = [_memory_row(make(), settings) for make in settings.cases.values()] if MEMORY_METHOD in settings.methods else []
    header = ["network", "plain gradient", MEMORY_METHOD, "ratio", "bound"]
    explanation = (
        "Rise of the resident memory during one call, over what it is just before: freed memory is given back to the system "
        "(malloc_trim) and the kernel's high-water mark reset (/proc/self/clear_refs) first, after one call to warm up. MiB, "
        "medians."
    )
    return f"{explanation}\n\n{markdown(header, rows)}" if rows else ""


def _memory_row(case: Case, settings: Settings) -> list[str]:
    calls: list[Call] = [partial(run.plain_gradient, case), partial(run.by_signxai, case, MEMORY_METHOD)]
    medians = []
    for call in calls:
        call()
        medians.append(Spread.of([peak_mebibytes(call) for _ in range(settings.repeats)]).median)
    row = [case.name, *(f"{value:.1f}" for value in medians), _part(medians[1], medians[0]), _memory_bound(*medians)]
    settings.report(" | ".join(row))
    return row


def _memory_bound(gradient: float, method: float) -> str:
    """A few hundred kilobytes are below what the kernel tells apart: no verdict there."""
    return marked(method / gradient, MEMORY_BOUND) if gradient >= 1 else f"{MEMORY_BOUND:g}, too small to tell"


def _part(value: float, of: float) -> str:
    return f"{value / of:.2f}" if of else NOTHING


def path_memory(settings: Settings) -> str:
    """Integrated gradients with very many points, in a process of its own."""
    if "integrated_gradients" not in settings.methods:
        return ""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        peak = pool.submit(_path_peak, settings.quick).result()
    network, steps = ("1-D CNN", 20) if settings.quick else ("VGG16, 224 x 224", PATH_STEPS)
    row = [network, str(steps), f"{peak:.0f} MiB", marked(peak, PATH_BOUND, " MiB")]
    settings.report(" | ".join(row))
    explanation = "Peak of the whole process, with the network and all libraries."
    header = ["network", "steps", "peak", "bound"]
    return f"{explanation}\n\n{markdown(header, [row])}"


def _path_peak(quick: bool) -> float:
    torch.manual_seed(networks.SEED)
    net, shape = (networks.cnn_1d(), (1, 12, 64)) if quick else (networks.vgg16(), (1, 3, 224, 224))
    case = Case("", net.eval().requires_grad_(False), torch.randn(shape), [0])
    run.repeated_by_signxai(case, "integrated_gradients", 20 if quick else PATH_STEPS)
    return process_peak_mebibytes()
