"""Grad-CAM follows where the axes of a feature map come from: layouts, frames, several images, heads and adapters."""

import logging

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import oracles
from comparing import deviation
from crossing import in_turn
from networks import CLASSES, Written, drawn, randomized
from signxai import explain
from signxai.common import ModelError
from signxai.methods.cam import GradCAMAnalyzer, ZeroMapWarning

pytestmark = pytest.mark.filterwarnings("ignore::signxai.methods.cam.ZeroMapWarning")
TOLERANCE = 1e-10
WIDTH = 8


def best_target(net, x, layer, arrange, space):
    """The class with the fewest maps of zeros, and its maps."""
    maps = [oracles.hooked_grad_cam(net, layer, x, target, arrange, space) for target in range(CLASSES)]
    peaks = [expected.reshape(len(x), -1).max(1).sum() for expected in maps]
    assert max(peaks) > 0
    return int(np.argmax(peaks)), maps[int(np.argmax(peaks))]


def is_oracle(net, x, module, arrange, space, **options):
    """Whether the map is that of the oracle, of a batch as of its samples."""
    target, expected = best_target(net, x, module, arrange, space)
    got = explain(net, x, "grad_cam", target, **options)
    assert deviation(got, expected) < TOLERANCE
    single = np.concatenate([explain(net, sample[None], "grad_cam", target, **options) for sample in x])
    assert deviation(single, expected) < TOLERANCE


def as_it_is(values):
    return values


def tokens(*grid, in_front=0):
    return lambda values: values[:, in_front:].transpose(1, 2).reshape(len(values), -1, *grid)


# --- channels last


def conv1d_on(layers, x):
    return layers["fc"](layers["conv2"](layers["conv1"](x).relu()).relu().mean(2))


def conv1d_layers(channels=3):
    return {"conv1": nn.Conv1d(channels, 6, 3), "conv2": nn.Conv1d(6, 5, 3, stride=2), "fc": nn.Linear(5, CLASSES)}


@pytest.mark.parametrize("length", [3, 9, 20, 24])
@pytest.mark.parametrize("move", ["permute", "transpose", "mT", "swapaxes", "movedim"])
def test_a_signal_with_its_channels_last(move, length):
    moves = {"permute": lambda x: x.permute(0, 2, 1), "transpose": lambda x: x.transpose(1, 2), "mT": lambda x: x.mT,
             "swapaxes": lambda x: x.swapaxes(1, 2), "movedim": lambda x: x.movedim(2, 1)}  # fmt: skip
    layers = {"conv1": nn.Conv1d(7, 6, 3, padding=1), "conv2": nn.Conv1d(6, 5, 2), "fc": nn.Linear(5, CLASSES)}
    net = randomized(Written(lambda layers, x: conv1d_on(layers, moves[move](x)), **layers))
    is_oracle(net, drawn(2, length, 7), net.layers["conv2"], as_it_is, (1,))


def test_an_image_with_its_channels_last():
    layers = {"conv1": nn.Conv2d(3, 6, 3), "conv2": nn.Conv2d(6, 5, 3, stride=2), "fc": nn.Linear(5, CLASSES)}

    def forward(layers, x):
        return layers["fc"](layers["conv2"](layers["conv1"](x.permute(0, 3, 1, 2)).relu()).relu().mean((2, 3)))

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 10, 12, 3), net.layers["conv2"], as_it_is, (1, 2))


def test_an_image_that_is_turned():
    layers = {"conv": nn.Conv2d(3, 6, 3), "fc": nn.Linear(6, CLASSES)}
    net = randomized(Written(lambda layers, x: layers["fc"](layers["conv"](x.transpose(2, 3)).relu().mean((2, 3))), **layers))
    is_oracle(net, drawn(2, 3, 8, 14), net.layers["conv"], lambda values: values.transpose(2, 3), (2, 3))


def test_an_image_that_is_flipped_has_its_map_flipped():
    layers = {"conv": nn.Conv2d(3, 6, 3), "fc": nn.Linear(6, CLASSES)}
    net = randomized(Written(lambda layers, x: layers["fc"](layers["conv"](x.flip(3)).relu().mean((2, 3))), **layers))
    is_oracle(net, drawn(2, 3, 8, 14), net.layers["conv"], lambda values: values.flip(3), (2, 3))


def test_norms_over_channels_last_behind_permutes_inside_a_block():
    layers = {"patches": nn.Conv2d(3, WIDTH, 2, stride=2), "norm": nn.LayerNorm(WIDTH), "up": nn.Linear(WIDTH, WIDTH),
              "fc": nn.Linear(WIDTH, CLASSES)}  # fmt: skip

    def forward(layers, x):
        x = layers["patches"](x)
        x = x + layers["up"](layers["norm"](x.permute(0, 2, 3, 1))).relu().permute(0, 3, 1, 2)
        return layers["fc"](x.mean((2, 3)))

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 3, 12, 8), net.layers["norm"], lambda values: values.permute(0, 3, 1, 2), (2, 3))


class Block(nn.Module):
    """Attention and MLP on (N, tokens, C), attention written by hand, fused, as einsum, or as torch's module."""

    def __init__(self, how="sdpa"):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.up, self.down = nn.Linear(WIDTH, 12), nn.Linear(12, WIDTH)
        self.how = how

    def attend(self, x):
        if self.how == "module":
            return self.attention(x, x, x, need_weights=False)[0]
        n, count, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, count, 3, 2, WIDTH // 2).permute(2, 0, 3, 1, 4).unbind(0)
        if self.how == "sdpa":
            mixed = F.scaled_dot_product_attention(q, k, v)
        elif self.how == "einsum":
            mixed = torch.einsum("bhij,bhjd->bhid", torch.einsum("bhid,bhjd->bhij", q, k).softmax(-1), v)
        elif self.how == "turned":  # keys by queries
            mixed = (v.mT @ (k @ q.mT).softmax(-2)).mT
        else:
            mixed = (q @ k.transpose(-2, -1) * 0.5).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(n, count, WIDTH))

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


ATTENTIONS = ["sdpa", "module", "by hand", "einsum", "turned"]


class Series(nn.Module):
    """A transformer on (N, T, C), patches by nothing, a linear layer, windows or a convolution."""

    def __init__(self, patches="linear", how="sdpa", class_token=True, channels=3):
        super().__init__()
        width = {"linear": channels, "conv": channels, "unfold": 4 * channels, "reshape": 4 * channels}[patches]
        self.patches = patches
        self.embed = nn.Conv1d(channels, WIDTH, 4, stride=4) if patches == "conv" else nn.Linear(width, WIDTH)
        self.front = nn.Parameter(torch.zeros(1, 1, WIDTH)) if class_token else None
        self.blocks = nn.Sequential(Block(how), Block(how))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)

    def embedded(self, x):
        if self.patches == "conv":
            return self.embed(x.transpose(1, 2)).transpose(1, 2)
        if self.patches == "unfold":
            return self.embed(x.unfold(1, 4, 4).flatten(2))
        if self.patches == "reshape":
            return self.embed(x.reshape(len(x), -1, 4 * x.shape[2]))
        return self.embed(x)

    def forward(self, x):
        x = self.embedded(x)
        if self.front is not None:
            x = torch.cat([self.front.expand(len(x), -1, -1), x], 1)
        x = self.norm(self.blocks(x))
        return self.head(x[:, 0] if self.front is not None else x.mean(1))


@pytest.mark.parametrize("how", ATTENTIONS)
@pytest.mark.parametrize(("patches", "length"), [("linear", 12), ("linear", 3), ("conv", 24), ("unfold", 24), ("reshape", 24)])
def test_a_transformer_on_a_signal_with_its_channels_last(patches, length, how):
    net = randomized(Series(patches, how))
    count = length if patches == "linear" else length // 4
    is_oracle(net, drawn(2, length, 3), net.blocks[1].norm1, tokens(count, in_front=1), (1,))


@pytest.mark.parametrize("how", ATTENTIONS)
def test_without_a_class_token_the_last_norm_is_read(how):
    net = randomized(Series("unfold", how, class_token=False))
    is_oracle(net, drawn(2, 24, 3), net.norm, tokens(6), (1,))


def test_a_norm_of_patches_that_no_layer_has_read_stands_at_its_patch():
    layers = {"norm": nn.LayerNorm(48), "fc": nn.Linear(48, CLASSES)}
    net = randomized(Written(lambda layers, x: layers["fc"](layers["norm"](F.unfold(x, 4, stride=4).mT).mean(1)), **layers))
    is_oracle(net, drawn(2, 3, 8, 12), net.layers["norm"], tokens(2, 3), (2, 3))


@pytest.mark.parametrize("how", ATTENTIONS)
def test_attention_alone_leaves_each_query_at_its_place(how):
    layers = {"embed": nn.Linear(3, WIDTH), "block": Block(how), "norm": nn.LayerNorm(WIDTH), "fc": nn.Linear(WIDTH, CLASSES)}

    def forward(layers, x):
        return layers["fc"](layers["norm"](layers["block"].attend(layers["embed"](x))).mean(1))

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 9, 3), net.layers["norm"], tokens(9), (1,))


@pytest.mark.parametrize("values", ["learned", "of the keys"])
def test_fused_attention_between_two_signals_stands_where_attention_by_hand_does(values):
    layers = {name: nn.Linear(3, WIDTH) for name in "qkv"} | {"norm": nn.LayerNorm(WIDTH), "fc": nn.Linear(WIDTH, CLASSES)}
    memory = drawn(1, 6, WIDTH, seed=5)

    def with_attention(attend):
        def forward(layers, x):
            q, k = layers["q"](x[:, 0]), layers["k"](x[:, 1])
            v = memory.expand(len(x), -1, -1) if values == "learned" else layers["v"](x[:, 1])
            return layers["fc"](layers["norm"](attend(q, k, v)).mean(1))

        return randomized(Written(forward, **layers))

    def by_hand(q, k, v):
        return (q @ k.mT / WIDTH**0.5).softmax(-1) @ v

    expected, got = (
        explain(with_attention(attend), drawn(2, 2, 6, 3), "grad_cam", 1) for attend in (by_hand, F.scaled_dot_product_attention)
    )
    assert expected.any()
    assert deviation(got, expected) < TOLERANCE


class Images(nn.Module):
    """A vision transformer, patches by a convolution, F.unfold, reshape and linear layer; class token, registers behind, mean token."""

    def __init__(self, patches="conv", extra="class", layout="NCHW"):
        super().__init__()
        self.patches, self.extra, self.layout = patches, extra, layout
        self.embed = nn.Conv2d(3, WIDTH, 4, stride=4) if patches == "conv" else nn.Linear(48, WIDTH)
        self.front, self.behind = nn.Parameter(torch.zeros(1, 1, WIDTH)), nn.Parameter(torch.zeros(1, 3, WIDTH))
        self.blocks, self.norm, self.head = nn.Sequential(Block(), Block()), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)

    def embedded(self, x):
        x = x if self.layout == "NCHW" else x.permute(0, 3, 1, 2)
        n, c, height, width = x.shape
        if self.patches == "conv":
            return self.embed(x).flatten(2).transpose(1, 2)
        if self.patches == "F.unfold":
            return self.embed(F.unfold(x, 4, stride=4).transpose(1, 2))
        if self.patches == "tensor unfold":
            return self.embed(x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2))
        return self.embed(x.reshape(n, c, height // 4, 4, width // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(n, -1, 48))

    def forward(self, x):
        x = self.embedded(x)
        if self.extra == "mean":
            x = torch.cat([x.mean(1, keepdim=True), x], 1)
        else:
            parts = {"class": [self.front, x], "registers": [self.front, x, self.behind], "between": [self.front, self.behind, x]}[
                self.extra
            ]
            x = torch.cat([part.expand(len(x), -1, -1) for part in parts], 1)
        return self.head(self.norm(self.blocks(x))[:, 0])


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("patches", ["conv", "F.unfold", "tensor unfold", "reshape"])
@pytest.mark.parametrize(("extra", "in_front"), [("class", 1), ("registers", 1), ("between", 4), ("mean", 1)])
def test_patches_and_the_tokens_beside_them(patches, extra, in_front, layout):
    net = randomized(Images(patches, extra, layout))
    x = drawn(2, 3, 16, 12)
    x, space = (x, (2, 3)) if layout == "NCHW" else (x.permute(0, 2, 3, 1).contiguous(), (1, 2))
    is_oracle(net, x, net.blocks[1].norm1, lambda values: tokens(4, 3)(values[:, in_front : in_front + 12]), space)


def test_rows_of_tokens_that_would_fit_another_grid():
    net = randomized(Images())
    x = drawn(2, 3, 8, 24)  # 2 x 6 patches, of which 3 x 4 could be made
    is_oracle(net, x, net.blocks[1].norm1, tokens(2, 6, in_front=1), (2, 3))


def test_sequences_first():
    layers = {"embed": nn.Linear(3, WIDTH), "encoder": nn.TransformerEncoderLayer(WIDTH, 2, 12, dropout=0.0, norm_first=True),
              "norm": nn.LayerNorm(WIDTH), "fc": nn.Linear(WIDTH, CLASSES)}  # fmt: skip

    def forward(layers, x):
        return layers["fc"](layers["norm"](layers["encoder"](layers["embed"](x).transpose(0, 1))).mean(0))

    net = randomized(Written(forward, **layers))
    for n in (1, 2, 12):
        is_oracle(net, drawn(n, 12, 3), net.layers["norm"], lambda values: values.permute(1, 2, 0), (1,))


class Windows(nn.Module):
    """Attention in windows of a padded and rolled image, as of Swin, whose norms stand inside them."""

    def __init__(self, shift):
        super().__init__()
        self.shift = shift
        self.patches, self.block, self.head = nn.Conv2d(3, WIDTH, 2, stride=2), Block(), nn.Linear(WIDTH, CLASSES)

    def windows(self, x):
        n, height, width, _ = x.shape
        return x.view(n, height // 4, 4, width // 4, 4, WIDTH).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, WIDTH)

    def forward(self, x):
        x = self.patches(x).permute(0, 2, 3, 1)
        n, rows, columns, _ = x.shape
        x = F.pad(x, (0, 0, 0, -columns % 4, 0, -rows % 4))
        x = torch.roll(x, (-self.shift, -self.shift), (1, 2))
        height, width = x.shape[1:3]
        x = self.block(self.windows(x)).view(n, height // 4, width // 4, 4, 4, WIDTH).permute(0, 1, 3, 2, 4, 5)
        x = x.reshape(n, height, width, WIDTH)
        return self.head(torch.roll(x, (self.shift, self.shift), (1, 2))[:, :rows, :columns].mean((1, 2)))


@pytest.mark.parametrize("shift", [0, 2])
def test_a_layer_inside_of_windows_is_laid_out_over_the_image(shift):
    net, x = randomized(Windows(shift)), drawn(2, 3, 16, 12)  # 8 x 6 patches, in windows of 8 x 8

    def apart(values):
        n = len(values) // 4
        whole = values.view(n, 2, 2, 4, 4, WIDTH).permute(0, 1, 3, 2, 4, 5).reshape(n, 8, 8, WIDTH)
        return torch.roll(whole, (shift, shift), (1, 2))[:, :, :6].permute(0, 3, 1, 2)

    target, expected = best_target(net, x, net.block.norm1, apart, (2, 3))
    got = explain(net, x, "grad_cam", target, layer="block.norm1")
    assert deviation(got, expected) < TOLERANCE
    taken = GradCAMAnalyzer(net, "block.norm1").feature_map(x, target)
    assert taken.channel_axes == (2,)
    assert taken.position_axes == ((), (0, 1), (0, 1))
    assert taken.cells == (1, 8, 6)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_padding_stands_nowhere(mode):
    layers = {"first": nn.Conv1d(3, 6, 3), "last": nn.Conv1d(6, 5, 3, stride=2), "fc": nn.Linear(5, CLASSES)}

    def forward(layers, x):
        x = layers["first"](F.pad(x, (2, 2), mode=mode)).relu()
        return layers["fc"](layers["last"](F.pad(x, (1, 1), mode=mode)).relu().mean(2))

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 3, 40), net.layers["last"], as_it_is, (2,))


def test_channels_turned_as_complex_numbers_stay_at_their_places():
    layers = {"first": nn.Conv1d(3, 6, 3), "last": nn.Conv1d(6, 5, 1), "fc": nn.Linear(5, CLASSES)}
    turn = torch.polar(torch.ones(7, dtype=torch.float64), torch.arange(7.0, dtype=torch.float64))

    def forward(layers, x):
        pairs = layers["first"](x).unflatten(1, (3, 2)).transpose(2, 3).contiguous()
        turned = torch.view_as_real(torch.view_as_complex(pairs) * turn)
        return layers["fc"](layers["last"](turned.transpose(2, 3).flatten(1, 2)).relu().mean(2))

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 3, 9), net.layers["last"], as_it_is, (2,))


ENDS = drawn(2, 1, 6, 1, seed=8)


@pytest.mark.parametrize("order", ["padding first", "tokens first"])
def test_tokens_at_both_ends_are_no_padding_beside_padding(order):
    layers = {"first": nn.Conv1d(3, 6, 1), "second": nn.Conv1d(3, 6, 1), "last": nn.Conv1d(6, 5, 3, padding=1), "fc": nn.Linear(5, CLASSES)}

    def forward(layers, x):
        padded, ends = F.pad(layers["first"](x), (1, 1)), [end.expand(len(x), -1, -1) for end in ENDS]
        among_tokens = torch.cat([ends[0], layers["second"](x), ends[1]], 2)
        joined = padded + among_tokens if order == "padding first" else among_tokens + padded
        return layers["fc"](layers["last"](joined).relu().mean(2))

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 3, 9), net.layers["last"], lambda values: values[..., 1:-1], (2,))


def test_pairs_in_another_order_stand_where_they_stood():
    layers = {"first": nn.Conv1d(3, 6, 1), "last": nn.Conv1d(6, 5, 1), "fc": nn.Linear(5, CLASSES)}
    order = torch.tensor([2, 3, 0, 1, 6, 7, 4, 5])

    def forward(layers, x):
        return layers["fc"](layers["last"](F.avg_pool1d(layers["first"](x)[..., order], 2)).relu().mean(2))

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 3, 8), net.layers["last"], lambda values: values[..., [1, 0, 3, 2]], (2,))


@pytest.mark.parametrize("turned", [False, True], ids=["", "turned"])
def test_a_cropped_shortcut_may_be_turned(turned):
    layers = {"first": nn.Conv1d(3, 6, 1), "second": nn.Conv1d(6, 6, 9), "last": nn.Conv1d(6, 5, 1), "fc": nn.Linear(5, CLASSES)}

    def forward(layers, x):
        x = layers["first"](x.flip(2) if turned else x).relu()
        return layers["fc"](layers["last"]((x[..., 4:-4] + layers["second"](x)).relu()).relu().mean(2))

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 3, 40), net.layers["last"], lambda values: values.flip(2) if turned else values, (2,))


@pytest.mark.parametrize("how", ["cropped", "even kernel", "causal"])
def test_a_shortcut_beside_a_convolution_that_changes_the_length(how):
    layers = {"first": nn.Conv1d(3, 6, 3, padding=1), "second": nn.Conv1d(6, 6, 4 if how == "even kernel" else 9, bias=False),
              "last": nn.Conv1d(6, 5, 1), "fc": nn.Linear(5, CLASSES)}  # fmt: skip

    def forward(layers, x):
        x = layers["first"](x).relu()
        if how == "cropped":
            x = x[..., 4:-4] + layers["second"](x)
        elif how == "even kernel":
            x = x + F.conv1d(x, layers["second"].weight, padding=2)[..., :-1]
        else:
            x = x + layers["second"](F.pad(x, (8, 0), value=1.0))
        return layers["fc"](layers["last"](x.relu()).relu().mean(2))

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 3, 40), net.layers["last"], as_it_is, (2,))


# --- reductions and products with a vector


def values_of(result):
    return result[0] if isinstance(result, tuple) else result


REDUCTIONS = {
    "mean sum nanmean nansum amax amin logsumexp special_logsumexp std var std_mean var_mean": (),
    "prod median nanmedian max min aminmax mode": (),
    "kthvalue": (1,),
    "quantile nanquantile": (0.5,),
    "norm": (3,),
}  # and the arguments in front of the axis
REDUCED = {
    f"{where.__name__}.{name}": lambda x, function=function, arguments=arguments: values_of(function(x, *arguments, dim=2))
    for names, arguments in REDUCTIONS.items()
    for name in names.split()
    for where in (torch, torch.Tensor, torch.special, torch.linalg)
    if callable(function := getattr(where, name, None))
} | {
    "kthvalue, by position": lambda x: x.kthvalue(1, 2)[0],
    "quantile, by position": lambda x: torch.quantile(x, 0.5, 2),
    "nanquantile, by position": lambda x: x.nanquantile(0.5, 2),
}


@pytest.mark.parametrize("how", REDUCED)
def test_whatever_reduces_an_axis_leaves_the_others(how):
    layers = {"first": nn.Conv1d(3, 6, 3, padding=1), "last": nn.Conv1d(6, 5, 3), "fc": nn.Linear(5, CLASSES)}

    def forward(layers, x):
        return layers["fc"](layers["last"](layers["first"](REDUCED[how](x)).relu()).relu().mean(2))

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 3, 4, 20), net.layers["last"], as_it_is, (3,))


VECTOR = drawn(4, seed=7)
BY_A_VECTOR = {
    "signals times it": lambda x: x.transpose(2, 3) @ VECTOR,
    "it times signals": lambda x: VECTOR @ x,
    "each signal, times it": lambda x: torch.stack([torch.mv(signal.mT, VECTOR) for signal in x.flatten(0, 1)]).view(len(x), 3, -1),
}


@pytest.mark.parametrize("how", BY_A_VECTOR)
def test_a_product_with_a_vector_is_a_sum_over_one_axis(how):
    layers = {"first": nn.Conv1d(3, 6, 3, padding=1), "last": nn.Conv1d(6, 5, 3), "fc": nn.Linear(5, CLASSES)}

    def forward(layers, x):
        return layers["fc"](layers["last"](layers["first"](BY_A_VECTOR[how](x)).relu()).relu().mean(2))

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 3, 4, 20), net.layers["last"], as_it_is, (3,))


# --- frames


def frame_net(in_batch):
    layers = {"conv1": nn.Conv2d(3, 6, 3), "conv2": nn.Conv2d(6, 5, 3), "fc": nn.Linear(5, CLASSES)}

    def of_frames(layers, x):
        return layers["conv2"](layers["conv1"](x).relu()).relu().mean((2, 3))

    def forward(layers, x):
        n, frames = x.shape[:2]
        if in_batch == "flatten":
            features = of_frames(layers, x.flatten(0, 1)).view(n, frames, -1)
        elif in_batch == "time first":
            features = of_frames(layers, x.transpose(0, 1).reshape(-1, *x.shape[2:])).view(frames, n, -1).transpose(0, 1)
        elif in_batch == "loop":
            features = torch.stack([of_frames(layers, x[:, t]) for t in range(frames)], 1)
        else:
            features = torch.stack([of_frames(layers, frame) for frame in x.unbind(1)], 1)
        return layers["fc"](features.amax(1))

    return randomized(Written(forward, **layers))


@pytest.mark.parametrize("in_batch", ["flatten", "time first", "loop", "unbind"])
@pytest.mark.parametrize("frames", [1, 3, 9])
def test_a_network_on_each_frame_has_a_map_for_each(in_batch, frames):
    net, x = frame_net(in_batch), drawn(2, frames, 3, 8, 10)
    reference = frame_net("flatten")
    maps = {}
    for target in range(CLASSES):
        values, gradient = oracles.hooked(reference, reference.layers["conv2"], x, lambda output, target=target: output[:, target])[0]
        cam = oracles.up_sampled(oracles.class_activation(values, gradient), (8, 10)).view(2, frames, 1, 8, 10)
        maps[target] = oracles.divided_by_maximum(cam.expand_as(x))
    target = max(maps, key=lambda target: maps[target].reshape(2, -1).max(1).sum())
    assert maps[target].max() == 1
    got = explain(net, x, "grad_cam", target)
    assert deviation(got, maps[target]) < TOLERANCE
    single = np.concatenate([explain(net, sample[None], "grad_cam", target) for sample in x])
    assert deviation(single, maps[target]) < TOLERANCE


def test_convolutions_of_one_position_in_each_frame_are_passed_over():
    layers = {"conv": nn.Conv2d(3, 6, 3), "head": nn.Conv2d(6, 7, 1), "fc": nn.Linear(7, CLASSES)}

    def forward(layers, x):
        frames = layers["conv"](x.flatten(0, 1)).relu().mean((2, 3), keepdim=True)
        return layers["fc"](layers["head"](frames).relu().flatten(1).view(len(x), -1, 7).amax(1))

    net, x = randomized(Written(forward, **layers)), drawn(2, 4, 3, 8, 10)
    assert GradCAMAnalyzer(net).feature_map(x, 1).layer == "layers.conv"
    assert GradCAMAnalyzer(net).feature_map(x[:1], 1).layer == "layers.conv"


def test_a_network_on_each_lead_has_a_map_for_each():
    layers = {"conv": nn.Conv1d(1, 6, 5), "fc": nn.Linear(6 * 4, CLASSES)}

    def forward(layers, x):
        return layers["fc"](layers["conv"](x.reshape(-1, 1, x.shape[2])).relu().mean(2).view(len(x), -1))

    net, x = randomized(Written(forward, **layers)), drawn(3, 4, 20)
    values, gradient = oracles.hooked(net, net.layers["conv"], x, lambda output: output[:, 1])[0]
    cam = oracles.up_sampled(oracles.class_activation(values, gradient), (20,)).view(3, 4, 20)
    assert deviation(explain(net, x, "grad_cam", 1), oracles.divided_by_maximum(cam)) < TOLERANCE


def test_convolutions_in_three_dimensions_with_time_first():
    layers = {"conv": nn.Conv3d(2, 5, (2, 3, 3), stride=(2, 1, 1)), "fc": nn.Linear(5, CLASSES)}
    net = randomized(Written(lambda layers, x: layers["fc"](layers["conv"](x.transpose(1, 2)).relu().mean((2, 3, 4))), **layers))
    is_oracle(net, drawn(2, 6, 2, 7, 8), net.layers["conv"], as_it_is, (1, 3, 4))


# --- two images


def two_images(how):
    layers = {"conv1": nn.Conv2d(3, 6, 3), "conv2": nn.Conv2d(6, 5, 3), "fc": nn.Linear(5, CLASSES)}

    def of(layers, x):
        return layers["conv2"](layers["conv1"](x).relu()).relu().mean((2, 3))

    def forward(layers, x):
        if how == "axis":
            return layers["fc"](of(layers, x[:, 0]) - of(layers, x[:, 1]))
        if how == "channels":
            return layers["fc"](of(layers, x[:, :3]) - of(layers, x[:, 3:]))
        if how == "chunk":
            a, b = x.chunk(2, 1)
            return layers["fc"](of(layers, a) - of(layers, b))
        if how == "two lines":
            weights = [parameter for name in ("conv1", "conv2") for parameter in layers[name].parameters()]
            a = F.conv2d(F.conv2d(x[:, 0], *weights[:2]).relu(), *weights[2:]).relu().mean((2, 3))
            b = F.conv2d(F.conv2d(x[:, 1], *weights[:2]).relu(), *weights[2:]).relu().mean((2, 3))
            return layers["fc"](a - b)
        a, b = of(layers, torch.cat([x[:, 0], x[:, 1]])).chunk(2)
        return layers["fc"](a - b)

    return randomized(Written(forward, **layers))


@pytest.mark.parametrize(
    ("how", "layer"),
    [(how, layer) for how in ("axis", "channels", "chunk", "batch") for layer in (None, "layers.conv2")] + [("two lines", None)],
)
def test_a_network_called_on_two_images_has_a_map_for_each(how, layer):
    net, x = two_images(how), drawn(2, 2, 3, 8, 10)
    reference = two_images("axis")
    x_in = x if how in ("axis", "batch", "two lines") else x.flatten(1, 2)
    options = {} if layer is None else {"layer": layer}
    found = 0
    for target in range(CLASSES):
        calls = oracles.hooked(reference, reference.layers["conv2"], x, lambda output, target=target: output[:, target])
        cams = [oracles.up_sampled(oracles.class_activation(*call), (8, 10)) for call in calls]
        expected = oracles.divided_by_maximum(torch.stack(cams, 1)[:, :, None].expand_as(x)).reshape(x_in.shape)
        got = explain(net, x_in, "grad_cam", target, **options)
        assert deviation(got, expected) < TOLERANCE
        single = np.concatenate([explain(net, sample[None], "grad_cam", target, **options) for sample in x_in])
        assert deviation(single, expected) < TOLERANCE
        found += expected.max()
    assert found > 0


def test_an_image_that_the_target_does_not_depend_on_has_no_map():
    layers = {"conv": nn.Conv2d(3, 6, 3), "fc": nn.Linear(6, CLASSES)}

    def forward(layers, x):
        first, _ = (layers["conv"](image).relu().mean((2, 3)) for image in (x[:, 0], x[:, 1]))
        return layers["fc"](first)

    net, x = randomized(Written(forward, **layers)), drawn(2, 2, 3, 8, 10)
    values, gradient = oracles.hooked(net, net.layers["conv"], x, lambda output: output[:, 1])[0]
    cam = oracles.up_sampled(oracles.class_activation(values, gradient), (8, 10))
    expected = torch.stack([cam, torch.zeros_like(cam)], 1)[:, :, None].expand_as(x)
    assert deviation(explain(net, x, "grad_cam", 1), oracles.divided_by_maximum(expected)) < TOLERANCE


def test_a_layer_run_again_on_its_own_output_is_taken_the_last_time():
    layers = {"conv": nn.Conv2d(3, 3, 3, padding=1), "fc": nn.Linear(3, CLASSES)}

    def forward(layers, x):
        for _ in range(3):
            x = layers["conv"](x).relu()
        return layers["fc"](x.mean((2, 3)))

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 3, 8, 10), net.layers["conv"], as_it_is, (2, 3))


# --- layers that are not on the way


class Inception(nn.Module):
    """A trunk with a head, and an auxiliary head that is run last; what it returns is a tensor, a tuple or a dict."""

    def __init__(self, returns):
        super().__init__()
        self.conv, self.aux, self.aux_fc, self.fc = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 3), nn.Linear(4, CLASSES), nn.Linear(6, CLASSES)
        self.returns = returns

    def forward(self, x):
        x = self.conv(x).relu()
        main = self.fc(x.mean((2, 3)))
        aux = self.aux_fc(self.aux(x).relu().mean((2, 3)))
        if self.returns == "zero times":
            return main + 0 * aux
        return {"tuple": (main, aux), "dict": {"out": main, "aux": aux}, "main": main}[self.returns]


@pytest.mark.parametrize("returns", ["tuple", "dict", "main", "zero times"])
def test_an_auxiliary_head_is_passed_over(returns):
    net = randomized(Inception(returns))
    reference = randomized(Inception("main"))
    x = drawn(2, 3, 8, 10)
    target, expected = best_target(reference, x, reference.conv, as_it_is, (2, 3))
    assert deviation(explain(net, x, "grad_cam", target), expected) < TOLERANCE


def test_of_two_heads_each_has_the_layer_that_it_depends_on():
    layers = {"trunk": nn.Conv2d(3, 6, 3), "one": nn.Conv2d(6, 4, 3), "two": nn.Conv2d(6, 4, 3)}
    layers |= {"fc1": nn.Linear(4, CLASSES), "fc2": nn.Linear(4, CLASSES)}

    def forward(layers, x):
        x = layers["trunk"](x).relu()
        heads = (layers[f"fc{i}"](layers[name](x).relu().mean((2, 3))) for i, name in ((1, "one"), (2, "two")))
        return torch.cat(list(heads), 1)

    net, x = randomized(Written(forward, **layers)), drawn(2, 3, 8, 10)
    for name, targets in (("one", range(CLASSES)), ("two", range(CLASSES, 2 * CLASSES))):
        maps = [oracles.hooked_grad_cam(net, net.layers[name], x, target, as_it_is, (2, 3)) for target in targets]
        assert max(expected.max() for expected in maps) == 1
        for target, expected in zip(targets, maps, strict=True):
            assert deviation(explain(net, x, "grad_cam", target), expected) < TOLERANCE
            assert GradCAMAnalyzer(net).feature_map(x, target).layer == f"layers.{name}"


def test_a_named_layer_that_the_target_does_not_depend_on_is_refused():
    net = randomized(Inception("main"))
    with pytest.raises(ModelError, match=r"does not depend on the output of aux \(Conv2d\); name another by layer="):
        explain(net, drawn(2, 3, 8, 10), "grad_cam", 1, layer="aux")


class Adapted(nn.Module):
    """A frozen convolution with an adapter of low rank beside it, as of peft."""

    def __init__(self, base, rank=2, order="base first"):
        super().__init__()
        self.base, self.order = base, order
        self.down = nn.Conv2d(base.in_channels, rank, base.kernel_size, base.stride, base.padding, bias=False)
        self.up = nn.Conv2d(rank, base.out_channels, 1, bias=False)
        self.drop = nn.Dropout(0.1)

    def forward(self, x):
        if self.order == "adapter first":
            low = self.up(self.down(self.drop(x))) * 0.5
            return low + self.base(x)
        result = self.base(x)
        if self.order == "in place":
            result += self.up(self.down(self.drop(x))) * 0.5
            return result
        return result + self.up(self.down(self.drop(x))) * 0.5

    def joined(self):
        """The one convolution that it is."""
        with torch.no_grad():
            whole = nn.Conv2d(self.base.in_channels, self.base.out_channels, 3).double()
            whole.weight.copy_(self.base.weight + 0.5 * torch.einsum("or,rikl->oikl", self.up.weight[:, :, 0, 0], self.down.weight))
            whole.bias.copy_(self.base.bias)
        return whole


@pytest.mark.parametrize("order", ["base first", "adapter first", "in place"])
@pytest.mark.parametrize("is_zero", [False, True])
def test_an_adapter_of_low_rank_is_one_layer_with_what_it_adapts(order, is_zero):
    head = (nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, CLASSES))
    adapted = randomized(nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), Adapted(nn.Conv2d(6, 5, 3), order=order), *head))
    if is_zero:
        adapted[2].up.weight.data.zero_()
    x = drawn(2, 3, 8, 10)
    plain = nn.Sequential(*adapted[:2], adapted[2].joined(), *adapted[3:])
    target, expected = best_target(plain, x, plain[2], as_it_is, (2, 3))
    assert deviation(explain(adapted, x, "grad_cam", target), expected) < TOLERANCE
    assert GradCAMAnalyzer(adapted).feature_map(x, target).layer == "2"


def test_a_shortcut_of_convolutions_is_no_adapter():
    layers = {"first": nn.Conv2d(3, 6, 3), "two": nn.Conv2d(6, 6, 3, padding=1), "down": nn.Conv2d(3, 6, 3), "fc": nn.Linear(6, CLASSES)}

    def forward(layers, x):
        return layers["fc"]((layers["two"](layers["first"](x).relu()) + layers["down"](x)).relu().mean((2, 3)))

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 3, 8, 10), net.layers["down"], as_it_is, (2, 3))


def test_convolutions_of_one_position_are_passed_over():
    layers = {"conv": nn.Conv2d(3, 6, 3), "squeeze": nn.Conv2d(6, 2, 1), "excite": nn.Conv2d(2, 6, 1), "head": nn.Conv2d(6, 7, 1)}

    def forward(layers, x):
        x = layers["conv"](x).relu()
        x = x * layers["excite"](layers["squeeze"](x.mean((2, 3), keepdim=True)).relu()).sigmoid()
        return F.conv2d(layers["head"](F.adaptive_avg_pool2d(x, 1)).relu(), layers["fc"].weight[:, :, None, None]).flatten(1)

    net = randomized(Written(forward, **layers, fc=nn.Linear(7, CLASSES)))
    is_oracle(net, drawn(2, 3, 8, 10), net.layers["conv"], as_it_is, (2, 3))


def test_convolutions_that_read_a_mask_or_places_are_passed_over():
    layers = {"conv": nn.Conv1d(3, 6, 3, padding=1), "places": nn.Conv1d(1, 6, 3, padding=1), "fc": nn.Linear(6, CLASSES)}

    def forward(layers, x):
        x = layers["conv"](x)
        places = layers["places"](torch.linspace(0, 1, x.shape[2], dtype=x.dtype).expand(len(x), 1, -1))
        mask = layers["places"]((x.detach()[:, :1] > 0).to(x.dtype)).sigmoid()
        return layers["fc"](((x + places).relu() * mask).mean(2))

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 3, 20), net.layers["conv"], as_it_is, (2,))


def test_sums_and_layers_that_begin_with_a_constant():
    layers = {"conv": nn.Conv2d(3, 6, 3), "fc": nn.Linear(6, CLASSES)}

    def forward(layers, x):
        x = torch.ones(6, 1, 1, dtype=x.dtype) + layers["conv"](x)
        rows = F.linear(torch.ones(1, 8, dtype=x.dtype), x.relu().mean((2, 3)).new_ones(6, 8)) + x.relu().mean((2, 3))
        return layers["fc"](rows) + F.linear(torch.ones(CLASSES, 6, dtype=x.dtype), x.relu().mean((2, 3))).T

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 3, 8, 10), net.layers["conv"], as_it_is, (2, 3))


def test_a_depthwise_convolution_may_be_the_last():
    layers = {"conv": nn.Conv2d(3, 6, 3), "depthwise": nn.Conv2d(6, 6, 3, groups=6), "fc": nn.Linear(6, CLASSES)}
    net = randomized(Written(lambda layers, x: layers["fc"](layers["depthwise"](layers["conv"](x).relu()).relu().mean((2, 3))), **layers))
    is_oracle(net, drawn(2, 3, 8, 10), net.layers["depthwise"], as_it_is, (2, 3))


def test_a_fully_convolutional_head_is_the_last_map():
    net = randomized(nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, CLASSES, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    is_oracle(net, drawn(2, 3, 8, 10), net[2], as_it_is, (2, 3))


def test_an_early_map_whose_values_were_let_go_takes_a_second_run():
    trunk, aux = nn.Conv2d(3, 6, 3), nn.ModuleList(nn.Conv2d(6, 6, 3, padding=1) for _ in range(20))
    layers = {"trunk": trunk, "aux": aux, "fc": nn.Linear(6, CLASSES)}

    def forward(layers, x):
        main = layers["trunk"](x)
        side = main
        for conv in layers["aux"]:
            side = conv(side).relu_()
        return layers["fc"](main.relu_().mean((2, 3)))

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 3, 8, 10), net.layers["trunk"], as_it_is, (2, 3))


def test_a_norm_of_the_input_is_taken_with_the_channels_that_the_network_reads():
    layers = {"norm": nn.BatchNorm2d(3), "conv": nn.Conv2d(3, 6, 3), "fc": nn.Linear(6, CLASSES)}
    net = randomized(Written(lambda layers, x: layers["fc"](layers["conv"](layers["norm"](x)).relu().mean((2, 3))), **layers))
    is_oracle(net, drawn(2, 3, 8, 10), net.layers["norm"], as_it_is, (2, 3), layer="layers.norm")


# --- what cannot be followed


def test_what_cannot_be_followed_is_refused_with_the_operation_and_what_to_do():
    layers = {"conv": nn.Conv1d(3, 6, 3), "fc": nn.Linear(6, CLASSES)}
    net = randomized(Written(lambda layers, x: layers["fc"](layers["conv"](x.sort(dim=2)[0]).relu().mean(2)), **layers))
    with pytest.raises(ModelError, match=r"cannot follow .*'conv1d' in layers.conv.*\(2, 3, 20\): its axes are lost in 'sort'.*layer="):
        explain(net, drawn(2, 3, 20), "grad_cam", 1)


def test_a_mixture_of_sizes_is_refused():
    layers = {"conv": nn.Conv1d(3, 6, 3, padding=1), "fc": nn.Linear(6, CLASSES)}

    def forward(layers, x):
        x = layers["conv"](x)
        return layers["fc"](F.layer_norm(torch.cat([x[..., :10], F.avg_pool1d(x[..., 10:], 5)], 2).mT, (6,)).relu().mean(1))

    net = randomized(Written(forward, **layers))
    with pytest.raises(ModelError, match=r"no feature map .* parts of the input of different sizes; name another layer by layer="):
        explain(net, drawn(2, 3, 20), "grad_cam", 1)


def test_functions_that_no_mode_sees_are_followed_if_they_work_place_by_place():
    class Swish(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, turned):
            ctx.save_for_backward(x)
            ctx.turned = turned
            return (x * x.sigmoid()).flip(2) if turned else x * x.sigmoid()

        @staticmethod
        def backward(ctx, gradient):
            (x,) = ctx.saved_tensors
            gradient = gradient.flip(2) if ctx.turned else gradient
            return gradient * x.sigmoid() * (1 + x * (1 - x.sigmoid())), None

    def net(turned):
        layers = {"conv1": nn.Conv1d(3, 6, 3), "conv2": nn.Conv1d(6, 6, 3), "fc": nn.Linear(6, CLASSES)}
        return randomized(Written(lambda m, x: m["fc"](m["conv2"](Swish.apply(m["conv1"](x), turned)).relu().mean(2)), **layers))

    x = drawn(2, 3, 20)
    seen = net(turned=False)
    is_oracle(seen, x, seen.layers["conv2"], as_it_is, (2,))
    with pytest.raises(ModelError, match="lost in an operation that cannot be watched"):
        explain(net(turned=True), x, "grad_cam", 1)


def test_a_named_layer_whose_values_stand_nowhere_is_refused():
    net = randomized(Series())
    with pytest.raises(ModelError, match="no feature map over an input"):
        explain(net, drawn(2, 12, 3), "grad_cam", 1, layer="head")


# --- what is said


def test_the_report_says_which_layer_and_axes_were_taken(caplog):
    net, x = randomized(Series("conv")), drawn(2, 24, 3)
    taken = GradCAMAnalyzer(net).feature_map(x, 1)
    assert (taken.layer, taken.operation, taken.shape) == ("blocks.1.norm1", "layer_norm", (2, 7, WIDTH))
    assert (taken.channel_axes, taken.position_axes, taken.cells, taken.executions) == ((2,), ((1,), ()), (6, 1), 1)
    with caplog.at_level(logging.INFO, logger="signxai"):
        explain(net, x, "grad_cam", 1)
    assert str(taken) in caplog.text
    assert "channels on axis 2, axis 1 of the input along axis 1 (6 cells); name another layer by layer=" in caplog.text


def test_the_report_of_two_images():
    taken = GradCAMAnalyzer(two_images("channels")).feature_map(drawn(2, 6, 8, 10), 1)
    assert taken.executions == 2
    assert "executed 2 times" in str(taken)
    assert taken.layer == "layers.conv2"


@pytest.mark.filterwarnings("error")
def test_a_map_of_zeros_says_why():
    net, x = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)), drawn(2, 3, 8, 8).abs()
    net = randomized(net)
    net[0].weight.data.abs_(), net[0].bias.data.abs_()
    net[4].weight.data[0].abs_().neg_(), net[4].weight.data[1].abs_()
    explain(net, x, "grad_cam", 1)
    with pytest.warns(
        ZeroMapWarning, match=r"2 of 2 samples is zero everywhere. sample 0, 1: all evidence there is against the class. .*layer="
    ):
        assert not explain(net, x, "grad_cam", 0).any()
    net[4].weight.data.zero_()
    with pytest.warns(ZeroMapWarning, match=r"everywhere. sample 0, 1: the class's score does not change .*gradient is zero"):
        assert not explain(net, x, "grad_cam", 0).any()


def test_a_transformer_whose_class_does_not_change_says_so():
    net, x = randomized(Series()), drawn(2, 12, 3)
    net.head.weight.data.zero_()
    with pytest.warns(ZeroMapWarning, match="2 of 2 samples.*gradient is zero.*made of the output of 'layer_norm' in norm"):
        assert not explain(net, x, "grad_cam", 0).any()


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(5, 1, (2, 2, 2, 2)), (3, 1, (1, 1, 1, 1)), (5, 2, (1, 2, 1, 2)), (7, 1, (3, 3, 3, 3)), (4, 1, (1, 2, 1, 2))],
)
@pytest.mark.parametrize(
    "pad", [F.pad, lambda x, padding: nn.ZeroPad2d(padding)(x), lambda x, padding: F.pad(x, padding, mode="replicate")]
)
def test_a_convolution_behind_padding_of_its_own_covers_the_whole_image(pad, kernel, stride, padding):
    def body(m, x):
        return m["out"](F.relu(m["conv"](pad(F.relu(m["stem"](pad(x, padding))), padding))).mean((2, 3)))

    layers = {"stem": nn.Conv2d(3, 4, kernel, stride), "conv": nn.Conv2d(4, 4, kernel, stride), "out": nn.Linear(4, CLASSES)}
    net, x = randomized(Written(body, **layers)), drawn(2, 3, 32, 32)
    is_oracle(net, x, net.layers["conv"], as_it_is, (2, 3))
    assert GradCAMAnalyzer(net).feature_map(x, 0).cells == (1, 32 // stride**2, 32 // stride**2)


# --- padding that is written by hand


def filled(x, left, right, value=0.0):
    return x.new_full((*x.shape[:-1], left + x.shape[-1] + right), value)


def assigned(x, left, right):
    y = filled(x, left, right)
    y[..., left : left + x.shape[-1]] = x
    return y


def assigned_within_ones(x, left, right):
    y = filled(x, left, right, 1.0)
    y[..., left : left + x.shape[-1]] = x
    return y


def copied_to_a_part(x, left, right):
    y = filled(x, left, right)
    y.narrow(-1, left, x.shape[-1]).copy_(x)
    return y


def copied_to_a_part_of_a_part(x, left, right):
    y = filled(x, left, right)
    y[..., left:][..., : x.shape[-1]].copy_(x)
    return y


def assigned_to_a_part(x, left, right):
    y = filled(x, left, right)
    y[1:][..., left : left + x.shape[-1]] = x[1:]
    y[:1][..., left : left + x.shape[-1]] = x[:1]
    return y


def added_to_a_part(x, left, right):
    y = filled(x, left, right)
    y[..., left : left + x.shape[-1]] += x
    return y


def between(x, left, right, at_left, at_right):
    return torch.cat([at_left(x, left), x, at_right(x, right)], -1)


def numbers(make):
    def constant(x, count):
        return make(*x.shape[:-1], count, dtype=x.dtype)

    return lambda x, left, right: between(x, left, right, constant, constant)


def places_of(x, left, right):
    return left + torch.arange(x.shape[-1])


BY_HAND = {
    "F.pad": lambda x, left, right: F.pad(x, (left, right)),
    "F.pad of ones": lambda x, left, right: F.pad(x, (left, right), value=1.0),
    "constant_pad_nd": lambda x, left, right: torch.constant_pad_nd(x, (left, right), 0.5),
    "cat of zeros": numbers(torch.zeros),
    "cat of ones": numbers(torch.ones),
    "cat of any numbers": lambda x, left, right: between(
        x, left, right, *(lambda x, count: torch.linspace(1, 2, count, dtype=x.dtype).expand(*x.shape[:-1], -1),) * 2
    ),
    "cat after cat": lambda x, left, right: torch.cat(
        [torch.cat([filled(x, left, 0)[..., :left], x], -1), filled(x, 0, right)[..., :right]], -1
    ),
    "assigned": assigned,
    "assigned within ones": assigned_within_ones,
    "assigned to a part": assigned_to_a_part,
    "copied to a part": copied_to_a_part,
    "copied to a part of a part": copied_to_a_part_of_a_part,
    "added to a part": added_to_a_part,
    "slice_scatter": lambda x, left, right: filled(x, left, right).slice_scatter(x, -1, left, left + x.shape[-1]),
    "index_copy": lambda x, left, right: filled(x, left, right).index_copy(2, places_of(x, left, right), x),
    "index_copy_": lambda x, left, right: filled(x, left, right).index_copy_(2, places_of(x, left, right), x),
    "scatter": lambda x, left, right: filled(x, left, right).scatter(2, places_of(x, left, right).expand(x.shape), x),
    "replicate": lambda x, left, right: between(
        x, left, right, lambda x, n: x[..., :1].expand(*x.shape[:-1], n), lambda x, n: x[..., -1:].expand(*x.shape[:-1], n)
    ),
    "replicate by index": lambda x, left, right: x[..., torch.arange(-left, x.shape[-1] + right).clamp(0, x.shape[-1] - 1)],
    "reflect": lambda x, left, right: between(
        x, left, right, lambda x, n: x[..., 1 : n + 1].flip(-1), lambda x, n: x[..., x.shape[-1] - 1 - n : -1].flip(-1)
    ),
    "mirror": lambda x, left, right: between(
        x, left, right, lambda x, n: x[..., :n].flip(-1), lambda x, n: x[..., x.shape[-1] - n :].flip(-1)
    ),
    "circular": lambda x, left, right: between(x, left, right, lambda x, n: x[..., x.shape[-1] - n :], lambda x, n: x[..., :n]),
}


SIDES = [(4, 0), (0, 4), (2, 2), (1, 3)]


@pytest.mark.parametrize(("how", "sides"), in_turn(BY_HAND, SIDES, of_each=2))
def test_padding_of_the_input_however_it_is_written(how, sides):
    layers = {"conv": nn.Conv1d(3, 6, 5), "fc": nn.Linear(6, CLASSES)}
    net = randomized(Written(lambda m, x: m["fc"](m["conv"](BY_HAND[how](x, *sides)).relu().mean(2)), **layers))
    is_oracle(net, drawn(2, 3, 20), net.layers["conv"], as_it_is, (2,))


@pytest.mark.parametrize(("how", "sides"), in_turn(BY_HAND, SIDES, of_each=2))
def test_padding_of_a_hidden_map_however_it_is_written(how, sides):
    layers = {"first": nn.Conv1d(3, 4, 3, padding=1), "conv": nn.Conv1d(4, 6, 5), "fc": nn.Linear(6, CLASSES)}

    def forward(layers, x):
        return layers["fc"](layers["conv"](BY_HAND[how](layers["first"](x).relu(), *sides)).relu().mean(2))

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 3, 20), net.layers["conv"], as_it_is, (2,))


@pytest.mark.parametrize("how", BY_HAND)
def test_a_causal_network_however_its_padding_is_written(how):
    layers = {"one": nn.Conv1d(3, 4, 3), "two": nn.Conv1d(4, 4, 3, dilation=2), "three": nn.Conv1d(4, 6, 3, dilation=4)}

    def forward(layers, x):
        for name, sides in (("one", 2), ("two", 4), ("three", 8)):
            shortcut = x if name == "two" else 0
            x = layers[name](BY_HAND[how](x, sides, 0)).relu() + shortcut
        return layers["fc"](x.mean(2))

    net = randomized(Written(forward, **layers, fc=nn.Linear(6, CLASSES)))
    is_oracle(net, drawn(2, 3, 20), net.layers["three"], as_it_is, (2,))


def on_both_axes(pad, left, right):
    return lambda x: pad(pad(x, left, right).transpose(2, 3), left, right).transpose(2, 3)


@pytest.mark.parametrize(
    ("how", "shape"),
    in_turn(
        [how for how in BY_HAND if how not in ("index_copy", "index_copy_", "scatter")],
        [(5, 1, (2, 2)), (5, 2, (1, 2)), (3, 1, (2, 0)), (4, 1, (1, 2))],
    ),
)
def test_padding_of_images_however_it_is_written(how, shape):
    kernel, stride, sides = shape
    pad = on_both_axes(BY_HAND[how], *sides)
    layers = {"first": nn.Conv2d(3, 4, kernel, stride), "last": nn.Conv2d(4, 6, kernel, stride), "fc": nn.Linear(6, CLASSES)}
    net = randomized(Written(lambda m, x: m["fc"](m["last"](pad(m["first"](pad(x)).relu())).relu().mean((2, 3))), **layers))
    is_oracle(net, drawn(2, 3, 16, 20), net.layers["last"], as_it_is, (2, 3))


@pytest.mark.parametrize("is_hidden", [False, True])
def test_a_frame_around_an_image_is_padding(is_hidden):
    layers = {"first": nn.Conv2d(3, 3, 3, padding=1), "last": nn.Conv2d(3, 6, 5), "fc": nn.Linear(6, CLASSES)}

    def forward(layers, x):
        x = layers["first"](x).relu() if is_hidden else x
        y = x.new_zeros(*x.shape[:2], x.shape[2] + 4, x.shape[3] + 4)
        y[:, :, 2:-2, 2:-2] = x
        return layers["fc"](layers["last"](y).relu().mean((2, 3)))

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 3, 10, 12), net.layers["last"], as_it_is, (2, 3))


@pytest.mark.parametrize("twins", [("cat of zeros", "F.pad"), ("cat of ones", "F.pad of ones")], ids=["zeros", "ones"])
def test_beside_the_padding_of_one_signal_another_stands_alone(twins):
    layers = {
        "a": nn.Conv1d(3, 4, 3, padding=1),
        "b": nn.Conv1d(3, 4, 3, padding=1),
        "last": nn.Conv1d(4, 5, 1),
        "fc": nn.Linear(5, CLASSES),
    }

    def padded_by(pad):
        def forward(layers, x):
            y = pad(layers["a"](x[:, :3, 4:]).relu(), 4, 0) + layers["b"](x[:, 3:]).relu()
            return layers["fc"](layers["last"](y).relu().mean(2))

        return randomized(Written(forward, **layers))

    for x in (drawn(1, 6, 12), drawn(2, 6, 12)):
        expected, got = (explain(padded_by(BY_HAND[name]), x, "grad_cam", 2) for name in twins)
        assert not np.array_equal(expected[:, 0], expected[:, 5])
        assert deviation(got, expected) < TOLERANCE


BEHIND_PADDING = {
    "activation": lambda layers, x: x.sigmoid(),
    "dropout and scale": lambda layers, x: F.dropout(x * 2, 0.5, False),
    "norm": lambda layers, x: layers["norm"](x),
    "pooling": lambda layers, x: F.avg_pool1d(x, 3, 1, 1),
    "pooling that shortens": lambda layers, x: F.max_pool1d(x, 2),
    "sum with a constant": lambda layers, x: x + torch.linspace(0, 1, x.shape[2], dtype=x.dtype),
    "sum with another signal": lambda layers, x: x + x.relu(),
    "a gate for each channel": lambda layers, x: x * x.mean(2, keepdim=True).sigmoid(),
    "channels last and back": lambda layers, x: F.layer_norm(x.mT, (4,)).mT,
    "channels beside it": lambda layers, x: torch.cat([x[:, :2], x.new_ones(len(x), 2, x.shape[2])], 1),
    "stack": lambda layers, x: torch.stack([x, x.relu()], 2).flatten(1, 2)[:, ::2],
}


@pytest.mark.parametrize("behind", BEHIND_PADDING)
@pytest.mark.parametrize("how", ["F.pad", "cat of zeros", "cat of any numbers", "assigned", "replicate", "reflect", "circular"])
def test_what_stands_between_padding_and_a_convolution(how, behind):
    layers = {"first": nn.Conv1d(3, 4, 3, padding=1), "norm": nn.BatchNorm1d(4), "conv": nn.Conv1d(4, 6, 5), "fc": nn.Linear(6, CLASSES)}

    def forward(layers, x):
        x = BEHIND_PADDING[behind](layers, BY_HAND[how](layers["first"](x).relu(), 3, 1))
        return layers["fc"](layers["conv"](x).relu().mean(2))

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 3, 20), net.layers["conv"], as_it_is, (2,))


@pytest.mark.parametrize("padding", [1, 3])
@pytest.mark.parametrize("how", ["F.pad", "cat of zeros", "assigned within ones", "copied to a part", "replicate", "reflect"])
def test_padding_in_front_of_a_convolution_that_pads_too(how, padding):
    layers = {"conv": nn.Conv1d(3, 6, 3, padding=padding), "fc": nn.Linear(6, CLASSES)}
    net = randomized(Written(lambda m, x: m["fc"](m["conv"](BY_HAND[how](x, 4, 1)).relu().mean(2)), **layers))
    is_oracle(net, drawn(2, 3, 20), net.layers["conv"], as_it_is, (2,))


def masked_by_a_number(x):
    x = x.clone()
    x[..., :4] = 0
    return x


def masked_by_a_tensor(x):
    x = x.clone()
    x[..., :4] = torch.zeros(4, dtype=x.dtype)
    return x


def masked_in_place(x):
    x = x.clone()
    x[..., :4].zero_()
    return x


def masked_by_index(x):
    return x.index_fill(2, torch.arange(4), 0.0)


@pytest.mark.parametrize("mask", [masked_by_a_number, masked_by_a_tensor, masked_in_place, masked_by_index])
@pytest.mark.parametrize("is_hidden", [False, True])
def test_values_that_are_set_to_zero_stand_where_they_stood(mask, is_hidden):
    layers = {"first": nn.Conv1d(3, 3, 3, padding=1), "conv": nn.Conv1d(3, 6, 3, padding=1), "fc": nn.Linear(6, CLASSES)}

    def forward(layers, x):
        return layers["fc"](layers["conv"](mask(layers["first"](x).relu() if is_hidden else x)).relu().mean(2))

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 3, 20), net.layers["conv"], as_it_is, (2,))


@pytest.mark.parametrize("is_zero", [False, True])
@pytest.mark.parametrize("kernel", [1, 3])
def test_a_class_token_in_front_of_a_convolution_over_tokens_stands_nowhere(kernel, is_zero):
    layers = {"patches": nn.Conv1d(3, 6, 4, stride=4), "conv": nn.Conv1d(6, 6, kernel, padding=kernel // 2), "fc": nn.Linear(6, CLASSES)}

    class Tokens(Written):
        def __init__(self, function, **layers):
            super().__init__(function, **layers)
            self.front = nn.Parameter(torch.zeros(1, 6, 1))

        def forward(self, x):
            x = self.layers["patches"](x).relu()
            x = torch.cat([self.front.expand(len(x), -1, -1), x], 2)
            return self.layers["fc"](self.layers["conv"](x).relu().mean(2))

    net = randomized(Tokens(None, **layers))
    if is_zero:
        net.front.data.zero_()
    is_oracle(net, drawn(2, 3, 32), net.layers["conv"], lambda values: values[..., 1:], (2,))


def test_coordinates_beside_the_channels_are_no_padding():
    layers = {"first": nn.Conv2d(5, 4, 3, padding=1), "last": nn.Conv2d(6, 6, (3, 5)), "fc": nn.Linear(6, CLASSES)}

    def with_coordinates(x):
        rows, columns = (torch.linspace(-1, 1, length, dtype=x.dtype) for length in x.shape[2:])
        grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(len(x), -1, -1, -1)
        return torch.cat([x, grid], 1)

    def forward(layers, x):
        x = with_coordinates(layers["first"](with_coordinates(x)).relu())
        beside = x.new_zeros(*x.shape[:3], 2)
        return layers["fc"](layers["last"](F.pad(torch.cat([beside, x, beside], 3), (0, 0, 1, 1))).relu().mean((2, 3)))

    net = randomized(Written(forward, **layers))
    is_oracle(net, drawn(2, 3, 10, 12), net.layers["last"], as_it_is, (2, 3))


# --- functions of torch.linalg, torch.special and torch.fft


NAMED_ELSEWHERE = {
    "vector_norm": (lambda y: y / torch.linalg.vector_norm(y, dim=1, keepdim=True), lambda y: y / y.pow(2).sum(1, keepdim=True).sqrt()),
    "norm": (lambda y: y / torch.linalg.norm(y, dim=1, keepdim=True), lambda y: y / y.pow(2).sum(1, keepdim=True).sqrt()),
    "erf": (torch.special.erf, torch.erf),
    "expit": (torch.special.expit, torch.sigmoid),
    "ndtr": (torch.special.ndtr, lambda y: 0.5 * (1 + torch.erf(y / 2**0.5))),
    "softmax": (lambda y: torch.special.softmax(y, 1), lambda y: y.softmax(1)),
    "log_softmax": (lambda y: torch.special.log_softmax(y, 1), lambda y: y.log_softmax(1)),
    "logsumexp": (lambda y: y - torch.special.logsumexp(y, 1, keepdim=True), lambda y: y - y.logsumexp(1, keepdim=True)),
    "a matrix product": (lambda y: torch.linalg.matmul(y, fixed(6, 6)), lambda y: y @ fixed(6, 6)),
}


def fixed(*shape):
    return drawn(*shape, seed=9)


def behind(join):
    layers = nn.ModuleDict({"a": nn.Conv2d(2, 4, 3, padding=1), "b": nn.Conv2d(4, 4, 3, padding=1), "c": nn.Linear(4, CLASSES)})
    return Written(lambda m, x: m["c"](m["b"](join(m["a"](x))).relu().mean((2, 3))), **randomized(layers).double())


@pytest.mark.parametrize("name", NAMED_ELSEWHERE)
def test_a_function_with_another_name_is_followed_alike(name):
    one, other = map(behind, NAMED_ELSEWHERE[name])
    x = drawn(2, 2, 6, 6, seed=10)
    for target in range(CLASSES):
        assert deviation(explain(one, x, "grad_cam", target), explain(other, x, "grad_cam", target)) < TOLERANCE


@pytest.mark.parametrize("spectrum", [torch.fft.fft2, torch.fft.fft, lambda y: torch.fft.rfft(y, dim=2)], ids=["fft2", "fft", "rfft"])
def test_a_spectrum_does_not_lie_over_the_input(spectrum):
    with pytest.raises(ModelError, match="its axes are lost in 'fft_"):
        explain(behind(lambda y: spectrum(y).abs()), drawn(2, 2, 6, 6, seed=10), "grad_cam", 1)


@pytest.mark.parametrize("as_type", [lambda z, y: z.type_as(y), lambda z, y: z.to(y)])
def test_places_are_those_of_the_signal_not_of_what_gives_its_type(as_type):
    """A shorter signal that takes the type of a longer one."""

    class Pooled(nn.Module):
        def __init__(self, convert) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.last, self.convert = nn.Conv1d(2, 4, 3, padding=1), nn.Linear(4, 3), convert

        def forward(self, x):
            y = self.first(x).relu()
            return self.last(self.convert(nn.functional.max_pool1d(y, 2), y).mean(-1))

    x = torch.randn(3, 2, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    plain, converted = (Pooled(convert).double() for convert in (lambda z, y: z, as_type))
    for method in ("grad_cam", "guided_grad_cam"):
        np.testing.assert_allclose(explain(converted, x, method, 1), explain(plain, x, method, 1), rtol=1e-12, atol=1e-14)
