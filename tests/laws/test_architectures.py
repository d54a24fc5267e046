"""The laws on torchvision's architectures and on a U-Net, and which methods run on every family of them."""

import importlib
import re
import sys

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from places import TOOLS
from signxai import explain, inspect_model
from signxai.common import ModelError

pytestmark = pytest.mark.slow
sys.path.append(str(TOOLS))
architectures = importlib.import_module("architectures")

NETWORKS = architectures.NETWORKS
PIECEWISE_LINEAR = [name for name, network in NETWORKS.items() if network.piecewise_linear]
WITHOUT_RELU = ["convnext_tiny", "efficientnet_b0", "efficientnet_v2_s", "maxvit_t", "swin_t", "swin_v2_t", "vit_b_32"]


@pytest.fixture(scope="module")
def case(request):
    """A network, a sample and a target; the tests of one network stand together, so that it is built once."""
    network = NETWORKS[request.param]
    net, x = network.built(), network.sample()
    return net, x, architectures.predicted(net, x) if network.target is None else network.target


@pytest.mark.parametrize("case", PIECEWISE_LINEAR, indirect=True)
def test_z_from_the_logit_is_gradient_times_input(case):
    assert architectures.law_1_deviation(*case) <= 1e-9


@pytest.mark.parametrize("case", NETWORKS, indirect=True)
def test_the_report_accounts_for_all_relevance(case):
    report = inspect_model(*case[:2], "lrp_epsilon_0_1", case[2])
    assert report.relevance_at_output == 1
    assert report.relevance_at_input != 0
    assert not report.unknown_operations
    assert architectures.imbalance(report) <= 1e-9


@pytest.mark.parametrize("size", [96, 224])
def test_law_1_on_real_weights_where_relu6_cuts_off(size):
    made = architectures.lite0()
    if made is None:
        pytest.skip("its packages are not installed")
    net, x = made[0].double(), nn.functional.interpolate(made[1].double(), size=(size, size))
    target = architectures.predicted(net, x)
    report = inspect_model(net, x, "lrp_z", target)
    assert any(row.operation == "hardtanh" and abs(row.absorbed_elsewhere) > 1e-6 for row in report.rows)
    assert architectures.law_1_deviation(net, x, target) <= 1e-9


@pytest.mark.parametrize("target", [(4, 10, 21), (0, 0, 0), (9, 31, 31)])
def test_relevance_of_one_pixel_of_a_segmentation_comes_from_what_it_sees(target):
    net, x = NETWORKS["U-Net"].built(), NETWORKS["U-Net"].sample()
    leaf = x.clone().requires_grad_()
    sees = torch.autograd.grad(net(leaf)[(0, *target)], leaf)[0] != 0
    relevance = explain(net, x, "lrp_epsilon_0_1", target, as_tensor=True)
    assert not relevance[~sees].any()
    assert relevance[sees].abs().max() > 0
    same = explain(net, x, "lrp_epsilon_0_1", lambda logits: logits[(slice(None), *target)], as_tensor=True)
    assert torch.equal(relevance, same)


def test_every_classifier_of_torchvision_belongs_to_a_family():
    names = torchvision.models.list_models(module=torchvision.models)
    families = {name: [member for member, pattern in architectures.FAMILIES.items() if re.fullmatch(pattern, name)] for name in names}
    assert {name: found for name, found in families.items() if len(found) != 1} == {}
    assert set(architectures.FAMILIES) <= set(names)


def _is_reported(name, method):
    """Whether the map is one that a report above accounts for."""
    return method == "lrp_epsilon_0_1" and name in NETWORKS


@pytest.fixture(scope="module")
def member(request):
    return request.param, *architectures.family_member(request.param)


@pytest.mark.filterwarnings("ignore::signxai.methods.cam.ZeroMapWarning")
@pytest.mark.parametrize(
    ("member", "method"),
    [(name, method) for name in architectures.FAMILIES for method in architectures.METHODS if not _is_reported(name, method)],
    indirect=["member"],
)
def test_each_method_runs_on_each_family(member, method):
    name, net, x = member
    if method == "guided_backprop" and name in WITHOUT_RELU:
        with pytest.raises(ModelError, match="this one has none"):
            explain(net, x, method)
        return
    relevance = explain(net, x, method)  # warnings are errors here
    assert relevance.shape == x.shape
    assert np.isfinite(relevance).all()
    if method == "grad_cam":  # may be zero: where all evidence is against the class
        assert relevance.min() >= 0
        assert relevance.max() in (0, 1)
    else:
        assert np.abs(relevance).max() > 0
