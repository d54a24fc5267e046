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


WAYS = {
    "F.pad": lambda axes: lambda x: F.pad(x, (1, 1) * axes),
    "a module": lambda axes: getattr(nn, f"ZeroPad{axes}d")(1),
    "a constant": lambda axes: getattr(nn, f"ConstantPad{axes}d")(1, 0.0),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_padding_apart_gives_the_map_of_a_padding_of_its_own(axes, way):
    one, other = networks(axes, WAYS[way](axes))
    x = drawn(3, 2, *(6,) * axes, seed=1)
    for name in METHODS:
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


def test_a_report_loses_nothing_in_a_padding():
    _, other = networks(2, WAYS["F.pad"](2))
    report = inspect_model(other, drawn(3, 2, 6, 6, seed=1), "lrp_epsilon_0_25_std_x", 1)
    assert abs(report.unaccounted) < 1e-12
    assert not report.unknown_operations
