"""The laws on the networks of keras.applications, with random weights and statistics."""

import importlib
import sys

import numpy as np
import pytest
import torch

from places import TOOLS
from signxai import explain, inspect_model

keras = pytest.importorskip("keras")
if keras.config.backend() != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

pytestmark = pytest.mark.slow
sys.path.append(str(TOOLS))
keras_applications = importlib.import_module("keras_applications")
architectures = importlib.import_module("architectures")

TESTED = {
    "VGG16": "block5_conv3", "ResNet50V2": "conv5_block3_3_conv", "MobileNetV2": "Conv_1",
    "ConvNeXtTiny": "convnext_tiny_stage_3_block_2_depthwise_conv",
}  # fmt: skip
"""From a network to its last convolution. Larger ones are measured by tools/keras_applications.py: one
alone takes as long as all of these."""


@pytest.fixture(scope="module", autouse=True)
def double():
    """Keras computes in float64."""
    with keras_applications.in_float64():
        yield


@pytest.fixture(scope="module")
def case(request):
    """A network, a batch of two, and a class for which Grad-CAM is not zero; the tests of one network stand together."""
    network = keras_applications.NETWORKS[request.param]
    net = network.built()
    return request.param, network, net, torch.cat([network.sample(0), network.sample(1)])


def state(net):
    return [(weight.path, weight.value.detach().clone()) for weight in net.weights]


every_network = pytest.mark.parametrize("case", TESTED, indirect=True)


@every_network
def test_every_value_is_accounted_for_and_z_is_gradient_times_input(case):
    _, network, net, x = case
    target = architectures.predicted(net, x[:1])
    report = inspect_model(net, x[:1], "lrp_epsilon_0_1", target)
    assert report.relevance_at_output == 1
    assert report.relevance_at_input != 0
    assert not report.unknown_operations
    assert architectures.imbalance(report) <= 1e-9
    if network.is_piecewise_linear:
        assert architectures.law_1_deviation(net, x[:1], target) <= 1e-9


@every_network
def test_a_batch_is_its_samples_and_the_model_stays_as_it_was(case):
    _, _, net, x = case
    before = state(net)
    both = explain(net, x, "lrp_epsilon_0_1", [1, 2])
    alone = explain(net, x[1:], "lrp_epsilon_0_1", 2)
    np.testing.assert_allclose(both[1:], alone, rtol=0, atol=1e-9 * np.abs(alone).max())
    assert all(name == old and torch.equal(value, now) for (name, now), (old, value) in zip(state(net), before, strict=True))
    assert all(weight.value.grad is None for weight in net.weights)


@every_network
def test_grad_cam_at_the_last_convolution_is_the_formula(case):
    name, _, net, x = case
    layer = net.get_layer(TESTED[name])
    assert layer is keras_applications.last_convolution(net)
    assert keras_applications.grad_cam_deviation(net, x[:1], layer) <= 1e-9


def test_the_page_says_which_networks_are_tested_and_has_all_of_the_table():
    page = keras_applications.DOCUMENT.read_text(encoding="utf-8")
    tested = page.partition("`make test` holds ")[2].partition(" to 1e-9")[0]
    assert set(tested.replace(" and ", ", ").split(", ")) == set(TESTED)
    rows = page.partition(keras_applications.BEGIN)[2].partition(keras_applications.END)[0].splitlines()
    assert [row.split("|")[1].strip() for row in rows if " x 3 |" in row] == list(keras_applications.MEASURED)
    assert all(abs(float(row.split("|")[column].strip() or 0)) <= 1e-9 for row in rows if " x 3 |" in row for column in (5, -3, -2))
