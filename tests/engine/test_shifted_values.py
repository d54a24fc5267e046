"""Grad-CAM where a network shifts, repeats or spreads values by hand in front of a convolution."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from networks import CLASSES, Written, drawn, randomized
from oracles import class_activation, hooked
from signxai import explain
from signxai.common import ModelError
from test_followed_axes import as_it_is, is_oracle

pytestmark = pytest.mark.filterwarnings("ignore::signxai.methods.cam.ZeroMapWarning")


def assigned(h, axis, start, end, by):
    """Channels from start to end shifted by one place, zeros where nothing comes."""
    length = h.shape[axis]
    part = h[:, start:end]
    result = torch.zeros_like(part)
    result.narrow(axis, max(by, 0), length - 1).copy_(part.narrow(axis, max(-by, 0), length - 1))
    return result


def padded(h, axis, start, end, by):
    part = h[:, start:end].narrow(axis, max(-by, 0), h.shape[axis] - 1)
    return F.pad(part, [*(0, 0) * (h.ndim - 1 - axis), max(by, 0), max(-by, 0)])


def joined(h, axis, start, end, by):
    part = h[:, start:end].narrow(axis, max(-by, 0), h.shape[axis] - 1)
    zeros = torch.zeros_like(part.narrow(axis, 0, 1))
    return torch.cat([zeros, part] if by > 0 else [part, zeros], axis)


def rolled(h, axis, start, end, by):
    return h[:, start:end].roll(by, axis)


def repeated(h, axis, start, end, by):
    """What is shifted leaves the value at the end where it was."""
    part = h[:, start:end]
    kept = part.narrow(axis, 0 if by > 0 else -1 % h.shape[axis], 1)
    moved = part.narrow(axis, max(-by, 0), h.shape[axis] - 1)
    return torch.cat([kept, moved] if by > 0 else [moved, kept], axis)


SHIFTS = [assigned, padded, joined, rolled, repeated]


def trunk(axes):
    make = nn.Conv1d if axes == 1 else nn.Conv2d
    return {"first": make(3, 8, 3, padding=1), "last": make(8, 6, 3, padding=1), "fc": nn.Linear(6, CLASSES)}


def read_out(m, h):
    return m["fc"](m["last"](h).relu().flatten(2).mean(2))


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("ways", [(1,), (-1,), (1, -1), (1, -1, 1)])
def test_some_channels_of_a_signal_are_shifted(shift, ways):
    def run(m, x):
        h = m["first"](x).relu()
        parts = [shift(h, 2, 2 * place, 2 * place + 2, by) for place, by in enumerate(ways)]
        return read_out(m, torch.cat([*parts, h[:, 2 * len(ways) :]], 1))

    net = randomized(Written(run, **trunk(1)))
    is_oracle(net, drawn(2, 3, 20), net.layers["last"], as_it_is, (2,))


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("has_rest", [True, False])
def test_channels_of_an_image_are_shifted_four_ways(shift, has_rest):
    def run(m, x):
        h = m["first"](x).relu()
        size = 1 if has_rest else 2
        ways = [(2, 1), (2, -1), (3, 1), (3, -1)]
        parts = [shift(h, axis, size * place, size * place + size, by) for place, (axis, by) in enumerate(ways)]
        return read_out(m, torch.cat([*parts, h[:, 4 * size :]], 1))

    net = randomized(Written(run, **trunk(2)))
    is_oracle(net, drawn(2, 3, 9, 12), net.layers["last"], as_it_is, (2, 3))


@pytest.mark.parametrize("shift", SHIFTS)
def test_channels_are_shifted_from_frame_to_frame(shift):
    """As in temporal shift modules: the frames are merged into the batch, but for the shift."""

    def run(m, x):
        count = len(x)
        h = m["first"](x.flatten(0, 1)).relu().unflatten(0, (count, -1)).transpose(1, 2)
        h = torch.cat([shift(h, 2, 0, 2, 1), shift(h, 2, 2, 4, -1), h[:, 4:]], 1)
        h = m["last"](h.transpose(1, 2).flatten(0, 1)).relu()
        return m["fc"](h.unflatten(0, (count, -1)).mean((1, 3, 4)))

    net = randomized(Written(run, **trunk(2)))
    x = drawn(2, 5, 3, 6, 7)
    is_oracle(net, x, net.layers["last"], lambda values: values.unflatten(0, (-1, 5)).transpose(1, 2), (1, 3, 4))


@pytest.mark.parametrize("shift", [assigned, padded, joined])
def test_all_channels_are_shifted_half_of_them_back(shift):
    def run(m, x):
        h = m["first"](x).relu()
        return read_out(m, torch.cat([shift(h, 2, 0, 4, 1), shift(h, 2, 4, 8, -1)], 1))

    net = randomized(Written(run, **trunk(1)))
    is_oracle(net, drawn(2, 3, 20), net.layers["last"], as_it_is, (2,))


def test_channels_read_forwards_and_backwards_are_refused():
    def run(m, x):
        h = m["first"](x).relu()
        return read_out(m, torch.cat([h[:, :4], h[:, 4:].flip(2)], 1))

    net = randomized(Written(run, **trunk(1)))
    with pytest.raises(ModelError, match=r"lost in a sum of channels that are laid out otherwise .* by layer="):
        explain(net, drawn(2, 3, 20), "grad_cam", 1)
    assert explain(net, drawn(2, 3, 20), "grad_cam", 1, layer="layers.first").shape == (2, 3, 20)


REPEATS = {
    "twice": lambda x: torch.cat([x, x], 2),
    "mirrored": lambda x: torch.cat([x, x.flip(2)], 2),
    "repeat": lambda x: x.repeat(1, 1, 2),
    "halves exchanged and once more": lambda x: torch.cat([x[:, :, 10:], x[:, :, :10], x], 2),
}


@pytest.mark.parametrize("repeat", REPEATS.values(), ids=REPEATS.keys())
@pytest.mark.parametrize("conv", [nn.Conv1d(3, 6, 3), nn.Conv1d(3, 6, 4, stride=3)])
def test_windows_over_values_that_stand_in_no_row_are_refused(repeat, conv):
    net = randomized(Written(lambda m, x: m["fc"](m["conv"](repeat(x)).relu().mean(2)), conv=conv, fc=nn.Linear(6, CLASSES)))
    with pytest.raises(ModelError, match=r"lost in windows over values that do not stand in a row"):
        explain(net, drawn(2, 3, 20), "grad_cam", 1)


@pytest.mark.parametrize("apart", [2, 3])
@pytest.mark.parametrize("how", ["assigned", "stacked", "index"])
def test_a_signal_spread_by_zeros_in_front_of_a_convolution_that_pads(apart, how):
    """A transposed convolution by hand: its cells divide the signal among them."""

    def spread(h):
        if how == "stacked":
            return torch.stack([h, *[torch.zeros_like(h)] * (apart - 1)], -1).flatten(2)
        result = h.new_zeros(*h.shape[:2], h.shape[2] * apart)
        if how == "assigned":
            result[:, :, ::apart] = h
            return result
        return result.index_copy(2, torch.arange(0, result.shape[2], apart), h)

    layers = {"first": nn.Conv1d(3, 8, 3, padding=1), "last": nn.Conv1d(8, 6, 5, padding=2), "fc": nn.Linear(6, CLASSES)}
    net = randomized(Written(lambda m, x: read_out(m, spread(m["first"](x).relu())), **layers))
    is_oracle(net, drawn(2, 3, 10), net.layers["last"], as_it_is, (2,))


@pytest.mark.parametrize("ways", [(1, -1), (2, -2), (-2, -1, 1, 2)])
def test_channels_that_are_all_rolled_are_refused(ways):
    def run(m, x):
        h = m["first"](x).relu()
        return read_out(m, torch.cat([part.roll(by, 2) for part, by in zip(h.chunk(len(ways), 1), ways, strict=True)], 1))

    with pytest.raises(ModelError, match=r"lost in a sum of channels that are laid out otherwise"):
        explain(randomized(Written(run, **trunk(1))), drawn(2, 3, 20), "grad_cam", 1)


def test_channels_of_an_image_beside_turned_ones_are_refused():
    def run(m, x):
        h = m["first"](x).relu()
        return read_out(m, torch.cat([h[:, :4], h[:, 4:].mT], 1))

    with pytest.raises(ModelError, match=r"lost in a sum of channels that are laid out otherwise"):
        explain(randomized(Written(run, **trunk(2))), drawn(2, 3, 8, 8), "grad_cam", 1)


GLOBALS = {
    "mean": lambda m, h: h.mean((2, 3), keepdim=True).expand_as(h),
    "pooled and up-sampled": lambda m, h: F.interpolate(F.adaptive_avg_pool2d(h, 1), size=h.shape[2:], mode="bilinear"),
    "convolution of the mean": lambda m, h: m["squeeze"](h.mean((2, 3), keepdim=True)).relu().expand(-1, -1, *h.shape[2:]),
    "linear": lambda m, h: m["dense"](h.flatten(1))[:, :, None, None].expand(-1, -1, *h.shape[2:]),
    "attention": lambda m, h: (h.flatten(2).softmax(2) * h.flatten(2)).sum(2)[:, :, None, None].expand_as(h),
}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("how", GLOBALS)
def test_a_summary_of_the_whole_image_beside_the_channels(how, order):
    layers = trunk(2) | {"last": nn.Conv2d(16, 6, 3, padding=1), "squeeze": nn.Conv2d(8, 8, 1), "dense": nn.Linear(8 * 7 * 9, 8)}

    def run(m, x):
        h = m["first"](x).relu()
        return read_out(m, torch.cat([h, GLOBALS[how](m, h)][::order], 1))

    net = randomized(Written(run, **layers))
    is_oracle(net, drawn(2, 3, 7, 9), net.layers["last"], as_it_is, (2, 3))


@pytest.mark.parametrize("bins", [(1,), (1, 2, 4), (1, 2, 3, 6)])
def test_a_pyramid_of_pooled_maps(bins):
    """As in PSPNet and, with dilated convolutions beside it, DeepLab."""
    layers = trunk(2) | {"last": nn.Conv2d(8 + 2 * len(bins), 6, 3, padding=1)}
    layers |= {f"bin{size}": nn.Conv2d(8, 2, 1) for size in bins}

    def run(m, x):
        h = m["first"](x).relu()
        pooled = [m[f"bin{size}"](F.adaptive_avg_pool2d(h, size)).relu() for size in bins]
        h = torch.cat([h, *(F.interpolate(one, size=h.shape[2:], mode="bilinear") for one in pooled)], 1)
        return read_out(m, h)

    net = randomized(Written(run, **layers))
    is_oracle(net, drawn(2, 3, 12, 12), net.layers["last"], as_it_is, (2, 3))


REPEATED = {
    "interpolate": lambda h: F.interpolate(h, scale_factor=2),
    "repeat_interleave": lambda h: h.repeat_interleave(2, 2),
    "stack": lambda h: torch.stack([h, h], 3).flatten(2),
    "expand": lambda h: h[..., None].expand(-1, -1, -1, 2).reshape(*h.shape[:2], -1),
    "index": lambda h: h[:, :, torch.arange(2 * h.shape[2]) // 2],
}


@pytest.mark.parametrize("has_skip", [False, True])
@pytest.mark.parametrize("how", REPEATED)
def test_an_up_sampling_by_copies_however_it_is_written(how, has_skip):
    layers = {
        "down": nn.Conv1d(3, 8, 4, stride=2, padding=1),
        "last": nn.Conv1d(8 + 3 * has_skip, 6, 3, padding=1),
        "fc": nn.Linear(6, CLASSES),
    }

    def run(m, x):
        h = REPEATED[how](m["down"](x).relu())
        return read_out(m, torch.cat([h, x], 1) if has_skip else h)

    net = randomized(Written(run, **layers))
    is_oracle(net, drawn(2, 3, 20), net.layers["last"], as_it_is, (2,))


@pytest.mark.parametrize("factor", [2, 3])
def test_pixels_are_shuffled_in_front_of_a_convolution(factor):
    layers = {
        "down": nn.Conv2d(3, 4 * factor**2, factor, stride=factor),
        "last": nn.Conv2d(4, 6, 3, padding=1),
        "fc": nn.Linear(6, CLASSES),
    }
    net = randomized(Written(lambda m, x: read_out(m, F.pixel_shuffle(m["down"](x).relu(), factor)), **layers))
    is_oracle(net, drawn(2, 3, 12, 18), net.layers["last"], as_it_is, (2, 3))


@pytest.mark.parametrize("by", [1, 4, -4])
@pytest.mark.parametrize("kernel", [1, 3])
def test_a_signal_that_is_shifted_as_a_whole_has_its_map_where_it_was(by, kernel):
    layers = {"last": nn.Conv1d(3, 6, kernel, padding=kernel // 2), "fc": nn.Linear(6, CLASSES)}
    net = randomized(Written(lambda m, x: read_out(m, F.pad(x, (by, -by))), **layers))
    kept = slice(0, 20 - by) if by > 0 else slice(-by, 20)
    seen = slice(by, 20) if by > 0 else slice(0, 20 + by)
    x = drawn(1, 3, 20)
    values, gradient = hooked(net, net.layers["last"], x, lambda output: output[:, 1])[-1]
    expected = class_activation(values[..., seen], gradient[..., seen])[0]
    got = explain(net, x, "grad_cam", 1)[0]
    assert float(abs(got[:, kept] - (expected / expected.max()).numpy()).max()) < 1e-12
    assert not got[:, [place for place in range(20) if place not in range(20)[kept]]].any()
