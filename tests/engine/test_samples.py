"""Which values belong to which sample: rules that look at a whole sample give a batch what they give each sample alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comparing import deviation
from networks import CLASSES, Written, drawn, randomized
from signxai import explain, inspect_model
from signxai.common.errors import ModelError
from signxai.engine.samples import AmbiguousSamplesError, SampleLayout, SamplesOf, sample_layout

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
}


def frames_of_as_many_channels_as_samples(m: nn.ModuleDict, x: Tensor) -> Tensor:
    y = F.relu(m["wide"](x[:, :4].reshape(-1, N, 3)))
    return m["b"](y.reshape(len(x), -1, C).mean(1))


def as_many_tokens_as_samples(m: nn.ModuleDict, x: Tensor) -> Tensor:
    return m["b"](F.relu(m["a"](x[:, :N].transpose(0, 1))).mean(0))


def rows_of_one_time(m: nn.ModuleDict, x: Tensor) -> Tensor:
    y = F.relu(m["a"](x.transpose(0, 1).reshape(-1, C)))
    return m["b"](y.view(T, len(x), C).mean(0))


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


@pytest.mark.parametrize("name", ["lrp_epsilon_0_25_std_x", "lrpsign_epsilon_0_25_std_x", "zblrp_epsilon_0_1", "lrp_z"])
@pytest.mark.parametrize(
    "body",
    [rows, time_first, windows, frames, frames_of_as_many_channels_as_samples, as_many_tokens_as_samples, rows_of_one_time, packed],
)
def test_a_batch_equals_its_samples_however_they_are_laid_out(body, name):
    net = randomized(Written(body, **{key: make() for key, make in LAYERS.items()}))
    x = drawn(N, T, C)
    together = explain(net, x, name, 1)
    for sample in range(N):
        assert deviation(together[sample : sample + 1], explain(net, x[sample : sample + 1], name, 1)) < 1e-12


@pytest.mark.parametrize("name", ["lrp_epsilon_0_25_std_x", "zblrp_epsilon_0_1"])
def test_an_expert_may_get_as_many_tokens_as_there_are_samples(name):
    net = randomized(Written(experts, **{key: make() for key, make in LAYERS.items()}))
    x = drawn(N, T, C)
    together = explain(net, x, name, 1)
    assert deviation(together[:1], explain(net, x[:1], name, 1)) < 1e-12


def test_steps_of_packed_sequences_have_a_sample_in_each_row():
    assert sample_layout(drawn(3, C), 4, False) is SampleLayout.EACH_ROW
    chosen = drawn(8, C).requires_grad_()[torch.tensor([1, 5, 2])]
    assert sample_layout(chosen, 4, False) is SampleLayout.UNKNOWN


def test_a_report_adds_up_samples_that_are_explained_one_by_one():
    net, x = randomized(Written(rows, **{key: make() for key, make in LAYERS.items()})), drawn(N, T, C)
    report = inspect_model(net, x, "lrp_epsilon_0_25_std_x", 1)
    assert report.relevance_at_output == N
    assert report.relevance_at_input == pytest.approx(float(explain(net, x, "lrp_epsilon_0_25_std_x", 1).sum()), rel=1e-12)


def test_relevance_at_a_layer_that_mixes_up_samples_is_refused_where_they_must_go_alone():
    def body(m: nn.ModuleDict, x: Tensor) -> Tensor:
        y = F.relu(m["c"](F.relu(m["a"](x.reshape(-1, C)))))
        return m["b"](y.view(len(x), T, C).mean(1))

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
    ("shape", "count", "is_convolution", "layout"),
    [
        ((4, 6), 4, False, "EACH_ROW"),
        ((4, 5, 6), 4, False, "EACH_ROW"),
        ((4, 4, 6), 4, True, "EACH_ROW"),
        ((4, 4, 6), 4, False, "UNKNOWN"),  # tokens, or time first
        ((4, 2, 4, 6), 4, False, "UNKNOWN"),
        ((5, 4, 6), 4, False, "SECOND_AXIS"),
        ((8, 4, 6), 4, False, "UNKNOWN"),  # time first, or two windows each
        ((20, 6), 4, False, "UNKNOWN"),  # rows of one sample behind each other, or of one time
        ((3, 5, 6), 4, False, "UNKNOWN"),
        ((20, 6), 1, False, "ONE"),
        ((0, 6), 1, False, "ONE"),
    ],
)
def test_where_the_samples_are(shape, count, is_convolution, layout):
    x = drawn(*shape)
    assert sample_layout(x, count, is_convolution) is SampleLayout[layout]
    if layout == "UNKNOWN":
        with pytest.raises(AmbiguousSamplesError, match="batch_size=1"):
            SamplesOf(x, SampleLayout.UNKNOWN)
        return
    of = SamplesOf(x, SampleLayout[layout])
    flat = of.flat()
    assert (len(flat), flat.numel()) == (count, x.numel())
    spread = of.spread(torch.arange(count, dtype=x.dtype), x.ndim).expand_as(x)
    for sample in range(count):
        torch.testing.assert_close(x[spread == sample].sum(), flat[sample].sum())


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
