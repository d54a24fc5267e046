"""The account of where relevance goes balances, and its columns are what a calculation by hand gives."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import oracles
from networks import CLASSES, Residual, Written, conv, drawn, inputs, network, randomized
from signxai import explain, inspect_model
from signxai.api import Report
from signxai.common import ModelError, OptionError
from signxai.engine.relevance import UnknownOperationWarning
from signxai.targets import contrast
from untouched import assert_untouched, state

METHODS = ["lrp_z", "lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "lrp_gamma_0_25", "lrpsign_epsilon_0_25_std_x", "w2lrp_zplus", "flatlrp_z",
           "zblrp_epsilon_0_1_low_neg_1_high_1"]  # fmt: skip
SHARING = ["lrp_z", "lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "lrp_gamma_0_25"]
LENGTH, WIDTH = 4, 6


def gated(m: nn.ModuleDict, x: Tensor) -> Tensor:
    a = F.relu(m["conv"](x))
    return m["fc"]((a * torch.sigmoid(m["up"](F.relu(m["down"](a.mean((2, 3), keepdim=True)))))).flatten(1))


def u_shaped(m: nn.ModuleDict, x: Tensor) -> Tensor:
    a = F.relu(m["down1"](x))
    b = F.relu(m["down2"](F.max_pool2d(a, 2)))
    return m["out"](torch.cat([a, F.relu(m["up"](b))], 1))


def dense(m: nn.ModuleDict, x: Tensor) -> Tensor:
    a = m["c1"](x)
    b = m["c2"](F.relu(m["n1"](a)))
    c = m["c3"](F.relu(m["n2"](torch.cat([a, b], 1))))
    return m["fc"](F.adaptive_avg_pool2d(torch.cat([a, b, c], 1), 1).flatten(1))


def functional(m: nn.ModuleDict, x: Tensor) -> Tensor:
    x = F.conv2d(x, m["conv"].weight, m["conv"].bias, stride=2).relu_()
    x -= 0.1
    x = F.avg_pool2d(F.gelu(x), 3) * 2.0 / 3.0
    return F.linear(x.reshape(len(x), -1), m["fc"].weight) + m["fc"].bias


def recurrent(m: nn.ModuleDict, x: Tensor) -> Tensor:
    return m["fc"](m["rnn"](x)[0][:, -1])


def attending(m: nn.ModuleDict, x: Tensor) -> Tensor:
    x = m["norm"](x + m["attention"](x, x, x)[0])
    return m["fc"](x.mean(1))


SEQUENCE, IMAGE = (LENGTH, WIDTH), (3, 8, 8)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(12, CLASSES), (12,)),
    "mlp": (lambda: network("mlp"), (4, 5)),
    "convolutions": (lambda: network("cnn2d"), IMAGE),
    "average pooling": (lambda: network("cnn3d"), (2, 5, 6, 6)),
    "residual with batch norm": (Residual, IMAGE),
    "residual in place": (lambda: Residual("+=", "method inplace"), IMAGE),
    "gate": (lambda: Written(gated, conv=conv(), down=conv(4, 2, 1), up=conv(2, 4, 1), fc=nn.Linear(256, CLASSES)), IMAGE),
    "LSTM": (lambda: Written(recurrent, rnn=nn.LSTM(WIDTH, 5, batch_first=True), fc=nn.Linear(5, CLASSES)), SEQUENCE),
    "GRU": (lambda: Written(recurrent, rnn=nn.GRU(WIDTH, 5, 2, batch_first=True), fc=nn.Linear(5, CLASSES)), SEQUENCE),
    "attention": (
        lambda: Written(
            attending, attention=nn.MultiheadAttention(WIDTH, 2, batch_first=True), norm=nn.LayerNorm(WIDTH), fc=nn.Linear(WIDTH, CLASSES)
        ),
        SEQUENCE,
    ),
    "transformer": (
        lambda: nn.Sequential(nn.TransformerEncoderLayer(WIDTH, 2, 8, batch_first=True), nn.Flatten(), nn.Linear(24, CLASSES)),
        SEQUENCE,
    ),
    "U-Net": (lambda: Written(u_shaped, down1=conv(), down2=conv(4, 5), up=nn.ConvTranspose2d(5, 4, 2, 2), out=conv(8, 2, 1)), IMAGE),
    "DenseNet": (
        lambda: Written(
            dense, c1=conv(), n1=nn.BatchNorm2d(4), c2=conv(4, 3), n2=nn.BatchNorm2d(7), c3=conv(7, 2), fc=nn.Linear(9, CLASSES)
        ),
        IMAGE,
    ),
    "groups": (lambda: nn.Sequential(conv(3, 6, groups=3), nn.ReLU(), conv(6, 4, groups=2), nn.Flatten(), nn.Linear(256, CLASSES)), IMAGE),
    "transposed": (
        lambda: nn.Sequential(conv(3, 4, stride=2), nn.ReLU(), nn.ConvTranspose2d(4, 2, 3, 2, 1, 1, groups=2), nn.BatchNorm2d(2), nn.ReLU(),
                              nn.Flatten(), nn.Linear(128, CLASSES)),
        IMAGE,
    ),
    "norms": (
        lambda: nn.Sequential(conv(), nn.GroupNorm(2, 4), nn.SiLU(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(256, CLASSES)),
        IMAGE,
    ),
    "functional": (lambda: Written(functional, conv=conv(), fc=nn.Linear(4, CLASSES)), IMAGE),
    "softmax at the end": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, CLASSES), nn.Softmax(1)), IMAGE),
}  # fmt: skip


def case(name: str) -> tuple[nn.Module, Tensor, int | tuple[int, ...]]:
    make, shape = NETWORKS[name]
    x = drawn(2, *shape)
    return randomized(make()), x, (1, 3, 4) if name == "U-Net" else 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_account_balances(name, method):
    net, x, target = case(name)
    report = inspect_model(net, x, method, target)
    size = max(1.0, *(abs(row.relevance_at_output) for row in report.rows))
    assert abs(report.unaccounted) <= 1e-9 * size
    assert report.relevance_at_output == len(x)
    r = explain(net, x, method, target)
    assert abs(report.relevance_at_input - r.sum()) <= 1e-12 * np.abs(r).sum()
    assert abs(report.positive - r.clip(min=0).sum()) <= 1e-12 * np.abs(r).sum()
    assert abs(report.negative - r.clip(max=0).sum()) <= 1e-12 * np.abs(r).sum()
    for row in report.rows:
        absorbed = row.absorbed_by_bias + row.absorbed_by_stabilizer + row.absorbed_elsewhere
        assert abs(row.relevance_at_output - row.relevance_at_input - absorbed) <= 1e-9 * size


@pytest.mark.parametrize("stabilizer", [0.0, 0.05])
@pytest.mark.parametrize("method", ["lrp_alpha_2_beta_1", "lrp_gamma_0_25", "zblrp_zplus"])
@pytest.mark.parametrize("name", ["residual with batch norm", "DenseNet", "GRU", "average pooling"])
def test_the_account_balances_with_a_stabilizer_too(name, method, stabilizer):
    net, x, target = case(name)
    report = inspect_model(net, x, method, target, stabilizer=stabilizer)
    size = max(1.0, *(abs(row.relevance_at_output) for row in report.rows))
    assert abs(report.unaccounted) <= 1e-9 * size
    assert (abs(report.absorbed_by_stabilizer) < 1e-12) == (stabilizer == 0)
    assert abs(report.relevance_at_input - explain(net, x, method, target, stabilizer=stabilizer).sum()) <= 1e-9 * size


@pytest.mark.parametrize("relevance", ["one_hot", "logit"])
@pytest.mark.parametrize("method", METHODS)
def test_each_row_has_what_arrives_at_that_layer(method, relevance):
    net, x = network("cnn2d"), inputs("cnn2d")
    report = inspect_model(net, x, method, [0, 1, 2, 3], relevance=relevance)
    rows = {row.name: row for row in report.rows}
    for index in range(len(net) - 1):
        expected = explain(net, x, method, [0, 1, 2, 3], at=str(index), relevance=relevance).sum()
        assert abs(rows[str(index)].relevance_at_output - expected) < 1e-9 * max(1, abs(expected))
        assert abs(rows[str(index + 1)].relevance_at_input - expected) < 1e-9 * max(1, abs(expected))


def test_relevance_starts_with_the_logits_if_asked_to():
    net, x = network("mlp"), inputs("mlp")
    with torch.no_grad():
        expected = net(x)[:, 2].sum().item()
    report = inspect_model(net, x, "lrp_epsilon_0_1", 2, relevance="logit")
    assert abs(report.relevance_at_output - expected) < 1e-12
    assert abs(report.unaccounted) < 1e-12


# --- columns by hand


def absorbed(method: str, w: Tensor, b: Tensor, x: Tensor, r: Tensor) -> tuple[float, float]:
    """What the bias and the stabilizer of one linear layer take of the relevance at the output of one sample."""
    c, z, bias, stabilizer = w * x, w @ x + b, 0.0, 0.0
    for j in range(len(r)):
        if method in ("lrp_z", "lrp_epsilon_0_1"):
            e = 0.1 if method == "lrp_epsilon_0_1" else 0.0
            e = e if z[j] >= 0 else -e
            bias += b[j] / (z[j] + e) * r[j]
            stabilizer += e / (z[j] + e) * r[j]
        elif method == "lrp_alpha_2_beta_1":
            for factor, sign in ((2, 1), (-1, -1)):
                denominator = sum(v for v in (*c[j], b[j]) if v * sign > 0)
                bias += factor * b[j] / denominator * r[j] if b[j] * sign > 0 else 0.0
        else:
            sign = 1 if z[j] > 0 else -1
            favoured = [v * (1.25 if v * sign > 0 else 1.0) for v in (*c[j], b[j])]
            bias += favoured[-1] / sum(favoured) * r[j]
    return float(bias), float(stabilizer)


def passed(method: str, w: Tensor, b: Tensor, x: Tensor, r: Tensor) -> Tensor:
    rules = {
        "lrp_z": oracles.z,
        "lrp_epsilon_0_1": lambda *a: oracles.epsilon(*a, 0.1),
        "lrp_alpha_2_beta_1": lambda *a: oracles.alpha_beta(*a, 2, 1),
        "lrp_gamma_0_25": lambda *a: oracles.gamma(*a, 0.25),
    }
    return rules[method](w, b, x, r)


@pytest.mark.parametrize("method", SHARING)
@pytest.mark.parametrize("target", [0, 1, 2, 3])
def test_a_linear_layer_by_hand(target, method):
    net, x = randomized(nn.Linear(12, CLASSES)), inputs("linear")
    start = torch.eye(CLASSES, dtype=torch.float64)[target]
    by_hand = np.array([absorbed(method, net.weight.data, net.bias.data, sample, start) for sample in x]).sum(0)
    (row,) = inspect_model(net, x, method, target).rows
    np.testing.assert_allclose([row.absorbed_by_bias, row.absorbed_by_stabilizer], by_hand, rtol=1e-10, atol=1e-12)
    assert abs(row.absorbed_elsewhere) < 1e-10
    assert (row.name, row.operation) == ("", "linear")


@pytest.mark.parametrize("method", SHARING)
def test_a_network_of_two_layers_by_hand(method):
    net, x = randomized(nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, CLASSES))), inputs("linear")
    start, by_hand = torch.eye(CLASSES, dtype=torch.float64)[1], np.zeros((2, 2))
    for sample in x:
        hidden = net[:2](sample).detach()
        r = passed(method, net[2].weight.data, net[2].bias.data, hidden, start)
        by_hand[1] += absorbed(method, net[2].weight.data, net[2].bias.data, hidden, start)
        by_hand[0] += absorbed(method, net[0].weight.data, net[0].bias.data, sample, r)
    first, relu, last = inspect_model(net, x, method, 1).rows
    for row, expected in ((first, by_hand[0]), (last, by_hand[1])):
        np.testing.assert_allclose([row.absorbed_by_bias, row.absorbed_by_stabilizer], expected, rtol=1e-9, atol=1e-12)
    assert (relu.absorbed_by_bias, relu.absorbed_by_stabilizer, relu.absorbed_elsewhere) == (0, 0, 0)
    assert by_hand[:, 0].all()
    assert bool(by_hand[:, 1].any()) == (method == "lrp_epsilon_0_1")


@pytest.mark.parametrize("method", ["lrp_z", "lrp_epsilon_0_1", "lrp_gamma_0_25"])
def test_the_bias_of_a_batch_norm_counts_as_that_of_the_layer_before(method):
    net, x = randomized(nn.Sequential(nn.Linear(12, CLASSES), nn.BatchNorm1d(CLASSES))), inputs("linear")
    both, start = oracles.folded(net[0], net[1]), torch.eye(CLASSES, dtype=torch.float64)[2]
    by_hand = np.array([absorbed(method, both.weight.data, both.bias.data, sample, start) for sample in x]).sum(0)
    report = inspect_model(net, x, method, 2)
    np.testing.assert_allclose([report.absorbed_by_bias, report.absorbed_by_stabilizer], by_hand, rtol=1e-10, atol=1e-12)
    assert abs(report.absorbed_elsewhere) < 1e-10


def test_an_added_constant_counts_as_a_bias():
    net, x = Written(lambda m, x: x * 2 + 3), torch.tensor([[1.0, 2.0], [4.0, -1.0]], dtype=torch.float64)
    report = inspect_model(net, x, "lrp_z", 1)
    assert abs(report.absorbed_by_bias - (3 / 7 + 3 / 1)) < 1e-12
    assert [row.operation for row in report.rows] == ["mul", "add"]


def without_biases(net: nn.Module) -> nn.Module:
    for module in net.modules():
        if isinstance(module, oracles.LINEAR):
            module.bias = None
        elif isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()
            module.bias.data.zero_()
    return net


BIASES_ALONE_ABSORB = ["linear", "mlp", "convolutions", "average pooling", "residual with batch norm", "residual in place", "gate", "U-Net",
                       "DenseNet", "groups", "transposed"]  # fmt: skip


@pytest.mark.parametrize("name", BIASES_ALONE_ABSORB)
def test_without_biases_and_stabilizers_nothing_is_absorbed(name):
    net, x, target = case(name)
    report = inspect_model(without_biases(net), x, "lrp_z", target)
    for row in report.rows:
        assert abs(row.absorbed_by_bias) < 1e-9
        assert abs(row.absorbed_by_stabilizer) < 1e-12
        assert abs(row.absorbed_elsewhere) < 1e-9
    assert abs(report.relevance_at_input - len(x)) < 1e-9


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_without_biases_nothing_is_absorbed_in_a_recurrent_network(kind):
    net = Written(recurrent, rnn=kind(WIDTH, 5, bias=False, batch_first=True), fc=nn.Linear(5, CLASSES, bias=False))
    report = inspect_model(randomized(net), case("LSTM")[1], "lrp_z", 1)
    assert abs(report.relevance_at_input - 2) < 1e-9
    assert all(abs(row.absorbed_by_bias) < 1e-9 and abs(row.absorbed_by_stabilizer) < 1e-12 for row in report.rows)


def test_a_share_of_nothing_is_lost_elsewhere_and_not_to_a_bias():
    net = nn.Sequential(nn.Conv1d(1, 2, 1, bias=False), nn.ReLU(), nn.AvgPool1d(2), nn.Flatten(), nn.Linear(2, 2, bias=False)).double()
    net[0].weight.data = torch.tensor([1.0, -1.0]).double().view(2, 1, 1)
    report = inspect_model(net, torch.ones(1, 1, 2).double(), "lrp_flat", 0)
    assert abs(report.relevance_at_input - 0.5) < 1e-12
    assert report.absorbed_by_bias == 0
    assert abs(report.absorbed_elsewhere - 0.5) < 1e-12


# --- rows


def test_rows_stand_in_the_order_of_execution_under_the_names_of_modules():
    class OutOfOrder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.block = nn.Linear(256, CLASSES), nn.ModuleDict({"norm": nn.BatchNorm2d(4), "relu": nn.ReLU(), "conv": conv()})

        def forward(self, x: Tensor) -> Tensor:
            x = self.block["relu"](self.block["norm"](self.block["conv"](x)))
            x = self.block["relu"](x + 1)
            return self.last(x.flatten(1))

    report = inspect_model(randomized(OutOfOrder()), inputs("cnn2d"), "lrp_epsilon_0_1", 1)
    assert [(row.name, row.operation) for row in report.rows] == [
        ("block.conv", "conv2d"),
        ("block.norm", "batch_norm"),
        ("block.relu", "relu"),
        ("", "add"),
        ("block.relu", "relu"),
        ("", "flatten"),
        ("last", "linear"),
    ]
    types = ["Conv2d", "BatchNorm2d", "ReLU", "OutOfOrder", "ReLU", "OutOfOrder", "Linear"]
    assert [row.module_type for row in report.rows] == types
    assert all(row.line.startswith("test_inspect.py:") for row in report.rows)
    assert all(row.is_known for row in report.rows)


def test_each_execution_of_a_module_has_a_row_of_its_own():
    net = Written(lambda m, x: m["fc"](m["again"](F.relu(m["again"](x)))), again=nn.Linear(12, 12), fc=nn.Linear(12, CLASSES))
    report = inspect_model(randomized(net), inputs("linear"), "lrp_z", 1)
    assert [row.name for row in report.rows] == ["layers.again", "", "layers.again", "layers.fc"]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_operation_of_a_known_kind_is_known(name):
    net, x, target = case(name)
    report = inspect_model(net, x, "lrp_z", target, strict=True)
    assert report.unknown_operations == []
    names = dict(net.named_modules())
    assert all(type(names[row.name]).__name__ == row.module_type for row in report.rows)


def distances(m: nn.ModuleDict, x: Tensor) -> Tensor:
    return m["fc"](torch.hypot(m["codes"](x), m["fc"].weight[0]))


def test_unknown_operations_are_listed_and_strict_refuses_them():
    net, x = randomized(Written(distances, codes=nn.Linear(12, 4), fc=nn.Linear(4, 4))), inputs("linear")
    with pytest.warns(UnknownOperationWarning, match="hypot"):
        report = inspect_model(net, x, "lrp_z", 1)
    (unknown,) = report.unknown_operations
    assert "hypot" in unknown
    assert "test_inspect.py" in unknown
    assert [row.operation for row in report.rows if not row.is_known] == ["hypot"]
    assert unknown in str(report)
    assert abs(report.unaccounted) < 1e-9
    with pytest.raises(ModelError, match=r"'hypot'.* in Written, test_inspect\.py:\d+"):
        inspect_model(net, x, "lrp_z", 1, strict=True)


# --- the report as text and as data


@pytest.mark.parametrize("name", NETWORKS)
def test_a_report_prints_a_line_for_each_row_and_the_totals(name):
    net, x, target = case(name)
    report = inspect_model(net, x, "lrp_epsilon_0_1", target)
    lines = str(report).splitlines()
    for index, row in enumerate(report.rows):
        (line,) = [line for line in lines if line.split() and line.split()[0] == str(index)]
        assert row.place in line
        assert row.operation in line
        assert row.rule in line
    assert any("at the output" in line and "at the input" in line and "biases" in line for line in lines)
    assert "lrp_epsilon_0_1" in lines[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_report_as_a_dict_is_json(name):
    net, x, target = case(name)
    report = inspect_model(net, x, "lrp_z", target)
    read = json.loads(json.dumps(report.to_dict()))
    assert read["method"] == "lrp_z"
    assert len(read["rows"]) == len(report.rows)
    assert read["relevance_at_input"] == report.relevance_at_input
    assert read["unaccounted"] == report.unaccounted
    assert read["rows"][-1]["relevance_at_output"] == report.rows[-1].relevance_at_output


# --- what is refused, and what stays as it was


@pytest.mark.parametrize(
    "method",
    ["lrp_z_x_input", "lrp_epsilon_0_1_x_sign", "gradient", "input_t_gradient", "gradient_x_sign", "guided_backprop", "grad_cam",
     "integrated_gradients", "smoothgrad", "random_uniform"],
)  # fmt: skip
def test_what_has_no_account_is_refused(method):
    with pytest.raises(OptionError):
        inspect_model(network("cnn2d"), inputs("cnn2d"), method, 1)


@pytest.mark.parametrize("method", ["lrp_z", "gradient"])
def test_a_layer_to_stop_at_is_refused(method):
    with pytest.raises(OptionError):
        inspect_model(network("cnn2d"), inputs("cnn2d"), method, 1, at="0")


@pytest.mark.parametrize("name", ["residual in place", "LSTM", "attention", "functional"])
def test_the_model_comes_back_untouched(name):
    net, x, target = case(name)
    net.train()
    before, values = state(net), x.clone()
    assert isinstance(inspect_model(net, x, "lrp_z", target), Report)
    assert_untouched(net, before)
    assert torch.equal(x, values)


def test_inspecting_twice_gives_the_same_account():
    net, x, target = case("GRU")
    assert inspect_model(net, x, "lrp_gamma_0_25", target) == inspect_model(net, x, "lrp_gamma_0_25", target)


class WithToken(nn.Module):
    """A learned token stands in front of what was computed, as in a vision transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.token, self.fc = nn.Linear(5, 6), nn.Parameter(torch.randn(1, 6)), nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.cat([self.token.expand(len(x), -1), self.first(x)], 1))


def test_a_constant_in_a_concatenation_absorbs():
    net, x = randomized(WithToken()), torch.randn(2, 5, dtype=torch.float64)
    report = inspect_model(net, x, "lrp_epsilon_0_1", 1)
    assert abs(report.unaccounted) < 1e-12
    row = next(row for row in report.rows if row.operation == "cat")
    assert abs(row.absorbed_elsewhere) > 1e-3
    assert row.relevance_at_input == pytest.approx(next(row for row in report.rows if row.name == "first").relevance_at_output)


class Folded(nn.Module):
    """A convolution with a constant behind it, moved before that, and a layer with two."""

    def __init__(self):
        super().__init__()
        self.conv, self.middle, self.out = nn.Conv1d(2, 3, 3), nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        h = self.conv(x)[:, :, :6].transpose(1, 2) * 0.1
        h = (self.middle(h.relu().mean(1)) + torch.arange(4)) * 2
        return self.out(h.relu())


def test_rows_of_layers_say_what_was_folded_into_them():
    rows = inspect_model(Folded().double(), torch.randn(1, 2, 9, dtype=torch.float64), "lrp_epsilon_0_1").rows
    behind = "with the constants behind it"
    assert [(row.operation, row.rule) for row in rows] == [
        ("conv1d", behind),
        ("getitem", "as the gradient"),
        ("transpose", "as the gradient"),
        ("mul", "Epsilon(epsilon=0.1)"),
        ("relu", "pass through"),
        ("mean", "each its share"),
        ("linear", behind),
        ("add", behind),
        ("mul", "Epsilon(epsilon=0.1)"),
        ("relu", "pass through"),
        ("linear", "Epsilon(epsilon=0.1)"),
    ]


def test_a_row_of_a_complex_product_says_how_it_was_shared():
    class Spectrum(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(10, 2)

        def forward(self, x):
            h = torch.fft.rfft(x)
            return self.out(torch.view_as_real((h * torch.exp(1j * torch.arange(5))) * h).flatten(1))

    rows = inspect_model(Spectrum().double(), torch.randn(1, 8, dtype=torch.float64), "lrp_epsilon_0_1").rows
    assert [row.rule for row in rows if row.operation == "mul"] == ["each its share", "half to each factor, by share"]


@pytest.mark.parametrize(
    ("method", "relevance", "turns"),
    [
        ("lrp_epsilon_0_1", "one_hot", True),
        ("lrp_epsilon_0_1", "logit", False),
        ("lrp_zplus", "logit", True),
        ("lrp_zplus", "one_hot", False),
    ],
)
@pytest.mark.parametrize("batch_size", [None, 2])
def test_it_says_of_how_many_samples_a_negative_logit_turns_the_signs(method, relevance, turns, batch_size):
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(9, 4)
    negative = int((model(x)[:, 0] < 0).sum())
    assert 0 < negative < 9
    report = inspect_model(model, x, method, 0, relevance=relevance, batch_size=batch_size)
    assert report.turned == report.to_dict()["turned"] == negative * turns
    assert (f"Signs are turned in {negative} map" in str(report)) == turns


def test_of_one_class_rather_than_another_either_logit_turns_the_signs():
    model = nn.Linear(2, 3, bias=False)
    model.weight = nn.Parameter(torch.tensor([[1.0, 0], [-1.0, 0], [2.0, 0]]))
    x = torch.tensor([[1.0, 0], [-1.0, 0]])
    assert inspect_model(model, x, "lrp_z", contrast(0, 2)).turned == 1
    assert inspect_model(model, x, "lrp_z", contrast(0, 1)).turned == 2
