"""The oracles are right: they reproduce the original package's maps, and Zennit's rules and autograd where those have the same."""

from functools import partial

import numpy as np
import pytest
import torch
from zennit.attribution import Gradient
from zennit.composites import LayerMapComposite
from zennit.rules import AlphaBeta, Epsilon, Flat, Gamma, Norm, Pass, WSquare, ZBox
from zennit.types import Activation, AvgPool, Linear

import oracles
from comparing import deviation
from golden import GOLDEN_FILES, golden
from networks import inputs, network, randomized

LOGIT = {"relevance": "logit"}


def sign_of(x, mu=0.0):
    return np.where(x.numpy() >= mu, 1.0, -1.0)


ALPHA = partial(oracles.alpha_beta, alpha=1, beta=0)
ALPHA2 = partial(oracles.alpha_beta, alpha=2, beta=1)
EPS = partial(oracles.epsilon, eps=0.1)
ORIGINAL = {
    "gradient": oracles.gradient,
    "input_t_gradient": lambda m, x, t: oracles.gradient(m, x, t) * x.numpy(),
    "gradient_x_sign_mu_neg_0_5": lambda m, x, t: oracles.gradient(m, x, t) * sign_of(x, -0.5),
    "guided_backprop": partial(oracles.relu_backward, mode="guided", **LOGIT),
    "deconvnet": partial(oracles.relu_backward, mode="deconvnet", **LOGIT),
    "lrp_z": partial(oracles.lrp, rule=oracles.z, **LOGIT),
    "lrp_epsilon_0_1": partial(oracles.lrp, rule=EPS, **LOGIT),
    "lrp_epsilon_0_25_std_x": partial(oracles.lrp, rule=partial(oracles.epsilon_std_x, k=0.25), **LOGIT),
    "lrpsign_z": partial(oracles.lrp, rule=oracles.z, first=oracles.sign, **LOGIT),
    "lrpsign_epsilon_100_mu_0_5": partial(
        oracles.lrp, rule=partial(oracles.epsilon, eps=100), first=partial(oracles.sign, mu=0.5), **LOGIT
    ),
    "lrpz_epsilon_0_1": partial(oracles.lrp, rule=EPS, first=oracles.z, **LOGIT),
    "w2lrp_epsilon_0_1": partial(oracles.lrp, rule=EPS, first=oracles.wsquare, **LOGIT),
    "flatlrp_epsilon_0_1": partial(oracles.lrp, rule=EPS, first=oracles.flat, **LOGIT),
    "lrp_alpha_1_beta_0": partial(oracles.lrp, rule=ALPHA, **LOGIT),
    "lrp_sequential_composite_a": partial(oracles.lrp, rule=ALPHA, dense=EPS, **LOGIT),
    "w2lrp_sequential_composite_b": partial(oracles.lrp, rule=ALPHA2, dense=EPS, first=oracles.wsquare, **LOGIT),
}


# with biases, the original counts the bias of alpha-beta in both denominators
CASES = [
    (file + suffix, name)
    for file in GOLDEN_FILES
    for suffix in ("", "_nobias")
    for name in ORIGINAL
    if suffix or not ("alpha" in name or "sequential" in name)
]


@pytest.mark.parametrize(("file", "name"), CASES)
def test_an_oracle_reproduces_the_original_packages_map(file, name):
    case = golden(file)
    with torch.no_grad():
        assert deviation(case.model(case.x), case.logits) < 1e-5
    assert deviation(ORIGINAL[name](case.model, case.x, case.target), case.maps[name]) < 1e-5


STAB = {"stabilizer": 1e-6}
ZENNIT = [
    (oracles.z, Epsilon(0.0)),
    (partial(oracles.epsilon, eps=0.3), Epsilon(0.3)),
    (partial(oracles.alpha_beta, alpha=1, beta=0, **STAB), AlphaBeta(1, 0, **STAB)),
    (partial(oracles.alpha_beta, alpha=1.5, beta=0.5, **STAB), AlphaBeta(1.5, 0.5, **STAB)),
    (partial(oracles.gamma, g=0.25, **STAB), Gamma(0.25, **STAB)),
    (partial(oracles.gamma, g=3.0, **STAB), Gamma(3.0, **STAB)),
    (partial(oracles.flat, **STAB), Flat(**STAB)),
    (partial(oracles.zbox, low=-3.0, high=3.0, **STAB), ZBox(-3.0, 3.0, **STAB)),
]


@pytest.mark.parametrize(("rule", "hook"), ZENNIT)
@pytest.mark.parametrize("kind", ["linear", "mlp", "cnn1d", "cnn2d", "cnn3d"])
def test_an_oracle_reproduces_zennits_rule(kind, rule, hook):
    net, x = network(kind), inputs(kind, 2)
    composite = LayerMapComposite([(Activation, Pass()), (AvgPool, Norm(stabilizer=0.0)), (Linear, hook)])
    _, expected = Gradient(net, composite)(x.clone(), torch.eye(4, dtype=torch.float64)[[2, 2]])
    assert deviation(oracles.lrp(net, x, 2, rule), expected) < 1e-12


def test_wsquare_is_zennits_without_its_bias():
    net, x = network("cnn2d", bias=False), inputs("cnn2d", 2)
    composite = LayerMapComposite([(Activation, Pass()), (Linear, WSquare(stabilizer=1e-6))])
    _, expected = Gradient(net, composite)(x.clone(), torch.eye(4, dtype=torch.float64)[[1, 1]])
    assert deviation(oracles.lrp(net, x, 1, partial(oracles.wsquare, stabilizer=1e-6)), expected) < 1e-12


@pytest.mark.parametrize("kind", ["linear", "cnn1d", "cnn2d", "cnn3d"])
def test_z_from_the_logit_is_gradient_times_input(kind):
    net, x = network(kind), inputs(kind)
    expected = oracles.gradient(net, x, 3) * x.numpy()
    assert deviation(oracles.lrp(net, x, 3, oracles.z, relevance="logit"), expected) < 1e-10


def test_integrated_gradients_tends_to_completeness_on_a_smooth_network():
    net, x = network("mlp", activation=torch.nn.Softplus), inputs("mlp", 2)
    with torch.no_grad():
        expected = (net(x) - net(torch.full_like(x, 0.2)))[:, 1].numpy()
    coarse, fine = (deviation(oracles.integrated_gradients(net, x, 1, n, 0.2).reshape(2, -1).sum(1), expected) for n in (51, 101))
    assert fine < 1e-4
    assert fine / coarse == pytest.approx(1 / 4, rel=0.02)  # a rule of second order


def test_folding_a_batch_norm_keeps_the_layers_output():
    conv, norm, x = network("cnn2d")[0], randomized(torch.nn.BatchNorm2d(5), 5), inputs("cnn2d")
    assert torch.allclose(norm(conv(x)), oracles.folded(conv, norm)(x), atol=1e-12)
