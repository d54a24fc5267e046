"""Two ways of writing one network give the same map: modules and functions, operators and methods, cells and their equations."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from comparing import assert_same_map
from networks import CLASSES, OneByOne, Sum, Written, conv, drawn, inputs, network, randomized

LRP = [
    "lrp_epsilon_0_1",
    "lrp_alpha_1_beta_0",
    "lrpsign_epsilon_0_25_std_x",
    "lrp_gamma_0_25",
    "lrp_wsquare",
    "lrp_flat",
    "zblrp_epsilon_0_1",
]
METHODS = [*LRP, "gradient", "guided_backprop"]
LENGTH, WIDTH = 5, 6
Body = Callable[[nn.ModuleDict, Tensor], Tensor]


def classifier(layers: dict[str, nn.Module], body: Body, width: int) -> Written:
    """Layers, a function of them and of the input, and a linear layer behind a ReLU (so that guided backprop has one)."""
    return Written(lambda m, x: m["classifier"](F.relu(body(m, x)).flatten(1)), **layers, classifier=nn.Linear(width, CLASSES))


@dataclass(frozen=True)
class Pair:
    """Two functions of the same layers.

    ``methods`` leaves out guided backprop where a ReLU is spelled so that it cannot know it; ``tie`` makes layers share values.
    """

    layers: Callable[[], dict[str, nn.Module]]
    one: Body
    other: Body
    shape: tuple[int, ...] = (3, 8, 8)
    methods: list[str] = field(default_factory=lambda: METHODS)
    tie: Callable[[nn.ModuleDict], None] = lambda _: None

    def sample(self) -> Tensor:
        return drawn(3, *self.shape)

    def networks(self) -> tuple[Written, Written]:
        layers = nn.ModuleDict(self.layers()).double().eval()
        with torch.no_grad():
            width = self.one(layers, self.sample()).flatten(1).shape[1]
        one = randomized(classifier(self.layers(), self.one, width))
        with torch.no_grad():
            self.tie(one.layers)
        other = classifier(self.layers(), self.other, width).double().eval()
        other.load_state_dict(one.state_dict())
        return one, other


SEQUENCE, IMAGE = (LENGTH, WIDTH), (3, 8, 8)


# --- recurrent cells, attention and gates by their equations


def lstm(m: nn.ModuleDict, x: Tensor) -> Tensor:
    cell, h, c, out = m["rnn"], x.new_zeros(len(x), 4), x.new_zeros(len(x), 4), []
    for step in x.unbind(1):
        i, f, g, o = (F.linear(step, cell.weight_ih_l0, cell.bias_ih_l0) + F.linear(h, cell.weight_hh_l0, cell.bias_hh_l0)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        out.append(h)
    return torch.stack(out, 1)


def gru_step(x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
    xr, xz, xn = F.linear(x, w_ih, b_ih).split(4, dim=-1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).split(4, dim=-1)
    r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
    n = torch.tanh(xn + r * hn)
    return (1 - z) * n + z * h


def gru(m: nn.ModuleDict, x: Tensor) -> Tensor:
    cell, h, out = m["rnn"], x.new_zeros(len(x), 4), []
    for step in x.unbind(1):
        h = gru_step(step, h, cell.weight_ih_l0, cell.weight_hh_l0, cell.bias_ih_l0, cell.bias_hh_l0)
        out.append(h)
    return torch.stack(out, 1)


def elman(activation: Callable[[Tensor], Tensor]) -> Body:
    def body(m: nn.ModuleDict, x: Tensor) -> Tensor:
        cell, h, out = m["rnn"], x.new_zeros(len(x), 4), []
        for step in x.unbind(1):
            h = activation(F.linear(step, cell.weight_ih_l0, cell.bias_ih_l0) + F.linear(h, cell.weight_hh_l0, cell.bias_hh_l0))
            out.append(h)
        return torch.stack(out, 1)

    return body


def cells(states: int) -> Body:
    """A loop over an nn.LSTMCell, nn.GRUCell or nn.RNNCell."""

    def body(m: nn.ModuleDict, x: Tensor) -> Tensor:
        state, out = None, []
        for step in x.unbind(1):
            state = m["cell"](step, state)
            out.append(state[0] if states > 1 else state)
        return torch.stack(out, 1)

    return body


LSTM_NAMES = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def lstms() -> dict[str, nn.Module]:
    """A bidirectional LSTM, and two that read forwards."""
    return {
        "rnn": nn.LSTM(WIDTH, 4, batch_first=True, bidirectional=True),
        "there": nn.LSTM(WIDTH, 4, batch_first=True),
        "back": nn.LSTM(WIDTH, 4, batch_first=True),
    }


def tie_directions(m: nn.ModuleDict) -> None:
    for single, suffix in ((m["there"], ""), (m["back"], "_reverse")):
        for name in LSTM_NAMES:
            getattr(single, name).copy_(getattr(m["rnn"], name + suffix))


def tie_cell(m: nn.ModuleDict) -> None:
    for name in LSTM_NAMES:
        getattr(m["rnn"], name).copy_(getattr(m["cell"], name.removesuffix("_l0")))


def tie_parameters(m: nn.ModuleDict) -> None:
    m["other"].load_state_dict(m["rnn"].state_dict())


def attention(m: nn.ModuleDict, x: Tensor, heads: int = 2) -> Tensor:
    """nn.MultiheadAttention in its equations."""
    a = m["attention"]
    q, k, v = (F.linear(x, w, b) for w, b in zip(a.in_proj_weight.chunk(3), a.in_proj_bias.chunk(3), strict=True))
    q, k, v = (t.view(len(x), -1, heads, WIDTH // heads).transpose(1, 2) for t in (q, k, v))
    weights = F.softmax(torch.matmul(q, k.transpose(-2, -1)) * (WIDTH // heads) ** -0.5, dim=-1)
    return a.out_proj(torch.matmul(weights, v).transpose(1, 2).reshape(len(x), -1, WIDTH))


def encoder_layer(m: nn.ModuleDict, x: Tensor) -> Tensor:
    layer = m["layer"]
    x = layer.norm1(x + layer.self_attn(x, x, x, need_weights=False)[0])
    return layer.norm2(x + layer.linear2(F.relu(layer.linear1(x))))


def softmax_attention(softmax: Callable[[Tensor], Tensor]) -> Body:
    def body(m: nn.ModuleDict, x: Tensor) -> Tensor:
        q, k, v = m["q"](x), m["k"](x), m["v"](x)
        return softmax(q @ k.mT / 4**0.5) @ v

    return body


def excitation_by_modules(m: nn.ModuleDict, x: Tensor) -> Tensor:
    a = m["relu"](m["conv"](x))
    return a * m["sigmoid"](m["up"](m["relu"](m["down"](m["pool"](a)))))


def excitation_by_functions(m: nn.ModuleDict, x: Tensor) -> Tensor:
    a = F.relu(m["conv"](x))
    g = F.linear(a.mean((2, 3)), m["down"].weight[:, :, 0, 0], m["down"].bias).relu()
    return torch.mul(a, F.linear(g, m["up"].weight[:, :, 0, 0], m["up"].bias).sigmoid().view(len(x), -1, 1, 1))


# --- a residual addition in many spellings


def residual(add: Callable[[nn.ModuleDict, Tensor, Tensor], Tensor]) -> Body:
    def body(m: nn.ModuleDict, x: Tensor) -> Tensor:
        a = F.relu(m["conv"](x))
        return add(m, m["conv2"](a), a)

    return body


def in_place(m: nn.ModuleDict, a: Tensor, b: Tensor) -> Tensor:
    a += b
    return a


def into_a_slice(m: nn.ModuleDict, x: Tensor) -> Tensor:
    a = m["conv"](x).clone()
    a[:, :2] += m["conv2"](F.relu(a))[:, :2]
    a[:, 2:].relu_()
    return a


def beside_a_slice(m: nn.ModuleDict, x: Tensor) -> Tensor:
    a = m["conv"](x)
    return torch.cat([a[:, :2] + m["conv2"](F.relu(a))[:, :2], F.relu(a[:, 2:])], 1)


def two_convolutions() -> dict[str, nn.Module]:
    return {"conv": conv(), "conv2": conv(4, 4), "sum": Sum()}


def after_conv(module: Callable[[], nn.Module], function: Callable[[nn.Module, Tensor], Tensor], **more) -> Pair:
    """A module behind a convolution, or a function of the convolution's output and of the module that holds its parameters."""
    return Pair(
        lambda: {"conv": conv(), "it": module()},
        lambda m, x: m["it"](m["conv"](x)),
        lambda m, x: function(m["it"], m["conv"](x)),
        **more,
    )


def on_input(module: Callable[[], nn.Module], function: Callable[[nn.Module, Tensor], Tensor], **more) -> Pair:
    """The same where the module stands at the network's input."""
    return Pair(lambda: {"it": module()}, lambda m, x: m["it"](x), lambda m, x: function(m["it"], x), **more)


def over_sequence(module: Callable[[], nn.Module], function: Callable[[nn.Module, Tensor], Tensor], **more) -> Pair:
    """The same behind a linear layer over a sequence."""
    return Pair(
        lambda: {"fc": nn.Linear(WIDTH, WIDTH), "it": module()},
        lambda m, x: m["it"](m["fc"](x)),
        lambda m, x: function(m["it"], m["fc"](x)),
        SEQUENCE,
        **more,
    )


def recurrent(module: Callable[[], nn.Module], steps: Body) -> Pair:
    return Pair(lambda: {"rnn": module()}, lambda m, x: m["rnn"](x)[0], steps, SEQUENCE)


def cell(module: Callable[[], nn.Module], whole: Callable[[], nn.Module], states: int) -> Pair:
    """A loop over a cell, against the recurrent layer with the cell's parameters."""
    return Pair(lambda: {"cell": module(), "rnn": whole()}, cells(states), lambda m, x: m["rnn"](x)[0], SEQUENCE, tie=tie_cell)


def no_bias() -> nn.Linear:
    return nn.Linear(WIDTH, 4, bias=False)


def qkv() -> dict[str, nn.Module]:
    return {name: nn.Linear(WIDTH, 4) for name in "qkv"} | {"softmax": nn.Softmax(dim=-1)}


def repeated_twice(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


PAIRS: dict[str, Pair] = {
    # activations
    "ReLU and F.relu": after_conv(nn.ReLU, lambda _, x: F.relu(x)),
    "ReLU and clamp": after_conv(nn.ReLU, lambda _, x: x.clamp(min=0)),
    "ReLU and clamp_min": after_conv(nn.ReLU, lambda _, x: torch.clamp_min(x, 0)),
    "ReLU and relu_": after_conv(nn.ReLU, lambda _, x: x.relu_()),
    "ReLU and F.threshold": after_conv(nn.ReLU, lambda _, x: F.threshold(x, 0, 0)),
    "ReLU and a mask": after_conv(nn.ReLU, lambda _, x: x * (x > 0)),
    "ReLU and a mask in numbers": after_conv(nn.ReLU, lambda _, x: x.gt(0).to(x.dtype) * x),
    "ReLU and a mask by keyword": after_conv(nn.ReLU, lambda _, x: torch.mul(x, other=torch.ge(x, 0).type_as(x))),
    "ReLU and a mask in place": after_conv(nn.ReLU, lambda _, x: x.mul_(x > 0), methods=[*LRP, "gradient"]),
    "ReLU and where": after_conv(nn.ReLU, lambda _, x: torch.where(x > 0, x, 0.0)),
    "ReLU and where the other way": after_conv(nn.ReLU, lambda _, x: torch.where(x <= 0, torch.zeros_like(x), x)),
    "ReLU and where not": after_conv(nn.ReLU, lambda _, x: x.where(~(x < 0), x.new_zeros(()))),
    "ReLU and maximum": after_conv(nn.ReLU, lambda _, x: torch.maximum(x, x.new_zeros(()))),
    "ReLU and max": after_conv(nn.ReLU, lambda _, x: torch.max(torch.zeros_like(x), x)),
    "ReLU and fmax": after_conv(nn.ReLU, lambda _, x: x.fmax(torch.zeros(1, dtype=x.dtype))),
    "ReLU and masked_fill": after_conv(nn.ReLU, lambda _, x: x.masked_fill(x < 0, 0.0)),
    "ReLU6 and hardtanh": after_conv(nn.ReLU6, lambda _, x: F.hardtanh(x, 0, 6)),
    "LeakyReLU and F.leaky_relu": after_conv(lambda: nn.LeakyReLU(0.2), lambda _, x: F.leaky_relu(x, 0.2)),
    "LeakyReLU and where": after_conv(lambda: nn.LeakyReLU(0.2), lambda _, x: torch.where(x > 0, x, 0.2 * x)),
    "LeakyReLU and maximum": after_conv(lambda: nn.LeakyReLU(0.2), lambda _, x: torch.maximum(x, 0.2 * x)),
    "LeakyReLU and max": after_conv(lambda: nn.LeakyReLU(0.2), lambda _, x: torch.max(x, 0.2 * x)),
    "ReLU6 and minimum": after_conv(nn.ReLU6, lambda _, x: torch.minimum(F.relu(x), x.new_full((), 6.0)), methods=[*LRP, "gradient"]),
    "Threshold and where": after_conv(lambda: nn.Threshold(0.1, 0.3), lambda _, x: torch.where(x > 0.1, x, 0.3)),
    "PReLU and F.prelu": after_conv(lambda: nn.PReLU(4), lambda it, x: F.prelu(x, it.weight)),
    "GELU and F.gelu": after_conv(nn.GELU, lambda _, x: F.gelu(x)),
    "GELU by tanh": after_conv(lambda: nn.GELU("tanh"), lambda _, x: F.gelu(x, approximate="tanh")),
    "SiLU and F.silu": after_conv(nn.SiLU, lambda _, x: F.silu(x)),
    "SiLU and x * sigmoid(x)": after_conv(nn.SiLU, lambda _, x: x * torch.sigmoid(x)),
    "SiLU in place": after_conv(lambda: nn.SiLU(inplace=True), lambda _, x: F.silu(x)),
    "Hardswish and x * relu6(x + 3) / 6": after_conv(nn.Hardswish, lambda _, x: x * F.relu6(x + 3) / 6, methods=LRP[:4]),
    "ELU and F.elu": after_conv(nn.ELU, lambda _, x: F.elu(x)),
    "Tanh and Tensor.tanh": after_conv(nn.Tanh, lambda _, x: x.tanh()),
    "Softplus and F.softplus": after_conv(nn.Softplus, lambda _, x: F.softplus(x)),
    # norms
    "BatchNorm2d and F.batch_norm": after_conv(
        lambda: nn.BatchNorm2d(4), lambda n, x: F.batch_norm(x, n.running_mean, n.running_var, n.weight, n.bias, eps=n.eps)
    ),
    "BatchNorm2d and torch.batch_norm": after_conv(
        lambda: nn.BatchNorm2d(4),
        lambda n, x: torch.batch_norm(x, n.weight, n.bias, n.running_mean, n.running_var, False, 0.1, n.eps, False),
    ),
    "BatchNorm2d first": on_input(
        lambda: nn.BatchNorm2d(3), lambda n, x: F.batch_norm(x, n.running_mean, n.running_var, n.weight, n.bias, eps=n.eps)
    ),
    "LayerNorm and F.layer_norm": over_sequence(
        lambda: nn.LayerNorm(WIDTH), lambda n, x: F.layer_norm(x, (WIDTH,), n.weight, n.bias, n.eps)
    ),
    "LayerNorm and GroupNorm of one group": after_conv(
        lambda: nn.GroupNorm(1, 4, affine=False), lambda n, x: F.layer_norm(x, x.shape[1:], eps=n.eps)
    ),
    "GroupNorm and F.group_norm": after_conv(lambda: nn.GroupNorm(2, 4), lambda n, x: F.group_norm(x, 2, n.weight, n.bias, n.eps)),
    "InstanceNorm2d and F.instance_norm": after_conv(
        lambda: nn.InstanceNorm2d(4, affine=True), lambda n, x: F.instance_norm(x, weight=n.weight, bias=n.bias, eps=n.eps)
    ),
    "InstanceNorm2d and group norm": after_conv(
        lambda: nn.InstanceNorm2d(4, affine=True), lambda n, x: F.group_norm(x, 4, n.weight, n.bias, n.eps)
    ),
    "RMSNorm and F.rms_norm": over_sequence(lambda: nn.RMSNorm(WIDTH), lambda n, x: F.rms_norm(x, (WIDTH,), n.weight, n.eps)),
    # linear layers
    "Conv2d and F.conv2d": on_input(
        lambda: conv(groups=1, stride=2), lambda c, x: F.conv2d(x, c.weight, c.bias, stride=(2, 2), padding=1)
    ),
    "Conv2d and its padding by name": on_input(conv, lambda c, x: F.conv2d(x, c.weight, c.bias, padding="same")),
    "Conv2d in groups and two convolutions": Pair(
        lambda: {"conv": conv(3, 4), "it": conv(4, 6, groups=2)},
        lambda m, x: m["it"](F.relu(m["conv"](x))),
        lambda m, x: torch.cat(
            [
                F.conv2d(half, weight, bias, padding=1)
                for half, weight, bias in zip(
                    F.relu(m["conv"](x)).chunk(2, 1), m["it"].weight.chunk(2), m["it"].bias.chunk(2), strict=True
                )
            ],
            1,
        ),
        methods=["lrp_epsilon_0_1", "lrp_alpha_1_beta_0", "lrp_gamma_0_25", "gradient", "guided_backprop"],  # std_x: of each half
    ),
    "Conv2d by reflection and F.pad": on_input(
        lambda: conv(padding_mode="reflect"), lambda c, x: F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), c.weight, c.bias)
    ),
    "ConvTranspose2d and F.conv_transpose2d": on_input(
        lambda: nn.ConvTranspose2d(3, 4, 3, 2, 1, 1),
        lambda c, x: F.conv_transpose2d(x, c.weight, c.bias, stride=2, padding=1, output_padding=1),
    ),
    "Conv2d of the image's size and Linear": on_input(
        lambda: nn.Conv2d(3, 6, 8), lambda c, x: F.linear(x.flatten(1), c.weight.flatten(1), c.bias)[:, :, None, None]
    ),
    "Linear and F.linear": on_input(lambda: nn.Linear(WIDTH, 4), lambda f, x: F.linear(x, f.weight, f.bias), shape=SEQUENCE),
    "Linear and addmm": on_input(lambda: nn.Linear(WIDTH, 4), lambda f, x: torch.addmm(f.bias, x, f.weight.t()), shape=(WIDTH,)),
    "Linear and a convolution over the sequence": on_input(
        lambda: nn.Linear(WIDTH, 4), lambda f, x: F.conv1d(x.transpose(1, 2), f.weight[:, :, None], f.bias).transpose(1, 2), shape=SEQUENCE
    ),
    "Linear without bias and @": on_input(no_bias, lambda f, x: x @ f.weight.T, shape=SEQUENCE),
    "Linear without bias and matmul": on_input(no_bias, lambda f, x: torch.matmul(x, f.weight.t()), shape=SEQUENCE),
    "Linear without bias and mm": on_input(no_bias, lambda f, x: x.mm(f.weight.t()), shape=(WIDTH,)),
    "Linear without bias and a product from the left": on_input(no_bias, lambda f, x: (f.weight @ x.mT).mT, shape=SEQUENCE),
    "Linear without bias and einsum": on_input(no_bias, lambda f, x: torch.einsum("nti,oi->nto", x, f.weight), shape=SEQUENCE),
    "Linear without bias and einsum with the weight first": on_input(
        no_bias, lambda f, x: torch.einsum("oi,n...i->n...o", f.weight, x), shape=SEQUENCE
    ),
    "Linear with its weight normalized": on_input(
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(WIDTH, 4)), lambda f, x: F.linear(x, f.weight.detach(), f.bias),
        shape=SEQUENCE,
    ),
    "Bilinear and F.bilinear": Pair(
        lambda: {"a": nn.Linear(WIDTH, 4), "it": nn.Bilinear(4, 4, 5)},
        lambda m, x: m["it"](m["a"](x), m["a"](x).tanh()),
        lambda m, x: F.bilinear(m["a"](x), m["a"](x).tanh(), m["it"].weight, m["it"].bias),
        (WIDTH,),
    ),
    # recurrent networks and attention
    "LSTM and its equations": recurrent(lambda: nn.LSTM(WIDTH, 4, batch_first=True), lstm),
    "GRU and its equations": recurrent(lambda: nn.GRU(WIDTH, 4, batch_first=True), gru),
    "RNN and its equations": recurrent(lambda: nn.RNN(WIDTH, 4, batch_first=True), elman(torch.tanh)),
    "RNN with ReLU and its equations": Pair(
        lambda: {"rnn": nn.RNN(WIDTH, 4, nonlinearity="relu", batch_first=True)},
        lambda m, x: m["rnn"](x)[0],
        elman(torch.relu),
        SEQUENCE,
        [*LRP, "gradient"],
    ),
    "LSTM in both directions and two of them": Pair(
        lstms,
        lambda m, x: m["rnn"](x)[0],
        lambda m, x: torch.cat([m["there"](x)[0], m["back"](x.flip(1))[0].flip(1)], -1),
        SEQUENCE,
        tie=tie_directions,
    ),
    "LSTMCell and LSTM": cell(lambda: nn.LSTMCell(WIDTH, 4), lambda: nn.LSTM(WIDTH, 4, batch_first=True), 2),
    "GRUCell and GRU": cell(lambda: nn.GRUCell(WIDTH, 4), lambda: nn.GRU(WIDTH, 4, batch_first=True), 1),
    "RNNCell and RNN": cell(lambda: nn.RNNCell(WIDTH, 4), lambda: nn.RNN(WIDTH, 4, batch_first=True), 1),
    "LSTM with the sequence first": Pair(
        lambda: {"rnn": nn.LSTM(WIDTH, 4, batch_first=True), "other": nn.LSTM(WIDTH, 4)},
        lambda m, x: m["rnn"](x)[0],
        lambda m, x: m["other"](x.transpose(0, 1))[0].transpose(0, 1),
        SEQUENCE,
        tie=tie_parameters,
    ),
    "MultiheadAttention and its equations": Pair(
        lambda: {"attention": nn.MultiheadAttention(WIDTH, 2, batch_first=True)},
        lambda m, x: m["attention"](x, x, x)[0],
        attention,
        SEQUENCE,
    ),
    "MultiheadAttention without weights": Pair(
        lambda: {"attention": nn.MultiheadAttention(WIDTH, 2, batch_first=True)},
        lambda m, x: m["attention"](x, x, x, need_weights=False)[0],
        attention,
        SEQUENCE,
    ),
    "TransformerEncoderLayer and its equations": Pair(
        lambda: {"layer": nn.TransformerEncoderLayer(WIDTH, 2, 8, batch_first=True)}, lambda m, x: m["layer"](x), encoder_layer, SEQUENCE
    ),
    "attention and scaled_dot_product_attention": Pair(
        qkv,
        softmax_attention(lambda scores: F.softmax(scores, -1)),
        lambda m, x: F.scaled_dot_product_attention(m["q"](x), m["k"](x), m["v"](x)),
        SEQUENCE,
    ),
    "attention by einsum": Pair(
        qkv,
        softmax_attention(lambda scores: F.softmax(scores, -1)),
        lambda m, x: torch.einsum(
            "nts,nsd->ntd", torch.softmax(torch.einsum("ntd,nsd->nts", m["q"](x), m["k"](x)) / 4**0.5, -1), m["v"](x)
        ),
        SEQUENCE,
    ),
    "Softmax and Tensor.softmax": Pair(
        qkv,
        lambda m, x: softmax_attention(m["softmax"])(m, x),
        softmax_attention(lambda scores: scores.softmax(dim=-1)),
        SEQUENCE,
    ),
    "squeeze-excitation": Pair(
        lambda: {"conv": conv(), "relu": nn.ReLU(), "sigmoid": nn.Sigmoid(), "pool": nn.AdaptiveAvgPool2d(1), "down": conv(4, 2, 1),
                 "up": conv(2, 4, 1)},
        excitation_by_modules,
        excitation_by_functions,
    ),
    # sums, joints and shapes
    "Sum and +": Pair(two_convolutions, residual(lambda m, a, b: m["sum"](a, b)), residual(lambda m, a, b: a + b)),
    "Sum and +=": Pair(two_convolutions, residual(lambda m, a, b: m["sum"](a, b)), residual(in_place)),
    "Sum and torch.add": Pair(two_convolutions, residual(lambda m, a, b: m["sum"](a, b)), residual(lambda m, a, b: torch.add(a, b))),
    "Sum and torch.add with other=": Pair(
        two_convolutions, residual(lambda m, a, b: m["sum"](a, b)), residual(lambda m, a, b: torch.add(a, other=b))
    ),
    "Sum and add_": Pair(two_convolutions, residual(lambda m, a, b: m["sum"](a, b)), residual(lambda m, a, b: a.add_(b))),
    "Sum and sum of a stack": Pair(
        two_convolutions, residual(lambda m, a, b: m["sum"](a, b)), residual(lambda m, a, b: torch.stack([a, b]).sum(0))
    ),
    "difference and sum of the negative": Pair(two_convolutions, residual(lambda m, a, b: a - b), residual(lambda m, a, b: a + (-b))),
    "difference and alpha": Pair(
        two_convolutions, residual(lambda m, a, b: a.sub_(b)), residual(lambda m, a, b: torch.add(a, b, alpha=-1))
    ),
    "addition into a slice": Pair(two_convolutions, beside_a_slice, into_a_slice),
    "cat and stack": Pair(
        two_convolutions,
        residual(lambda m, a, b: torch.cat([a, b], 1)),
        residual(lambda m, a, b: torch.stack([a, b], 1).flatten(1, 2)),
    ),
    "AvgPool2d and F.avg_pool2d": after_conv(lambda: nn.AvgPool2d(2), lambda _, x: F.avg_pool2d(x, 2)),
    "AvgPool2d and mean": after_conv(
        lambda: nn.AvgPool2d(2), lambda _, x: x.unflatten(3, (4, 2)).unflatten(2, (4, 2)).mean((3, 5))
    ),
    "AdaptiveAvgPool2d and mean": after_conv(lambda: nn.AdaptiveAvgPool2d(1), lambda _, x: x.mean((2, 3), keepdim=True)),
    "MaxPool2d and amax": after_conv(lambda: nn.MaxPool2d(2), lambda _, x: x.unflatten(3, (4, 2)).unflatten(2, (4, 2)).amax((3, 5))),
    "Upsample and F.interpolate": after_conv(
        lambda: nn.Upsample(scale_factor=2, mode="bilinear"), lambda _, x: F.interpolate(x, scale_factor=2, mode="bilinear")
    ),
    "Upsample behind a ReLU and repeat_interleave": after_conv(
        lambda: nn.Sequential(nn.ReLU(), nn.Upsample(scale_factor=2)), lambda _, x: repeated_twice(F.relu(x))
    ),
    "Upsample by the nearest exactly, and repeat_interleave": after_conv(
        lambda: nn.Sequential(nn.ReLU(), nn.Upsample(16, mode="nearest-exact")), lambda _, x: repeated_twice(F.relu(x))
    ),
    "Upsample and repeat_interleave": after_conv(lambda: nn.Upsample(scale_factor=2), lambda _, x: repeated_twice(x)),
    "PixelShuffle and F.pixel_shuffle": after_conv(lambda: nn.PixelShuffle(2), lambda _, x: F.pixel_shuffle(x, 2)),
    "PixelShuffle and permute": after_conv(
        lambda: nn.PixelShuffle(2), lambda _, x: x.view(-1, 1, 2, 2, 8, 8).permute(0, 1, 4, 2, 5, 3).reshape(-1, 1, 16, 16)
    ),
    "Flatten and reshape": after_conv(nn.Flatten, lambda _, x: x.reshape(len(x), -1)),
    "Flatten and view": after_conv(nn.Flatten, lambda _, x: x.view(x.size(0), -1)),
    "Dropout and nothing": after_conv(nn.Dropout, lambda _, x: x),
    "Dropout and F.dropout": after_conv(nn.Dropout, lambda _, x: F.dropout(x, training=False)),
    "ZeroPad2d and F.pad": on_input(lambda: nn.ZeroPad2d(1), lambda _, x: F.pad(x, (1, 1, 1, 1))),
    # calls
    "checkpoint, not reentrant": after_conv(
        lambda: nn.Sequential(nn.ReLU(), conv(4, 4), nn.BatchNorm2d(4)), lambda it, x: checkpoint(it, x, use_reentrant=False)
    ),
    "checkpoint, reentrant": after_conv(
        lambda: nn.Sequential(nn.ReLU(), conv(4, 4), nn.BatchNorm2d(4)), lambda it, x: checkpoint(it, x, use_reentrant=True)
    ),
    "Sequential and its layers": after_conv(
        lambda: nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), conv(4, 2)), lambda it, x: it[2](it[1](it[0](x)))
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "method"), [(name, method) for name, pair in PAIRS.items() for method in pair.methods])
def test_two_ways_of_writing_a_network_give_the_same_map(name, method):
    pair = PAIRS[name]
    assert_same_map(*pair.networks(), pair.sample(), method)


class Twice(nn.Module):
    """A network that calls one linear layer and one ReLU twice, or copies of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.fc = conv(3, 4), conv(4, 4), nn.Linear(256, CLASSES)
        self.relu = self.relu2 = nn.ReLU(inplace=True)
        self.copy = self.again

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.again(self.relu(self.first(x))))
        return self.fc(self.relu2(self.copy(x)).flatten(1))


@pytest.mark.parametrize("method", METHODS)
def test_a_module_used_twice_is_two_copies_of_it(method):
    shared = randomized(Twice())
    copies = deepcopy(shared)
    copies.copy, copies.relu2 = deepcopy(shared.again), nn.ReLU()
    assert_same_map(shared, copies, inputs("cnn2d"), method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["mlp", "cnn1d", "cnn2d", "cnn3d"])
def test_a_sequential_is_its_layers_called_one_by_one(kind, method):
    assert_same_map(network(kind), OneByOne(network(kind)), inputs(kind), method)


@pytest.mark.parametrize("method", METHODS)
def test_a_data_parallel_model_is_the_model_inside(method):
    assert_same_map(network("cnn2d"), nn.DataParallel(network("cnn2d")), inputs("cnn2d"), method)


def test_twins_that_are_none_are_told_apart():
    pair = after_conv(nn.SiLU, lambda _, x: x * torch.sigmoid(x).detach() * 0.5 + F.silu(x) * 0.5)
    with pytest.raises(AssertionError):
        assert_same_map(*pair.networks(), pair.sample(), "gradient")
