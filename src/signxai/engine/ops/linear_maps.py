"""Maps that are linear in the signal, or homogeneous: ``R_i = x_i (dy / dx_i) R / y``, which conserves relevance.

A map that is homogeneous of degree d shares d times the relevance so, hence the factor 1 / d. A complex signal is its real and
its imaginary part.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from signxai.engine.call import Call, Result
from signxai.engine.contributions import EACH_ITS_SHARE
from signxai.engine.decomposition import decomposed
from signxai.engine.graph import WITHIN_RULE, needs_relevance
from signxai.engine.ops.activations import passed
from signxai.engine.ops.products import EQUALLY, HALF_TO_EACH
from signxai.engine.registry import rule_for
from signxai.engine.relevance import RelevancePass

_FFT = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft", "fft2", "ifft2", "rfft2", "irfft2", "hfft2", "ihfft2")
_FFT_OF_ANY = ("fftn", "ifftn", "rfftn", "irfftn", "hfftn", "ihfftn", "fftshift", "ifftshift")


@rule_for(
    *(getattr(torch.fft, name) for name in (*_FFT, *_FFT_OF_ANY)),
    *("stft", "istft", "diff", "trapezoid", "trapz", "cumulative_trapezoid", "trace", "conj", "conj_physical", "_conj"),
    *("scatter_add", "index_add", "put", "logcumsumexp", "cdist", "pairwise_distance", "dist", "lp_pool1d"),
    *("lp_pool2d", "lp_pool3d", "std", "nanquantile", "quantile"),
    *(torch.norm, torch.Tensor.norm, torch.functional.norm, torch.linalg.norm, torch.linalg.vector_norm, torch.linalg.matrix_norm),
)
def homogeneous(mode: RelevancePass, call: Call) -> Result:
    """Each value of each signal by its share."""
    return shared_by_all(mode, call)


@rule_for("logaddexp", "logaddexp2", arguments=("input", "other"))
def log_of_sum(mode: RelevancePass, call: Call) -> Result:
    """Of two signals each by its share; with a constant an activation, as softplus is with 0."""
    signals = call.signals()
    if len(signals) != 1 or call.kwargs or (call.args[0] + call.args[1]).shape != signals[0].shape:
        return shared_by_all(mode, call)
    return passed(mode, Call(call.on_signals(), signals, {}))


@rule_for("scatter_reduce", "index_reduce")
def reduced(mode: RelevancePass, call: Call) -> Result:
    """Sums and means: each value by its share; maxima and minima as the gradient."""
    reduce = call.kwargs.get("reduce", call.args[4] if len(call.args) > 4 else "")
    if reduce in ("sum", "mean"):
        return shared_by_all(mode, call)
    return mode.as_gradient(call) if reduce in ("amax", "amin") else mode.plain(call)


@rule_for("index_put")
def put(mode: RelevancePass, call: Call) -> Result:
    """Values in places: moved there, or added to what is there, by share."""
    accumulates = call.kwargs.get("accumulate", call.args[3] if len(call.args) > 3 else False)
    return shared_by_all(mode, call) if accumulates else mode.plain(call)


@rule_for("var")
def variance(mode: RelevancePass, call: Call) -> Result:
    """A function of degree two: half of what each value would get."""
    return shared_by_all(mode, call, 0.5, "by share, half of it")


@rule_for("prod")
def product_of_all(mode: RelevancePass, call: Call) -> Result:
    """A product of n values: each gets 1 / n."""
    if not needs_relevance(call.x):
        return mode.plain(call)
    result = call.run(call.x.detach())
    count = call.x.numel() // max(result.numel(), 1)
    result = shared_by_all(mode, call, 1 / count, EQUALLY)
    mode.by_hand.note_factors(result, count)
    return result


@rule_for("kron", "cross", "linalg_cross", "outer", "ger", "vdot", "linalg_vecdot", "vecdot")
def bilinear_product(mode: RelevancePass, call: Call) -> Result:
    """A product that is linear in each of two: all to the one signal, or half to each of two."""
    degree = sum(map(needs_relevance, (*call.args, *call.kwargs.values())))  # of a signal with itself, two
    return shared_by_all(mode, call, 1 / max(degree, 1), EACH_ITS_SHARE if degree < 2 else HALF_TO_EACH)


@rule_for(
    *("grid_sample", "grid_sampler", "torchvision::roi_align", "torchvision::ps_roi_align"),
    "torchvision::deform_conv2d",
)
def sampled(mode: RelevancePass, call: Call) -> Result:
    """Each sampled value by its share; where it is sampled counts as a constant."""
    if not needs_relevance(call.x):
        return mode.plain(call)
    rest = [part.detach() if isinstance(part, Tensor) else part for part in call.rest]
    named = {name: part.detach() if isinstance(part, Tensor) else part for name, part in call.named.items()}

    more: list[Tensor] = []  # what some give beside the sampled values, about where they come from

    def sample(t: Tensor) -> Tensor:
        result = call.func(t, *rest, **named)
        values: Tensor = result if isinstance(result, Tensor) else result[0]
        more.extend([] if isinstance(result, Tensor) else result[1:])
        node: Any = values.grad_fn
        if node is not None:
            node.metadata[WITHIN_RULE] = True  # torchvision writes the gradients of its operators in Python
        return values

    shared = mode.shared(sample, (call.x,))
    return (shared, *more) if more else shared


@rule_for("linalg_solve_triangular", "linalg_solve", "solve_triangular")
def solved(mode: RelevancePass, call: Call) -> Result:
    """The solution X of A X = B is linear in B; A counts as a constant, as a divisor does."""
    a, b = call.args[:2]
    if not needs_relevance(b):
        return mode.plain(call)
    a = a.detach()
    return mode.shared(lambda t: call.func(a, t, *call.args[2:], **call.kwargs), (b,))


def shared_by_all(mode: RelevancePass, call: Call, factor: float = 1.0, words: str = EACH_ITS_SHARE) -> Result:
    """Relevance of a call by contribution, whichever of its arguments are signals."""
    signals = _signals(call)
    if not signals:
        return mode.plain(call)
    return mode.shared(lambda *tensors: call.with_signals(signals, tensors), signals, factor, words)


def _signals(call: Call) -> tuple[Tensor, ...]:
    return tuple({id(value): value for value in (*call.args, *call.kwargs.values()) if needs_relevance(value)}.values())


@decomposed("cosine_similarity")
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """``sum(x1 x2) / (|x1| |x2|)``."""
    norms = [torch.linalg.vector_norm(x, dim=dim, keepdim=True).clamp_min(eps) for x in (x1, x2)]
    return torch.sum((x1 / norms[0]) * (x2 / norms[1]), dim)


@decomposed("std_mean")
def std_mean(input: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """``std`` and ``mean`` of the same."""
    return input.std(*args, **kwargs), _mean_like(input, *args, **kwargs)


@decomposed("var_mean")
def var_mean(input: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """``var`` and ``mean`` of the same."""
    return input.var(*args, **kwargs), _mean_like(input, *args, **kwargs)


def _mean_like(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    dim = kwargs.get("dim", args[0] if args and not isinstance(args[0], bool) else None)
    keepdim = kwargs.get("keepdim", args[2] if len(args) > 2 else False)
    return input.mean() if dim is None else input.mean(dim, keepdim)
