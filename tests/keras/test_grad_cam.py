"""Grad-CAM of Keras models in every layout, against the formula in Keras operations and against PyTorch twins."""

import numpy as np
import pytest
import torch
from torch import nn

from signxai import explain
from signxai.common import ModelError
from signxai.torch_signxai.methods.zennit_impl import GradCAMAnalyzer

keras = pytest.importorskip("keras")
if keras.config.backend() != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)
L = keras.layers


@pytest.fixture(autouse=True, scope="module")
def double():
    """Keras in float64."""
    before, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before)
    keras.config.set_dtype_policy(policy)


SIZES = {1: (12,), 2: (8, 10), 3: (6, 4, 8)}
INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}


def network(axes, layout="channels_last", last=None):
    """A small network with a pooling, so that the map has to be up-sampled."""
    keras.utils.set_random_seed(axes)
    size = SIZES[axes]
    conv, pool = getattr(L, f"Conv{axes}D"), getattr(L, f"MaxPooling{axes}D")
    inputs = keras.Input((*size, 3) if layout == "channels_last" else (3, *size))
    options = {"padding": "same", "data_format": layout}
    x = conv(4, 3, activation="relu", bias_initializer="random_normal", **options)(inputs)
    x = pool(2, data_format=layout)(x)
    x = (last or conv)(5, 3, activation="relu", bias_initializer="random_normal", name="last", **options)(x)
    positive = keras.initializers.RandomUniform(0.0, 1.0)
    head = conv(3, [length // 2 for length in size], data_format=layout, kernel_initializer=positive)  # a Dense layer computes in float32
    return keras.Model(inputs, L.Flatten()(head(x)))


def samples(net):
    return np.random.default_rng(0).normal(size=(2, *net.input_shape[1:]))


def by_hand(net, x, layout, feature=None):
    """ReLU of the channel sum weighted by the mean gradient, up-sampled, over its maximum, repeated over the channels."""
    output = net.get_layer("last").output if feature is None else feature
    features, logits = keras.Model(net.input, [output, net.output])(torch.tensor(x))
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), features)
    channel = -1 if layout == "channels_last" else 1
    places = [axis for axis in range(1, x.ndim) if axis != channel % x.ndim]
    weights = gradient.mean(places, keepdim=True)  # by Keras' mean, of values in float32
    cam = keras.ops.relu(keras.ops.sum(weights * features, axis=channel))
    size = [x.shape[axis] for axis in places]
    cam = nn.functional.interpolate(cam[:, None], size, mode=INTERPOLATION[len(places)])
    cam = cam / cam.flatten(1).amax(1).view(-1, *[1] * (x.ndim - 1))
    return keras.ops.broadcast_to(keras.ops.moveaxis(cam, 1, channel), x.shape).detach().numpy()


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_grad_cam_of_a_named_layer_is_the_formula(axes, layout):
    net = network(axes, layout)
    x = samples(net)
    names = ("grad_cam", "grad_cam_timeseries") if axes == 1 else ("grad_cam",)
    for name in names:
        np.testing.assert_allclose(explain(net, x, name, 0, layer="last"), by_hand(net, x, layout), atol=1e-12)
    guided = by_hand(net, x, layout) * explain(net, x, "guided_backprop", 0)
    np.testing.assert_allclose(explain(net, x, "guided_grad_cam", 0, layer="last"), guided, atol=1e-12)
    np.testing.assert_array_equal(explain(net, x, "grad_cam", 0, layer=net.get_layer("last")), explain(net, x, "grad_cam", 0, layer="last"))


def twin(net, axes):
    """The same network in PyTorch, channels first."""
    conv, pool = getattr(nn, f"Conv{axes}d"), getattr(nn, f"MaxPool{axes}d")
    cells = [length // 2 for length in SIZES[axes]]
    layers = [conv(3, 4, 3, padding="same"), nn.ReLU(), pool(2), conv(4, 5, 3, padding="same"), nn.ReLU(), conv(5, 3, cells), nn.Flatten()]
    for own, layer in zip((layers[0], layers[3], layers[5]), (net.layers[1], net.layers[3], net.layers[4]), strict=True):
        own.weight = nn.Parameter(layer.kernel.value.detach().permute(-1, -2, *range(axes)))
        own.bias = nn.Parameter(layer.bias.value.detach())
    return nn.Sequential(*layers)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("method", ["grad_cam", "guided_grad_cam", "smoothgrad_samples_3", "vargrad_samples_3", "random_uniform"])
def test_the_pytorch_twin_has_the_same_map(axes, method):
    net = network(axes)
    x = samples(net)
    first = np.moveaxis(x, -1, 1)
    np.testing.assert_allclose(np.moveaxis(explain(net, x, method, 0), -1, 1), explain(twin(net, axes), first, method, 0), atol=1e-12)


def test_a_bias_apart_is_part_of_the_feature_map():
    class Apart(nn.Module):
        def __init__(self, conv, head):
            super().__init__()
            self.weight, self.bias, self.head = conv.weight, conv.bias, head

        def forward(self, x):
            return self.head(nn.functional.conv2d(x, self.weight) + self.bias.view(1, -1, 1, 1))

    torch.manual_seed(0)
    conv, head = nn.Conv2d(2, 3, 3).double(), nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)).double()
    conv.bias.data += 1
    x = torch.randn(2, 2, 6, 6, dtype=torch.float64)
    np.testing.assert_allclose(
        explain(Apart(conv, head), x, "grad_cam", 0), explain(nn.Sequential(conv, head), x, "grad_cam", 0), atol=1e-12
    )


def test_a_separable_convolution_is_taken_as_one_layer():
    net = network(2, last=L.SeparableConv2D)
    x = samples(net)
    last = net.get_layer("last")
    taken = GradCAMAnalyzer(net).feature_map(x, 0)
    assert (taken.layer, taken.channel_axes, taken.position_axes) == ("last", (3,), ((1,), (2,), ()))
    last.activation = keras.activations.linear
    last_map = explain(net, x, "grad_cam", 0, layer="last")
    np.testing.assert_allclose(explain(net, x, "grad_cam", 0), last_map, atol=1e-12)


def test_a_layer_of_the_other_layout_between_permutations_is_followed():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 10, 2))
    x = L.Permute((3, 1, 2))(inputs)
    x = L.Conv2D(4, 3, padding="same", data_format="channels_first", name="last")(x)
    x = L.GlobalAveragePooling2D(data_format="channels_first")(x)
    net = keras.Model(inputs, L.Dense(2)(x))
    x = samples(net)
    maps = explain(net, x, "grad_cam", 0)
    assert np.ptp(maps, axis=-1).max() == 0
    assert np.ptp(explain(net, x, "random_uniform", 0), axis=-1).max() == 0
    feature, logits = keras.Model(inputs, [net.get_layer("last").output, net.output])(torch.tensor(x))
    weights = torch.autograd.grad(logits[:, 0].sum(), feature)[0].mean((2, 3), keepdim=True)
    cam = (weights * feature).sum(1).relu()
    np.testing.assert_allclose(maps[..., 0], (cam / cam.amax((1, 2), keepdim=True)).detach().numpy(), atol=1e-12)


def test_frames_in_time_distributed_convolutions_have_maps_of_their_own():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3, 6, 6, 2))
    x = L.TimeDistributed(L.Conv2D(3, 3, padding="same", name="conv"), name="each")(inputs)
    net = keras.Model(inputs, L.Flatten()(L.Conv3D(2, (3, 6, 6), kernel_initializer=keras.initializers.RandomUniform(0.0, 1.0))(x)))
    x = samples(net)
    maps = explain(net, x, "grad_cam", 0)
    feature, logits = keras.Model(inputs, [net.get_layer("each").output, net.output])(torch.tensor(x))
    weights = torch.autograd.grad(logits[:, 0].sum(), feature)[0].mean((2, 3), keepdim=True)
    cam = (weights * feature).sum(-1).relu()
    np.testing.assert_allclose(maps[..., 1], (cam / cam.amax((1, 2, 3), keepdim=True)).detach().numpy(), atol=1e-12)


def test_a_layer_whose_positions_are_lost_is_refused():
    inputs = keras.Input((6, 6, 1))
    x = L.Dense(20)(L.Flatten()(inputs))
    x = L.Conv1D(2, 3, name="last")(L.Reshape((20, 1))(x))
    net = keras.Model(inputs, L.Dense(2)(L.Flatten()(x)))
    with pytest.raises(ModelError, match="last"):
        explain(net, np.ones((1, 6, 6, 1), np.float32), "grad_cam", 0)


@pytest.mark.parametrize(("layout", "channel"), [("channels_last", -1), ("channels_first", 1)])
def test_random_noise_is_the_same_in_every_channel(layout, channel):
    net = network(2, layout)
    noise = explain(net, samples(net), "random_uniform", 0)
    assert np.ptp(noise, axis=channel).max() == 0
    assert len(np.unique(noise)) == 2 * 80
