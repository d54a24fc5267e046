"""What is compared: the same explanation as a call of signxai, Zennit, Captum, and the plain gradient that all build on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
