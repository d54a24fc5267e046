"""What is compared: the same explanation as a call of signxai, Zennit, Captum, and the plain gradient that all build on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import torch
from captum.attr import LRP, IntegratedGradients, NoiseTunnel, Saliency
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, GammaRule
from torch import Tensor, nn
from zennit.attribution import Gradient
from zennit.composites import LayerMapComposite, layer_map_base
from zennit.rules import AlphaBeta, Epsilon, Gamma, ZPlus
from zennit.types import Convolution

import signxai
from networks import Case

STABILIZER = 1e-6  # Zennit's own default; signxai's is 0, which is exact
NOISE = 0.2

# Method -> rules for convolutions and for linear layers.
ZENNIT_RULES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "lrp_epsilon_0_1": lambda: (Epsilon(0.1), Epsilon(0.1)),
    "lrp_z": lambda: (Epsilon(0.0), Epsilon(0.0)),
    "lrp_zplus": lambda: (ZPlus(STABILIZER), ZPlus(STABILIZER)),
    "lrp_alpha_1_beta_0": lambda: (AlphaBeta(1, 0, STABILIZER), AlphaBeta(1, 0, STABILIZER)),
    "lrp_sequential_composite_a": lambda: (AlphaBeta(1, 0, STABILIZER), Epsilon(0.1)),
    "lrp_alpha_2_beta_1": lambda: (AlphaBeta(2, 1, STABILIZER), AlphaBeta(2, 1, STABILIZER)),
    "lrp_sequential_composite_b": lambda: (AlphaBeta(2, 1, STABILIZER), Epsilon(0.1)),
    "lrp_gamma_0_25": lambda: (Gamma(0.25, STABILIZER), Gamma(0.25, STABILIZER)),
}
CAPTUM_RULES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "lrp_epsilon_0_1": lambda: (EpsilonRule(0.1), EpsilonRule(0.1)),
    "lrp_z": lambda: (EpsilonRule(0.0), EpsilonRule(0.0)),
    "lrp_zplus": lambda: (Alpha1_Beta0_Rule(), Alpha1_Beta0_Rule()),
    "lrp_alpha_1_beta_0": lambda: (Alpha1_Beta0_Rule(), Alpha1_Beta0_Rule()),
    "lrp_sequential_composite_a": lambda: (Alpha1_Beta0_Rule(), EpsilonRule(0.1)),
    "lrp_gamma_0_25": lambda: (GammaRule(0.25), GammaRule(0.25)),
}
SAME_IN_CAPTUM = ("lrp_epsilon_0_1", "lrp_z")  # its other rules treat biases, negative inputs or negative outputs differently


def plain_gradient(case: Case) -> Tensor:
    """One forward pass and the gradient of the targets' logits by the input."""
    x = case.x.detach().requires_grad_()
    logits = case.net(x)
    return torch.autograd.grad(_logits_of_targets(logits, case).sum(), x)[0]


def by_signxai(case: Case, method: str, **options: Any) -> Tensor:
    result = signxai.explain(case.net, case.x, method, case.target, as_tensor=True, **options)
    assert isinstance(result, Tensor)
    return result


def by_zennit(case: Case, method: str) -> Tensor:
    convolution, linear = ZENNIT_RULES[method]()
    layer_map = [*layer_map_base(STABILIZER), (Convolution, convolution), (nn.Linear, linear)]
    composite = LayerMapComposite(layer_map, canonizers=case.canonizers())
    attributor = Gradient(case.net, composite, attr_output=lambda logits: _one_hot(logits, case))
    return attributor(case.x.detach().clone())[1]


def by_captum(case: Case, method: str) -> Tensor:
    """Captum's LRP, which starts with the logit and forgets its layers' rules after each call; ``case`` is without in-place operations."""
    for module in case.net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.rule = CAPTUM_RULES[method]()[isinstance(module, nn.Linear)]
    return LRP(case.net).attribute(case.x.detach().clone(), target=case.target).detach()


def target_logits(case: Case) -> Tensor:
    """The targets' logits, in a shape that broadcasts to the input."""
    with torch.no_grad():
        return _logits_of_targets(case.net(case.x.clone()), case).view(-1, *(1,) * (case.x.ndim - 1))


def _logits_of_targets(logits: Tensor, case: Case) -> Tensor:
    return logits.gather(1, torch.tensor(case.target).unsqueeze(1)).squeeze(1)


def _one_hot(logits: Tensor, case: Case) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(case.target), logits.shape[1]).to(logits)


# The arithmetic alone


def by_hand(case: Case, method: str) -> Tensor:
    """The tensor operations of a method on the 1-D CNN, spelled out for this network: no watching, no autograd, no checks."""
    if method == "gradient":
        return plain_gradient(case)
    with torch.no_grad():
        tape, logits = _taped_forward(case)
        relevance = _one_hot(logits, case)
        for step in reversed(tape):
            relevance = step(relevance, HAND_WRITTEN[method])
    return relevance


_Rule: TypeAlias = "Callable[[Any, Tensor, Tensor, Tensor, Any, Tensor], Tensor]"
_Step: TypeAlias = "Callable[[Tensor, _Rule], Tensor]"


def _taped_forward(case: Case) -> tuple[list[_Step], Tensor]:
    modules, x, tape = list(case.net.children()), case.x, []
    for module, follower in zip(modules, [*modules[1:], nn.Identity()], strict=True):
        if isinstance(module, nn.BatchNorm1d):
            continue  # done with the convolution in front of it
        z = module(x)
        if isinstance(module, nn.Conv1d) and isinstance(follower, nn.BatchNorm1d):
            z = follower(z)
            scale = follower.weight * (follower.running_var + follower.eps).rsqrt()  # type: ignore[operator]
            weight = module.weight * scale.view(-1, 1, 1)
            bias = (module.bias - follower.running_mean) * scale + follower.bias  # type: ignore[operator]
            tape.append(partial(_through_layer, module, x, z, weight, bias))
        elif isinstance(module, nn.Conv1d | nn.Linear):
            tape.append(partial(_through_layer, module, x, z, module.weight, module.bias))
        elif isinstance(module, nn.AdaptiveAvgPool1d):
            tape.append(partial(_through_pooling, x, z))
        elif isinstance(module, nn.Flatten):
            tape.append(partial(_through_flatten, x))
        x = z
    return tape, x


def _through_layer(module: Any, x: Tensor, z: Tensor, weight: Tensor, bias: Tensor, relevance: Tensor, rule: _Rule) -> Tensor:
    return rule(module, x, z, weight, bias, relevance)


def _through_flatten(x: Tensor, relevance: Tensor, rule: _Rule) -> Tensor:
    return relevance.view_as(x)


def _through_pooling(x: Tensor, z: Tensor, relevance: Tensor, rule: _Rule) -> Tensor:
    share = (relevance / z).masked_fill_(z == 0, 0.0)
    spread = torch.ops.aten._adaptive_avg_pool2d_backward(share.unsqueeze(-2), x.unsqueeze(-2))
    return spread.squeeze(-2).mul_(x)  # type: ignore[no-any-return]


def _transposed(module: Any, x: Tensor, weight: Tensor, share: Tensor) -> Tensor:
    if isinstance(module, nn.Linear):
        return share.matmul(weight)
    options = (module.stride, module.padding, module.dilation, False, (0,), module.groups)
    return torch.ops.aten.convolution_backward(share, x, weight, None, *options, (True, False, False))[0]  # type: ignore[no-any-return]


def _hand_written_epsilon(module: Any, x: Tensor, z: Tensor, weight: Tensor, bias: Any, relevance: Tensor) -> Tensor:
    share = relevance / torch.copysign(torch.full((), 0.1), z).add_(z)
    return _transposed(module, x, weight, share).mul_(x)


def _hand_written_std_x(module: Any, x: Tensor, z: Tensor, weight: Tensor, bias: Any, relevance: Tensor) -> Tensor:
    epsilon = 0.25 * torch.std(x, correction=0)
    share = (relevance / torch.copysign(epsilon, z).add_(z)).masked_fill_((z == 0) & (epsilon == 0), 0.0)
    return _transposed(module, x, weight, share).mul_(x)


def _hand_written_zplus(module: Any, x: Tensor, z: Tensor, weight: Tensor, bias: Any, relevance: Tensor) -> Tensor:
    signs = [(1, x)] if x.amin() >= 0 else [(1, x.clamp(min=0)), (-1, x.clamp(max=0))]
    parts = [(part, weight.clamp(min=0) if sign > 0 else weight.clamp(max=0)) for sign, part in signs]
    biases = [bias.clamp(min=0), None]
    if isinstance(module, nn.Linear):
        outputs = [nn.functional.linear(part, w, b) for (part, w), b in zip(parts, biases, strict=False)]
    else:
        outputs = [nn.functional.conv1d(part, w, b, module.stride, module.padding) for (part, w), b in zip(parts, biases, strict=False)]
    output = sum(outputs[1:], outputs[0])
    share = (relevance / output).masked_fill_(output == 0, 0.0)
    relevances = [_transposed(module, part, w, share).mul_(part) for part, w in parts]
    return sum(relevances[1:], relevances[0])


HAND_WRITTEN: dict[str, _Rule] = {
    "lrp_epsilon_0_1": _hand_written_epsilon,
    "lrp_epsilon_0_25_std_x": _hand_written_std_x,
    "lrp_zplus": _hand_written_zplus,
}


# Many gradients for one sample


def gradients_in_chunks(case: Case, points: int, chunk: int) -> None:
    """``points`` plain gradients of one sample, ``chunk`` in a batch."""
    for start in range(0, points, chunk):
        size = min(chunk, points - start)
        plain_gradient(Case(case.name, case.net, case.x.expand(size, *case.x.shape[1:]), case.target * size))


def repeated_by_signxai(case: Case, method: str, points: int) -> Tensor:
    count = {"steps": points} if method == "integrated_gradients" else {"num_samples": points, "noise_level": NOISE}
    return by_signxai(case, method, **count)


def repeated_by_captum(case: Case, method: str, points: int, chunk: int) -> Tensor:
    x, target = case.x.detach().clone(), case.target[0]
    if method == "integrated_gradients":
        path = IntegratedGradients(case.net)
        return path.attribute(x, target=target, n_steps=points, method="riemann_trapezoid", internal_batch_size=chunk).detach()
    sigma = NOISE * float(x.max() - x.min())
    tunnel = NoiseTunnel(Saliency(case.net))
    chosen = {"nt_type": method, "nt_samples": points, "nt_samples_batch_size": chunk, "stdevs": sigma}
    return tunnel.attribute(x, target=target, abs=False, **chosen).detach()
