"""Which values belong to which sample: rules that look at a whole sample give a batch what they give each sample alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comparing import deviation
from networks import CLASSES, Written, drawn, randomized
from signxai import explain
from signxai.engine.samples import SamplesOf

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
    "conv": lambda: nn.Conv1d(2, C, 3),
    "wide": lambda: nn.Conv1d(N, 4, 1),
}


def frames_of_as_many_channels_as_samples(m: nn.ModuleDict, x: Tensor) -> Tensor:
    y = F.relu(m["wide"](x[:, :4].reshape(-1, N, 3)))
    return m["b"](y.reshape(len(x), -1, C).mean(1))


@pytest.mark.parametrize("name", ["lrp_epsilon_0_25_std_x", "lrpsign_epsilon_0_25_std_x", "zblrp_epsilon_0_1", "lrp_z"])
@pytest.mark.parametrize("body", [rows, time_first, windows, frames, frames_of_as_many_channels_as_samples])
def test_a_batch_equals_its_samples_however_they_are_laid_out(body, name):
    net = randomized(Written(body, **{key: make() for key, make in LAYERS.items()}))
    x = drawn(N, T, C)
    together = explain(net, x, name, 1)
    for sample in range(N):
        assert deviation(together[sample : sample + 1], explain(net, x[sample : sample + 1], name, 1)) < 1e-12


def test_tokens_in_rows_are_explained_as_tokens_of_samples():
    """As GPT-2 writes a layer: ``x.view(-1, C) @ W + b``."""
    net = randomized(Written(rows, **{key: make() for key, make in LAYERS.items()}))
    other = Written(lambda m, x: m["b"](F.relu(m["a"](x)).mean(1)), **{key: make() for key, make in LAYERS.items()}).double()
    other.load_state_dict(net.state_dict())
    x = drawn(N, T, C)
    for name in ("lrp_epsilon_0_25_std_x", "zblrp_epsilon_0_1"):
        assert deviation(explain(net, x, name, 1), explain(other, x, name, 1)) < 1e-12


@pytest.mark.parametrize(
    ("shape", "count", "samples"),
    [((4, 6), 4, 4), ((20, 6), 4, 4), ((5, 4, 6), 4, 4), ((7, 6), 4, 7), ((8, 2, 6), 4, 4), ((3, 2), None, 3)],
)
def test_how_many_samples_there_are(shape, count, samples):
    x = drawn(*shape)
    of = SamplesOf(x, count)
    flat = of.flat()
    assert len(flat) == samples
    assert flat.numel() == x.numel()
    spread = of.spread(torch.arange(samples, dtype=x.dtype), x.ndim).expand_as(x)
    for sample in range(samples):
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
