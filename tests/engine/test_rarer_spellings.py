"""Calls that networks write more rarely, each against the common way to write the same."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from comparing import assert_same_map, deviation
from signxai import explain, inspect_model
from signxai.common import ModelError
from signxai.engine.relevance import UnknownOperationWarning


class Written(nn.Module):
    """A forward pass as a function of the module and its input; the same parameters for every function."""

    def __init__(self, forward):
        super().__init__()
        torch.manual_seed(3)
        self.square, self.kernel = nn.Parameter(torch.randn(4, 4)), nn.Parameter(torch.randn(3, 4, 3))
        self.vector, self.last = nn.Parameter(torch.randn(4)), nn.Linear(4, 3)
        self.written = forward
        self.double()

    def forward(self, x):
        return self.last(self.written(self, x))


DRAWN = torch.Generator().manual_seed(1)  # tests are collected in any order
ROWS, SIGNALS = (torch.randn(shape, dtype=torch.float64, generator=DRAWN) for shape in ((3, 4), (3, 4, 6)))
METHODS = ["lrp_z", "lrp_epsilon_0_25_std_x", "lrp_alpha_2_beta_1", "guided_backprop"]

# the rarer way, the common way, the input
PAIRS = {
    "no padding, by name": (
        lambda net, x: F.pad(F.conv1d(x, net.kernel, padding="valid").mean(-1), (0, 1)) + x.relu().mean(-1),
        lambda net, x: F.pad(F.conv1d(x, net.kernel).mean(-1), (0, 1)) + x.relu().mean(-1),
        SIGNALS,
    ),
    "a weight that is a vector": (
        lambda net, x: F.linear(x, net.vector).unsqueeze(1).relu() + x.relu(),
        lambda net, x: F.linear(x, net.vector[None]).relu() + x.relu(),
        ROWS,
    ),
    "a vector times signals": (
        lambda net, x: torch.matmul(net.vector, x)[:, :4].relu(),
        lambda net, x: torch.matmul(x.transpose(1, 2), net.vector)[:, :4].relu(),
        SIGNALS,
    ),
    "a matrix times signals": (
        lambda net, x: (net.square @ x).relu().mean(-1),
        lambda net, x: (x.transpose(1, 2) @ net.square.t()).relu().mean(1),
        SIGNALS,
    ),
    "a lower limit by keyword": (
        lambda net, x: torch.clamp_min(input=F.linear(x, net.square), min=0),
        lambda net, x: F.linear(x, net.square).relu(),
        ROWS,
    ),
    "a hard tanh by keyword": (
        lambda net, x: F.hardtanh(input=F.linear(x, net.square), min_val=0.0, max_val=1e9),
        lambda net, x: F.linear(x, net.square).relu(),
        ROWS,
    ),
    "limits that are constants": (
        lambda net, x: F.linear(x, net.square).clamp(torch.zeros(4).to(x), torch.full((4,), 0.5).to(x)) + x.relu(),
        lambda net, x: F.linear(x, net.square).clamp(0.0, 0.5) + x.relu(),
        ROWS,
    ),
    "an upper limit of each column": (
        lambda net, x: F.linear(x, net.square).clamp(torch.zeros(4).to(x), net.vector.detach().abs()),
        lambda net, x: torch.stack(
            [F.linear(x, net.square)[:, row].clamp(0.0, net.vector.detach().abs()[row].item()) for row in range(4)], 1
        ),
        ROWS,
    ),
    "a leaky relu by halves": (
        lambda net, x: (y := F.linear(x, net.square)).relu() - 0.2 * (-y).relu() + x.relu(),
        lambda net, x: F.leaky_relu(F.linear(x, net.square), 0.2) + x.relu(),
        ROWS,
    ),
    "an upper limit alone": (
        lambda net, x: torch.clamp(F.linear(x, net.square).relu(), max=0.5) + x.relu(),
        lambda net, x: torch.clamp_max(F.linear(x, net.square).relu(), 0.5) + x.relu(),
        ROWS,
    ),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("rarer", "common", "x"), PAIRS.values(), ids=PAIRS)
def test_a_rarer_spelling_has_the_map_of_the_common_one(rarer, common, x, name):
    assert_same_map(Written(common), Written(rarer), x, name)


def negated(not_above) -> dict:
    """ReLUs by a mask of what is not above 0, inverted by a function of torch."""
    return {
        "masked by what is not above": lambda y: y.masked_fill(not_above(y > 0), 0.0),
        "kept where not below": lambda y: torch.where(not_above(y < 0), y, 0 * y.detach()),
        "times what is not below": lambda y: y * not_above(y <= 0),
        "times what is not not above": lambda y: y * not_above(not_above(y > 0)).to(y),
    }


BY_MASK = {
    "times a mask": lambda y: y * (y > 0),
    "a mask times it": lambda y: torch.ge(y, 0) * y,
    "times a mask as": lambda y: y * (y > 0).type_as(y),
    "times a mask to its type": lambda y: y * (y > 0).to(y.dtype),
    "times a mask of a type": lambda y: y * torch.gt(y, 0).type(torch.float64),
    "times a double mask": lambda y: y * y.gt(0.0).double(),
    "times a float mask": lambda y: y * (y > 0).float(),
    "times a half mask": lambda y: y * (y > 0).half(),
    "times a bfloat16 mask": lambda y: y * (y > 0).bfloat16(),
    "times a mask of integers": lambda y: y * (y > 0).int(),
    "times a mask of long integers": lambda y: y * (y > 0).long(),
    "times a copy of a mask": lambda y: y * (y > 0).clone(),
    **{f"{name}, logical": relu for name, relu in negated(torch.logical_not).items()},
    **{f"{name}, bitwise": relu for name, relu in negated(torch.bitwise_not).items()},
    **{f"{name}, by ~": relu for name, relu in negated(lambda mask: ~mask).items()},
}


@pytest.mark.parametrize("method", ["guided_backprop", "deconvnet", "lrp_alpha_2_beta_1"])
@pytest.mark.parametrize("relu", BY_MASK.values(), ids=BY_MASK)
def test_a_signal_times_its_own_mask_is_a_relu(relu, method):
    plain, masked = (Written(lambda net, x, act=act: act(F.linear(x, net.square))) for act in (torch.relu, relu))
    assert_same_map(plain, masked, ROWS, method)


NO_RELU = {
    "above another number": lambda y: y * (y > 1),
    "below": lambda y: y * (y < 0),
    "not above": lambda y: y * ~(y > 0),
    "not below 1": lambda y: y.masked_fill(~(y >= 1), 0.0),
    "of integers that are inverted": lambda y: y * ~(y > 0).int(),
}


@pytest.mark.parametrize("act", NO_RELU.values(), ids=NO_RELU)
def test_a_signal_times_another_mask_is_none(act):
    net = Written(lambda net, x: act(F.linear(x, net.square)) + x.relu())
    twin = Written(lambda net, x: (y := F.linear(x, net.square)) * (act(y.detach()) / y.detach()) + x.relu())
    assert_same_map(twin, net, ROWS, "guided_backprop")


@pytest.mark.parametrize("write", [lambda h: h.clamp_(-0.3, 0.4), lambda h: h.clamp_max_(0.4), lambda h: F.relu6(h.mul_(9), inplace=True)])
def test_a_cut_off_written_in_place_is_followed_where_only_its_memory_is_used(write):
    def in_place(net, x):
        h = F.linear(x, net.square)
        write(h)
        return h

    net = Written(in_place)
    gradient = explain(net, ROWS, "input_t_gradient", 1)
    bias = inspect_model(net, ROWS, "lrp_z", 1, relevance="logit")
    assert bias.unaccounted < 1e-12
    assert deviation(explain(net, ROWS, "lrp_z", 1, relevance="logit"), gradient) < 1e-9


def test_the_logarithm_of_a_softmax_is_taken_off_for_gradients_too():
    net = nn.Sequential(nn.Linear(4, 3)).double()

    class Log(nn.Module):
        def forward(self, x):
            return torch.log(torch.softmax(net(x), 1))

    for name in ("gradient", "integrated_gradients_steps_3"):
        np.testing.assert_allclose(explain(Log(), ROWS, name, 1), explain(net, ROWS, name, 1), rtol=1e-12)


def test_an_einstein_sum_by_lists_of_axes_is_that_by_letters():
    by_lists = Written(lambda net, x: torch.einsum(x, [0, 1], net.square, [2, 1], [0, 2]))
    by_letters = Written(lambda net, x: torch.einsum("ni,oi->no", x, net.square))
    assert_same_map(by_letters, by_lists, ROWS, "lrp_epsilon_0_1")


def test_a_layer_of_which_all_is_computed_follows_the_gradient_and_says_so():
    net = Written(lambda net, x: F.linear(x, x.mean(0).unsqueeze(1) * net.vector, x.mean(0)))
    with pytest.warns(UnknownOperationWarning, match="linear"):
        explain(net, ROWS[:1], "lrp_z", 1)
    with pytest.raises(ModelError, match="strict"):
        explain(net, ROWS[:1], "lrp_z", 1, strict=True)


FLOAT32 = {
    "transposed": nn.ConvTranspose1d(4, 3, 3),
    "transposed, two axes": nn.ConvTranspose2d(4, 3, 3, padding=1),
    "in groups": nn.Conv1d(4, 4, 3, groups=2),
    "dilated": nn.Conv1d(4, 3, 2, dilation=2),
    "padded to an even kernel": nn.Conv1d(4, 3, 4, padding="same"),
    "strided and padded": nn.Conv2d(4, 3, 3, stride=2, padding=1),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", ["lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "gradient"])
@pytest.mark.parametrize("layer", FLOAT32.values(), ids=FLOAT32)
def test_small_convolutions_in_float32_are_those_in_float64(layer, name):
    torch.manual_seed(0)
    axes = layer.weight.ndim - 2
    net = nn.Sequential(layer, nn.Tanh(), nn.Flatten(), nn.LazyLinear(3))
    x = torch.randn(2, 4, *(7,) * axes)
    net(x)
    single = explain(net, x, name, 1)
    assert deviation(single, explain(net.double(), x.double(), name, 1)) < 1e-4
    net.float()


RULES = ["lrp_z", "lrp_epsilon_0_1", "lrp_epsilon_0_25_std_x", "lrp_alpha_2_beta_1", "lrp_gamma_0_25", "lrp_zplus", "lrp_wsquare",
         "lrp_flat", "lrp_epsilon_plus_flat", "lrp_epsilon_alpha2_beta1_flat", "w2lrp_z", "flatlrp_z", "zblrp_z", "lrpsign_z"]  # fmt: skip
SAMPLES_ALONE = {  # of each sample on its own, of all at once, the input
    "linear": (lambda net, row: F.linear(row, net.square).relu(), lambda net, x: F.linear(x, net.square).relu(), ROWS),
    "matrix product": (lambda net, row: (row @ net.square).relu(), lambda net, x: (x @ net.square).relu(), ROWS),
    "matrix and vector": (lambda net, row: torch.mv(net.square, row).relu(), lambda net, x: F.linear(x, net.square).relu(), ROWS),
    "convolution": (
        lambda net, signal: F.conv1d(signal, net.kernel).relu(),
        lambda net, x: F.conv1d(x, net.kernel).relu(),
        SIGNALS,
    ),
    "transposed convolution": (
        lambda net, signal: F.conv_transpose1d(signal, net.kernel.transpose(0, 1)).relu(),
        lambda net, x: F.conv_transpose1d(x, net.kernel.transpose(0, 1)).relu(),
        SIGNALS,
    ),
}


@pytest.mark.parametrize("method", RULES)
@pytest.mark.parametrize("layer", SAMPLES_ALONE)
def test_a_layer_on_one_sample_at_a_time(layer, method):
    alone, together, x = SAMPLES_ALONE[layer]

    def tail(y):
        return y if y.ndim == 2 else F.pad(y.mean(-1), (0, 1))

    one_by_one = Written(lambda net, x: tail(torch.stack([alone(net, sample) for sample in x])))
    at_once = Written(lambda net, x: tail(together(net, x)))
    assert deviation(explain(one_by_one, x, method, 1), explain(at_once, x, method, 1)) < 1e-11
    report, expected = (inspect_model(net, x[:1], method, 1) for net in (one_by_one, at_once))
    assert report.relevance_at_input == pytest.approx(expected.relevance_at_input)
    assert report.rows[-1].relevance_at_input == pytest.approx(expected.rows[-1].relevance_at_input)
