"""Slow and plain float64 re-implementations of what signxai computes; nothing here imports signxai.

Every rule is a function ``(w, b, x, r) -> relevance of x`` for one sample, in which ``w`` is the layer's explicit matrix (J, I),
``b`` its bias (J,), ``x`` its flat input (I,) and ``r`` the relevance (J,) of its output. Networks are lists of layers.
"""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Rule = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LINEAR = (nn.Linear, *CONVOLUTIONS)
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Tanh, nn.Sigmoid, nn.Identity, nn.Dropout)
AVERAGES = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)


def matrix(layer: nn.Module, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The (J, I) matrix and (J,) bias of an affine layer on a sample of this shape, read off unit vectors."""
    bare = copy.deepcopy(layer)
    if getattr(bare, "bias", None) is not None:
        bare.bias = None
    size = int(np.prod(shape))
    w = bare(torch.eye(size, dtype=torch.float64).reshape(size, *shape)).flatten(1).T
    return w.detach(), layer(torch.zeros(1, *shape, dtype=torch.float64)).flatten().detach()


def share(r: Tensor, z: Tensor, stabilizer: float = 0.0) -> Tensor:
    """R / (z + stabilizer * sign(z)) with sign(0) = +1 and 0/0 = 0."""
    z = z + stabilizer * (2.0 * (z >= 0).to(z) - 1.0)
    return torch.where(z == 0, 0.0, r / torch.where(z == 0, 1.0, z))


def z(w: Tensor, b: Tensor, x: Tensor, r: Tensor) -> Tensor:
    """R_i = sum_j x_i w_ij / z_j R_j."""
    return x * (w.T @ share(r, w @ x + b))


def epsilon(w: Tensor, b: Tensor, x: Tensor, r: Tensor, eps: float) -> Tensor:
    """R_i = sum_j x_i w_ij / (z_j + e sign(z_j)) R_j."""
    return x * (w.T @ share(r, w @ x + b, eps))


def epsilon_std_x(w: Tensor, b: Tensor, x: Tensor, r: Tensor, k: float) -> Tensor:
    """Epsilon with e = k * population standard deviation of this sample's input to the layer."""
    return epsilon(w, b, x, r, k * ((x - x.mean()) ** 2).mean().sqrt())


def alpha_beta(w: Tensor, b: Tensor, x: Tensor, r: Tensor, alpha: float, beta: float, stabilizer: float = 0.0) -> Tensor:
    """Alpha * share among the positive contributions - beta * share among the negative ones, each with its part of the bias."""
    c = w * x
    positive = c.clamp(min=0).T @ share(r, c.clamp(min=0).sum(1) + b.clamp(min=0), stabilizer)
    negative = c.clamp(max=0).T @ share(r, c.clamp(max=0).sum(1) + b.clamp(max=0), stabilizer)
    return alpha * positive - beta * negative


def gamma(w: Tensor, b: Tensor, x: Tensor, r: Tensor, g: float, stabilizer: float = 0.0) -> Tensor:
    """Outputs above zero favour the positive contributions by 1 + g, those below zero the negative ones, those at zero pass nothing."""
    c, out = w * x, w @ x + b
    up, up_bias = c + g * c.clamp(min=0), b + g * b.clamp(min=0)
    down, down_bias = c + g * c.clamp(max=0), b + g * b.clamp(max=0)
    above = torch.where(out > 0, share(r, up.sum(1) + up_bias, stabilizer), 0.0)
    below = torch.where(out < 0, share(r, down.sum(1) + down_bias, stabilizer), 0.0)
    return up.T @ above + down.T @ below


def sign(w: Tensor, b: Tensor, x: Tensor, r: Tensor, mu: float = 0.0, stabilizer: float = 0.0) -> Tensor:
    """R_i = s_i sum_j w_ij R_j / z_j with s_i = +1 where x_i >= mu, else -1."""
    return torch.where(x >= mu, 1.0, -1.0) * (w.T @ share(r, w @ x + b, stabilizer))


def wsquare(w: Tensor, b: Tensor, x: Tensor, r: Tensor, stabilizer: float = 0.0) -> Tensor:
    """R_i = sum_j w_ij^2 / sum_i w_ij^2 R_j."""
    return (w**2).T @ share(r, (w**2).sum(1), stabilizer)


def flat(w: Tensor, b: Tensor, x: Tensor, r: Tensor, stabilizer: float = 0.0) -> Tensor:
    """Equal shares for all inputs that an output reads (a weight of exactly 0 would hide a connection: there is none in the tests)."""
    connected = (w != 0).to(w)
    return connected.T @ share(r, connected.sum(1), stabilizer)


def zbox(
    w: Tensor, b: Tensor, x: Tensor, r: Tensor, low: float | None = None, high: float | None = None, stabilizer: float = 0.0
) -> Tensor:
    """Shares of x w - low w+ - high w-; the bounds default to the sample's own minimum and maximum."""
    low = x.min() if low is None else low
    high = x.max() if high is None else high
    c = w * x - w.clamp(min=0) * low - w.clamp(max=0) * high
    return c.T @ share(r, c.sum(1), stabilizer)


def start(output: Tensor, target: int, relevance: str = "one_hot") -> Tensor:
    """What relevance starts with at the output (1, classes): 1 or the logit at the target, 0 elsewhere."""
    r = torch.zeros_like(output)
    r[0, target] = output[0, target] if relevance == "logit" else 1.0
    return r


def folded(linear: nn.Module, norm: nn.Module) -> nn.Module:
    """The linear layer that does what ``linear`` and then ``norm`` in eval do."""
    linear = copy.deepcopy(linear)
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach()
    bias = torch.zeros_like(scale) if linear.bias is None else linear.bias.detach()
    linear.weight = nn.Parameter(linear.weight.detach() * scale.reshape(-1, *[1] * (linear.weight.ndim - 1)))
    linear.bias = nn.Parameter((bias - norm.running_mean) * scale + norm.bias.detach())
    return linear


def lrp(layers: Sequence[nn.Module], x: Tensor, target: int, rule: Rule, dense: Rule | None = None, first: Rule | None = None,
        relevance: str = "one_hot") -> np.ndarray:  # fmt: skip
    """LRP of each sample alone: ``rule`` on every linear layer, or ``dense`` on nn.Linear; ``first`` on the first of them."""
    return torch.stack([_lrp_one(list(layers), sample[None], target, rule, dense or rule, first, relevance) for sample in x]).numpy()


def _lrp_one(layers: list[nn.Module], a: Tensor, target: int, rule: Rule, dense: Rule, first: Rule | None, relevance: str) -> Tensor:
    inputs = []
    with torch.no_grad():
        for layer in layers:
            inputs.append(a)
            a = layer(a)
    r = start(a, target, relevance)
    first_linear = next(layer for layer in layers if isinstance(layer, LINEAR))
    for layer, a in zip(reversed(layers), reversed(inputs), strict=True):
        if isinstance(layer, LINEAR):
            chosen = dense if isinstance(layer, nn.Linear) else rule
            if layer is first_linear and first is not None:
                chosen = first
            r = chosen(*matrix(layer, a.shape[1:]), a.flatten(), r.flatten()).reshape(a.shape)
        elif isinstance(layer, AVERAGES):
            r = z(*matrix(layer, a.shape[1:]), a.flatten(), r.flatten()).reshape(a.shape)
        elif not isinstance(layer, ACTIVATIONS):
            r = vjp(layer, a, r)
    return r[0]


def vjp(layer: nn.Module, a: Tensor, r: Tensor) -> Tensor:
    """The layer's own gradient, applied to ``r``."""
    a = a.detach().clone().requires_grad_()
    return torch.autograd.grad(layer(a), a, r)[0]


def gradient(model: nn.Module, x: Tensor, target: int) -> np.ndarray:
    """The gradient of the target logit, sample by sample."""
    return torch.stack([vjp(model, sample[None], start(model(sample[None]), target))[0] for sample in x]).numpy()


def integrated_gradients(model: nn.Module, x: Tensor, target: int, steps: int = 50, baseline: float = 0.0) -> np.ndarray:
    """(x - baseline) * integral over the path of the gradient, by the trapezoidal rule with ``steps`` points on [0, 1] (one: 1/2)."""
    points = np.linspace(0, 1, steps) if steps > 1 else np.array([0.5])
    weights = [(0.5 if k in (0, steps - 1) else 1.0) / (steps - 1) for k in range(steps)] if steps > 1 else [1.0]
    x0 = torch.full_like(x, baseline)
    mean = sum(w * gradient(model, x0 + p * (x - x0), target) for p, w in zip(points, weights, strict=True))
    return (x - x0).numpy() * mean


def relu_backward(layers: Sequence[nn.Module], x: Tensor, target: int, mode: str, relevance: str = "one_hot") -> np.ndarray:
    """Guided backprop ("guided": what is negative is cut on the way back, as well as where the ReLU was off) or "deconvnet"."""
    maps = []
    for sample in x:
        a, inputs = sample[None], []
        for layer in layers:
            inputs.append(a)
            a = layer(a).detach()
        r = start(a, target, relevance)
        for layer, a in zip(reversed(list(layers)), reversed(inputs), strict=True):
            cut = (a > 0 if mode == "guided" else 1.0) if isinstance(layer, nn.ReLU) else None
            r = vjp(layer, a, r) if cut is None else r.clamp(min=0) * cut
        maps.append(r[0])
    return torch.stack(maps).numpy()


def grad_cam(layers: Sequence[nn.Module], x: Tensor, target: int, index: int | None = None) -> np.ndarray:
    """Grad-CAM at the output of layer ``index`` (the last convolution of more than one position), up-sampled linearly."""
    layers = list(layers)
    if index is None:
        convolutions = (i for i, layer in enumerate(layers) if isinstance(layer, CONVOLUTIONS))
        index = max(i for i in convolutions if nn.Sequential(*layers[: i + 1])(x[:1])[0, 0].numel() > 1)
    head, tail = nn.Sequential(*layers[: index + 1]), nn.Sequential(*layers[index + 1 :])
    interpolation = {3: "linear", 4: "bilinear", 5: "trilinear"}[x.ndim]
    maps = []
    for sample in x:
        a = head(sample[None]).detach()
        g = vjp(tail, a, start(tail(a), target))
        space = tuple(range(2, a.ndim))
        cam = (g.mean(space, keepdim=True) * a).sum(1, keepdim=True).clamp(min=0)
        cam = F.interpolate(cam, size=x.shape[2:], mode=interpolation, align_corners=False)[0]
        maps.append((cam / cam.max() if cam.max() > 0 else cam).expand(x.shape[1:]))
    return torch.stack(maps).numpy()


def hooked(net: nn.Module, layer: nn.Module, x: Tensor, score: Callable[[object], Tensor]) -> list[tuple[Tensor, Tensor]]:
    """The outputs of a layer, one for each execution, caught by a forward hook, and the gradients of a score at them."""
    outputs: list[Tensor] = []

    def replace(_: nn.Module, inputs: object, output: Tensor) -> Tensor:
        outputs.append(output)
        return output.clone()  # a write in place leaves the output alone

    handle = layer.register_forward_hook(replace)
    total = score(net(x.clone().requires_grad_())).sum()
    handle.remove()
    gradients = torch.autograd.grad(total, outputs, allow_unused=True)
    return [(output.detach(), torch.zeros_like(output) if g is None else g) for output, g in zip(outputs, gradients, strict=True)]


def class_activation(features: Tensor, gradient: Tensor) -> Tensor:
    """ReLU of the channel sum weighted by the mean gradient: (N, C, *grid) to (N, *grid)."""
    space = tuple(range(2, features.ndim))
    return (gradient.mean(space, keepdim=True) * features).sum(1).clamp(min=0)


def up_sampled(cam: Tensor, size: Sequence[int]) -> Tensor:
    """Linearly, (N, *grid) to (N, *size)."""
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)]
    return F.interpolate(cam[:, None], size=tuple(size), mode=mode, align_corners=False)[:, 0]


def divided_by_maximum(cam: Tensor) -> np.ndarray:
    """Each sample by its own; all zero stays zero."""
    maximum = cam.flatten(1).amax(1).view(-1, *[1] * (cam.ndim - 1))
    return torch.where(maximum > 0, cam / maximum, 0.0).numpy()


def hooked_grad_cam(
    net: nn.Module, layer: nn.Module, x: Tensor, target: int, arrange: Callable[[Tensor], Tensor], space: Sequence[int]
) -> np.ndarray:
    """Grad-CAM at the last output of a layer, which ``arrange`` turns into (N, C, *grid), over the axes ``space`` of the input."""
    values, gradient = hooked(net, layer, x, lambda output: logits(output)[:, target])[-1]
    cam = up_sampled(class_activation(arrange(values), arrange(gradient)), [x.shape[axis] for axis in space])
    shape = [length if axis in (0, *space) else 1 for axis, length in enumerate(x.shape)]
    return divided_by_maximum(cam.view(shape).expand_as(x))


def logits(output: object) -> Tensor:
    """Of whatever a network returns."""
    if isinstance(output, Tensor):
        return output
    return output["out"] if isinstance(output, dict) and "out" in output else output.logits
