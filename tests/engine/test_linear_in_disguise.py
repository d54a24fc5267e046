"""A product with constant weights is a linear layer, and takes its rule, however it is written; shorthands are what they stand for."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from comparing import deviation
from networks import Written, drawn, randomized
from signxai import explain
from signxai.common import ModelError

METHODS = ["lrp_z", "lrp_epsilon_0_1", "lrp_gamma_0_25", "lrpsign_epsilon_0_25_std_x", "lrp_alpha_2_beta_1", "lrp_wsquare",
           "zblrp_epsilon_0_1_low_neg_1_high_1"]  # fmt: skip


X = drawn(3, 6, 5, seed=0)
VECTOR, WEIGHT, LEFT, BY_ROW = drawn(5, seed=1), drawn(4, 5, seed=2), drawn(4, 6, seed=3), drawn(6, 5, 4, seed=4)
AS_GROUPS = BY_ROW.transpose(1, 2).reshape(24, 5, 1)


def by_rows(x):
    return F.linear(x, WEIGHT).relu().flatten(1)


def by_groups(x):
    return F.conv1d(x.reshape(len(x), 30, 1), AS_GROUPS, groups=6).relu().flatten(1)


def with_a_gate(x):
    gate = x[:, :3].sigmoid()
    return ((1 - gate) * x[:, :3].tanh() + gate * x[:, 3:]).flatten(1)


TWINS = {
    "@ vector": (lambda x: (x @ VECTOR).relu(), lambda x: F.linear(x, VECTOR[None]).squeeze(-1).relu()),
    "mv": (lambda x: torch.stack([torch.mv(row, VECTOR) for row in x]).relu(), lambda x: F.linear(x, VECTOR[None]).squeeze(-1).relu()),
    "linear of a vector": (lambda x: F.linear(x, VECTOR).relu(), lambda x: F.linear(x, VECTOR[None]).squeeze(-1).relu()),
    "@ one matrix of three axes": (lambda x: (x @ WEIGHT.t()[None]).relu().flatten(1), by_rows),
    "linalg.matmul": (lambda x: torch.linalg.matmul(x, WEIGHT.t()).relu().flatten(1), by_rows),
    "multi_dot": (lambda x: torch.stack([torch.linalg.multi_dot([row, WEIGHT.t()]) for row in x]).relu().flatten(1), by_rows),
    "tensordot": (lambda x: torch.tensordot(x, WEIGHT, ([2], [1])).relu().flatten(1), by_rows),
    "inner": (lambda x: torch.inner(x, WEIGHT).relu().flatten(1), by_rows),
    "einsum": (lambda x: torch.einsum("nti,oi->nto", x, WEIGHT).relu().flatten(1), by_rows),
    "einsum by rows": (lambda x: torch.einsum("nti,tio->nto", x, BY_ROW).relu().flatten(1), by_groups),
    "bmm-like": (lambda x: (x.unsqueeze(2) @ BY_ROW).relu().flatten(1), by_groups),
    "matrix on the left": (lambda x: (LEFT @ x).relu().flatten(1), lambda x: F.linear(x.mT, LEFT).mT.relu().flatten(1)),
    "glu": (lambda x: F.glu(x, 1).flatten(1), lambda x: (x[:, :3] * x[:, 3:].sigmoid()).flatten(1)),
    "lerp": (lambda x: torch.lerp(x[:, :3].tanh(), x[:, 3:], x[:, :3].sigmoid()).flatten(1), with_a_gate),
    "addcmul": (
        lambda x: torch.addcmul(x[:, :3], x[:, 3:], x[:, :3].sigmoid(), value=0.5).flatten(1),
        lambda x: (x[:, :3] + x[:, 3:] * x[:, :3].sigmoid() * 0.5).flatten(1),
    ),
    "addcdiv": (
        lambda x: torch.addcdiv(x[:, :3], x[:, 3:], x[:, :3].exp()).flatten(1),
        lambda x: (x[:, :3] + x[:, 3:] / x[:, :3].exp()).flatten(1),
    ),
    "baddbmm": (
        lambda x: torch.baddbmm(x[:, :4, :4], x[:, :4], x[:, :5, :4], beta=2, alpha=0.5).flatten(1),
        lambda x: (x[:, :4, :4] * 2 + (x[:, :4] @ x[:, :5, :4]) * 0.5).flatten(1),
    ),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", TWINS)
def test_written_one_way_or_the_other(name, method):
    one, other = (Written(lambda _, x, function=function: function(x)) for function in TWINS[name])
    torch.testing.assert_close(one(X), other(X), rtol=1e-12, atol=1e-12)
    expected = explain(other, X, method, 1)
    assert np.abs(expected).max() > 0
    assert deviation(explain(one, X, method, 1), expected) < 1e-12


@pytest.mark.parametrize("beta", [1, 0.5])
def test_addmm_is_a_linear_layer_with_a_bias(beta):
    bias = drawn(4, seed=5)
    net = Written(lambda _, x: torch.addmm(bias, x[:, 0], WEIGHT.t(), beta=beta).relu())
    expected = explain(Written(lambda _, x: F.linear(x[:, 0], WEIGHT, bias * beta).relu()), X, "lrp_z", 1)
    assert deviation(explain(net, X, "lrp_z", 1), expected) < 1e-12


def test_addmm_with_a_bias_that_depends_on_the_input():
    net = Written(lambda _, x: torch.addmm(x[0, 0, :4], x[:, 0], WEIGHT.t()).relu())
    other = Written(lambda _, x: (x[0, 0, :4] + F.linear(x[:, 0], WEIGHT)).relu())
    for method in METHODS:
        assert deviation(explain(net, X[:1], method, 1), explain(other, X[:1], method, 1)) < 1e-12


MASK = torch.ones(6, 6, dtype=torch.bool).tril()
BLIND = MASK.clone()
BLIND[2] = False


@pytest.mark.parametrize("method", ["lrp_z", "gradient"])
def test_a_query_that_may_see_nothing_hands_nothing_on(method):
    net = Written(lambda _, x: F.scaled_dot_product_attention(x, x, x, attn_mask=BLIND)[:, 2])
    other = Written(lambda _, x: F.scaled_dot_product_attention(x, x, x, attn_mask=BLIND)[:, 3])
    assert not explain(net, X, method, 1).any()
    assert np.abs(explain(other, X, method, 1)).max() > 0


def test_two_masks_are_refused_as_torch_refuses_them():
    net = Written(lambda _, x: F.scaled_dot_product_attention(x, x, x, attn_mask=MASK, is_causal=True).flatten(1))
    with pytest.raises(ModelError, match="is_causal"):
        explain(net, X, "lrp_z", 1)


@pytest.mark.parametrize("method", ["guided_backprop", "deconvnet"])
def test_the_relus_of_a_recurrent_network_are_relus(method):
    rnn = randomized(nn.RNN(5, 4, nonlinearity="relu", batch_first=True))

    def by_hand(m, x):
        rnn = m["rnn"]
        h = torch.zeros(len(x), 4, dtype=x.dtype)
        for step in x.unbind(1):
            h = torch.relu(F.linear(step, rnn.weight_ih_l0, rnn.bias_ih_l0) + F.linear(h, rnn.weight_hh_l0, rnn.bias_hh_l0))
        return h

    expected = explain(Written(by_hand, rnn=rnn), X, method, 1)
    assert np.abs(expected).max() > 0
    assert deviation(explain(Written(lambda m, x: m["rnn"](x)[0][:, -1], rnn=rnn), X, method, 1), expected) < 1e-12
