"""Grad-CAM where a network shifts, repeats or spreads values by hand in front of a convolution."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from networks import CLASSES, Written, drawn, randomized
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
    with pytest.raises(ModelError, match=r"no feature map over an input .* name another layer by layer="):
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
