"""Layers with weights of 8 and 4 bits: explained by the weights that those stand for, whatever package they come from."""

import copy
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comparing import deviation
from networks import drawn
from signxai import explain, explain_all
from signxai.common import ModelError, TargetError

METHODS = [
    "gradient",
    "integrated_gradients",
    "guided_backprop",
    "lrp_z",
    "lrp_epsilon_0_25_std_x",
    "lrp_alpha_2_beta_1",
    "lrpsign_gamma_0_25",
]
X = drawn(3, 12, seed=2)


def in_8_bits(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Integers, and the greatest value of each row."""
    greatest = weight.abs().flatten(1).amax(1)
    return (weight / greatest.view(-1, *(1,) * (weight.ndim - 1)) * 127).round().to(torch.int8), greatest


def out_of_8_bits(integers: Tensor, greatest: Tensor) -> Tensor:
    return integers.to(greatest) * (greatest.view(-1, *(1,) * (integers.ndim - 1)) / 127)


class Wrapping(Tensor):
    """A tensor that holds integers and scales, as torchao's do: most operations are unknown to it."""

    @staticmethod
    def __new__(cls, integers: Tensor, greatest: Tensor):
        return Tensor._make_wrapper_subclass(cls, integers.shape, dtype=greatest.dtype)

    def __init__(self, integers: Tensor, greatest: Tensor) -> None:
        self.integers, self.greatest = integers, greatest

    def __tensor_flatten__(self):
        return ["integers", "greatest"], None

    @classmethod
    def __tensor_unflatten__(cls, parts, context, size, stride):
        return cls(parts["integers"], parts["greatest"])

    def dequantize(self) -> Tensor:
        return out_of_8_bits(self.integers, self.greatest)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func in (F.linear, F.conv2d):
            x, weight, *rest = args
            return func(x, weight.dequantize(), *rest, **(kwargs or {}))
        return super().__torch_function__(func, types, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        if func in (torch.ops.aten.detach.default, torch.ops.aten.alias.default, torch.ops.aten.clone.default):
            return cls(args[0].integers, args[0].greatest)
        raise NotImplementedError(str(func))


class InFourBits(nn.Parameter):
    """A weight as of bitsandbytes: packed into bytes, with a state that says what they are."""

    quant_state: SimpleNamespace


InFourBits.__module__ = "fourbits.nn.modules"


def packed(weight: Tensor) -> InFourBits:
    greatest = weight.abs().max()
    numbers = ((weight / greatest).flatten() * 7 + 7).round().to(torch.uint8)
    parameter = InFourBits((numbers[::2] << 4 | numbers[1::2])[:, None], requires_grad=False)
    parameter.quant_state = SimpleNamespace(shape=weight.shape, greatest=greatest)
    return parameter


def dequantize_4bit(data: Tensor, quant_state: SimpleNamespace) -> Tensor:
    numbers = torch.stack([data[:, 0] >> 4, data[:, 0] & 15], 1).flatten().to(quant_state.greatest)
    return ((numbers - 7) / 7 * quant_state.greatest).view(quant_state.shape)


class FourBits(nn.Linear):
    """A layer as bitsandbytes makes it of a linear one."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None)
        self.weight, self.bias = packed(layer.weight.detach()), layer.bias

    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("a kernel that has no gradient")


class FourBitsOnTheirWay(FourBits):
    """The same on its way to a device: the weight has lost its state, which the layer keeps."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer)
        self.quant_state, self.weight.quant_state = self.weight.quant_state, None


class EightBits(nn.Linear):
    """The same with 8 bits: its forward moves the scales from the weight to its state."""

    def __init__(self, layer: nn.Linear, has_run: bool = False) -> None:
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None)
        integers, greatest = in_8_bits(layer.weight.detach())
        self.weight, self.bias = nn.Parameter(integers, requires_grad=False), layer.bias
        self.state = SimpleNamespace(SCB=greatest if has_run else None)
        self.weight.SCB = None if has_run else greatest

    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("a kernel that has no gradient")


class RoundedAtEachCall(EightBits):
    """The same with weights that are kept as they are."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer)
        self.weight = InFourBits(layer.weight.detach())
        self.weight.quant_state, self.state.has_fp16_weights = None, True


class OfAMethod(nn.Module):
    """A layer as of HQQ: it gives its weight by a method."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        integers, self.greatest = in_8_bits(layer.weight.detach())
        self.W_q, self.bias = nn.Parameter(integers, requires_grad=False), layer.bias

    def dequantize(self) -> Tensor:
        return out_of_8_bits(self.W_q, self.greatest)

    def forward(self, x: Tensor) -> Tensor:
        rounded = ((x / x.abs().max() * 127).round() / 127 * x.abs().max()).detach()  # as kernels for integers do
        return F.linear(rounded, self.dequantize(), self.bias)


def wrapping(layer: nn.Module) -> nn.Module:
    layer = copy.deepcopy(layer)
    layer.weight = nn.Parameter(Wrapping(*in_8_bits(layer.weight.detach())), requires_grad=False)
    return layer


class CallsLinear(nn.Module):
    """A module of somebody's own that calls the function with such a weight."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.matrix, self.bias = wrapping(layer).weight, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.matrix, self.bias)


class ByWrapping(nn.Linear):
    """A subclass of a linear layer with such a weight, and a forward of its own."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features)
        self.weight, self.bias = wrapping(layer).weight, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.dequantize().T + self.bias


def of_8_bits(weight: Tensor) -> Tensor:
    return out_of_8_bits(*in_8_bits(weight))


def of_4_bits(weight: Tensor) -> Tensor:
    parameter = packed(weight)
    return dequantize_4bit(parameter.data, parameter.quant_state)


KINDS = {
    "a wrapping tensor": (wrapping, of_8_bits),
    "a wrapping tensor, called": (CallsLinear, of_8_bits),
    "a wrapping tensor in a class of one's own": (ByWrapping, of_8_bits),
    "4 bits": (FourBits, of_4_bits),
    "4 bits on their way": (FourBitsOnTheirWay, of_4_bits),
    "8 bits": (EightBits, of_8_bits),
    "8 bits that have run": (lambda layer: EightBits(layer, has_run=True), of_8_bits),
    "8 bits, rounded at each call": (RoundedAtEachCall, lambda weight: weight),
    "a method": (OfAMethod, of_8_bits),
}


@pytest.fixture(autouse=True)
def package(monkeypatch):
    """The package that the layers of 4 bits are from."""
    functional = ModuleType("fourbits.functional")
    functional.dequantize_4bit = dequantize_4bit
    monkeypatch.setitem(sys.modules, "fourbits.functional", functional)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 4)).double().eval()


def pair(kind: str, places=(0, 2, 4), dtype=torch.float64) -> tuple[nn.Sequential, nn.Sequential]:
    """A network with quantized layers, and the one whose layers hold the dequantized weights."""
    quantize, read = KINDS[kind]
    quantized, plain = network().to(dtype), network().to(dtype)
    for place in places:
        quantized[place] = quantize(quantized[place])
        plain[place].weight.data = read(plain[place].weight.detach())
    return quantized.eval(), plain


@pytest.mark.parametrize("places", [(0, 2, 4), (2,)], ids=["all", "the middle"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_map_is_that_of_the_dequantized_weights(kind, places):
    quantized, plain = pair(kind, places)
    got, wanted = explain_all(quantized, X, METHODS, 1), explain_all(plain, X, METHODS, 1)
    assert {method: by for method in METHODS if not (by := deviation(got[method], wanted[method])) < 1e-12} == {}
    assert deviation(explain(quantized, X, "lrp_z", relevance="logit"), explain(plain, X, "lrp_z", relevance="logit")) < 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_in_float32_and_at_a_layer(kind):
    quantized, plain = pair(kind, (2,), torch.float32)
    x = X.float()
    assert deviation(explain(quantized, x, "lrp_epsilon_0_1", 1, at="2"), explain(plain, x, "lrp_epsilon_0_1", 1, at="2")) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_the_layers_come_back_as_they_were(kind):
    net = pair(kind)[0]
    before = [(dict(vars(module)), dict(module._parameters)) for module in net.modules()]
    weights = list(net.parameters())
    explain(net, X, "lrp_z", 1)
    with pytest.raises(TargetError):
        explain(net, X, "lrp_z", 99)
    for module, (attributes, parameters) in zip(net.modules(), before, strict=True):
        assert vars(module).keys() == attributes.keys()
        assert all(vars(module)[name] is value for name, value in attributes.items())
        assert all(module._parameters[name] is value for name, value in parameters.items())
    assert all(a is b for a, b in zip(net.parameters(), weights, strict=True))
    if kind.startswith("8 bits") and "rounded" not in kind:
        assert (net[0].weight.SCB is None) == (net[0].state.SCB is not None)


def test_a_batch_is_its_samples():
    quantized = pair("a method")[0]
    batch = explain(quantized, X, "lrp_epsilon_0_1", 1)
    for i in range(len(X)):
        assert deviation(explain(quantized, X[i : i + 1], "lrp_epsilon_0_1", 1), batch[i : i + 1]) < 1e-12


def test_a_convolution_of_a_wrapping_tensor():
    torch.manual_seed(0)
    plain = (
        nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular"), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).double().eval()
    )
    quantized = copy.deepcopy(plain)
    quantized[0] = wrapping(quantized[0])
    plain[0].weight.data = of_8_bits(plain[0].weight.detach())
    x = drawn(2, 2, 6, 6)
    for method in ("gradient", "lrp_alpha_2_beta_1", "grad_cam"):
        assert deviation(explain(quantized, x, method, 1), explain(plain, x, method, 1)) < 1e-12


def test_a_network_of_integers_alone():
    layer = nn.Linear(12, 4, bias=False).double()
    quantized, plain = nn.Sequential(EightBits(layer)), nn.Linear(12, 4, bias=False).double()
    plain.weight.data = of_8_bits(layer.weight.detach())
    assert deviation(explain(quantized, X, "lrp_z", 1), explain(plain, X, "lrp_z", 1)) < 1e-12


class Scaling(OfAMethod):
    """A layer whose method gives something else than it multiplies with."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Square(OfAMethod):
    """A layer whose method gives its weight the other way round."""

    def dequantize(self) -> Tensor:
        return super().dequantize().T

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.dequantize().T, self.bias)


class Pair(OfAMethod):
    """A layer that returns more than the product."""

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return super().forward(x), None


class Narrow(OfAMethod):
    """A layer that returns two values where its weight gives several."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[..., :2]


@pytest.mark.parametrize("kind", [Scaling, Square, Pair, Narrow])
def test_what_computes_something_else_than_its_dequantized_weight_gives_is_refused(kind):
    layer = nn.Linear(12, 12).double()
    for method in ("gradient", "lrp_z"):
        with pytest.raises(ModelError, match=rf"{kind.__name__} computes something else than its dequantized weight"):
            explain(nn.Sequential(kind(layer), nn.Linear(12, 3).double()), X, method, 1)


class GivesAnotherThing(nn.Module):
    """A module with a method of that name that gives no weight."""

    def dequantize(self) -> None:
        return None

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def test_a_method_of_that_name_alone_makes_no_layer():
    plain, other = network(), nn.Sequential(GivesAnotherThing(), network())
    assert deviation(explain(other, X, "gradient", 1), 2 * explain(plain, 2 * X, "gradient", 1)) < 1e-12


@pytest.mark.filterwarnings("ignore")
def test_a_dynamically_quantized_network_of_torch():
    quantized = torch.ao.quantization.quantize_dynamic(network().float(), {nn.Linear}, dtype=torch.qint8)
    plain = network().float()
    for place in (0, 2, 4):
        plain[place].weight.data = quantized[place].weight().dequantize()
    x = X.float()
    for method in METHODS:
        assert deviation(explain(quantized, x, method, 1), explain(plain, x, method, 1)) < 1e-6
    assert "forward" not in vars(quantized[0])
    np.testing.assert_allclose(explain(quantized, x, "gradient"), explain(plain, x, "gradient"), rtol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_a_statically_quantized_layer_is_refused():
    static = torch.ao.nn.quantized.Linear(12, 4)
    with pytest.raises(ModelError, match="whose input is quantized too"):
        explain(nn.Sequential(nn.Linear(12, 12), static), X.float(), "lrp_z", 1)


def test_weights_that_a_forward_pass_laid_out_for_a_kernel(monkeypatch):
    def laid_back(data: Tensor, state: SimpleNamespace) -> tuple[Tensor, SimpleNamespace]:
        state.packing_format_for_cpu = False  # as the package's own function does
        assert not state.original_nested
        return data.flip(0), state

    def by_blocks(data: Tensor, quant_state: SimpleNamespace) -> Tensor:
        return dequantize_4bit(data, quant_state).view(-1, 2) * quant_state.absmax.view(-1, 1)

    functional = sys.modules["fourbits.functional"]
    monkeypatch.setattr(functional, "_convert_weight_packed_for_cpu_inverse", laid_back, raising=False)
    monkeypatch.setattr(functional, "dequantize_4bit", lambda data, state: by_blocks(data, state).view(state.shape))
    quantized, plain = pair("4 bits", (2,))
    state = quantized[2].weight.quant_state
    quantized[2].weight.data = quantized[2].weight.data.flip(0)
    state.packing_format_for_cpu, state.original_nested = True, True
    state.absmax = torch.arange(1.0, 41).view(8, 5).T.bfloat16()  # five blocks of two values in each of eight rows
    before = dict(vars(state))
    plain[2].weight.data = (plain[2].weight.data.view(8, 5, 2) * torch.arange(1.0, 41).view(8, 5, 1)).view(8, 10)
    assert deviation(explain(quantized, X, "lrp_z", 1), explain(plain, X, "lrp_z", 1)) < 1e-12
    assert all(vars(state)[name] is value for name, value in before.items())
