"""Keras layers one by one: as networks, and in front of others, they have the maps of their PyTorch twins."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from comparing import deviation
from signxai import explain

keras = pytest.importorskip("keras")
from twins import Function, batch_norm, convolution, depthwise, in_float64, transposed_convolution, twins, weights_of  # noqa: E402

L = keras.layers
METHODS = [
    *("gradient", "lrp_z", "lrp_epsilon_0_25", "lrp_epsilon_0_25_std_x", "lrp_alpha_2_beta_1", "lrp_gamma_0_25", "lrp_zplus"),
    *("lrpsign_epsilon_0_25_std_x", "w2lrp_z", "flatlrp_z"),
]


@pytest.fixture(autouse=True)
def in_double_precision():
    with in_float64():
        yield


def same(layer, **options):
    """The twin of a convolution with padding "same" and stride 1."""
    return convolution(layer, padding="same", **options)


def module(made):
    """The twin of layers without weights."""
    return lambda layers: made


def function(body):
    """The twin of layers without weights, of a function."""
    return lambda layers: Function(body)


def separable(layers):
    first, point, bias = weights_of(layers[0])
    axes = first.ndim - 2
    own = depthwise(layers[0], first, None, padding="same")
    mixed = getattr(nn, f"Conv{axes}d")(point.shape[-2], point.shape[-1], 1)
    mixed.weight, mixed.bias = nn.Parameter(point.permute(-1, -2, *range(axes))), nn.Parameter(bias)
    return nn.Sequential(own, mixed)


def padded(amounts):
    """The twin of a strided convolution with padding "same", which puts more zeros behind than in front."""
    return lambda layers: Function(lambda conv, x: conv(F.pad(x, amounts)), convolution(layers[0]))


def layer_norm(layers):
    gamma, beta = weights_of(layers[0])
    norm = nn.LayerNorm(len(gamma), eps=layers[0].epsilon)
    norm.weight, norm.bias = nn.Parameter(gamma), nn.Parameter(beta)
    return Function(lambda norm, x: norm(x.movedim(1, -1)).movedim(-1, 1), norm)


def prelu(layers):
    [slope] = weights_of(layers[0])
    return Function(lambda x: torch.where(x > 0, x, slope.movedim(-1, 0) * x))


# layers, the shape of their input in Keras' order, their twin on (N, C, ...)
CASES = {
    "Conv1D": ([L.Conv1D, (4, 3)], (8, 3), lambda layers: convolution(layers[0])),
    "Conv1D, same": ([L.Conv1D, (4, 3), {"padding": "same"}], (8, 3), lambda layers: same(layers[0])),
    "Conv1D, dilated": ([L.Conv1D, (4, 3), {"dilation_rate": 2}], (8, 3), lambda layers: convolution(layers[0])),
    "Conv1D, causal": ([L.Conv1D, (4, 3), {"padding": "causal"}], (8, 3), padded((2, 0))),
    "Conv1D, without bias": ([L.Conv1D, (4, 3), {"use_bias": False}], (8, 3), lambda layers: convolution(layers[0])),
    "Conv2D": ([L.Conv2D, (4, 3)], (6, 6, 3), lambda layers: convolution(layers[0])),
    "Conv2D, same": ([L.Conv2D, (4, 3), {"padding": "same"}], (6, 6, 3), lambda layers: same(layers[0])),
    "Conv2D, strided": ([L.Conv2D, (4, 3), {"strides": 2}], (7, 7, 3), lambda layers: convolution(layers[0])),
    "Conv2D, strided, same": ([L.Conv2D, (4, 3), {"strides": 2, "padding": "same"}], (6, 6, 3), padded((0, 1, 0, 1))),
    "Conv2D, groups": ([L.Conv2D, (4, 3), {"groups": 2}], (6, 6, 2), lambda layers: convolution(layers[0])),
    "Conv3D": ([L.Conv3D, (4, 2)], (4, 4, 4, 2), lambda layers: convolution(layers[0])),
    "DepthwiseConv1D": ([L.DepthwiseConv1D, (3,)], (8, 3), lambda layers: depthwise(layers[0], *weights_of(layers[0]))),
    "DepthwiseConv2D": (
        [L.DepthwiseConv2D, (3,), {"depth_multiplier": 2, "padding": "same"}],
        (6, 6, 3),
        lambda layers: depthwise(layers[0], *weights_of(layers[0]), padding="same"),
    ),
    "SeparableConv1D": ([L.SeparableConv1D, (4, 3), {"padding": "same"}], (8, 3), separable),
    "SeparableConv2D": ([L.SeparableConv2D, (4, 3), {"padding": "same"}], (6, 6, 3), separable),
    "Conv1DTranspose": ([L.Conv1DTranspose, (4, 3)], (6, 3), lambda layers: transposed_convolution(layers[0])),
    "Conv2DTranspose": ([L.Conv2DTranspose, (4, 2), {"strides": 2}], (4, 4, 3), lambda layers: transposed_convolution(layers[0])),
    "BatchNormalization": ([L.BatchNormalization, ()], (6, 6, 3), lambda layers: batch_norm(layers[0], 4)),
    "BatchNormalization, 1D": ([L.BatchNormalization, (), {"center": False}], (8, 3), lambda layers: batch_norm(layers[0], 3)),
    "LayerNormalization": ([L.LayerNormalization, ()], (8, 3), layer_norm),
    "MaxPooling2D": ([L.MaxPooling2D, (2,)], (6, 6, 3), module(nn.MaxPool2d(2))),
    "AveragePooling2D": ([L.AveragePooling2D, (2,)], (6, 6, 3), module(nn.AvgPool2d(2))),
    "MaxPooling1D": ([L.MaxPooling1D, (2,)], (8, 3), module(nn.MaxPool1d(2))),
    "AveragePooling1D": ([L.AveragePooling1D, (2,)], (8, 3), module(nn.AvgPool1d(2))),
    "GlobalAveragePooling2D": ([L.GlobalAveragePooling2D, (), {"keepdims": True}], (6, 6, 3), module(nn.AdaptiveAvgPool2d(1))),
    "GlobalMaxPooling1D": ([L.GlobalMaxPooling1D, (), {"keepdims": True}], (8, 3), module(nn.AdaptiveMaxPool1d(1))),
    "UpSampling2D": ([L.UpSampling2D, (2,)], (3, 3, 3), module(nn.Upsample(scale_factor=2))),
    "UpSampling1D": ([L.UpSampling1D, (2,)], (5, 3), module(nn.Upsample(scale_factor=2))),
    "ZeroPadding2D": ([L.ZeroPadding2D, (1,)], (5, 5, 3), module(nn.ZeroPad2d(1))),
    "Cropping1D": ([L.Cropping1D, ((1, 2),)], (8, 3), function(lambda x: x[..., 1:-2])),
    "ReLU": ([L.ReLU, ()], (8, 3), module(nn.ReLU())),
    "ReLU, cut off": ([L.ReLU, (), {"max_value": 0.5}], (8, 3), module(nn.Hardtanh(0.0, 0.5))),
    "LeakyReLU": ([L.LeakyReLU, (), {"negative_slope": 0.2}], (8, 3), module(nn.LeakyReLU(0.2))),
    "PReLU": ([L.PReLU, ()], (8, 3), prelu),
    "ELU": ([L.ELU, ()], (8, 3), module(nn.ELU())),
    "Softmax": ([L.Softmax, ()], (8, 3), module(nn.Softmax(1))),
    **{
        f"Activation, {name}": ([L.Activation, (name,)], (8, 3), module(twin))
        for name, twin in {
            "relu6": nn.ReLU6(), "gelu": nn.GELU(), "silu": nn.SiLU(), "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid(), "selu": nn.SELU(),
            "softplus": nn.Softplus(), "softsign": nn.Softsign(), "mish": nn.Mish(), "hard_sigmoid": nn.Hardsigmoid(),
            "hard_swish": nn.Hardswish(), "leaky_relu": nn.LeakyReLU(0.2),
        }.items()
    },
    "Dropout": ([L.Dropout, (0.5,)], (8, 3), module(nn.Identity())),
    "Permute": ([L.Permute, ((2, 1),)], (8, 3), function(lambda x: x.mT)),
    "Reshape": ([L.Reshape, ((4, 6),)], (8, 3), function(lambda x: x.mT.reshape(len(x), 4, 6).mT)),
    "Rescaling": ([L.Rescaling, (0.5, 0.1)], (8, 3), function(lambda x: x * 0.5 + 0.1)),
}  # fmt: skip


def made(parts):
    kind, args, *options = parts
    return [kind(*args, **(options[0] if options else {}))]


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False], ids=["first", "behind"])
@pytest.mark.parametrize("case", CASES)
def test_a_layer_has_the_maps_of_its_twin(case, first):
    parts, shape, body = CASES[case]
    pair = twins(shape, made(parts), body, first=first)
    with torch.no_grad():
        torch.testing.assert_close(pair.keras(pair.x), pair.torch(pair.x_torch), rtol=1e-12, atol=1e-12)
    found = {}
    for name in METHODS:
        wanted = pair.in_keras_layout(explain(pair.torch, pair.x_torch, name, 1))
        found[name] = deviation(explain(pair.keras, pair.x, name, 1), wanted)
    assert {name: by for name, by in found.items() if not by < 1e-11} == {}
