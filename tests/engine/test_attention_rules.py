"""Attention by CP-LRP, whose weights are constants: every way of writing it, what counts as weights and what does not; and its heads.

The oracle is a network whose softmax is detached: on networks that are linear otherwise ``lrp_z`` from the logit is its gradient times the
input.
"""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import oracles
from comparing import assert_same_map, deviation
from networks import drawn, randomized
from signxai import explain, explain_all, inspect_model, parse_method
from signxai.common import ModelError, OptionError
from signxai.torch_signxai import calculate_relevancemap
from signxai.torch_signxai.methods.zennit_impl import AdvancedLRPAnalyzer, DeepTaylorAnalyzer, LRPAnalyzer, LRPSequential

N, T, D, H = 3, 5, 8, 2
E = D // H
SCALE = E**-0.5


class Attention(nn.Module):
    """Attention of H heads (N, H, T, E) beside a residual on (N, T, D); ``mix`` makes of queries, keys and values what the heads give.

    ``weigh`` ends each softmax: as it is, or, for the oracle, cut from the graph.
    """

    def __init__(self, mix, weigh=lambda weights: weights, bias=True, kv_heads=H):
        super().__init__()
        self.inner = nn.Linear(D, D, bias)
        self.q, self.k, self.v = (nn.Linear(D, E * heads, bias) for heads in (H, kv_heads, kv_heads))
        self.o, self.head = nn.Linear(D, D, bias), nn.Linear(D, 3, bias)
        self.heads = nn.Linear(H, H)
        self.layers_over_heads = nn.Sequential(nn.Linear(H, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, H))
        self.memory = nn.Parameter(torch.zeros(7, E))
        self.drop = nn.Dropout(0.5)
        self.mix, self.weigh = mix, weigh

    def forward(self, x):
        x = x + self.inner(x)
        q, k, v = (layer(x).unflatten(-1, (-1, E)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        return self.head((x + self.o(self.mix(self, q, k, v).transpose(1, 2).flatten(2))).mean(1))


def scores(q, k):
    return q @ k.mT * SCALE


def merged(*tensors):
    return (t.reshape(-1, T, E) for t in tensors)


def by_bmm(net, q, k, v):
    q, k, v = merged(q, k, v)
    return torch.bmm(F.softmax(torch.bmm(q, k.transpose(1, 2)) / math.sqrt(E), dim=2), v).view(-1, H, T, E)


def by_baddbmm(net, q, k, v):
    q, k, v = merged(q, k, v)
    weights = torch.baddbmm(torch.zeros(len(q), T, T, dtype=q.dtype), q, k.transpose(1, 2), alpha=SCALE).softmax(-1)
    return torch.baddbmm(torch.zeros(len(q), T, E, dtype=q.dtype), weights, v).view(-1, H, T, E)


def by_hand(net, q, k, v):
    s = scores(q, k)
    e = (s - s.amax(-1, keepdim=True)).exp()
    return (e / e.sum(-1, keepdim=True)) @ v


def divided_behind(net, q, k, v):
    e = scores(q, k).exp()
    return (e @ v) / e.sum(-1, keepdim=True)


def in_a_loop(net, q, k, v):
    weights = scores(q, k).softmax(-1)
    return sum(weights[..., i : i + 1] * v[:, :, i : i + 1] for i in range(T))


def head_by_head(net, q, k, v):
    return torch.stack([scores(q[:, h], k[:, h]).softmax(-1) @ v[:, h] for h in range(H)], 1)


def matrix_by_matrix(function):
    def mix(net, q, k, v):
        weights = scores(q, k).softmax(-1)
        return torch.stack([torch.stack([function(weights[i, h], v[i, h]) for h in range(H)]) for i in range(len(q))])

    return mix


def into_a_buffer(net, q, k, v):
    weights = torch.zeros(len(q), H, T, T, dtype=q.dtype)
    weights[:, :, :] = scores(q, k).softmax(-1)
    return weights @ v


def overwritten_afterwards(net, q, k, v):
    weights = scores(q, k).softmax(-1)
    mixed = torch.matmul(weights, v)
    weights.zero_()
    return mixed


def renormalized(net, q, k, v):
    weights = scores(q, k).softmax(-1) * 2
    return (weights / weights.sum(-1, keepdim=True)) @ v


def in_place(net, q, k, v):
    weights = scores(q, k).softmax(-1)
    weights *= 1.0
    return torch.matmul(weights, v)


def by_operator(net, q, k, v):
    return torch.ops.aten.matmul(torch.ops.aten.softmax.int(scores(q, k), -1), v)


def fused(net, q, k, v):
    return F.scaled_dot_product_attention(q, k, v)


TWINS = {
    "matmul": lambda net, q, k, v: torch.matmul(torch.softmax(scores(q, k), -1), v),
    "with dropout off": lambda net, q, k, v: net.drop(scores(q, k).softmax(-1)) @ v,
    "fused with dropout of 0": lambda net, q, k, v: F.scaled_dot_product_attention(q, k, v, None, 0.0),
    "with a mask that hides nothing": lambda net, q, k, v: F.scaled_dot_product_attention(q, k, v, torch.ones(T, T, dtype=torch.bool)),
    "bmm": by_bmm,
    "baddbmm": by_baddbmm,
    "einsum": lambda net, q, k, v: torch.einsum("bhts,bhsd->bhtd", torch.einsum("bhtd,bhsd->bhts", q, k).mul(SCALE).softmax(-1), v),
    "by hand": by_hand,
    "divided behind the product": divided_behind,
    "weighed and summed": lambda net, q, k, v: (scores(q, k).softmax(-1)[..., None] * v[:, :, None]).sum(-2),
    "values first": lambda net, q, k, v: (v[:, :, None] * scores(q, k).softmax(-1).unsqueeze(-1)).sum(3),
    "in a loop": in_a_loop,
    "transposed": lambda net, q, k, v: (v.mT @ scores(k, q).softmax(-2)).mT,
    "moved, copied and converted": lambda net, q, k, v: scores(q, k).softmax(-1).flatten(0, 1).contiguous().to(v).view(-1, H, T, T) @ v,
    "F.linear": matrix_by_matrix(lambda weights, v: F.linear(weights, v.t())),
    "tensordot": matrix_by_matrix(lambda weights, v: torch.tensordot(weights, v, 1)),
    "vector by vector": matrix_by_matrix(lambda weights, v: torch.stack([row @ v for row in weights])),
    "head by head": head_by_head,
    "log-softmax": lambda net, q, k, v: F.log_softmax(scores(q, k), -1).exp() @ v,
    "softmin": lambda net, q, k, v: F.softmin(-scores(q, k), -1) @ v,
    "in place": in_place,
    "overwritten afterwards": overwritten_afterwards,
    "into a buffer": into_a_buffer,
    "renormalized": renormalized,
    "an operator": by_operator,
}


def embedded():
    return drawn(N, T, D)


@pytest.mark.parametrize("method", ["lrp_z_cp", "lrp_epsilon_0_1_cp", "lrp_alpha_2_beta_1_cp"])
@pytest.mark.parametrize("way", TWINS)
def test_every_way_of_writing_attention_has_one_map(way, method):
    assert_same_map(randomized(Attention(fused)), randomized(Attention(TWINS[way])), embedded(), method)


def grouped(net, q, k, v):
    return F.scaled_dot_product_attention(q, *(t.repeat_interleave(H // t.shape[1], 1) for t in (k, v)))


def causal(net, q, k, v):
    hidden = torch.ones(T, T, dtype=torch.bool).triu(1)
    return scores(q, k).masked_fill(hidden, -math.inf).softmax(-1) @ v


MASKED = {
    "is_causal": lambda net, q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    "a boolean mask": lambda net, q, k, v: F.scaled_dot_product_attention(q, k, v, torch.ones(T, T, dtype=torch.bool).tril()),
    "an additive mask": lambda net, q, k, v: F.scaled_dot_product_attention(q, k, v, torch.full((T, T), -math.inf).triu(1).double()),
}


@pytest.mark.parametrize("way", MASKED)
def test_masked_attention_has_one_map(way):
    assert_same_map(randomized(Attention(causal)), randomized(Attention(MASKED[way])), embedded(), "lrp_epsilon_0_1_cp")


def test_attention_of_grouped_queries_has_one_map():
    fused_groups = Attention(lambda net, q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True), kv_heads=1)
    assert_same_map(randomized(Attention(grouped, kv_heads=1)), randomized(fused_groups), embedded(), "lrp_epsilon_0_1_cp")


class WithModule(nn.Module):
    """``nn.MultiheadAttention``, or the same by hand with its parameters."""

    def __init__(self, is_by_hand, **options):
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(D, H, batch_first=True), nn.Linear(D, 3)
        self.is_by_hand, self.options = is_by_hand, options

    def forward(self, x):
        if not self.is_by_hand:
            return self.head(self.attention(x, x, x, **self.options)[0].mean(1))
        layer = self.attention
        q, k, v = F.linear(x, layer.in_proj_weight, layer.in_proj_bias).unflatten(-1, (3, H, E)).permute(2, 0, 3, 1, 4)
        return self.head(layer.out_proj((scores(q, k).softmax(-1) @ v).transpose(1, 2).flatten(2)).mean(1))


@pytest.mark.parametrize("options", [{}, {"need_weights": False}, {"average_attn_weights": False}])
def test_the_module_has_the_map_of_attention_by_hand(options):
    by_hand, module = (randomized(WithModule(is_by_hand, **options)) for is_by_hand in (True, False))
    assert_same_map(by_hand, module, embedded(), "lrp_epsilon_0_1_cp")
    heads = [inspect_model(net, embedded(), "lrp_epsilon_0_1_cp", 1).heads for net in (by_hand, module)]
    np.testing.assert_allclose(*([row.relevance for row in rows] for rows in heads), rtol=1e-10)


# What counts as weights


def talking_heads(net, q, k, v):
    weights = net.weigh(scores(q, k).softmax(-1))
    return net.heads(weights.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) @ v


def heads_mixed_by_a_convolution(net, q, k, v):
    return F.conv2d(net.weigh(scores(q, k).softmax(-1)), net.heads.weight[:, :, None, None]) @ v


def heads_mixed_by_layers_in_a_row(net, q, k, v):
    weights = net.weigh(scores(q, k).softmax(-1)).permute(0, 2, 3, 1)
    return net.layers_over_heads(weights).permute(0, 3, 1, 2) @ v


def scaled_by_norms(net, q, k, v):
    return (net.weigh(scores(q, k).softmax(-1)) * net.weigh(k.square().sum(-1).rsqrt())[:, :, None]) @ v


def differential(net, q, k, v):
    first, second = (net.weigh((factor * scores(q, k)).softmax(-1)) for factor in (1, 3))
    return (first - 0.5 * second) @ v


def efficient(net, q, k, v):
    return net.weigh(q.softmax(-1)) @ (net.weigh(k.softmax(-2)).mT @ v)


def landmarks(net, q, k, v):
    few_q, few_k = q[:, :, ::2], k[:, :, ::2]
    from_all, among, to_all = (net.weigh(scores(a, b).softmax(-1)) for a, b in ((q, few_k), (few_q, few_k), (few_q, k)))
    return (from_all @ (2 * torch.eye(3, dtype=q.dtype) - among)) @ (to_all @ v)


def masked_behind(net, q, k, v):
    return (net.weigh(scores(q, k).softmax(-1)) * torch.ones(T, T, dtype=q.dtype).tril()) @ v


def over_queries(net, q, k, v):
    weights = net.weigh(scores(q, k).softmax(-2))
    return weights / weights.sum(-1, keepdim=True) @ v


def over_channels(net, q, k, v):
    return (net.weigh((q.mT @ k).softmax(-1)) @ v.mT).mT


def gated_weights(net, q, k, v):
    return (net.weigh(scores(q, k).softmax(-1)) * net.weigh(scores(k, q).sigmoid())) @ v


def of_sigmoids(net, q, k, v):
    return net.weigh(scores(q, k).sigmoid()) @ v


def of_two_steps(net, q, k, v):
    return net.weigh(scores(q, k).softmax(-1)) @ (net.weigh(scores(k, q).softmax(-1)) @ v)


def of_steps_joined(net, q, k, v):
    return (net.weigh(scores(q, k).softmax(-1)) @ net.weigh(scores(k, q).softmax(-1))) @ v


def dynamic_convolution(net, q, k, v):
    kernels = net.weigh(q[:, :, 0, :3].softmax(-1))
    return torch.stack(
        [
            torch.stack([F.conv1d(v[i, h].t()[:, None], kernels[i, h].view(1, 1, 3), padding=1)[:, 0].t() for h in range(H)])
            for i in range(len(v))
        ]
    )


def differential_place_by_place(net, q, k, v):
    first, second = (net.weigh((factor * scores(q, k)).softmax(-1)) for factor in (1, 3))
    return ((first - 0.5 * second)[..., None] * v[:, :, None]).sum(3)


WEIGHTS = (
    talking_heads,
    heads_mixed_by_a_convolution,
    heads_mixed_by_layers_in_a_row,
    scaled_by_norms,
    differential,
    efficient,
    landmarks,
    masked_behind,
    over_queries,
    over_channels,
    gated_weights,
    of_sigmoids,
)
WEIGHTS += (of_two_steps, of_steps_joined, dynamic_convolution, differential_place_by_place)


@pytest.mark.parametrize("mix", WEIGHTS)
def test_weights_are_constants(mix):
    x = embedded()
    net, oracle = (randomized(Attention(mix, weigh)) for weigh in (lambda weights: weights, torch.Tensor.detach))
    expected = oracles.gradient(oracle, x, 1) * x.numpy()
    assert deviation(explain(net, x, "lrp_z_cp", 1, relevance="logit"), expected) < 1e-11
    assert deviation(explain(net, x, "lrp_z", 1, relevance="logit"), expected) > 1e-3, "the two variants cannot be told apart here"


def assert_values_have_all(net, method):
    assert explain(net, embedded(), method, 1, at="v").any()
    for layer in ("q", "k"):
        with pytest.raises(ModelError, match=f"no relevance arrives at the output of '{layer}': .*attention weights"):
            explain(net, embedded(), method, 1, at=layer)


VALUES = {
    "values from sigmoids": (lambda net, q, k, v: scores(q, k).softmax(-1) @ v.sigmoid()),
    "the same place by place": (lambda net, q, k, v: (scores(q, k).softmax(-1)[..., None] * v.sigmoid()[:, :, None]).sum(3)),
    "the same by F.linear": matrix_by_matrix(lambda weights, v: F.linear(weights, v.softmax(-1).t())),
    "values from a softmax": (lambda net, q, k, v: scores(q, k).softmax(-1) @ v.softmax(-1)),
    "differences of weights beside sigmoids": lambda net, q, k, v: (scores(q, k).softmax(-1) - scores(k, q).softmax(-1)) @ v.sigmoid(),
}


@pytest.mark.parametrize("way", VALUES)
def test_values_that_are_squashed_are_values_all_the_same(way):
    assert_values_have_all(randomized(Attention(VALUES[way])), "lrp_z_cp")


SAME_IN_BOTH = {
    "a softmax that weighs a memory": lambda net, q, k, v: scores(q, net.memory).softmax(-1) @ net.memory,
    "scores without a softmax": lambda net, q, k, v: (q @ k.mT) @ v,
    "linear attention": lambda net, q, k, v: (F.elu(q) + 1) @ ((F.elu(k) + 1).mT @ v),
    "what a memory gives, in a product": lambda net, q, k, v: ((scores(q, net.memory).softmax(-1) @ net.memory) @ k.mT) @ v,
    "gates of channels": lambda net, q, k, v: v * q.mean(2, keepdim=True).softmax(-1),
    "gates of experts": lambda net, q, k, v: (torch.stack([q, k, v], -1) * net.inner.weight[:3, 0].softmax(-1)).sum(-1),
    "a softmax that is no factor": lambda net, q, k, v: v + q.softmax(-1),
}


@pytest.mark.parametrize("way", SAME_IN_BOTH)
def test_what_is_no_weight_of_values_keeps_its_rule(way):
    net = randomized(Attention(SAME_IN_BOTH[way]))
    expected = explain(net, embedded(), "lrp_epsilon_0_1", 1)
    assert np.array_equal(explain(net, embedded(), "lrp_epsilon_0_1_cp", 1), expected)


class OfMemory(nn.Module):
    """Everything goes through a softmax over a learned memory, and what is read there decides how values are weighed."""

    def __init__(self, memory):
        super().__init__()
        self.first, self.memory, self.head = nn.Linear(D, 6), memory, nn.Linear(6, 3)

    def forward(self, x):
        scores = self.first(x)
        return self.head((self.memory(scores.softmax(-1)) @ scores.mT).mean(1, keepdim=True) @ scores)[:, 0]


MEMORIES = {
    "a layer": lambda: nn.Linear(6, 6),
    "layers in a row": lambda: nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6)),
    "a convolution": lambda: nn.Sequential(Transposed(), nn.Conv1d(6, 6, 1), Transposed()),
}


class Transposed(nn.Module):
    def forward(self, x):
        return x.mT


@pytest.mark.parametrize("memory", MEMORIES)
def test_attention_to_a_memory_explains_the_input(memory):
    net, x = randomized(OfMemory(MEMORIES[memory]())), embedded()
    expected = explain(net, x, "lrp_z", 1)
    assert expected.any()
    assert np.array_equal(explain(net, x, "lrp_z_cp", 1), expected)


def test_an_activation_at_the_output_is_taken_off_all_the_same():
    net, x = randomized(Attention(fused)), embedded()
    expected = explain(net, x, "lrp_z_cp", 1)
    assert np.array_equal(explain(nn.Sequential(net, nn.Softmax(-1)), x, "lrp_z_cp", 1), expected)


# Where relevance goes


@pytest.mark.parametrize("method", ["lrp_z", "lrp_gamma_0_25"])
@pytest.mark.parametrize("mix", [fused, by_hand, TWINS["weighed and summed"]])
def test_without_biases_nothing_is_lost_and_nothing_reaches_queries_and_keys(mix, method):
    net, x = randomized(Attention(mix, bias=False)), embedded()
    assert abs(explain(net, x, f"{method}_cp", 1).sum() - N) < 1e-9
    assert abs(explain(net, x, method, 1).sum() - N) > 1e-3, "by AttnLRP the softmax takes some"
    assert_values_have_all(net, f"{method}_cp")


def test_the_report_says_so():
    report = inspect_model(randomized(Attention(fused, bias=False)), embedded(), "lrp_z_cp", 1)
    product = next(row for row in report.rows if "CP-LRP" in row.rule)
    assert product.operation == "matmul"
    assert product.relevance_at_input == pytest.approx(product.relevance_at_output)
    assert {row.relevance_at_output for row in report.rows if row.operation == "softmax"} == {0.0}
    assert abs(report.unaccounted) < 1e-9
    assert abs(report.relevance_at_input - report.relevance_at_output) < 1e-9


# Every entry, every option


def test_every_entry_gives_one_map():
    net, x = randomized(Attention(fused)), embedded()
    expected = explain(net, x, "lrp_epsilon_0_1_cp", 1)
    assert deviation(explain(net, x, "lrp_epsilon_0_1", 1), expected) > 1e-3
    for name in ("lrp_epsilon_0_1", parse_method("lrp_epsilon_0_1")):
        assert np.array_equal(explain(net, x, name, 1, attention="cp"), expected)
    maps = explain_all(net, x, ["gradient", "lrp_epsilon_0_1", "lrp_z"], 1, attention="cp")
    assert np.array_equal(maps["lrp_epsilon_0_1"], expected)
    start = {"batchmode": True, "relevance": "one_hot"}
    assert np.array_equal(calculate_relevancemap("lrp_epsilon_0_1", x, net, 1, attention="cp", **start), expected)
    assert np.array_equal(LRPAnalyzer(net, "epsilon", 0.1, attention="cp").analyze(x, 1), expected)
    assert np.array_equal(AdvancedLRPAnalyzer(net, "epsilon", epsilon=0.1, attention="cp").analyze(x, 1), expected)
    assert np.array_equal(DeepTaylorAnalyzer(net, 0.1, attention="cp").analyze(x, 1), expected)
    assert np.array_equal(explain(net, x, "deep_taylor_cp", 1, epsilon=0.1), expected)
    everywhere = {f"{place}_layer_rule": "epsilon" for place in ("first", "middle", "last")}
    assert np.array_equal(LRPSequential(net, **everywhere, epsilon=0.1, attention="cp").analyze(x, 1), expected)
    assert inspect_model(net, x, "lrp_epsilon_0_1_cp", 1).relevance_at_input == pytest.approx(expected.sum(), rel=1e-10)
    for rows in ({"batch_size": 1}, {"batch_size": 2}):
        assert deviation(explain(net, x, "lrp_epsilon_0_1_cp", 1, **rows), expected) < 1e-12
    multiplied = explain(net, x, "lrp_epsilon_0_1_cp_x_input", 1)
    np.testing.assert_array_equal(multiplied, expected * x.numpy())


def test_the_default_said_aloud_changes_nothing():
    net, x = randomized(Attention(fused)), embedded()
    assert np.array_equal(explain(net, x, "lrp_z", 1, attention="attnlrp"), explain(net, x, "lrp_z", 1))


def test_a_map_with_a_graph_is_the_same_and_has_the_derivatives_of_finite_differences():
    net, x = randomized(Attention(fused)), embedded()
    weight = net.k.weight

    def loss(**options):
        return explain(net, x, "lrp_epsilon_1_cp", 1, as_tensor=True, **options).square().sum()

    whole = loss(create_graph=True)
    assert whole.item() == pytest.approx(loss().item(), rel=1e-12)
    (gradient,) = torch.autograd.grad(whole, weight)
    direction, step = drawn(*weight.shape, seed=3), 1e-6
    with torch.no_grad():
        values = []
        for sign in (1, -1):
            weight.add_(sign * step * direction)
            values.append(loss().item())
            weight.sub_(sign * step * direction)
    assert (gradient * direction).sum().item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-6)
    assert gradient.abs().max() > 1e-6, "weights are constants for relevance, and depend on the parameters all the same"


REFUSED = {
    "another word": ("lrp_z", {"attention": "chefer"}, "'attnlrp', 'cp'"),
    "no word": ("lrp_z", {"attention": None}, "'attnlrp', 'cp'"),
    "both name and option": ("lrp_z_cp", {"attention": "attnlrp"}, "already says cp; leave one out"),
    "the same by name and option": ("lrp_z_cp", {"attention": "cp"}, "already says cp; leave one out"),
    "a gradient": ("gradient", {"attention": "cp"}, "is not an option of 'gradient'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_says_what_to_do(case):
    name, options, words = REFUSED[case]
    with pytest.raises(OptionError, match=words):
        explain(randomized(Attention(fused)), embedded(), name, 1, **options)


def test_a_composite_of_zennit_says_itself_what_attention_takes():
    from zennit.composites import EpsilonPlus

    with pytest.raises(OptionError, match="does not go with rule_type='custom'"):
        AdvancedLRPAnalyzer(nn.Linear(2, 2), "custom", composite=EpsilonPlus(), attention="cp")


# Heads


def heads_of(net, x=None, method="lrp_epsilon_0_1"):
    rows = inspect_model(net, embedded() if x is None else x, method, 1).heads
    return [(row.attention, row.head) for row in rows], np.array([row.relevance for row in rows])


def heads_by_at(net, method):
    """The same as the relevance of the projection's input, head by head."""
    x, caught = embedded(), {}

    class Caught(nn.Module):
        def forward(self, mixed):
            return mixed

    catching = randomized(Attention(lambda own, *qkv: own.drop(net.mix(own, *qkv))))
    catching.load_state_dict(net.state_dict())
    catching.drop = Caught()
    caught = explain(catching, x, method, 1, at="drop")
    return caught.sum((0, 2, 3))


@pytest.mark.parametrize("method", ["lrp_epsilon_0_1", "lrp_epsilon_0_1_cp", "lrp_alpha_2_beta_1"])
@pytest.mark.parametrize("way", ["matmul", "bmm", "baddbmm", "einsum", "by hand", "weighed and summed", "transposed", "in place"])
def test_heads_have_what_arrives_in_front_of_the_projection(way, method):
    net = randomized(Attention(TWINS[way]))
    places, relevance = heads_of(net, method=method)
    assert places == [(0, 0), (0, 1)]
    np.testing.assert_allclose(relevance, heads_by_at(randomized(Attention(fused)), method), rtol=1e-9)


@pytest.mark.parametrize("way", ["bmm", "matmul"])
def test_heads_sum_over_samples(way):
    net, x = randomized(Attention(TWINS[way])), embedded()
    alone = [heads_of(net, x[i : i + 1]) for i in range(N)]
    assert all(places == [(0, 0), (0, 1)] for places, _ in alone)
    np.testing.assert_allclose(heads_of(net)[1], sum(relevance for _, relevance in alone), rtol=1e-9)


def repeated_by_hand(net, q, k, v):
    k, v = (t[:, :, None].expand(-1, -1, q.shape[1] // t.shape[1], -1, -1).reshape(len(t), q.shape[1], T, E) for t in (k, v))
    return scores(q, k).softmax(-1) @ v


def cached(net, q, k, v):
    """With keys and values behind those of a cache, which is empty yet."""
    return repeated_by_hand(net, q, *(torch.cat([t[:, :, :0], t], 2) for t in (k, v)))


def windows(net, q, k, v):
    """One head of width D in windows of a single token."""
    q, k, v = (t.transpose(1, 2).reshape(len(t), T, 1, D) for t in (q, k, v))
    return (scores(q, k).softmax(-1) @ v).reshape(-1, T, H, E).transpose(1, 2)


def test_windows_are_no_heads():
    places, _ = heads_of(randomized(Attention(windows)))
    assert places == [(0, 0)]


class Wide(nn.Module):
    """Four heads of queries on two of keys and values, repeated by hand or by torch."""

    def __init__(self, mix, kv_heads=2):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(D, E * heads) for heads in (4, kv_heads, kv_heads))
        self.head, self.mix = nn.Linear(4 * E, 3), mix

    def forward(self, x):
        q, k, v = (layer(x).unflatten(-1, (-1, E)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        return self.head(self.mix(self, q, k, v).transpose(1, 2).flatten(2).mean(1))


def test_each_head_of_queries_has_a_row_where_they_share_values():
    by_torch = Wide(lambda net, q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True))
    expected = heads_of(randomized(by_torch))
    assert expected[0] == [(0, 0), (0, 1), (0, 2), (0, 3)]
    for mix in (repeated_by_hand, cached):
        places, relevance = heads_of(randomized(Wide(mix)))
        assert places == expected[0]
        np.testing.assert_allclose(relevance, expected[1], rtol=1e-9)


UNKNOWN = {
    "values that all heads of queries share, by hand": Wide(repeated_by_hand, kv_heads=1),
    "values of no layer": Attention(lambda net, q, k, v: scores(q, k).softmax(-1) @ v.relu()),
    "values of no layer, merged": Attention(lambda net, q, k, v: F.scaled_dot_product_attention(*merged(q, k, v.relu())).view(-1, H, T, E)),
    "values repeated in turns": Wide(lambda net, q, k, v: scores(q, k.repeat(1, 2, 1, 1)).softmax(-1) @ v.repeat(1, 2, 1, 1)),
    "queries from sigmoids": Attention(lambda net, q, k, v: scores(q.sigmoid(), k).softmax(-1) @ v.relu()),
    "no attention": Attention(lambda net, q, k, v: q * k.sigmoid() + v),
    "scores alone": Attention(lambda net, q, k, v: (q @ k.mT) @ v),
    "attention to a memory": Attention(SAME_IN_BOTH["a softmax that weighs a memory"]),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_where_nobody_can_say_there_are_no_heads(case):
    report = inspect_model(randomized(UNKNOWN[case]), embedded(), "lrp_epsilon_0_1", 1)
    assert report.heads == ()
    assert "head" not in str(report).replace("head  ", "").splitlines()[-1]


def test_the_values_of_an_activation_have_heads_where_torch_says_so():
    net = Attention(lambda net, q, k, v: F.scaled_dot_product_attention(q, k, v.relu()))
    assert heads_of(randomized(net))[0] == [(0, 0), (0, 1)]


def test_the_report_shows_heads_in_print_and_as_plain_values():
    report = inspect_model(randomized(WithModule(False)), embedded(), "lrp_epsilon_0_1", 1)
    *_, header, line, row = str(report).splitlines()
    assert header.split() == ["attention", "head", "0", "head", "1"]
    assert set(line) == {"-"}
    assert row.split() == ["attention", *(f"{head.relevance:.4g}" for head in report.heads)]
    plain = json.loads(json.dumps(report.to_dict()))["heads"]
    assert [(one["name"], one["head"], one["relevance"]) for one in plain] == [
        ("attention", row.head, row.relevance) for row in report.heads
    ]
