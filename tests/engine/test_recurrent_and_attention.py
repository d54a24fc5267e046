"""Operations that are carried out in steps: their values are torch's own, and relevance passes them as the papers say."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from comparing import deviation
from crossing import in_turn
from networks import CLASSES, drawn, randomized
from oracles import share
from signxai import explain
from signxai.engine.relevance import RelevancePass
from signxai.methods.composites import layer_rules

N, LENGTH, WIDTH, HIDDEN = 3, 5, 4, 6


def frozen(net: nn.Module) -> nn.Module:
    return randomized(net).requires_grad_(False)


def watched(function, *tensors: Tensor):
    """What a function gives under the watch of a relevance pass, for tensors that relevance passes."""
    given = [tensor.clone().requires_grad_(True).clone() for tensor in tensors]  # under the pass they would be constants
    with RelevancePass(layer_rules("lrp", "z"), strict=True):
        return function(*given)


def assert_same(got, expected) -> None:
    """The same nest of tensors."""
    if isinstance(expected, Tensor):
        assert got.shape == expected.shape
        assert got.dtype == expected.dtype
        torch.testing.assert_close(got.detach(), expected.detach(), rtol=1e-12, atol=1e-13)
    elif expected is None:
        assert got is None
    else:
        assert len(got) == len(expected)
        for a, b in zip(got, expected, strict=True):
            assert_same(a, b)


def assert_values_are_torchs_own(function, *tensors: Tensor) -> None:
    # plainly with gradients too: without them attention takes a fast path, which fills in what is masked
    ours, torchs = watched(function, *tensors), function(*(tensor.clone().requires_grad_(True).clone() for tensor in tensors))
    assert isinstance(ours, tuple) == isinstance(torchs, tuple)
    assert_same(ours, torchs)


# --- values of recurrent networks

RECURRENT = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}
OPTIONS: dict[str, dict] = {
    "plain": {},
    "batch first": {"batch_first": True},
    "two layers": {"num_layers": 2},
    "two directions": {"bidirectional": True},
    "without bias": {"bias": False},
    "everything": {"num_layers": 2, "bidirectional": True, "batch_first": True, "bias": False},
    "dropout in evaluation": {"num_layers": 2, "dropout": 0.5},
}
LAYERS = {
    **{f"{name}, {how}": (lambda kind=kind, how=how: kind(WIDTH, HIDDEN, **OPTIONS[how]))
       for name, kind in RECURRENT.items() for how in OPTIONS},
    "RNN, relu": lambda: nn.RNN(WIDTH, HIDDEN, nonlinearity="relu"),
    "LSTM, projection": lambda: nn.LSTM(WIDTH, HIDDEN, proj_size=2),
    "LSTM, projection without bias": lambda: nn.LSTM(WIDTH, HIDDEN, proj_size=2, bias=False),
    "LSTM, projection and everything": lambda: nn.LSTM(WIDTH, HIDDEN, num_layers=2, bidirectional=True, proj_size=3, batch_first=True),
}  # fmt: skip


def states(layer: nn.RNNBase, samples: int | None = N):
    """Initial states for a layer, of each kind that it has."""
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    batch = () if samples is None else (samples,)
    h = drawn(rows, *batch, layer.proj_size or HIDDEN, seed=2)
    return (h, drawn(rows, *batch, HIDDEN, seed=3)) if isinstance(layer, nn.LSTM) else h


def sequences(layer: nn.RNNBase) -> Tensor:
    return drawn(N, LENGTH, WIDTH) if layer.batch_first else drawn(LENGTH, N, WIDTH)


@pytest.mark.parametrize("given", [False, True], ids=["from zero", "from a given state"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_recurrent_network_gives_what_torch_gives(name, given):
    layer = frozen(LAYERS[name]())
    assert_values_are_torchs_own(lambda x: layer(x, states(layer) if given else None), sequences(layer))


@pytest.mark.parametrize("name", LAYERS)
def test_a_recurrent_network_without_a_batch_axis_gives_what_torch_gives(name):
    layer = frozen(LAYERS[name]())
    assert_values_are_torchs_own(lambda x: layer(x, states(layer, None)), drawn(LENGTH, WIDTH))


@pytest.mark.parametrize("name", LAYERS)
def test_relevance_may_pass_through_the_initial_state_alone(name):
    layer = frozen(LAYERS[name]())
    x = sequences(layer)
    if isinstance(layer, nn.LSTM):
        assert_values_are_torchs_own(lambda h, c: layer(x, (h, c)), *states(layer))
    else:
        assert_values_are_torchs_own(lambda h: layer(x, h), states(layer))


LENGTHS = {
    "sorted": ([5, 3, 1], True),
    "unsorted": ([2, 5, 3], False),
    "equal": ([4, 4, 4], True),
    "ties": ([3, 5, 3], False),
    "one step": ([1, 1, 1], True),
}


@pytest.mark.parametrize("given", [False, True], ids=["from zero", "from a given state"])
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("name", LAYERS)
def test_a_recurrent_network_on_packed_sequences_gives_what_torch_gives(name, lengths, given):
    layer = frozen(LAYERS[name]())
    sizes, is_sorted = LENGTHS[lengths]

    def run(x: Tensor):
        packed = pack_padded_sequence(x, sizes, batch_first=layer.batch_first, enforce_sorted=is_sorted)
        output, final = layer(packed, states(layer) if given else None)
        return *pad_packed_sequence(output, batch_first=layer.batch_first), final

    assert_values_are_torchs_own(run, sequences(layer))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
@pytest.mark.parametrize("shape", [(N,), ()], ids=["batch", "one sample"])
def test_a_cell_gives_what_torch_gives(kind, bias, shape):
    cell = frozen(kind(WIDTH, HIDDEN, bias))
    h, c = drawn(*shape, HIDDEN, seed=2), drawn(*shape, HIDDEN, seed=3)
    state = (h, c) if kind is nn.LSTMCell else h
    assert_values_are_torchs_own(cell, drawn(*shape, WIDTH))
    assert_values_are_torchs_own(lambda x: cell(x, state), drawn(*shape, WIDTH))


# --- values of attention

HEADS, E, KEYS = 2, 4, 7
CAUSAL = torch.ones(LENGTH, KEYS, dtype=torch.bool).triu(1)
PADDING = torch.arange(KEYS)[None] >= torch.tensor([7, 4, 2])[:, None]
BY_HEAD = torch.rand(N * HEADS, LENGTH, KEYS, generator=torch.Generator().manual_seed(4)) < 0.4
BY_HEAD[..., 0] = False  # each query may look somewhere

ATTENTION: dict[str, tuple[dict, dict]] = {
    "plain": ({}, {}),
    "without bias": ({"bias": False}, {}),
    "key padding": ({}, {"key_padding_mask": PADDING}),
    "key padding as numbers": ({}, {"key_padding_mask": torch.zeros(N, KEYS).masked_fill(PADDING, -torch.inf).double()}),
    "mask": ({}, {"attn_mask": CAUSAL}),
    "mask as numbers": ({}, {"attn_mask": drawn(LENGTH, KEYS, seed=5)}),
    "mask by sample and head": ({}, {"attn_mask": BY_HEAD}),
    "mask by sample and head as numbers": ({}, {"attn_mask": drawn(N * HEADS, LENGTH, KEYS, seed=5)}),
    "both masks": ({}, {"attn_mask": CAUSAL, "key_padding_mask": PADDING}),
    "both masks, by head": ({}, {"attn_mask": drawn(N * HEADS, LENGTH, KEYS, seed=5), "key_padding_mask": drawn(N, KEYS, seed=6)}),
    "causal": ({}, {"attn_mask": CAUSAL, "is_causal": True}),
    "key and value bias": ({"add_bias_kv": True}, {}),
    "key and value bias, masks": ({"add_bias_kv": True}, {"attn_mask": CAUSAL, "key_padding_mask": PADDING}),
    "zero attention": ({"add_zero_attn": True}, {}),
    "zero attention, mask by head": ({"add_zero_attn": True}, {"attn_mask": BY_HEAD}),
    "bias and zero attention, masks": ({"add_bias_kv": True, "add_zero_attn": True}, {"attn_mask": BY_HEAD, "key_padding_mask": PADDING}),
    "widths of key and value": ({"kdim": 3, "vdim": 5}, {}),
    "widths of key and value, bias, mask": ({"kdim": 3, "vdim": 5, "add_bias_kv": True}, {"key_padding_mask": PADDING}),
    "dropout in evaluation": ({"dropout": 0.5}, {}),
}  # fmt: skip


@pytest.mark.parametrize("weights", [{"need_weights": False}, {"average_attn_weights": True}, {"average_attn_weights": False}], ids=str)
@pytest.mark.parametrize("layout", ["batch first", "batch second"])
@pytest.mark.parametrize("name", ATTENTION)
def test_multi_head_attention_gives_what_torch_gives(name, layout, weights):
    made, called = ATTENTION[name]
    attention = frozen(nn.MultiheadAttention(E, HEADS, batch_first=layout == "batch first", **made))
    tensors = [drawn(N, LENGTH, E), drawn(N, KEYS, made.get("kdim", E), seed=7), drawn(N, KEYS, made.get("vdim", E), seed=8)]
    if layout == "batch second":
        tensors = [tensor.transpose(0, 1) for tensor in tensors]
    assert_values_are_torchs_own(lambda q, k, v: attention(q, k, v, **called, **weights), *tensors)


@pytest.mark.parametrize("weights", [{"need_weights": False}, {"average_attn_weights": True}, {"average_attn_weights": False}], ids=str)
@pytest.mark.parametrize("made", [{}, {"add_bias_kv": True}, {"add_zero_attn": True}, {"kdim": 3, "vdim": 5}], ids=str)
@pytest.mark.parametrize("called", [{}, {"attn_mask": CAUSAL}, {"attn_mask": BY_HEAD[:HEADS]}, {"key_padding_mask": PADDING[1]}],
                         ids=["plain", "mask", "mask by head", "padding"])  # fmt: skip
def test_multi_head_attention_without_a_batch_axis_gives_what_torch_gives(made, called, weights):
    attention = frozen(nn.MultiheadAttention(E, HEADS, **made))
    tensors = [drawn(LENGTH, E), drawn(KEYS, made.get("kdim", E), seed=7), drawn(KEYS, made.get("vdim", E), seed=8)]
    assert_values_are_torchs_own(lambda q, k, v: attention(q, k, v, **called, **weights), *tensors)


SCALED: dict[str, dict] = {
    "plain": {},
    "causal": {"is_causal": True},
    "mask": {"attn_mask": ~CAUSAL},
    "mask by sample": {"attn_mask": ~BY_HEAD.view(N, HEADS, LENGTH, KEYS)[:, :1]},
    "mask as numbers": {"attn_mask": drawn(LENGTH, KEYS, seed=5)},
    "scale": {"scale": 0.3},
    "scale and causal": {"scale": 2.0, "is_causal": True},
}


@pytest.mark.parametrize("name", SCALED)
def test_scaled_dot_product_attention_gives_what_torch_gives(name):
    tensors = drawn(N, HEADS, LENGTH, E), drawn(N, HEADS, KEYS, E, seed=7), drawn(N, HEADS, KEYS, 5, seed=8)
    assert_values_are_torchs_own(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **SCALED[name]), *tensors)
    k, v = tensors[1:]
    assert_values_are_torchs_own(lambda q: F.scaled_dot_product_attention(q, k, v, **SCALED[name]), tensors[0])
    if "by sample" not in name:
        assert_values_are_torchs_own(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **SCALED[name]), *(t[:, 0] for t in tensors))


def test_scaled_dot_product_attention_of_grouped_queries_gives_what_torch_gives():
    tensors = drawn(N, 6, LENGTH, E), drawn(N, 2, KEYS, E, seed=7), drawn(N, 2, KEYS, E, seed=8)
    assert_values_are_torchs_own(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True), *tensors)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_layers_of_a_transformer_give_what_torch_gives(activation, norm_first):
    options = {"dim_feedforward": 8, "activation": activation, "batch_first": True, "norm_first": norm_first}
    encoder, decoder = (frozen(kind(E, HEADS, **options)) for kind in (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer))
    mask = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
    assert_values_are_torchs_own(
        lambda source, target: decoder(
            target, encoder(source, src_key_padding_mask=PADDING), tgt_mask=mask, memory_key_padding_mask=PADDING, tgt_is_causal=True
        ),
        drawn(N, KEYS, E),
        drawn(N, LENGTH, E, seed=2),
    )


# --- values of Einstein sums

EQUATIONS: dict[str, tuple[tuple[int, ...], ...]] = {
    "bi,oi->bo": ((2, 3), (4, 3)),
    "oi,bi->bo": ((4, 3), (2, 3)),
    "bi,io": ((2, 3), (3, 4)),
    "bij,bjk->bik": ((2, 3, 4), (2, 4, 5)),
    "bhtd,bhsd->bhts": ((2, 2, 3, 4), (2, 2, 5, 4)),
    "bhts,bshd->bthd": ((2, 2, 3, 5), (2, 5, 2, 4)),
    "i,j->ij": ((3,), (4,)),
    "i,i->": ((3,), (3,)),
    "i,i": ((3,), (3,)),
    "i,i->i": ((3,), (3,)),
    "ij,ij->": ((2, 3), (2, 3)),
    "ij,ji->ij": ((2, 3), (3, 2)),
    "bii->bi": ((2, 3, 3),),
    "bii->b": ((2, 3, 3),),
    "bii": ((2, 3, 3),),
    "iii->i": ((3, 3, 3),),
    "bij->bji": ((2, 3, 4),),
    "bij->b": ((2, 3, 4),),
    "bij->": ((2, 3, 4),),
    "ba": ((2, 3),),
    "bij,bk->bk": ((2, 3, 4), (2, 5)),
    "bi,oj->bo": ((2, 3), (4, 5)),
    "bii,oi->bo": ((2, 3, 3), (4, 3)),
    "bi,oii->bo": ((2, 3), (4, 3, 3)),
    "...i,oi->...o": ((2, 5, 3), (4, 3)),
    "b...i,oi->b...o": ((2, 5, 6, 3), (4, 3)),
    "...ij,...jk->...ik": ((2, 5, 3, 4), (2, 5, 4, 3)),
    "...ij,...jk": ((2, 5, 3, 4), (5, 4, 3)),
    "...i,...i": ((2, 5, 3), (5, 3)),
    "...->...": ((2, 3),),
    "i...->...": ((2, 3, 4),),
    "...ii->...i": ((2, 3, 3),),
    "bi,ij,jo->bo": ((2, 3), (3, 4), (4, 5)),
    "bi,bj,oij->bo": ((2, 3), (2, 4), (5, 3, 4)),
    "ab,bc,cd,da->": ((2, 3), (3, 4), (4, 5), (5, 2)),
    "bij,bjk->bik ": ((1, 3, 4), (2, 4, 5)),
    "bi,bi->b": ((2, 1), (2, 3)),
    "b i, o i -> b o": ((2, 3), (4, 3)),
    "...i,...j->...ij": ((2, 1, 3), (1, 5, 4)),
    "AB,aB->Aa": ((2, 3), (4, 3)),
    "bc...,oc->bo...": ((2, 3, 4, 4), (5, 3)),
}


@pytest.mark.parametrize("equation", EQUATIONS)
def test_an_einstein_sum_gives_what_torch_gives(equation):
    tensors = [drawn(*shape, seed=seed) for seed, shape in enumerate(EQUATIONS[equation])]
    assert_values_are_torchs_own(lambda *operands: torch.einsum(equation, *operands), *tensors)
    assert_values_are_torchs_own(lambda *operands: torch.einsum(equation, list(operands)), *tensors)
    for place, tensor in enumerate(tensors):  # relevance passes one operand, the others are weights

        def with_weights(x: Tensor, place: int = place) -> Tensor:
            return torch.einsum(equation, *tensors[:place], x, *tensors[place + 1 :])

        assert_values_are_torchs_own(with_weights, tensor)


# --- relevance through an LSTM (Arras et al. 2017), by explicit loops


class LastStep(nn.Module):
    """A recurrent classifier of its last output."""

    def __init__(self, kind: type[nn.RNNBase] = nn.LSTM, bias: bool = True, **options) -> None:
        super().__init__()
        self.rnn = kind(WIDTH, HIDDEN, bias=bias, batch_first=True, **options)
        self.fc = nn.Linear(HIDDEN * (2 if self.rnn.bidirectional else 1), CLASSES, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x)[0][:, -1])


def through_linear(w: Tensor, b: Tensor | float, x: Tensor, r: Tensor, epsilon: float) -> Tensor:
    """R_i = sum_j x_i w_ij / (z_j + e sign(z_j)) R_j, by two loops."""
    z, relevance = w @ x + b, torch.zeros_like(x)
    for j in range(len(r)):
        for i in range(len(x)):
            relevance[i] += x[i] * w[j, i] * share(r[j], z[j], epsilon)
    return relevance


def arras(net: LastStep, x: Tensor, target: int, epsilon: float) -> Tensor:
    """LRP of one sequence (T, F). A sum is shared by its terms; each product with a gate belongs to the signal it gates."""
    p = dict(net.rnn.named_parameters())
    none = torch.zeros(4 * HIDDEN, dtype=torch.float64)
    w_x, w_h = p["weight_ih_l0"], p["weight_hh_l0"]
    b_x, b_h = p.get("bias_ih_l0", none), p.get("bias_hh_l0", none)
    signal = slice(2 * HIDDEN, 3 * HIDDEN)  # torch stacks the input gate, the forget gate, the signal and the output gate
    h, c, steps = torch.zeros(HIDDEN).double(), torch.zeros(HIDDEN).double(), []
    for t in range(len(x)):
        from_x, from_h = w_x @ x[t] + b_x, w_h @ h + b_h
        i, f, g, o = (from_x + from_h).chunk(4)
        kept, new = torch.sigmoid(f) * c, torch.sigmoid(i) * torch.tanh(g)
        steps.append((h, kept, new, from_x[signal], from_h[signal]))
        c = kept + new
        h = torch.sigmoid(o) * torch.tanh(c)
    output = torch.zeros(CLASSES).double()
    output[target] = 1.0
    r_h = through_linear(net.fc.weight, 0.0 if net.fc.bias is None else net.fc.bias, h, output, epsilon)
    r_c, relevance = torch.zeros(HIDDEN).double(), torch.zeros_like(x)
    for t in reversed(range(len(x))):
        h_before, kept, new, from_x, from_h = steps[t]
        r_c = r_c + r_h  # h = o * tanh(c)
        for_one = share(r_c, kept + new)
        r_g = new * for_one
        r_c = kept * for_one
        for_one = share(r_g, from_x + from_h)
        relevance[t] = through_linear(w_x[signal], b_x[signal], x[t], from_x * for_one, epsilon)
        r_h = through_linear(w_h[signal], b_h[signal], h_before, from_h * for_one, epsilon)
    return relevance


@pytest.mark.parametrize("epsilon", [0.0, 0.01, 0.5])
@pytest.mark.parametrize("bias", [True, False])
def test_lrp_through_an_lstm_follows_arras_et_al(bias, epsilon):
    net, x = frozen(LastStep(bias=bias)), drawn(N, LENGTH, WIDTH)
    expected = torch.stack([arras(net, sample, 2, epsilon) for sample in x]).numpy()
    assert deviation(explain(net, x, f"lrp_epsilon_{spelled(epsilon)}", 2), expected) < 1e-10
    assert deviation(expected, explain(net, x, "input_t_gradient", 2)) > 1e-2, "gates with a gradient would pass as well"


def spelled(number: float) -> str:
    return f"{number:g}".replace(".", "_")


@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"num_layers": 2}, {"num_layers": 2, "bidirectional": True}], ids=str)
@pytest.mark.parametrize("method", ["lrp_z", "lrp_gamma_0_25", "lrpz_gamma_10"])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_relevance_through_a_recurrent_network_without_biases_sums_to_one(kind, method, options):
    net, x = frozen(LastStep(kind, bias=False, **options)), drawn(N, LENGTH, WIDTH)
    np.testing.assert_allclose(explain(net, x, method, 1).sum((1, 2)), np.ones(N), rtol=1e-8)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_later_step_has_no_relevance_for_an_earlier_output(kind):
    class Early(LastStep):
        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.rnn(x)[0][:, 2])

    r = explain(frozen(Early(kind)), drawn(N, LENGTH, WIDTH), "lrp_epsilon_0_1", 1)
    assert (r[:, 3:] == 0).all()
    assert (np.abs(r[:, :3]).sum(2) > 0).all()


class Packed(nn.Module):
    """A classifier of sequences with these lengths, by the final state or by the sum over the padded outputs.

    ``start`` is what the recurrent network starts from, of all samples, or None; ``first`` says which of them is first in x.
    """

    def __init__(self, kind: type[nn.RNNBase], lengths: list[int], summed: bool, given: bool, first: int = 0, **options) -> None:
        super().__init__()
        self.rnn, self.lengths, self.summed = kind(WIDTH, HIDDEN, batch_first=True, **options), lengths, summed
        self.start, self.first = states(self.rnn) if given else None, first
        self.fc = nn.Linear(HIDDEN * (2 if self.rnn.bidirectional and summed else 1), CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        rows = slice(self.first, self.first + len(x))
        start = tuple(h[:, rows] for h in self.start) if isinstance(self.start, tuple) else self.start
        start = start[:, rows] if isinstance(start, Tensor) else start
        packed = pack_padded_sequence(x, self.lengths, batch_first=True, enforce_sorted=False)
        output, final = self.rnn(packed, start)
        if self.summed:
            return self.fc(pad_packed_sequence(output, batch_first=True)[0].sum(1))
        return self.fc((final[0] if isinstance(final, tuple) else final)[-1])


@pytest.mark.parametrize(
    ("options", "method"),
    in_turn(
        [{}, {"num_layers": 2, "bidirectional": True}],
        ["lrp_z", "lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "lrp_epsilon_0_25_std_x"],
        of_each=2,
    ),
)
@pytest.mark.parametrize(("summed", "given"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_padding_of_packed_sequences_has_no_relevance_and_changes_nothing(kind, summed, given, options, method):
    lengths, x = [3, 5, 2], drawn(N, LENGTH, WIDTH)
    together = explain(frozen(Packed(kind, lengths, summed, given, **options)), x, method, 1)
    for sample, length in enumerate(lengths):
        assert (together[sample, length:] == 0).all()
        alone = frozen(Packed(kind, [length], summed, given, sample, **options))
        expected = explain(alone, x[sample : sample + 1, :length], method, 1)[0]
        assert deviation(together[sample, :length], expected) < 1e-9


class Attending(nn.Module):
    """Queries from the first step, so that what is masked can get relevance as a key and value alone."""

    def __init__(self, how: str, mask: Tensor) -> None:
        super().__init__()
        self.attention, self.how, self.mask = nn.MultiheadAttention(WIDTH, 2, batch_first=True), how, mask
        self.fc = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        query = x[:, :1]
        if self.how == "scaled_dot_product_attention":
            mixed = F.scaled_dot_product_attention(query, x, x, attn_mask=~self.mask[:, None])
        elif self.how == "key_padding_mask":
            mixed = self.attention(query, x, x, key_padding_mask=self.mask)[0]
        elif self.how == "key_padding_mask without weights":
            mixed = self.attention(query, x, x, key_padding_mask=self.mask, need_weights=False)[0]
        else:
            mixed = self.attention(query, x, x, attn_mask=self.mask[:, None].repeat_interleave(2, 0))[0]
        return self.fc(mixed[:, 0])


@pytest.mark.parametrize("method", ["lrp_z", "lrp_epsilon_0_1", "lrp_gamma_0_25", "lrpsign_epsilon_0_25_std_x"])
@pytest.mark.parametrize("how", ["scaled_dot_product_attention", "key_padding_mask", "key_padding_mask without weights", "attn_mask"])
def test_masked_keys_get_no_relevance_from_attention(how, method):
    x = drawn(N, LENGTH, WIDTH)
    mask = torch.arange(LENGTH)[None] >= torch.tensor([3, 5, 2])[:, None]
    net = frozen(Attending(how, mask))
    r = explain(net, x, method, 1)
    assert np.isfinite(r).all()
    assert (r[mask.numpy()] == 0).all()
    assert (np.abs(r[~mask.numpy()]).sum(1) > 0).all()
