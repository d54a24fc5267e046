"""Linear layers, and matrix products: with constant weights a layer under a rule, of two signals half to each."""

from __future__ import annotations

import torch
from torch import Tensor

from signxai.engine.call import Call, Result
from signxai.engine.contributions import LinearMap
from signxai.engine.decomposition import in_steps
from signxai.engine.graph import needs_relevance
from signxai.engine.layers import CONVOLUTIONS, LAYER_OF_FUNCTION, Layer, MatmulLayer, linear
from signxai.engine.ops.experts import mixed
from signxai.engine.ops.products import bilinear_product, complex_product, is_complex, matrix_product
from signxai.engine.ops.shorthands import add_product
from signxai.engine.quantized import has_own_dequantize
from signxai.engine.registry import rule_for
from signxai.engine.relevance import RelevancePass
from signxai.engine.torch_functions import functions_named


@rule_for("linear", *CONVOLUTIONS, arguments=("input", "weight"))
def layer(mode: RelevancePass, call: Call) -> Result:
    """A linear layer under the rule that is chosen for it."""
    x, weight, *rest = call.args
    if needs_relevance(weight):
        return _product(mode, call)
    if not needs_relevance(x):
        return mode.plain(call)
    if weight.ndim == 1:
        return matmul(mode, Call(torch.matmul, (x, weight), {}))
    if weight.is_complex() or x.is_complex():
        return mode.shared(call.run, (x,))
    if call.func in _CONVOLUTIONS and x.ndim == weight.ndim - 1:  # one sample without a batch axis
        with mode:
            return call.run(x.unsqueeze(0)).squeeze(0)
    if type(weight) not in _PLAIN and has_own_dequantize(weight):
        return layer(mode, Call(call.func, (x, weight.dequantize().to(x.dtype), *rest), call.kwargs))
    if weight.layout != torch.strided:
        return layer(mode, Call(call.func, (x, weight.to_dense(), *rest), call.kwargs))
    made: Layer = LAYER_OF_FUNCTION[call.func](x, weight, *rest, **call.kwargs)
    if made.is_batch_invariant(x):
        return mode.linear_layer(made, x, lambda t: made.output(t, made.own_weight, made.own_bias))
    return mode.linear_layer(made, x, call.run)


@rule_for("bilinear", arguments=("input1", "input2", "weight", "bias"))
def bilinear(mode: RelevancePass, call: Call) -> Result:
    """``x1 A x2 + b``: half of the relevance to each of two signals."""
    return _product(mode, call)


def _product(mode: RelevancePass, call: Call) -> Result:
    """A function that is linear in each of its first two arguments: all relevance to the one signal, or half to each of two."""
    signals = tuple(value for value in call.args[:2] if needs_relevance(value))
    if not signals or any(map(needs_relevance, call.args[2:])) or not call.named_is_constant():
        return mode.plain(call)
    if len(signals) == 2:
        return bilinear_product(mode, call, (-1, -1) if call.func in _LINEAR else None)
    return mode.shared(call.on_signals(), signals)


@rule_for("matmul", "mm", "bmm", "mv", "dot", "__matmul__", "_sparse_mm", arguments=("input", "other"))
def matmul(mode: RelevancePass, call: Call) -> Result:
    """A matrix product: with constant weights a linear layer, of two signals half of the relevance to each."""
    if len(call.args) != 2 or call.kwargs or not call.signals():
        return mode.plain(call)
    a, b = map(_dense, call.args)
    if needs_relevance(a) and needs_relevance(b):
        if (mixture := mixed(mode, a, b)) is not None:
            return mixture
        is_plain = min(a.ndim, b.ndim) >= 2 and not (is_complex(a) or is_complex(b))
        return matrix_product(mode, call) if is_plain else bilinear_product(mode, call)
    if is_complex(a) or is_complex(b):
        return complex_product(mode, call)
    if needs_relevance(a):
        return _constant_product(mode, a, b)
    if a.ndim == 1:
        return _constant_product(mode, b.transpose(-1, -2) if b.ndim > 1 else b, a)
    rows = (b.unsqueeze(-1) if b.ndim == 1 else b).transpose(-1, -2)
    product = _constant_product(mode, rows, a.transpose(-1, -2), lambda t: torch.matmul(a, t.transpose(-1, -2)).transpose(-1, -2))
    with mode:  # it sees these moves: a bias may follow
        product = product.transpose(-1, -2)
        return product.squeeze(-1) if b.ndim == 1 else product


def _dense(factor: Tensor) -> Tensor:
    """A factor with its zeros: rules ask for them, and a sparse matrix is the same layer as the dense one."""
    return factor if factor.layout == torch.strided else factor.to_dense()


def _constant_product(mode: RelevancePass, x: Tensor, weight: Tensor, compute: LinearMap | None = None) -> Tensor:
    """``x @ weight`` as the linear layer that it is; ``compute`` lays the result out in memory otherwise than that."""
    if x.ndim == 1:
        return _constant_product(mode, x.unsqueeze(0), weight).squeeze(-2 if weight.ndim > 1 else 0)
    if weight.ndim == 1:
        return _constant_product(mode, x, weight.unsqueeze(-1)).squeeze(-1)
    made = linear(x, weight.t()) if weight.ndim == 2 else MatmulLayer(weight, None)
    return mode.linear_layer(made, x, compute or (lambda t: torch.matmul(t, weight)))


@rule_for("__rmatmul__")
def reflected_matmul(mode: RelevancePass, call: Call) -> Result:
    """``constant @ signal`` as Python calls it."""
    return matmul(mode, Call(torch.matmul, (call.args[1], call.args[0]), call.kwargs))


@rule_for("addmm")
def addmm(mode: RelevancePass, call: Call) -> Result:
    """``bias + x @ weight``: a linear layer if x alone depends on the input."""
    if len(call.args) == 3 and not call.kwargs and [needs_relevance(value) for value in call.args] == [False, True, False]:
        bias, x, weight = call.args
        if bias.ndim == 1:
            return mode.linear_layer(linear(x, weight.t(), bias), x, lambda t: call.func(bias, t, weight))
    return _ADDMM_IN_STEPS(mode, call)


_PLAIN = {Tensor, torch.nn.Parameter}
_LINEAR = functions_named("linear")
_CONVOLUTIONS = functions_named(*CONVOLUTIONS)
_ADDMM_IN_STEPS = in_steps(add_product)
