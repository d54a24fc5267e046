"""Which values belong to which sample: rules that look at a whole sample give a batch what they give each sample alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comparing import deviation
from networks import CLASSES, Written, drawn, randomized
from signxai import explain, inspect_model
from signxai.common.errors import ModelError
from signxai.engine.samples import AmbiguousSamplesError, SampleAxis, SampleLayout, SamplesOf

N, T, C = 4, 5, 6


def rows(m: nn.ModuleDict, x: Tensor) -> Tensor:
    return m["b"](F.relu(m["a"](x.reshape(-1, C))).view(len(x), T, C).mean(1))


def time_first(m: nn.ModuleDict, x: Tensor) -> Tensor:
    return m["b"](F.relu(m["a"](x.transpose(0, 1))).mean(0))


def windows(m: nn.ModuleDict, x: Tensor) -> Tensor:
    cut = x[:, :4].reshape(-1, 2, C)
    return m["b"](F.relu(m["a"](cut)).view(len(x), 4, C).mean(1))


def frames(m: nn.ModuleDict, x: Tensor) -> Tensor:
    y = F.relu(m["conv"](x.reshape(-1, 2, 3)))
    return m["b"](y.view(len(x), T, C).mean(1))


LAYERS = {
    "a": lambda: nn.Linear(C, C),
    "b": lambda: nn.Linear(C, CLASSES),
    "c": lambda: nn.Linear(C, C),
    "conv": lambda: nn.Conv1d(2, C, 3),
    "wide": lambda: nn.Conv1d(N, 4, 1),
    "row": lambda: nn.Sequential(nn.Conv1d(2, C, 3), nn.ReLU()),
    "layers": lambda: nn.Sequential(nn.Linear(C, C), nn.ReLU(), nn.Linear(C, C), nn.ReLU()),
    "two": lambda: nn.Linear(2, C),
    "three": lambda: nn.Linear(C // 2, C),
    "attention": lambda: nn.MultiheadAttention(C, 2, batch_first=True),
    "time first": lambda: nn.MultiheadAttention(C, 2),
    "lstm": lambda: nn.LSTM(C, C),
    "gru": lambda: nn.GRU(C, C, batch_first=True),
}


def frames_of_as_many_channels_as_samples(m: nn.ModuleDict, x: Tensor) -> Tensor:
    y = F.relu(m["wide"](x[:, :4].reshape(-1, N, 3)))
    return m["b"](y.reshape(len(x), -1, C).mean(1))


def as_many_tokens_as_samples(m: nn.ModuleDict, x: Tensor) -> Tensor:
    return m["b"](F.relu(m["a"](x[:, :N].transpose(0, 1))).mean(0))


def rows_of_one_time(m: nn.ModuleDict, x: Tensor) -> Tensor:
    y = F.relu(m["a"](x.transpose(0, 1).reshape(-1, C)))
    return m["b"](y.view(T, len(x), C).mean(0))


def frames_in_a_row_of_modules(m: nn.ModuleDict, x: Tensor) -> Tensor:
    return m["b"](m["row"](x.reshape(-1, 2, 3)).view(len(x), T, C).mean(1))


def time_first_in_a_row_of_modules(m: nn.ModuleDict, x: Tensor) -> Tensor:
    return m["b"](m["layers"](x.transpose(0, 1)).mean(0))


def as_many_times_as_samples_in_a_row_of_modules(m: nn.ModuleDict, x: Tensor) -> Tensor:
    return m["b"](m["layers"](x[:, :N].transpose(0, 1)).mean(0))


def places_beside_samples(m: nn.ModuleDict, x: Tensor) -> Tensor:
    """(time, samples x places, values), with as many times as samples."""
    y = x[:, :N].reshape(len(x), N, 3, 2).permute(1, 0, 2, 3).reshape(N, -1, 2)
    return m["b"](F.relu(m["two"](y)).view(N, len(x), 3, C).mean((0, 2)))


def windows_of_a_grid(m: nn.ModuleDict, x: Tensor) -> Tensor:
    """As Swin cuts them: a window's tokens are one row of a batch of windows."""
    grid = x[:, :4].reshape(len(x), 2, 2, 2, C // 2)
    cut = grid.permute(0, 1, 3, 2, 4).reshape(-1, 2, C // 2)
    y = F.relu(m["three"](cut))
    return m["b"](y.view(len(x), 2, 2, 2, C).permute(0, 1, 3, 2, 4).reshape(len(x), 8, C).mean(1))


def heads_beside_samples(m: nn.ModuleDict, x: Tensor) -> Tensor:
    """As ``nn.MultiheadAttention`` does: a batch of samples x heads."""
    q = m["a"](x).view(len(x), T, 2, 3).transpose(1, 2).reshape(-1, T, 3)
    y = torch.bmm((q @ q.transpose(1, 2)).softmax(-1), q)
    return m["b"](F.relu(m["c"](y.view(len(x), 2, T, 3).transpose(1, 2).reshape(len(x), T, C))).mean(1))


def attention(m: nn.ModuleDict, x: Tensor) -> Tensor:
    return m["b"](F.relu(m["c"](m["attention"](x, x, x, need_weights=False)[0])).mean(1))


def attention_of_time_first(m: nn.ModuleDict, x: Tensor) -> Tensor:
    y = x.transpose(0, 1)
    return m["b"](F.relu(m["c"](m["time first"](y, y, y, need_weights=False)[0])).mean(0))


def recurrent(m: nn.ModuleDict, x: Tensor) -> Tensor:
    return m["b"](F.relu(m["c"](m["lstm"](x.transpose(0, 1))[0][-1])))


def recurrent_state(m: nn.ModuleDict, x: Tensor) -> Tensor:
    return m["b"](F.relu(m["c"](m["gru"](x)[1][0])))


def steps(m: nn.ModuleDict, x: Tensor) -> Tensor:
    return m["b"](torch.stack([F.relu(m["a"](step)) for step in x.unbind(1)]).amax(0))


def reversed_samples(m: nn.ModuleDict, x: Tensor) -> Tensor:
    return m["b"](F.relu(m["a"](x.flip(0))).flip(0).mean(1))


def a_class_token(m: nn.ModuleDict, x: Tensor) -> Tensor:
    token = torch.ones(1, 1, C, dtype=x.dtype).expand(len(x), -1, -1)
    return m["b"](F.relu(m["a"](torch.cat([token * 0.1, x], 1)))[:, 0])


def one_written_into_a_buffer(m: nn.ModuleDict, x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    for step in range(T):
        y[:, step] = F.relu(m["a"](x[:, step]))
    return m["b"](F.relu(m["c"](y)).mean(1))


def an_einsum(m: nn.ModuleDict, x: Tensor) -> Tensor:
    return m["b"](F.relu(torch.einsum("nti,oi->tno", x, m["a"].weight)).mean(0))


def rows_split_by_samples(m: nn.ModuleDict, x: Tensor) -> Tensor:
    """Pieces of as many rows as there are samples, all of one sample."""
    parts = [F.relu(m["a"](part)) for part in x[:, :N].reshape(-1, C).split(len(x))]
    return m["b"](torch.cat(parts).view(len(x), N, C).mean(1))


def rows_split_by_a_number(m: nn.ModuleDict, x: Tensor) -> Tensor:
    parts = [F.relu(m["a"](part)) for part in x[:, :N].reshape(-1, C).split(N)]
    return m["b"](torch.cat(parts).view(len(x), N, C).mean(1))


def sample_by_sample(m: nn.ModuleDict, x: Tensor) -> Tensor:
    return torch.cat([m["b"](F.relu(m["a"](one)).mean(0, keepdim=True)) for one in x])


def packed(m: nn.ModuleDict, x: Tensor) -> Tensor:
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    steps = pack_padded_sequence(x, torch.full((len(x),), T - 1), batch_first=True)
    y = steps._replace(data=F.relu(m["a"](steps.data)))
    return m["b"](pad_packed_sequence(y, batch_first=True, total_length=T)[0].mean(1))


def experts(m: nn.ModuleDict, x: Tensor) -> Tensor:
    """Two experts by turns: the first gets as many tokens as there are samples, all of them of the first sample."""
    tokens = x.reshape(-1, C)
    first = torch.arange(len(tokens)) < N
    y = torch.zeros_like(tokens)
    y = y.index_add(0, torch.where(first)[0], F.relu(m["a"](tokens[first])))
    y = y.index_add(0, torch.where(~first)[0], torch.tanh(m["c"](tokens[~first])))
    return m["b"](y.view(len(x), T, C).mean(1))


def a_context_added_to_time_first(m: nn.ModuleDict, x: Tensor) -> Tensor:
    y, context = F.relu(m["a"](x.transpose(0, 1))), torch.tanh(m["c"](x.mean(1)))
    return m["b"](F.relu(m["a"](y + context)).mean(0))


def a_norm_over_times(m: nn.ModuleDict, x: Tensor) -> Tensor:
    """With its axis by position, of as many values as there are samples."""
    y = F.relu(m["a"](x.transpose(0, 1)))[..., :N]
    return F.linear(torch.norm(y, 2, 0), m["b"].weight[:, :N])


def a_distance_at_as_many_times_as_samples(m: nn.ModuleDict, x: Tensor) -> Tensor:
    y = x[:, :N].transpose(0, 1)
    return F.linear(F.pairwise_distance(F.relu(m["a"](y)), torch.tanh(m["c"](y))).mT, m["b"].weight[:, :N])


def joined_with_time_first(m: nn.ModuleDict, x: Tensor) -> Tensor:
    """As many times as samples, and what has them first beside what has samples first."""
    n = len(x)
    if n < N:  # the joined one must be square
        x = torch.cat([x, x.new_zeros(N - len(x), *x.shape[1:])])
    _, turned = torch.cat([x[:, :N], x[:, :N].transpose(0, 1)]).split(N)
    return m["b"](F.relu(m["a"](turned.transpose(0, 1))).mean(1))[:n]


FOLLOWED = [
    *(rows, time_first, windows, frames, frames_of_as_many_channels_as_samples, as_many_tokens_as_samples, rows_of_one_time),
    *(frames_in_a_row_of_modules, time_first_in_a_row_of_modules, as_many_times_as_samples_in_a_row_of_modules, places_beside_samples),
    *(windows_of_a_grid, heads_beside_samples, attention, attention_of_time_first, recurrent, recurrent_state, steps, reversed_samples),
    *(a_class_token, an_einsum, a_context_added_to_time_first, a_norm_over_times),
]
ONE_BY_ONE = [
    packed,
    rows_split_by_samples,
    rows_split_by_a_number,
    sample_by_sample,
    one_written_into_a_buffer,
    a_distance_at_as_many_times_as_samples,
    joined_with_time_first,
]


@pytest.mark.parametrize("name", ["lrp_epsilon_0_25_std_x", "lrpsign_epsilon_0_25_std_x", "zblrp_epsilon_0_1", "lrp_z"])
@pytest.mark.parametrize(
    "body",
    [*FOLLOWED, *ONE_BY_ONE],
)
def test_a_batch_equals_its_samples_however_they_are_laid_out(body, name):
    net = randomized(Written(body, **{key: make() for key, make in LAYERS.items()}))
    x = drawn(N, T, C)
    together = explain(net, x, name, 1)
    for sample in range(N):
        assert deviation(together[sample : sample + 1], explain(net, x[sample : sample + 1], name, 1)) < 1e-12


@pytest.mark.parametrize("body", FOLLOWED)
def test_where_the_samples_are_followed_one_pass_explains_them_all(body):
    net = randomized(Written(body, **{key: make() for key, make in LAYERS.items()}))
    passes = []
    net.register_forward_hook(lambda module, args, output: passes.extend([len(output)] * output.requires_grad))
    explain(net, drawn(N, T, C), "lrp_epsilon_0_25_std_x", 1)
    assert passes == [N]


@pytest.mark.parametrize("name", ["lrp_epsilon_0_25_std_x", "zblrp_epsilon_0_1"])
def test_an_expert_may_get_as_many_tokens_as_there_are_samples(name):
    net = randomized(Written(experts, **{key: make() for key, make in LAYERS.items()}))
    x = drawn(N, T, C)
    together = explain(net, x, name, 1)
    assert deviation(together[:1], explain(net, x[:1], name, 1)) < 1e-12


def test_a_report_adds_up_samples_that_are_explained_one_by_one():
    net, x = randomized(Written(rows, **{key: make() for key, make in LAYERS.items()})), drawn(N, T, C)
    report = inspect_model(net, x, "lrp_epsilon_0_25_std_x", 1)
    assert report.relevance_at_output == N
    assert report.relevance_at_input == pytest.approx(float(explain(net, x, "lrp_epsilon_0_25_std_x", 1).sum()), rel=1e-12)


def test_relevance_at_a_layer_that_mixes_up_samples_is_refused_where_they_must_go_alone():
    def body(m: nn.ModuleDict, x: Tensor) -> Tensor:
        y = torch.zeros_like(x)
        y[:, :] = F.relu(m["c"](x))
        return m["b"](F.relu(m["a"](y.view(-1, C))).view(len(x), T, C).mean(1))

    net, x = randomized(Written(body, **{key: make() for key, make in LAYERS.items()})), drawn(N, T, C)
    assert explain(net, x[:1], "lrp_epsilon_0_25_std_x", 1, at="layers.a").shape == (T, C)
    with pytest.raises(ModelError, match="one by one"):
        explain(net, x, "lrp_epsilon_0_25_std_x", 1, at="layers.a")


def test_tokens_in_rows_are_explained_as_tokens_of_samples():
    """As GPT-2 writes a layer: ``x.view(-1, C) @ W + b``."""
    net = randomized(Written(rows, **{key: make() for key, make in LAYERS.items()}))
    other = Written(lambda m, x: m["b"](F.relu(m["a"](x)).mean(1)), **{key: make() for key, make in LAYERS.items()}).double()
    other.load_state_dict(net.state_dict())
    x = drawn(N, T, C)
    for name in ("lrp_epsilon_0_25_std_x", "zblrp_epsilon_0_1"):
        assert deviation(explain(net, x, name, 1), explain(other, x, name, 1)) < 1e-12


@pytest.mark.parametrize(
    ("shape", "axis", "samples"),
    [
        ((4, 6), 0, (0, 1, 2, 3)),
        ((4, 4, 6), 0, (0, 1, 2, 3)),
        ((4, 4, 6), 1, (0, 1, 2, 3)),
        ((5, 2, 4), 2, (3, 1, 0, 2)),
        ((8, 3, 6), 0, (0, 0, 1, 1, 2, 2, 3, 3)),
        ((8, 3, 6), 0, (0, 1, 2, 3, 0, 1, 2, 3)),
        ((2, 6, 3), 1, (1, 0, 1, 0, 0, 1)),
    ],
)
def test_the_values_of_samples_along_an_axis(shape, axis, samples):
    x, places = drawn(*shape), SampleAxis(axis, torch.tensor(samples))
    of = SamplesOf(x, places)
    flat = of.flat()
    assert (len(flat), flat.numel()) == (len(set(samples)), x.numel())
    spread = of.spread(torch.arange(len(flat), dtype=x.dtype), x.ndim).expand_as(x)
    for sample in range(len(flat)):
        places_of_one = torch.tensor(samples) == sample
        row = sample if len(flat) < len(samples) else samples.index(sample)
        torch.testing.assert_close(x.movedim(axis, 0)[places_of_one].sum(), flat[row].sum())
        assert bool((spread.movedim(axis, 0)[places_of_one] == row).all())


@pytest.mark.parametrize("places", [SampleLayout.UNKNOWN, SampleAxis(0, torch.tensor([0, 0, 0, 1]))])
def test_samples_that_cannot_be_told_apart_are_refused(places):
    with pytest.raises(AmbiguousSamplesError, match="batch_size=1"):
        SamplesOf(drawn(4, 6), places)


def test_a_batch_norm_in_front_of_tokens_is_right_for_one_sample():
    """Its relevance comes back with channels last in memory, where torch's own gradient of a batch norm is wrong for one sample."""

    def body(m: nn.ModuleDict, x: Tensor) -> Tensor:
        y = m["norm"](F.relu(x))
        return m["b"](F.relu(m["a"](y.flatten(2).transpose(1, 2))).mean(1))

    net = randomized(Written(body, norm=nn.BatchNorm2d(C), a=nn.Linear(C, C), b=nn.Linear(C, CLASSES)))
    x = drawn(N, C, 3, 3)
    for name in ("lrp_z", "lrp_epsilon_0_1"):
        assert deviation(explain(net, x, name, 1)[:1], explain(net, x[:1], name, 1)) < 1e-12
    alone = explain(net, x[:1], "lrp_z", 1, relevance="logit")
    assert deviation(alone, explain(net, x, "input_t_gradient", 1)[:1]) < 1e-9


@pytest.mark.parametrize("method", ["lrp_z", "lrp_alpha_2_beta_1", "lrp_zplus", "lrp_gamma_0_25", "lrp_flat", "lrp_epsilon_0_25_std_x"])
def test_an_expert_that_no_token_goes_to(method):
    def experts(m: nn.ModuleDict, x: Tensor) -> Tensor:
        is_first, result = x[..., 0] > 0, torch.zeros_like(x)
        result[is_first] = m["a"](x[is_first])
        result[~is_first] = m["c"](x[~is_first])
        return m["b"](result.relu().mean(1))

    net, x = randomized(Written(experts, **{name: LAYERS[name]() for name in ("a", "b", "c")})), drawn(1, T, C)
    x[..., 0] = x[..., 0].abs()
    alone = randomized(Written(lambda m, x: m["b"](m["a"](x.flatten(0, 1)).unflatten(0, x.shape[:2]).relu().mean(1)), **dict(net.layers)))
    alone.load_state_dict(net.state_dict())
    assert deviation(explain(net, x, method, 1), explain(alone, x, method, 1)) < 1e-12
