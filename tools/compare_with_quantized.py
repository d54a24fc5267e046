"""Compare maps of networks with quantized layers with those of their dequantized weights: python tools/compare_with_quantized.py

The packages that quantize are no dependency, so this runs in an environment of its own, on the CPU:

    python -m venv .venv-quantized
    .venv-quantized/bin/pip install . bitsandbytes torchao hqq
    .venv-quantized/bin/python tools/compare_with_quantized.py

Three linear layers with random weights in float32, of which all are quantized; their twin holds the weights that the package itself gives
back. It prints the largest deviation of each map from the twin's, relative to the largest value, and that of the network's own output from
the twin's, which its kernels round. A package that is not installed is left out.
"""

from __future__ import annotations

import copy
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

METHODS = ("gradient", "integrated_gradients", "lrp_z", "lrp_epsilon_0_25_std_x", "lrp_alpha_2_beta_1")
WIDTH, CLASSES, SAMPLES = 128, 32, 8

WeightOf: TypeAlias = Callable[[Any], Tensor]
"""From a layer to its weight, by a call of the package's own."""

Maker: TypeAlias = Callable[[], nn.Module]
"""Makes a network, the same one at every call."""


def network() -> nn.Sequential:
    """The network before its layers are quantized."""
    torch.manual_seed(0)
    layers = [nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, CLASSES)]
    return nn.Sequential(*layers).eval()


def layer_by_layer(make: Callable[[Any], nn.Module]) -> nn.Sequential:
    """The network with each layer replaced."""
    net = network()
    for place in (0, 2, 4):
        net[place] = make(net[place])
    return net.eval()


def by_bitsandbytes() -> Iterator[tuple[str, Maker]]:
    """Layers of 8 and of 4 bits; on the CPU they are quantized when they are moved."""
    layers: Any = importlib.import_module("bitsandbytes.nn")

    def loaded(layer: nn.Module, source: nn.Linear) -> nn.Module:
        layer.load_state_dict(source.state_dict())
        return layer.to("cpu")

    for kind in ("fp4", "nf4"):
        for nested in (False, True):
            options = {"quant_type": kind, "compress_statistics": nested, "compute_dtype": torch.float32}

            def four_bits(source: nn.Linear, options: dict[str, Any] = options) -> nn.Module:
                return loaded(layers.Linear4bit(WIDTH, len(source.weight), **options), source)

            yield f"bitsandbytes, Linear4bit, {kind}{', scales quantized too' if nested else ''}", partial(layer_by_layer, four_bits)
    yield "bitsandbytes, Linear4bit, nf4, that has run", partial(after_running, partial(layer_by_layer, four_bits))

    def eight_bits(source: nn.Linear) -> nn.Module:
        return loaded(layers.Linear8bitLt(WIDTH, len(source.weight), has_fp16_weights=False), source)

    yield "bitsandbytes, Linear8bitLt", partial(layer_by_layer, eight_bits)
    yield "bitsandbytes, Linear8bitLt, that has run", partial(after_running, partial(layer_by_layer, eight_bits))


def after_running(make: Maker) -> nn.Module:
    """The network after a forward pass, which may lay out its weights otherwise."""
    net = make()
    with torch.no_grad():
        net(torch.ones(1, WIDTH))
    return net


def by_torchao() -> Iterator[tuple[str, Maker]]:
    """Linear layers of torch whose weights are tensors of torchao."""
    quantization: Any = importlib.import_module("torchao.quantization")
    for name in ("Int8WeightOnlyConfig", "Int8DynamicActivationInt8WeightConfig", "Float8WeightOnlyConfig", "IntxWeightOnlyConfig"):

        def make(name: str = name) -> nn.Module:
            net = network()
            quantization.quantize_(net, getattr(quantization, name)())
            return net

        yield f"torchao, {name.removesuffix('Config')}", make


def by_hqq() -> Iterator[tuple[str, Maker]]:
    """Layers that hold integers and a method that gives their weight."""
    quantize: Any = importlib.import_module("hqq.core.quantize")
    for bits in (8, 4, 2):
        settings = quantize.BaseQuantizeConfig(nbits=bits, group_size=64)

        def make(source: nn.Linear, settings: Any = settings) -> nn.Module:
            layer: nn.Module = quantize.HQQLinear(copy.deepcopy(source), settings, compute_dtype=torch.float32, device="cpu")
            return layer

        yield f"hqq, {bits} bits", partial(layer_by_layer, make)


def by_torch() -> Iterator[tuple[str, Maker]]:
    """Torch's own dynamic quantization."""
    quantization: Any = importlib.import_module("torch.ao.quantization")
    yield "torch.ao, dynamic, 8 bits", partial(quantization.quantize_dynamic, network(), {nn.Linear}, dtype=torch.qint8)


def twin(net: nn.Module, weight_of: WeightOf) -> nn.Sequential:
    """The network in floating point, with the weights that the package itself gives back."""
    plain = network()
    for place in (0, 2, 4):
        with torch.no_grad():
            plain.get_parameter(f"{place}.weight").copy_(weight_of(net.get_submodule(str(place))))
    return plain


def deviation(got: Tensor, wanted: Tensor) -> float:
    """The largest difference relative to the largest value."""
    return float((got - wanted).abs().max() / wanted.abs().max())


def row(name: str, make: Maker, twin_of: Maker, weight_of: WeightOf) -> str:
    """What the table says of one network."""
    from signxai import explain_all

    net, plain, x = make(), twin(twin_of(), weight_of), torch.randn(SAMPLES, WIDTH, generator=torch.Generator().manual_seed(1))
    ours, theirs = explain_all(net, x, METHODS, 1, strict=True), explain_all(plain, x, METHODS, 1, strict=True)
    with torch.no_grad():
        output = deviation(net(x), plain(x))
    maps = (f"{deviation(torch.from_numpy(ours[method]), torch.from_numpy(theirs[method])):.1e}" for method in METHODS)
    return f"| {name} | {' | '.join(maps)} | {output:.1e} |\n"


def weight_of_bitsandbytes(layer: Any) -> Tensor:
    """Of a layer that has not run."""
    functional: Any = importlib.import_module("bitsandbytes.functional")
    if layer.weight.dtype is torch.int8:
        return functional.int8_vectorwise_dequant(layer.weight.CB, layer.weight.SCB)  # type: ignore[no-any-return]
    return functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)  # type: ignore[no-any-return]


PACKAGES: dict[str, tuple[Callable[[], Iterator[tuple[str, Maker]]], WeightOf]] = {
    "torch": (by_torch, lambda layer: layer.weight().dequantize()),
    "bitsandbytes": (by_bitsandbytes, weight_of_bitsandbytes),
    "torchao": (by_torchao, lambda layer: layer.weight.dequantize()),
    "hqq": (by_hqq, lambda layer: layer.dequantize()),
}


def main() -> None:
    """Write the table."""
    warnings.simplefilter("ignore")
    sys.stdout.write(f"| layers | {' | '.join(METHODS)} | output |\n|{' --- |' * (len(METHODS) + 2)}\n")
    for package, (networks, weight_of) in PACKAGES.items():
        if importlib.util.find_spec(package) is not None:
            for name, make in networks():
                unused = make.args[0] if isinstance(make, partial) and make.func is after_running else make
                sys.stdout.write(row(name, make, unused, weight_of))


if __name__ == "__main__":
    main()
