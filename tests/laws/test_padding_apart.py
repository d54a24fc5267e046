"""Zeros that a padding puts around a tensor in front of a convolution are that convolution's padding, also in front of the first one."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comparing import deviation
from networks import drawn
from signxai import explain, inspect_model

METHODS = [
    *("lrp_z", "lrp_epsilon_0_25", "lrp_epsilon_0_25_std_x", "lrp_alpha_2_beta_1", "lrp_gamma_0_25", "lrpsign_epsilon_0_25_std_x"),
    *("zblrp_epsilon_0_1", "w2lrp_z", "flatlrp_z", "lrp_zplus", "lrpsign_alpha_1_beta_0", "deep_taylor"),
]


class Padded(nn.Module):
    """A convolution whose padding is its own, or written apart."""

    def __init__(self, convolution: nn.Module, pad) -> None:
        super().__init__()
        self.convolution, self.pad = convolution, pad

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(x if self.pad is None else self.pad(x))


def networks(axes: int, apart, groups: int = 1, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    """The same network with padding by the convolutions themselves and apart, and both in a sequence of layers."""
    kind, norm = getattr(nn, f"Conv{axes}d"), getattr(nn, f"BatchNorm{axes}d")

    def made(is_apart: bool) -> nn.Module:
        torch.manual_seed(0)
        own = 0 if is_apart else 1
        pad = apart if is_apart else None
        layers = [
            *(Padded(kind(2, 4, 3, padding=own, stride=stride), pad), nn.ReLU()),
            *(Padded(kind(4, 4, 3, padding=own, groups=groups), pad), norm(4), nn.ReLU()),
            *(nn.Flatten(), nn.LazyLinear(3)),
        ]
        net = nn.Sequential(*layers)
        net.double()(drawn(1, 2, *(6,) * axes))
        return net.eval()

    one, other = made(False), made(True)
    other.load_state_dict(one.state_dict())
    return one, other


def zeros_like_border(y: Tensor, axis: int) -> Tensor:
    return torch.zeros_like(y.narrow(axis, 0, 1))


def joined(y: Tensor) -> Tensor:
    for axis in range(2, y.ndim):
        y = torch.cat([zeros_like_border(y, axis), y, zeros_like_border(y, axis)], axis)
    return y


def joined_by_name(y: Tensor) -> Tensor:
    for axis in range(2, y.ndim):
        border = y.new_zeros([1 if other == axis else size for other, size in enumerate(y.shape)])
        y = torch.concat(tensors=(border, y, border), dim=axis)
    return y


def inner(y: Tensor) -> tuple[slice, ...]:
    return (slice(None), slice(None), *(slice(1, size + 1) for size in y.shape[2:]))


def empty(y: Tensor) -> Tensor:
    return torch.zeros(*y.shape[:2], *(size + 2 for size in y.shape[2:]), dtype=y.dtype)


def written(y: Tensor) -> Tensor:
    z = empty(y)
    z[inner(y)] = y
    return z


def added_to_a_view(y: Tensor) -> Tensor:
    z = empty(y)
    z[inner(y)] += y
    return z


def copied_and_written(y: Tensor) -> Tensor:
    z = written(y)
    copy = z.clone()
    z[..., 0] = 1.0
    copy[inner(y)] = y * 2
    return copy / 2


def scattered(y: Tensor) -> Tensor:
    for axis in range(2, y.ndim):
        z = y.new_zeros([size + 2 * (other == axis) for other, size in enumerate(y.shape)])
        y = z.slice_scatter(y, axis, 1, z.shape[axis] - 1)
    return y


def index_copied(y: Tensor) -> Tensor:
    for axis in range(2, y.ndim):
        z = y.new_zeros([size + 2 * (other == axis) for other, size in enumerate(y.shape)])
        y = z.index_copy(axis, torch.arange(1, z.shape[axis] - 1), y)
    return y


def border(z: Tensor) -> Tensor:
    """Where the border of the spatial axes is."""
    mask = torch.ones(z.shape[2:], dtype=torch.bool)
    mask[tuple(slice(1, -1) for _ in mask.shape)] = False
    return mask


def one_by_one(y: Tensor) -> Tensor:
    for axis in range(1, y.ndim - 1):
        y = F.pad(F.pad(y, (0, 0) * (axis - 1) + (1, 0)), (0, 0) * (axis - 1) + (0, 1))
    return y


def pad(y: Tensor, by: int = 1) -> Tensor:
    return F.pad(y, (by, by) * (y.ndim - 2))


def edges_of_ones(y: Tensor) -> Tensor:
    return F.pad(y, (1, 1) * (y.ndim - 2), value=1.0)


def set_to_zero(y: Tensor) -> Tensor:
    z = edges_of_ones(y)
    z[:, :, border(z)] = 0.0
    return z


def cleared(y: Tensor) -> Tensor:
    z = edges_of_ones(y)
    z[..., 0] = 0
    z[..., -1] = 0.0
    for axis in range(2, y.ndim - 1):
        z[(slice(None),) * axis + (0,)] = 0
        z[(slice(None),) * axis + (-1,)] = torch.zeros(())
    return z


def cleared_by_views(y: Tensor) -> Tensor:
    z = edges_of_ones(y)
    for axis in range(2, y.ndim):
        z.narrow(axis, 0, 1).zero_()
        z.narrow(axis, -1, 1).fill_(0)
    return z


def cleared_by_an_index(y: Tensor) -> Tensor:
    z = edges_of_ones(y)
    for axis in range(2, y.ndim):
        z = z.index_fill(axis, torch.tensor([0, z.shape[axis] - 1]), 0.0)
    return z


def scattered_by_places(y: Tensor) -> Tensor:
    for axis in range(2, y.ndim):
        z = y.new_zeros([size + 2 * (other == axis) for other, size in enumerate(y.shape)])
        index = torch.arange(1, z.shape[axis] - 1).view(-1, *(1,) * (y.ndim - 1 - axis)).expand(y.shape)
        y = z.scatter(axis, index, y)
    return y


def in_another_order(y: Tensor) -> Tensor:
    z = torch.zeros(*(size + 2 for size in y.shape[2:]), *y.shape[:2], dtype=y.dtype).permute(-2, -1, *range(y.ndim - 2))
    z[inner(y)] = y
    return z


WAYS = {
    "F.pad": lambda axes: pad,
    "a module": lambda axes: getattr(nn, f"ZeroPad{axes}d")(1),
    "a constant": lambda axes: getattr(nn, f"ConstantPad{axes}d")(1, 0.0),
    "one by one": lambda axes: one_by_one,
    "a slice of all": lambda axes: lambda y: pad(y)[:],
    "another slice of all": lambda axes: lambda y: pad(y)[..., :],
    "a view of the same shape": lambda axes: lambda y: (z := pad(y)).view(z.shape),
    "a reshape of the same shape": lambda axes: lambda y: (z := pad(y)).reshape_as(z),
    "an axis more and less": lambda axes: lambda y: pad(y).unsqueeze(0).squeeze(0),
    "flattened and back": lambda axes: lambda y: (z := pad(y)).flatten(2).unflatten(2, z.shape[2:]),
    "flattened whole": lambda axes: lambda y: (z := pad(y)).flatten().view(z.shape),
    "turned and back": lambda axes: lambda y: pad(y).mT.mT,
    "flipped": lambda axes: lambda y: pad(y.flip(-1)).flip(-1),
    "too much, then less": lambda axes: lambda y: F.pad(pad(y, 2), (-1, -1) * (y.ndim - 2)),
    "too much, sliced": lambda axes: lambda y: pad(y, 2)[(..., *(slice(1, -1),) * (y.ndim - 2))],
    "too much, narrowed": lambda axes: (
        lambda y: (
            (z := pad(y, 2).narrow(-1, 1, y.shape[-1] + 2), z.mT.narrow(-1, 1, y.shape[-2] + 2).mT)[-1]
            if y.ndim == 4
            else pad(pad(y, 2).narrow(-1, 1, y.shape[-1] + 2), 0)[(slice(None), slice(None), *(slice(1, -1),) * (y.ndim - 3))]
        )
    ),
    "joined": lambda axes: joined,
    "joined by name": lambda axes: joined_by_name,
    "written": lambda axes: written,
    "scattered": lambda axes: scattered,
    "index_copy": lambda axes: index_copied,
    "filled": lambda axes: lambda y: (z := edges_of_ones(y)).masked_fill(border(z), 0.0),
    "filled in place": lambda axes: lambda y: (z := edges_of_ones(y)).masked_fill_(border(z), 0),
    "chosen": lambda axes: lambda y: torch.where(border(z := edges_of_ones(y)), torch.zeros((), dtype=y.dtype), z),
    "masked": lambda axes: lambda y: (z := edges_of_ones(y)) * ~border(z),
    "masked in place": lambda axes: lambda y: (z := edges_of_ones(y)).mul_((~border(z)).to(y)),
    "set to zero": lambda axes: set_to_zero,
    "cleared": lambda axes: cleared,
    "split by channels and joined": lambda axes: lambda y: torch.cat(pad(y).split(1, 1), 1),
    "by channel": lambda axes: lambda y: torch.stack([pad(c[:, None])[:, 0] for c in y.unbind(1)], 1),
    "by sample": lambda axes: lambda y: torch.stack([pad(one[None])[0] for one in y]),
    "copied": lambda axes: lambda y: pad(y).clone().contiguous(),
    "copied into": lambda axes: lambda y: torch.empty_like(z := pad(y)).copy_(z),
    "converted": lambda axes: lambda y: pad(y).double().to(torch.float64),
    "dropout": lambda axes: lambda y: F.dropout(pad(y), 0.5, False),
    "plus 0": lambda axes: lambda y: pad(y) + 0,
    "twice, halved": lambda axes: lambda y: pad(y * 2) / 2,
    "halved, twice": lambda axes: lambda y: pad(y / 2) * 2,
    "halved, twice in place": lambda axes: lambda y: pad(y / 2).mul_(2.0),
    "negative twice": lambda axes: lambda y: -pad(-y),
    "minus what is added": lambda axes: lambda y: pad(y) + 1 - 1,
    "moved in place": lambda axes: lambda y: pad(y).unsqueeze_(0).squeeze_(0).transpose_(0, 1).transpose_(0, 1),
    "cleared by views": lambda axes: cleared_by_views,
    "cleared by an index": lambda axes: cleared_by_an_index,
    "scattered by places": lambda axes: scattered_by_places,
    "picked": lambda axes: lambda y: (z := pad(y)).index_select(-1, torch.arange(z.shape[-1])),
    "gathered": lambda axes: lambda y: (z := pad(y)).gather(-1, torch.arange(z.shape[-1]).expand(z.shape)),
    "picked by a list": lambda axes: lambda y: (z := pad(y))[..., list(range(z.shape[-1]))],
    "by a number": lambda axes: lambda y: torch.constant_pad_nd(pad(y)[:].clone(), pad=(1, -1), value=0.0).roll(-1, -1),
    "in memory of another order": lambda axes: in_another_order,
    "a copy written to beside it": lambda axes: copied_and_written,
    "written into a view": lambda axes: lambda y: (z := empty(y), z[inner(y)].copy_(y), z)[-1],
    "added to a view": lambda axes: added_to_a_view,
}
BEHIND = {
    "relu": F.relu,
    "relu in place": nn.ReLU(inplace=True),
    "leaky relu": nn.LeakyReLU(0.2),
    "silu": F.silu,
    "gelu": nn.GELU(),
    "tanh": torch.tanh,
    "elu": F.elu,
    "abs": torch.abs,
    "clamp": lambda y: y.clamp(min=0),
    "hardtanh": nn.Hardtanh(),
    "relu of what is below 0": F.relu,
}


@pytest.mark.parametrize("act", BEHIND)
def test_an_activation_behind_a_padding_leaves_it_one(act):
    around = -1.0 if act == "relu of what is below 0" else 0.0
    one, other = networks(1, lambda y: BEHIND[act](F.pad(y, (1, 1), value=around)))
    for index in (0, 2):
        one[index].pad = BEHIND[act]
    x = drawn(3, 2, 6, seed=1)
    for name in METHODS:
        if not name.startswith("zb"):
            assert deviation(explain(other, x, name, 1, strict=True), explain(one, x, name, 1)) < 1e-12, name


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_padding_apart_gives_the_map_of_a_padding_of_its_own(axes, way):
    one, other = networks(axes, WAYS[way](axes))
    x = drawn(3, 2, *(6,) * axes, seed=1)
    assert torch.allclose(one(x), other(x), rtol=0, atol=1e-12)
    for name in METHODS if way in ("F.pad", "joined", "written") or axes == 1 else ("flatlrp_z", "lrp_epsilon_0_25_std_x"):
        options = {"low": -3.0, "high": 3.0} if name.startswith("zb") else {}
        assert deviation(explain(other, x, name, 1, strict=True, **options), explain(one, x, name, 1, **options)) < 1e-12, name


@pytest.mark.parametrize("options", [{"groups": 4}, {"stride": 2}])
def test_the_same_holds_of_groups_and_strides(options):
    one, other = networks(2, WAYS["F.pad"](2), **options)
    x = drawn(3, 2, 6, 6, seed=1)
    for name in METHODS:
        bounds = {"low": -3.0, "high": 3.0} if name.startswith("zb") else {}
        assert deviation(explain(other, x, name, 1, strict=True, **bounds), explain(one, x, name, 1, **bounds)) < 1e-12, name


def test_modules_one_behind_the_other_in_a_sequence_are_no_exception():
    one = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(108, 3))
    other = nn.Sequential(nn.ZeroPad2d(1), *one[:2], nn.ZeroPad2d(1), *one[2:])
    x = drawn(3, 2, 6, 6, seed=1)
    one.double()
    wanted = {name: explain(one, x, name, 1) for name in METHODS if not name.startswith("zb")}
    one[0].padding = one[2].padding = (0, 0)
    for name, own in wanted.items():
        assert deviation(explain(other, x, name, 1, strict=True), own) < 1e-12, name


def written_to(y: Tensor) -> Tensor:
    z = F.pad(y, (1, 1))
    z[..., 0] = 1.0
    return z


def test_zeros_that_are_values_stay_values():
    """A padding by ones, one that cuts values off, and a tensor that is written to afterwards are no padding of the convolution."""
    torch.manual_seed(0)
    layer, head = nn.Conv1d(2, 4, 3).double(), nn.Linear(4, 3).double()

    def net(pad):
        return Padded(nn.Sequential(layer, nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), head), pad)

    x = drawn(3, 2, 6, seed=1)
    ways = {
        "ones": (
            lambda y: F.pad(y, (1, 1), value=1.0),
            lambda y: torch.cat([torch.ones_like(y[..., :1]), y, torch.ones_like(y[..., :1])], -1),
        ),
        "cut": (lambda y: F.pad(y, (-1, 0)), lambda y: y[..., 1:]),
        "written to": (written_to, lambda y: torch.cat([torch.ones_like(y[..., :1]), y, torch.zeros_like(y[..., :1])], -1)),
        "reflected": (lambda y: F.pad(y, (1, 1), mode="reflect"), lambda y: torch.cat([y[..., 1:2], y, y[..., -2:-1]], -1)),
    }
    for name, (padded, by_hand) in ways.items():
        for method in ("lrp_epsilon_0_25", "flatlrp_z", "lrp_epsilon_0_25_std_x"):
            assert deviation(explain(net(padded), x, method, 1, strict=True), explain(net(by_hand), x, method, 1)) < 1e-12, (name, method)


class Lengths(nn.Module):
    """Recordings of several lengths, filled up with zeros behind their ends."""

    def __init__(self, fill) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fill = fill
        self.first, self.last = nn.Conv1d(2, 4, 3), nn.Linear(4, 3)
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(self.fill(x)).relu().mean(-1))


def above(x: Tensor) -> Tensor:
    """Where any channel of the last values is large, which differs from sample to sample."""
    return (x.abs().amax(1, keepdim=True) > 1.0) & (torch.arange(x.shape[-1]) > x.shape[-1] - 3)


BY_SAMPLE = {
    "filled": lambda x: x.masked_fill(above(x), 0.0),
    "chosen": lambda x: torch.where(above(x), 0.0, x),
    "masked": lambda x: x * ~above(x),
    "set to zero": lambda x: (z := x * 1, z.__setitem__(above(x).expand_as(z), 0.0), z)[-1],
    "joined with what comes from the input": lambda x: torch.cat([x, (x[..., :1] > 0.5).to(x) * 0], -1),
}


def starts(x: Tensor) -> list[int]:
    """A number for each sample."""
    return ((x.detach()[:, 0, 0] > 0).long() + (x.detach()[:, 1, 0] > 0).long()).tolist()


def written_one_by_one(x: Tensor) -> Tensor:
    z = torch.zeros(len(x), 2, 10, dtype=x.dtype)
    for row, start in enumerate(starts(x)):
        z[row, :, start : start + 8] = x[row]
    return z


OF_EACH = {
    "stacked": lambda x: torch.stack([F.pad(one, (start, 2 - start)) for one, start in zip(x, starts(x), strict=True)]),
    "joined": lambda x: torch.cat([F.pad(x[row : row + 1], (start, 2 - start)) for row, start in enumerate(starts(x))]),
    "written one by one": written_one_by_one,
    "rolled": lambda x: torch.stack([pad(one[None])[0].roll(start, -1) for one, start in zip(x, starts(x), strict=True)]),
    "one of them not at all": lambda x: torch.stack([F.pad(one, (0, 2), value=float(row == 1)) for row, one in enumerate(x)]),
    "cut to lengths": lambda x: torch.stack([F.pad(one[:, : 8 - start], (0, start)) for one, start in zip(x, starts(x), strict=True)]),
}


@pytest.mark.parametrize("fill", OF_EACH)
def test_a_padding_of_each_sample_is_its_own(fill):
    net = Lengths(OF_EACH[fill])
    x = drawn(5, 2, 8, seed=3)
    assert len(set(starts(x))) > 1
    for name in ("flatlrp_z", "w2lrp_z", "lrp_epsilon_0_25_std_x", "lrp_epsilon_0_25", "lrp_alpha_2_beta_1"):
        whole = explain(net, x, name, 1)
        for row, start in enumerate(starts(x)):
            if fill in ("stacked", "joined", "written one by one"):
                own = Lengths(lambda one, start=start: F.pad(one, (start, 2 - start)))
                assert deviation(explain(own, x[row : row + 1], name, 1), whole[row : row + 1]) < 1e-12, name
            elif fill != "one of them not at all":
                assert deviation(explain(net, x[row : row + 1], name, 1), whole[row : row + 1]) < 1e-12, name
        assert abs(inspect_model(net, x, name, 1).unaccounted) < 1e-12


def moved_by_its_input(x: Tensor) -> Tensor:
    places = torch.tensor(starts(x))[:, None] + torch.arange(x.shape[-1] + 2)
    index = (x.detach()[:, 0, :1] > 0).long() + places * 0 + torch.arange(x.shape[-1] + 2)
    return pad(x, 2)[torch.arange(len(x))[:, None], :, index].transpose(1, 2)


BY_SAMPLE["moved by what comes from the input"] = moved_by_its_input


@pytest.mark.parametrize("fill", BY_SAMPLE)
def test_what_differs_from_sample_to_sample_is_no_padding(fill):
    net = Lengths(BY_SAMPLE[fill])
    x = drawn(4, 2, 8, seed=3)
    for name in ("flatlrp_z", "w2lrp_z", "lrp_epsilon_0_25_std_x", "lrp_epsilon_0_25"):
        whole = explain(net, x, name, 1)
        for place in range(len(x)):
            assert deviation(explain(net, x[place : place + 1], name, 1), whole[place : place + 1]) < 1e-12, name


def test_zeros_that_a_shift_has_moved_are_values():
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(2).double().eval()
    norm.bias.data.fill_(0.5)
    layer, head = nn.Conv1d(2, 4, 3).double(), nn.Linear(4, 3).double()

    def net(padded):
        return Padded(nn.Sequential(layer, nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), head), padded)

    x = drawn(3, 2, 6, seed=1)
    shift = (norm.bias / 1).detach()[:, None]
    for name in ("flatlrp_z", "lrp_epsilon_0_25_std_x"):
        behind = explain(net(lambda y: pad(y) + shift), x, name, 1)
        assert deviation(behind, explain(net(lambda y: F.pad(y + shift, (1, 1), mode="constant", value=0.5)), x, name, 1)) < 1e-12


def test_a_report_loses_nothing_in_a_padding():
    _, other = networks(2, WAYS["F.pad"](2))
    report = inspect_model(other, drawn(3, 2, 6, 6, seed=1), "lrp_epsilon_0_25_std_x", 1)
    assert abs(report.unaccounted) < 1e-12
    assert not report.unknown_operations
