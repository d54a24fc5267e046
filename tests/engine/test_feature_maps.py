"""Grad-CAM finds the last spatial feature map by execution, in transformers too, where tokens are laid out as a grid."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from comparing import deviation
from networks import CLASSES, drawn, randomized
from signxai import explain
from signxai.common import InputError, ModelError

WIDTH = 8
pytestmark = pytest.mark.filterwarnings("ignore::signxai.methods.cam.ZeroMapWarning")


class Transformer(nn.Module):
    """Patches by a convolution, two blocks of attention and MLP, and a read-out by a class token or by the mean."""

    def __init__(self, axes=2, tokens_in_front=1, read_out="class"):
        super().__init__()
        convolution = {1: nn.Conv1d, 2: nn.Conv2d}[axes]
        self.patches = convolution(3, WIDTH, 4, stride=4)
        self.front = nn.Parameter(torch.zeros(1, tokens_in_front, WIDTH))
        options = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(WIDTH, 2, 16, **options) for _ in range(2))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)
        self.read_out = read_out

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.front.expand(len(x), -1, -1), tokens], 1)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        return self.head(tokens[:, 0] if self.read_out == "class" else tokens.mean(1))


def by_hand(net, layer, x, target, grid, in_front):
    """Grad-CAM of the output of ``layer`` (N, tokens, C), in plain autograd."""
    caught = []
    handle = layer.register_forward_hook(lambda module, args, output: caught.append(output))
    logits = net(x)
    handle.remove()
    gradient = torch.autograd.grad(logits[:, target].sum(), caught[0])[0][:, in_front:]
    weights = gradient.mean(1, keepdim=True)
    cam = (weights * caught[0][:, in_front:]).sum(2).clamp(min=0).detach().view(len(x), 1, *grid)
    mode = {1: "linear", 2: "bilinear"}[len(grid)]
    cam = F.interpolate(cam, size=x.shape[2:], mode=mode, align_corners=False)
    cam = cam / cam.flatten(1).amax(1).view(-1, 1, *(1,) * len(grid))
    return cam.expand_as(x).numpy()


@pytest.mark.parametrize(("size", "grid"), [((16, 16), (4, 4)), ((24, 12), (6, 3)), ((18, 17), (4, 4))])
@pytest.mark.parametrize("in_front", [1, 2, 5])
def test_a_class_token_reads_the_last_norm_before_attention(size, grid, in_front):
    net, x = randomized(Transformer(tokens_in_front=in_front)), drawn(2, 3, *size)
    expected = by_hand(net, net.blocks[-1].norm1, x, 2, grid, in_front)
    assert np.isfinite(expected).all()
    assert expected.std() > 0.01
    assert deviation(explain(net, x, "grad_cam", 2), expected) < 1e-12


def test_a_mean_over_tokens_reads_the_last_norm():
    net, x = randomized(Transformer(tokens_in_front=0, read_out="mean")), drawn(2, 3, 16, 16)
    assert deviation(explain(net, x, "grad_cam", 1), by_hand(net, net.norm, x, 1, (4, 4), 0)) < 1e-12


@pytest.mark.parametrize("method", ["grad_cam", "grad_cam_timeseries"])
def test_a_transformer_on_signals_has_its_tokens_in_a_row(method):
    net, x = randomized(Transformer(axes=1)), drawn(2, 3, 40)
    assert deviation(explain(net, x, method, 3), by_hand(net, net.blocks[-1].norm1, x, 3, (10,), 1)) < 1e-12


def test_a_target_layer_of_tokens_is_laid_out_too():
    net, x = randomized(Transformer()), drawn(2, 3, 16, 16)
    expected = by_hand(net, net.blocks[0], x, 1, (4, 4), 1)
    assert deviation(explain(net, x, "grad_cam", 1, layer="blocks.0"), expected) < 1e-12


class ChannelsLast(nn.Module):
    """Norms over (N, H, W, C), as in shifted-window transformers."""

    def __init__(self):
        super().__init__()
        self.patches, self.norm, self.head = nn.Conv2d(3, WIDTH, 2, stride=2), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        return self.head(self.norm(self.patches(x).permute(0, 2, 3, 1)).relu().mean((1, 2)))


def test_channels_last_are_put_first():
    net, x = randomized(ChannelsLast()), drawn(2, 3, 12, 8)
    hand = by_hand_channels_last(net, x)
    assert deviation(explain(net, x, "grad_cam", 1), hand) < 1e-12
    assert deviation(explain(net, x, "grad_cam", 1, layer="norm"), hand) < 1e-12


def by_hand_channels_last(net, x):
    caught = []
    handle = net.norm.register_forward_hook(lambda module, args, output: caught.append(output))
    logits = net(x)
    handle.remove()
    gradient = torch.autograd.grad(logits[:, 1].sum(), caught[0])[0]
    cam = (gradient.mean((1, 2), keepdim=True) * caught[0]).sum(3).clamp(min=0).detach().unsqueeze(1)
    cam = F.interpolate(cam, size=x.shape[2:], mode="bilinear", align_corners=False)
    return (cam / cam.flatten(1).amax(1).view(-1, 1, 1, 1)).expand_as(x).numpy()


def test_a_batch_equals_its_samples():
    net, x = randomized(Transformer()), drawn(3, 3, 16, 16)
    single = np.concatenate([explain(net, x[i : i + 1], "grad_cam", t) for i, t in enumerate([0, 1, 2])])
    assert deviation(explain(net, x, "grad_cam", [0, 1, 2]), single) < 1e-12


def test_a_layer_that_is_no_map_is_refused():
    net, x = randomized(Transformer()), drawn(1, 3, 16, 16)
    with pytest.raises((ModelError, InputError), match="feature map"):
        explain(net, x, "grad_cam", 1, layer="head")


class ReadsOneToken(nn.Module):
    """A transformer without a convolution whose last norm is read at one token alone, and whose first norm everywhere or there too."""

    def __init__(self, mixes):
        super().__init__()
        self.mixes = mixes
        self.embed, self.first, self.last, self.classes = nn.Linear(3, 8), nn.LayerNorm(8), nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x):
        tokens = self.first(self.embed(x.flatten(2).transpose(1, 2)))
        tokens = tokens + tokens.mean(1, keepdim=True) if self.mixes else tokens
        return self.classes(self.last(tokens)[:, 0])


def test_a_feature_map_whose_gradient_is_at_one_token_is_passed_over_and_if_all_are_that_is_said():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 4)
    net = ReadsOneToken(mixes=True)
    np.testing.assert_allclose(explain(net, x, "grad_cam", 1), explain(net, x, "grad_cam", 1, layer="first"), rtol=1e-5, atol=1e-7)
    with pytest.raises(ModelError, match="more than one token; name a layer by layer="):
        explain(ReadsOneToken(mixes=False), x, "grad_cam", 1)
