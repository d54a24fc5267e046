"""Which rule a linear layer takes: the product of two small tables, input rules and rules for the rest of the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from signxai.engine.stabilizer import Stabilizer
from signxai.methods.rules import (
    AlphaBeta,
    Epsilon,
    Flat,
    Gamma,
    LinearRule,
    Sign,
    StdxEpsilon,
    WSquare,
    Z,
    ZBox,
    ZPlus,
)


@dataclass(frozen=True)
class LayerRules:
    """The rule of every linear layer, by its kind and its place in the order of execution.

    ``first`` goes to the layers that read the network's input (with ``first_is_convolution`` only to convolutions), ``last``
    to the one executed last.
    """

    linear: LinearRule
    convolution: LinearRule
    first: LinearRule | None = None
    last: LinearRule | None = None
    first_is_convolution: bool = False

    @property
    def is_z(self) -> bool:
        """Whether the rule for all layers but the first is z, or epsilon with 0: then ``lrp_z`` is gradient times input."""
        rules = (self.linear, self.convolution, self.last or self.linear)
        return all(isinstance(rule, Epsilon) and isinstance(rule.epsilon, int | float) and rule.epsilon == 0 for rule in rules)

    def __call__(self, kind: str, reads_input: bool, is_last: bool) -> LinearRule:
        """The rule of one layer: of kind "linear" or "convolution"."""
        if self.first is not None and reads_input and (kind == "convolution" or not self.first_is_convolution):
            return self.first
        if self.last is not None and is_last:
            return self.last
        return self.convolution if kind == "convolution" else self.linear


@dataclass(frozen=True)
class RuleParameters:
    """The parameters that rules of every kind may take."""

    epsilon: float = 1e-6
    alpha: float = 1.0
    beta: float = 0.0
    gamma: float = 0.25
    mu: float = 0.0
    low: float | Tensor | None = None
    high: float | Tensor | None = None
    stabilizer: Stabilizer = 0.0


def _everywhere(rule: LinearRule) -> LayerRules:
    return LayerRules(linear=rule, convolution=rule)


def _epsilon_with(convolution: Callable[[RuleParameters], LinearRule], **more: Any) -> Callable[[RuleParameters], LayerRules]:
    """Zennit's composites: epsilon for Linear layers, another rule for convolutions."""

    def build(p: RuleParameters) -> LayerRules:
        first = {name: rule(p) if callable(rule) else rule for name, rule in more.items()}
        return LayerRules(linear=Epsilon(p.epsilon), convolution=convolution(p), **first)

    return build


def _alpha_2_beta_1(p: RuleParameters) -> LinearRule:
    return AlphaBeta(2.0, 1.0, p.stabilizer)


def _zplus(p: RuleParameters) -> LinearRule:
    return ZPlus(p.stabilizer)


def _flat(p: RuleParameters) -> LinearRule:
    return Flat(p.stabilizer)


def _zbox(p: RuleParameters) -> LinearRule:
    return ZBox(p.low, p.high, p.stabilizer)


RULES: dict[str, Callable[[RuleParameters], LinearRule]] = {
    "z": lambda p: Z(),
    "epsilon": lambda p: Epsilon(p.epsilon),
    "epsilon_std_x": lambda p: StdxEpsilon(p.epsilon),
    "alpha_beta": lambda p: AlphaBeta(p.alpha, p.beta, p.stabilizer),
    "gamma": lambda p: Gamma(p.gamma, p.stabilizer),
    "zplus": _zplus,
    "wsquare": lambda p: WSquare(p.stabilizer),
    "flat": _flat,
    "zbox": _zbox,
    "sign": lambda p: Sign(p.mu, p.stabilizer),
}
"""Single rules by name."""

COMPOSITES: dict[str, Callable[[RuleParameters], LayerRules]] = {
    "sequential_composite_a": lambda p: LayerRules(linear=Epsilon(0.1), convolution=_zplus(p)),
    "sequential_composite_b": lambda p: LayerRules(linear=Epsilon(0.1), convolution=_alpha_2_beta_1(p)),
    "epsilon_plus": _epsilon_with(_zplus),
    "epsilon_plus_flat": _epsilon_with(_zplus, first=_flat),
    "epsilon_alpha2_beta1": _epsilon_with(_alpha_2_beta_1),
    "epsilon_alpha2_beta1_flat": _epsilon_with(_alpha_2_beta_1, first=_flat),
    "epsilon_gamma_box": _epsilon_with(RULES["gamma"], first=_zbox, first_is_convolution=True),
}
"""Rules that differ by kind of layer, by name."""

INPUT_RULES: dict[str, str | None] = {
    "lrp": None,
    "lrpsign": "sign",
    "lrpz": "z",
    "zblrp": "zbox",
    "w2lrp": "wsquare",
    "flatlrp": "flat",
}
"""The rule of the layers that read the input, by the first word of a method name."""


def layer_rules(input_word: str, rule: str, parameters: RuleParameters) -> LayerRules:
    """The rules that a method name such as ``lrpsign_epsilon_0_25`` asks for.

    >>> layer_rules("lrpsign", "epsilon", RuleParameters(epsilon=0.25)).first
    Sign(mu=0.0, stabilizer=0.0)
    """
    rules = COMPOSITES[rule](parameters) if rule in COMPOSITES else _everywhere(RULES[rule](parameters))
    first = INPUT_RULES[input_word]
    return rules if first is None else replace(rules, first=RULES[first](parameters), first_is_convolution=False)
