"""One sample call for every operation that has a rule, and what its rule must do: a row here for each that is added.

A row says how the operation is called on x (2, 4, 4, 4) in [0.1, 0.9], or another shape, and the law of its rule:

- ``passes``: relevance at the input is that at the output.
- ``gradient``: relevance follows the gradient.
- ``shares``: ``R_i = x_i (dy / dx_i) R / y``, the z rule of whatever is linear.
- ``halves``: half of it, where x is both factors.
- ``same``: the map is that of another way to write the same call.
- ``ends``: no relevance can come back (integers, numbers, arrays).

Embeddings are called on x (3, 4) of the whole numbers 0 to 11.
"""

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from signxai.engine.registry import RELEVANCE

SQUARE = (2, 4, 4, 4)
CUBE = (2, 2, 4, 4, 4)


@dataclass(frozen=True)
class Sample:
    """A call of an operation ``f`` on ``x``, the law of its rule, and for ``same`` the other way."""

    call: Callable[[Any, torch.Tensor], Any]
    law: str
    shape: tuple[int, ...] = SQUARE
    other: Callable[[torch.Tensor], Any] | None = None


SAMPLES: dict[str, Sample] = {}


def row(law, names, call=lambda f, x: f(x), shape=SQUARE, other=None):
    for name in names.split():
        assert name not in SAMPLES, name
        SAMPLES[name] = Sample(call, law, shape, other)


def fixed(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64) + 0.1


def is_builtin(f):
    return not hasattr(f, "__code__")


def of_list(f, *tensors):
    """Tensors as torch's functions take several, or as ATen's do, in a list."""
    return [tensors] if is_builtin(f) else tensors


def quietly(call):
    def run(f, x):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call(f, x)

    return run


# Activations
row("passes", "relu relu_ leaky_relu leaky_relu_ elu elu_ selu selu_ celu celu_ gelu silu mish hardswish softplus softsign")
row(
    "passes",
    "hardshrink softshrink tanhshrink rrelu rrelu_ log_sigmoid neg neg_ negative negative_ abs abs_ absolute exp exp_ expm1 special_expm1",
)
row("passes", "log log1p special_log1p log2 log10 sqrt sqrt_ rsqrt square square_ reciprocal sin cos tan atan arctan erf special_erf")
row("passes", "sinh cosh sigmoid sigmoid_ hardsigmoid hardsigmoid_ special_expit tanh tanh_ hardtanh hardtanh_ relu6 relu6_ normalize")
row("passes", "acos arccos asin arcsin atanh arctanh asinh arcsinh exp2 special_exp2 sinc special_sinc logit special_logit")
row("passes", "acosh arccosh", lambda f, x: f(x.expand_as(x)))
row("passes", "erfc erfc_ special_erfc special_erfcx erfinv erfinv_ special_erfinv special_ndtr special_log_ndtr")
row("passes", "reciprocal_ rsqrt_")
row("passes", "pow pow_ __pow__ __rpow__ float_power", lambda f, x: f(x, 2))
row("passes", "clamp clamp_ clip clip_ threshold threshold_ _threshold", lambda f, x: f(x, 0.3, 0.6))
row("passes", "clamp_min clamp_min_ clamp_max clamp_max_", lambda f, x: f(x, 0.5))
row("ends", "gt ge lt le __gt__ __ge__ __lt__ __le__ greater greater_equal less less_equal", lambda f, x: f(x, 0.5))
row("gradient", "gt_ ge_ lt_ le_ greater_ greater_equal_ less_ less_equal_", lambda f, x: f(x, 0.5))
row("gradient", "upsample_nearest", quietly(lambda f, x: f(x, scale_factor=2)))
row("passes", "prelu", lambda f, x: f(x, fixed(4)))

# Linear layers and matrix products
row("shares", "linear", lambda f, x: f(x, fixed(3, 4)))
row("shares", "conv1d", lambda f, x: f(x, fixed(3, 4, 2)), (2, 4, 6))
row("shares", "conv2d", lambda f, x: f(x, fixed(3, 4, 2, 2)))
row("shares", "conv3d", lambda f, x: f(x, fixed(3, 4, 2, 2, 2)), (2, 4, 3, 3, 3))
row("shares", "conv_transpose1d", lambda f, x: f(x, fixed(4, 3, 2)), (2, 4, 6))
row("shares", "conv_transpose2d", lambda f, x: f(x, fixed(4, 3, 2, 2)))
row("shares", "conv_transpose3d", lambda f, x: f(x, fixed(4, 3, 2, 2, 2)), (2, 4, 3, 3, 3))
row("shares", "matmul __matmul__ linalg_matmul", lambda f, x: f(x, fixed(4, 3)))
row("shares", "__rmatmul__", lambda f, x: f(x, fixed(3, 4)))
row("shares", "mm", lambda f, x: f(x, fixed(4, 3)), (2, 4))
row("shares", "bmm", lambda f, x: f(x, fixed(2, 4, 3)), (2, 3, 4))
row("shares", "mv", lambda f, x: f(x, fixed(4)), (2, 4))
row("shares", "dot", lambda f, x: f(x, fixed(4)), (4,))
row("shares", "linalg_multi_dot", lambda f, x: f([x, fixed(4, 3), fixed(3, 2)]), (2, 4), None)
row("halves", "bilinear", lambda f, x: f(x, x, fixed(3, 4, 4)), (2, 4))
row("same", "addmm addmm_", lambda f, x: f(fixed(2, 3), x, fixed(4, 3)), (2, 4), lambda x: fixed(2, 3) + F.linear(x, fixed(4, 3).t()))
row("same", "baddbmm baddbmm_", lambda f, x: f(fixed(2, 3, 3), x, fixed(2, 4, 3)), (2, 3, 4), lambda x: fixed(2, 3, 3) + x @ fixed(2, 4, 3))
row("same", "addmv addmv_", lambda f, x: f(fixed(2), x, fixed(4)), (2, 4), lambda x: fixed(2) + x @ fixed(4))
row("same", "_sparse_mm", lambda f, x: f(fixed(3, 4).to_sparse(), x), (4, 2), lambda x: fixed(3, 4) @ x)
row("same", "_sparse_addmm", lambda f, x: f(fixed(2), fixed(3, 4).to_sparse(), x), (4, 2), lambda x: fixed(2) + fixed(3, 4) @ x)
row("same", "inner", lambda f, x: f(x, fixed(3, 4)), (2, 4), lambda x: x @ fixed(3, 4).t())
row("same", "tensordot", lambda f, x: f(x, fixed(4, 3), *(([1], [0]) if is_builtin(f) else (1,))), (2, 4), lambda x: x @ fixed(4, 3))
row("same", "einsum", lambda f, x: f("ni,oi->no", *of_list(f, x, fixed(3, 4))), (2, 4), lambda x: F.linear(x, fixed(3, 4)))

# Sums, means and whatever is linear
row("shares", "add __add__ __radd__ add_ __iadd__ sub __sub__ sub_ __isub__ subtract subtract_", lambda f, x: f(x, fixed(4, 4)))
row("shares", "rsub __rsub__", lambda f, x: f(x, 2.0))
row("shares", "mean sum nanmean nansum cumsum", lambda f, x: f(x, 1))
row("shares", "avg_pool1d adaptive_avg_pool1d", lambda f, x: f(x, 2), (2, 4, 6))
row("shares", "avg_pool2d adaptive_avg_pool2d", lambda f, x: f(x, 2))
row("shares", "avg_pool3d adaptive_avg_pool3d", lambda f, x: f(x, 2), (2, 2, 4, 4, 4))
row("shares", "interpolate upsample", quietly(lambda f, x: f(x, scale_factor=2, mode="bilinear", align_corners=False)))
row("shares", "fold", lambda f, x: f(x, (4, 4), (2, 2)), (2, 8, 9))
row("shares", "batch_norm", lambda f, x: _batch_norm(f, x))
row("shares", "diff trapezoid trapz cumulative_trapezoid", lambda f, x: f(x, dim=1))
row("shares", "trace", lambda f, x: f(x), (3, 3))
row("shares", "scatter_add scatter_add_", lambda f, x: f(fixed(*SQUARE), 1, torch.zeros(SQUARE).long(), x))
row("shares", "index_add index_add_", lambda f, x: f(fixed(*SQUARE), 1, torch.tensor([1, 0, 1, 3]), x))
row("shares", "scatter_reduce scatter_reduce_", lambda f, x: f(0 * fixed(*SQUARE), 1, torch.zeros(SQUARE).long(), x, "sum"))
row("shares", "index_reduce index_reduce_", quietly(lambda f, x: f(fixed(*SQUARE), 1, torch.tensor([1, 0, 1, 3]), x, "mean")))
row("shares", "put", lambda f, x: f(fixed(*SQUARE), torch.tensor([3, 5]), x[0, 0, 0, :2], True))
row("shares", "addbmm", lambda f, x: f(fixed(3, 3), x, fixed(2, 4, 3)), (2, 3, 4))
row("shares", "kron", lambda f, x: f(x, fixed(2, 2)), (3, 3))
row("shares", "outer ger", lambda f, x: f(x, fixed(3)), (4,))
row("shares", "vdot linalg_vecdot", lambda f, x: f(x, fixed(4)), (4,))
row("shares", "cross linalg_cross", lambda f, x: f(x, fixed(2, 3), dim=1), (2, 3))
row("shares", "grid_sample", lambda f, x: f(x, fixed(2, 3, 3, 2) - 0.6, align_corners=False))
row("shares", "grid_sampler", lambda f, x: f(x, fixed(2, 3, 3, 2) - 0.6, 0, 0, False))
row("shares", "linalg_solve_triangular", lambda f, x: f(fixed(4, 4).tril() + torch.eye(4), x, upper=False), (4, 3))
row("shares", "linalg_solve", lambda f, x: f(fixed(4, 4) + 3 * torch.eye(4), x), (4, 3))

# Fourier transforms: the real and the imaginary parts each get their share
row(
    "shares",
    "fft_fft fft_ifft fft_rfft fft_ihfft fft_fft2 fft_ifft2 fft_rfft2 fft_ihfft2",
    lambda f, x: torch.view_as_real(f(x).resolve_conj()[..., 1:2]),
)
row("shares", "fft_fftn fft_ifftn fft_rfftn fft_ihfftn", lambda f, x: torch.view_as_real(f(x, dim=(-2, -1))[..., 1:2].resolve_conj()))
row("shares", "fft_irfft fft_hfft fft_irfft2 fft_hfft2", lambda f, x: f(_complex(x)))
row("shares", "fft_irfftn fft_hfftn", lambda f, x: f(_complex(x), dim=(-2, -1)))
row("gradient", "fft_fftshift fft_ifftshift", lambda f, x: f(x))
row("shares", "stft", lambda f, x: torch.view_as_real(f(x, 8, window=fixed(8), return_complex=True)[:, 1:4]), (2, 32))
row("shares", "istft", lambda f, x: f(_complex(x), 4, window=torch.ones(4).double()), (2, 3, 12))
row("shares", "conj conj_physical _conj", lambda f, x: torch.view_as_real(f(_complex(x)).resolve_conj()))

# Homogeneous maps
row("shares", "std logsumexp special_logsumexp logcumsumexp norm linalg_vector_norm", lambda f, x: f(x, dim=1))
row("shares", "linalg_norm linalg_matrix_norm", lambda f, x: f(x, dim=(2, 3)))
row("halves", "var", lambda f, x: f(x, dim=1))
row("shares", "std_mean", lambda f, x: f(x, dim=1)[0])
row("halves", "var_mean", lambda f, x: f(x, dim=1)[0])
row("shares", "logaddexp logaddexp2", lambda f, x: f(x, x.flip(1)))
row("shares", "cdist", lambda f, x: f(x, fixed(3, 4)), (2, 4))
row("shares", "pairwise_distance dist", lambda f, x: f(x, fixed(2, 4)), (2, 4))
row("shares", "lp_pool1d", lambda f, x: f(x, 2.0, 2), (2, 4, 6))
row("shares", "lp_pool2d", lambda f, x: f(x, 2.0, 2))
row("shares", "lp_pool3d", lambda f, x: f(x, 2.0, 2), (2, 2, 4, 4, 4))
row("shares", "quantile nanquantile", lambda f, x: f(x, 0.3, 1))
row("same", "prod", lambda f, x: f(x, 1), SQUARE, lambda x: _EqualShares.apply(x))
row(
    "same", "cosine_similarity", lambda f, x: f(x, fixed(1, 4), dim=1), (2, 4), lambda x: (F.normalize(x) * F.normalize(fixed(1, 4))).sum(1)
)
row("same", "_grouped_mm grouped_mm", lambda f, x: _grouped(f, x), (4, 16), lambda x: torch.cat([x[:1] @ _EXPERTS[0], x[1:] @ _EXPERTS[1]]))


class _EqualShares(torch.autograd.Function):
    """A product along axis 1: each of four factors gets a quarter."""

    @staticmethod
    def forward(ctx, x):
        return x.prod(1)

    @staticmethod
    def backward(ctx, relevance):
        return (relevance / 4).unsqueeze(1).expand(-1, 4, -1, -1)


_EXPERTS = fixed(2, 16, 8)


def _grouped(f, x):
    return f(x, _EXPERTS, offs=torch.tensor([1, 4], dtype=torch.int32))


row("same", "softmin", lambda f, x: f(x, 1), SQUARE, lambda x: F.softmax(-x, 1))
row("same", "ldexp ldexp_", lambda f, x: f(x, torch.tensor(3)), SQUARE, lambda x: x * 8)
row("same", "aminmax", lambda f, x: torch.stack(tuple(f(x, dim=1))), SQUARE, lambda x: torch.stack([x.amin(1), x.amax(1)]))
row("same", "lerp lerp_", lambda f, x: f(x, x.flip(1), 0.3), SQUARE, lambda x: 0.7 * x + 0.3 * x.flip(1))
row("same", "addcmul addcmul_", lambda f, x: f(x, x.flip(1), fixed(4, 4), value=2), SQUARE, lambda x: x + 2 * (x.flip(1) * fixed(4, 4)))
row("same", "addcdiv addcdiv_", lambda f, x: f(x, x.flip(1), fixed(4, 4), value=2), SQUARE, lambda x: x + 2 * (x.flip(1) / fixed(4, 4)))


def _batch_norm(f, x):
    mean, var, weight, bias = fixed(4), fixed(4), fixed(4) + 1, fixed(4) + 2
    if f is torch.batch_norm:
        return f(x, weight, bias, mean, var, False, 0.1, 1e-5, False)
    return f(x, mean, var, weight, bias)


# Products and quotients
row(
    "passes",
    "mul __mul__ __rmul__ mul_ __imul__ multiply div div_ __truediv__ __idiv__ __itruediv__ divide true_divide",
    lambda f, x: f(x, fixed(4, 4)),
)
row("passes", "__rdiv__ __rtruediv__", lambda f, x: f(x, 2.0))
row("same", "glu", lambda f, x: f(x, 1), SQUARE, lambda x: x[:, :2] * torch.sigmoid(x[:, 2:]))

# Norms: the standard deviation counts as a constant
row("same", "layer_norm", lambda f, x: f(x, (4,)), SQUARE, lambda x: _Centred.apply(x, (-1,)))
row("same", "rms_norm", lambda f, x: f(x, (4,), eps=1e-5), SQUARE, lambda x: x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt())
row("same", "group_norm", lambda f, x: f(x, 2), SQUARE, lambda x: _Centred.apply(x.unflatten(1, (2, 2)), (2, 3, 4)).flatten(1, 2))
row("same", "instance_norm", lambda f, x: f(x), SQUARE, lambda x: _Centred.apply(x, (2, 3)))


class _Centred(torch.autograd.Function):
    """``(x - mean) / std`` under the z rule, with std as a constant, written out."""

    @staticmethod
    def forward(ctx, x, axes):
        scale = (x.var(axes, correction=0, keepdim=True) + 1e-5).rsqrt()
        y = (x - x.mean(axes, keepdim=True)) * scale
        ctx.x, ctx.y, ctx.scale, ctx.axes = x.detach(), y.detach(), scale, axes
        return y

    @staticmethod
    def backward(ctx, relevance):
        share = relevance / ctx.y * ctx.scale
        return ctx.x * (share - share.mean(ctx.axes, keepdim=True)), None


# Softmax, attention, recurrent networks
row("same", "softmax special_softmax", lambda f, x: f(x, 1), SQUARE, lambda x: _Softmax.apply(x, 1))
row("shares", "log_softmax special_log_softmax", lambda f, x: f(x, 1))


class _Softmax(torch.autograd.Function):
    """AttnLRP, proposition 3.1, written out."""

    @staticmethod
    def forward(ctx, x, axis):
        ctx.x, ctx.y, ctx.axis = x.detach(), x.detach().softmax(axis), axis
        return ctx.y.clone()

    @staticmethod
    def backward(ctx, relevance):
        return ctx.x * (relevance - ctx.y * relevance.sum(ctx.axis, keepdim=True)), None


def _attention_by_hand(x):
    weights = ((x @ x.transpose(-1, -2)) * 0.5).softmax(-1)
    return weights @ x


row("same", "scaled_dot_product_attention", lambda f, x: f(x, x, x), SQUARE, _attention_by_hand)
row("same", "multi_head_attention_forward", lambda f, x: _multi_head(f, x), (3, 2, 4), lambda x: _multi_head_by_hand(x))


def _multi_head(f, x):
    one = torch.eye(4, dtype=x.dtype)
    return f(x, x, x, 4, 1, torch.cat([one] * 3), None, None, None, False, 0.0, one, None, training=False)[0]


def _multi_head_by_hand(x):
    one = torch.eye(4, dtype=x.dtype)
    rows = x.transpose(0, 1)
    q, k, v = (F.linear(rows, one) for _ in range(3))
    mixed = ((q @ k.transpose(-1, -2)) * 0.5).softmax(-1) @ v
    return F.linear(mixed, one).transpose(0, 1)


def _weights(gates):
    return fixed(3 * gates, 4) - 0.6, fixed(3 * gates, 3) - 0.5


def _run(f, x, gates, state):
    return f(x, state, _weights(gates), False, 1, 0.0, False, False, True)[0]


def _rnn(activation):
    def by_hand(x):
        h, steps = torch.zeros(2, 3, dtype=x.dtype), []
        for step in x.unbind(1):
            h = activation(F.linear(step, _weights(1)[0]) + F.linear(h, _weights(1)[1]))
            steps.append(h)
        return torch.stack(steps, 1)

    return by_hand


def _lstm(x):
    h, c, steps = torch.zeros(2, 3, dtype=x.dtype), torch.zeros(2, 3, dtype=x.dtype), []
    for step in x.unbind(1):
        i, f, g, o = (F.linear(step, _weights(4)[0]) + F.linear(h, _weights(4)[1])).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        steps.append(h)
    return torch.stack(steps, 1)


def _gru(x):
    h, steps = torch.zeros(2, 3, dtype=x.dtype), []
    for step in x.unbind(1):
        a, b = F.linear(step, _weights(3)[0]).chunk(3, -1), F.linear(h, _weights(3)[1]).chunk(3, -1)
        r, z = (a[0] + b[0]).sigmoid(), (a[1] + b[1]).sigmoid()
        h = (1 - z) * (a[2] + r * b[2]).tanh() + z * h
        steps.append(h)
    return torch.stack(steps, 1)


def _zeros(*shape):
    return torch.zeros(*shape, dtype=torch.float64)


SIGNAL = (2, 5, 4)
row("same", "rnn_tanh", lambda f, x: _run(f, x, 1, _zeros(1, 2, 3)), SIGNAL, _rnn(torch.tanh))
row("same", "rnn_relu", lambda f, x: _run(f, x, 1, _zeros(1, 2, 3)), SIGNAL, _rnn(torch.relu))
row("same", "gru", lambda f, x: _run(f, x, 3, _zeros(1, 2, 3)), SIGNAL, _gru)
row("same", "lstm", lambda f, x: _run(f, x, 4, (_zeros(1, 2, 3), _zeros(1, 2, 3))), SIGNAL, _lstm)
row("same", "rnn_tanh_cell", lambda f, x: f(x, _zeros(2, 3), *_weights(1)), (2, 4), lambda x: _rnn(torch.tanh)(x[:, None])[:, 0])
row("same", "rnn_relu_cell", lambda f, x: f(x, _zeros(2, 3), *_weights(1)), (2, 4), lambda x: _rnn(torch.relu)(x[:, None])[:, 0])
row("same", "gru_cell", lambda f, x: f(x, _zeros(2, 3), *_weights(3)), (2, 4), lambda x: _gru(x[:, None])[:, 0])
row("same", "lstm_cell", lambda f, x: f(x, (_zeros(2, 3),) * 2, *_weights(4))[0], (2, 4), lambda x: _lstm(x[:, None])[:, 0])

# Embeddings
IDS = (3, 4)


def _rows(f, x, **more):
    return f(fixed(12, 5), x.long()) if f is torch.embedding else f(x, fixed(12, 5), **more)


row("same", "embedding", _rows, IDS, lambda x: _EmbeddingByHand.apply(x))
row("same", "embedding_bag", lambda f, x: _rows(f, x, mode="sum"), IDS, lambda x: _rows(F.embedding, x).sum(1))


class _EmbeddingByHand(torch.autograd.Function):
    """Each id gets the sum over its row."""

    @staticmethod
    def forward(ctx, x):
        return fixed(12, 5)[torch.arange(x.numel()).view(x.shape)]

    @staticmethod
    def backward(ctx, relevance):
        return relevance.sum(-1)


row("ends", "long int short", lambda f, x: f(x))

# Moves
row("gradient", "view reshape", lambda f, x: f(x, (2, 64)) if f is torch.reshape else f(x, 2, 64))
row("gradient", "view_as reshape_as", lambda f, x: f(x, torch.empty(2, 64)))
row("gradient", "flatten", lambda f, x: f(x, 1))
row("gradient", "unflatten", lambda f, x: f(x, 1, (2, 2)))
row("gradient", "squeeze squeeze_", lambda f, x: f(x, 1), (2, 1, 4))
row("gradient", "unsqueeze unsqueeze_", lambda f, x: f(x, 1))
row("gradient", "ravel contiguous clone __iter__ double cpu atleast_1d atleast_2d atleast_3d fliplr flipud", lambda f, x: _first(f(x)))
row("gradient", "float half bfloat16", lambda f, x: f(x).double())
row("gradient", "to type", lambda f, x: f(x, torch.float64))
row("gradient", "type_as", lambda f, x: f(x, x.detach()))
row("gradient", "permute", lambda f, x: f(x, (0, 2, 3, 1)))
row("gradient", "transpose transpose_ swapaxes swapaxes_ swapdims movedim moveaxis", lambda f, x: f(x, 1, 2))
row("gradient", "t t_", lambda f, x: f(x), (2, 4))
row("gradient", "expand", lambda f, x: f(x, 3, 2, 4, 4, 4))
row("gradient", "expand_as", lambda f, x: f(x, torch.empty(3, 2, 4, 4, 4)))
row("gradient", "broadcast_to", lambda f, x: f(x, (3, 2, 4, 4, 4)))
row("gradient", "broadcast_tensors", lambda f, x: f(*of_list(f, x, torch.empty(3, 2, 4, 4, 4)))[0])
row("gradient", "repeat tile", lambda f, x: f(x, (2, 1, 1, 1)))
row("gradient", "repeat_interleave", lambda f, x: f(x, 2, 1))
row("gradient", "narrow", lambda f, x: f(x, 1, 1, 2))
row("gradient", "select", lambda f, x: f(x, 1, 2))
row("gradient", "index_select", lambda f, x: f(x, 1, torch.tensor([2, 0])))
row("gradient", "gather", lambda f, x: f(x, 1, torch.zeros(2, 1, 4, 4).long()))
row("gradient", "take_along_dim", lambda f, x: f(x, torch.zeros(2, 1, 4, 4).long(), 1))
row("gradient", "take", lambda f, x: f(x, torch.tensor([[3, 5], [40, 6]])))
row("gradient", "masked_select", lambda f, x: f(x, x.detach() > 0.5))
row("gradient", "masked_fill masked_fill_", lambda f, x: f(x, x.detach() > 0.5, 0.0))
row("gradient", "where", lambda f, x: f(x, x.detach() > 0.5, fixed(4)) if f is torch.Tensor.where else f(x.detach() > 0.5, x, fixed(4)))
row("gradient", "chunk split tensor_split unsafe_chunk unsafe_split", lambda f, x: f(x, 2, 1)[1])
row("gradient", "split_with_sizes", lambda f, x: f(x, [1, 3], 1)[1])
row("gradient", "hsplit vsplit", lambda f, x: f(x, 2)[1])
row("gradient", "dsplit", lambda f, x: f(x, 2)[1])
row("gradient", "unbind", lambda f, x: f(x, 1)[1])
row("gradient", "cat concat concatenate stack", lambda f, x: f([x, x], 1))
row("gradient", "hstack vstack dstack", lambda f, x: f([x, x]))
row("gradient", "pad", lambda f, x: f(x, (1, 2)))
row("gradient", "constant_pad_nd", lambda f, x: f(x, (1, 2)))
row("gradient", "flip", lambda f, x: f(x, (1,)))
row("gradient", "roll", lambda f, x: f(x, 1, 1))
row("gradient", "rot90", lambda f, x: f(x, 1, (2, 3)))
row("gradient", "unfold", lambda f, x: f(x, 2, 2, 1) if f is torch.Tensor.unfold else f(x, 2))
row("gradient", "pixel_shuffle", lambda f, x: f(x, 2))
row("gradient", "pixel_unshuffle channel_shuffle", lambda f, x: f(x, 2))
row("ends", "native_channel_shuffle", lambda f, x: f(x.detach().float(), 2))  # it has no gradient
row("gradient", "__getitem__", lambda f, x: f(x, (slice(None), 1)))
row("gradient", "__setitem__", lambda f, x: _set(f, x))
row("gradient", "copy_", lambda f, x: f(torch.zeros(2, 4, 4, 4, dtype=x.dtype), x))
row("gradient", "dropout dropout_ alpha_dropout feature_alpha_dropout feature_dropout dropout2d", lambda f, x: f(x, 0.5, False))
row("gradient", "dropout1d", lambda f, x: f(x, 0.5, False), (2, 4, 4))
row("gradient", "dropout3d", lambda f, x: f(x, 0.5, False), (2, 4, 2, 2, 2))
row("gradient", "as_strided", lambda f, x: f(x, (2, 3), (4, 1)))
row("gradient", "diagonal linalg_diagonal", lambda f, x: f(x))
row("gradient", "tril triu", lambda f, x: f(x))
row("gradient", "scatter", lambda f, x: f(fixed(*SQUARE), 1, torch.tensor([1, 0, 2, 3]).view(1, 4, 1, 1).expand(SQUARE), x))
row("gradient", "index_put index_put_", lambda f, x: f(x, (torch.tensor([0]), torch.tensor([1])), fixed(4, 4)))
row("gradient", "index_fill index_fill_", lambda f, x: f(x, 1, torch.tensor([1]), 0.5))
row("gradient", "masked_scatter masked_scatter_", lambda f, x: f(x, x.detach() > 0.5, fixed(*SQUARE)))
row("gradient", "scatter_", lambda f, x: f(x, 1, torch.zeros(2, 1, 4, 4).long(), fixed(*SQUARE)))
row("gradient", "unsafe_split_with_sizes", lambda f, x: f(x, [1, 3], 1)[1])
row("gradient", "diag diagflat diag_embed", lambda f, x: f(x), (4,))
row("gradient", "diagonal_scatter", lambda f, x: f(x, fixed(2)), (2, 4))
row("gradient", "block_diag cartesian_prod", lambda f, x: f(*of_list(f, x, x.flip(0))), (3,))
row("gradient", "meshgrid", quietly(lambda f, x: f(*of_list(f, x, x.flip(0)))[1]), (3,))
row("gradient", "column_stack row_stack", lambda f, x: f([x, x]), (3, 4))
row("gradient", "nan_to_num resolve_conj resolve_neg adjoint msort", lambda f, x: f(x))
row("gradient", "cummax cummin mode nanmedian", lambda f, x: f(x, 1)[0])
row("gradient", "complex", lambda f, x: torch.view_as_real(f(x, x.flip(0))))
row("gradient", "view_as_complex", lambda f, x: torch.view_as_real(f(x.unflatten(-1, (2, 2)))))
row("gradient", "imag", lambda f, x: f(_complex(x)))
row("gradient", "index_copy index_copy_", lambda f, x: f(fixed(*SQUARE), 1, torch.tensor([3, 1, 2, 0]), x))
row("gradient", "select_scatter", lambda f, x: f(x, fixed(2, 4, 4), 1, 2))
row("gradient", "slice_scatter", lambda f, x: f(x, fixed(2, 2, 4, 4), 1, 1, 3))
row("gradient", "view_as_real", lambda f, x: f(_complex(x)))
row("gradient", "_pack_padded_sequence", lambda f, x: f(x, torch.tensor([5, 3]), True)[0], SIGNAL)
row("gradient", "_pad_packed_sequence", lambda f, x: f(x, torch.tensor([2, 2, 1]), True, 0.0, 3)[0], (5, 4))
row("gradient", "requires_grad_ retain_grad register_hook", lambda f, x: _and_x(f, x))
row("gradient", "T mT H mH real", lambda f, x: f(x), (2, 4))
row("ends", "data grad detach numpy item", quietly(lambda f, x: f(x.detach()[:1, 0, 0, 0])))
row("ends", "cuda", lambda f, x: x.detach())  # no GPU here

# Selections by value
row("gradient", "amax amin", lambda f, x: f(x, 1))
row("gradient", "max min median sort", lambda f, x: f(x, 1)[0])
row("gradient", "topk kthvalue", lambda f, x: f(x, 2, 1)[0])
row("gradient", "maximum minimum fmax fmin", lambda f, x: f(x, fixed(4, 4)))
row("gradient", "max_pool1d adaptive_max_pool1d", lambda f, x: _first(f(x, 2)), (2, 4, 6))
row("gradient", "max_pool2d adaptive_max_pool2d max_pool2d_with_indices adaptive_max_pool2d_with_indices", lambda f, x: _first(f(x, 2)))
row("gradient", "max_pool3d adaptive_max_pool3d", lambda f, x: _first(f(x, 2)), CUBE)
row("gradient", "max_pool3d_with_indices adaptive_max_pool3d_with_indices", lambda f, x: _first(f(x, 2)), CUBE)
row("gradient", "max_pool1d_with_indices adaptive_max_pool1d_with_indices", lambda f, x: _first(f(x, 2)), (2, 4, 6))
row("gradient", "fractional_max_pool2d", lambda f, x: _first(_fractional(f, x, 2)))
row("gradient", "fractional_max_pool3d", lambda f, x: _first(_fractional(f, x, 3)), (2, 2, 4, 4, 4))
row("gradient", "max_unpool1d", lambda f, x: f(x, torch.arange(0, 6, 2).expand(2, 4, 3), 2), (2, 4, 3))
row("gradient", "max_unpool2d", lambda f, x: _unpooled(f, x, torch.arange(16).view(4, 4).expand(SQUARE)))
row("gradient", "max_unpool3d", lambda f, x: _unpooled(f, x, torch.arange(8).view(2, 2, 2).expand(2, 2, 2, 2, 2)), (2, 2, 2, 2, 2))


def _complex(x):
    with torch._C.DisableTorchFunction():  # complex numbers have no rule
        return torch.complex(x, torch.zeros_like(x))


def _first(result):
    return result if isinstance(result, torch.Tensor) else next(iter(result))


def _unpooled(f, x, indices):
    if f is torch._C._nn.max_unpool2d:
        return f(x, indices, (8, 8))
    return f(x, indices, (4, 4, 4), (2, 2, 2), (0, 0, 0)) if f is torch._C._nn.max_unpool3d else f(x, indices, 2)


def _set(f, x):
    f(x, (slice(None), 1), fixed(4, 4))
    return x


def _and_x(f, x):
    f(x, lambda gradient: None) if f is torch.Tensor.register_hook else f(x)
    return x


def _fractional(f, x, axes):
    samples = torch.full((2, x.shape[1], axes), 0.5, dtype=x.dtype)
    if f.__module__ == "torch.nn.functional":
        return f(x, 2, (2,) * axes, _random_samples=samples)
    return f(x, (2,) * axes, (2,) * axes, samples)


# Whatever writes to its input, as what does not
row("gradient", "fill_", lambda f, x: f(x, 0.5))
row("gradient", "zero_", lambda f, x: f(x))
for _name in dir(torch.Tensor):
    _plain = _name[:-1]
    _writes = _name.endswith("_") and not _name.endswith("__") and _plain in SAMPLES
    if _writes and _name not in SAMPLES and getattr(torch.Tensor, _name) in RELEVANCE.operations():
        _sample, _method = SAMPLES[_plain], getattr(torch.Tensor, _plain)
        row("same", _name, _sample.call, _sample.shape, functools.partial(_sample.call, _method))
