"""Layer-wise relevance propagation by rules for layers, and by Zennit composites."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import zennit.composites
import zennit.core
from torch import Tensor, nn

from signxai.common.errors import OptionError
from signxai.engine.mode import GradientPass
from signxai.engine.relevance import RelevancePass
from signxai.engine.stabilizer import Stabilizer
from signxai.methods.analyzer import Analyzer, flag, number
from signxai.methods.batch import Batch
from signxai.methods.composites import RULES, LayerRules, RuleParameters, layer_rules

AnyPass = TypeVar("AnyPass", bound=RelevancePass)

INPUT_LAYER_RULES = ("zbox", "wsquare", "flat", "sign")
"""Rules of ``AdvancedLRPAnalyzer`` that are for the layers that read the input."""

RULE_NAMES = {"stdx_epsilon": "epsilon_std_x", "alphabeta": "alpha_beta"}
"""How the analyzers spell rules that ``composites.RULES`` has under another name."""


class _LayerRulesAnalyzer(Analyzer):
    """LRP under rules for layers.

    Args (keyword):
        stabilizer: added to denominators that have no epsilon, with their sign, as Zennit does with 1e-6; 0: exact, 0 / 0 = 0.
        strict: an operation without a known rule is an error instead of a warning.
    """

    is_one_backward_pass = True

    def __init__(self, model: nn.Module, *, stabilizer: Stabilizer = 0.0, strict: bool = False, **common: Any) -> None:
        super().__init__(model, **common)
        self.stabilizer = stabilizer if callable(stabilizer) else number("stabilizer", stabilizer, at_least=0)
        self.strict = flag("strict", strict)
        self.composite: LayerRules | zennit.core.Composite

    def attribute(self, batch: Batch) -> Tensor:
        return batch.backward(self.mode(RelevancePass))

    def mode(self, kind: type[AnyPass]) -> AnyPass:
        """A pass of this kind for one forward and backward under this analyzer's rules."""
        assert isinstance(self.composite, LayerRules)
        return kind(self.composite, self.stabilizer, self.strict, cut_offs_absorb=self.composite.is_z)


class MethodLRPAnalyzer(_LayerRulesAnalyzer):
    """LRP as a method name spells it: an input word (``lrp``, ``lrpsign``, ...) and a rule.

    Args:
        model: as for ``Analyzer``, and its keyword options.
        input_word: "lrp", "lrpsign", "lrpz", "zblrp", "w2lrp" or "flatlrp".
        rule: a rule or composite by its name in the grammar, for example "epsilon_std_x".
        parameters: epsilon, alpha, beta, gamma, mu, low, high, by keyword, and ``stabilizer`` and ``strict``.
    """

    changes_model = False

    def __init__(
        self,
        model: nn.Module,
        input_word: str,
        rule: str,
        *,
        epsilon: float | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        gamma: float | None = None,
        mu: float | None = None,
        low: Any = None,
        high: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        given = {"epsilon": epsilon, "alpha": alpha, "beta": beta, "gamma": gamma, "mu": mu, "low": low, "high": high}
        parameters = _checked_parameters(given, self.stabilizer)
        self.input_word = input_word
        self.rule = rule
        self.composite = layer_rules(input_word, rule, parameters)


class LRPAnalyzer(_LayerRulesAnalyzer):
    """LRP with one rule everywhere (Bach et al. 2015).

    Args:
        model: as for ``Analyzer``, and its keyword options.
        rule: "epsilon", "zplus" or "alphabeta".
        epsilon: of the epsilon rule, at least 0.
        alpha, beta: of the alpha-beta rule, alpha - beta = 1.

    >>> import torch
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> x = torch.tensor([[1.0, 2.0]])
    >>> R = LRPAnalyzer(model, rule="epsilon", epsilon=0.0).analyze(x)
    >>> bool(abs(R.sum() - 1) < 1e-6)
    True
    """

    changes_model = False

    def __init__(
        self, model: nn.Module, rule: str = "epsilon", epsilon: float = 1e-6, *, alpha: float = 1.0, beta: float = 0.0, **options: Any
    ) -> None:
        super().__init__(model, **options)
        if rule not in ("epsilon", "zplus", "alphabeta"):
            raise OptionError(f"rule={rule!r} is not one of 'epsilon', 'zplus', 'alphabeta'; AdvancedLRPAnalyzer has more")
        self.rule = rule
        self.epsilon = number("epsilon", epsilon, at_least=0)
        self.alpha, self.beta = number("alpha", alpha), number("beta", beta)
        parameters = RuleParameters(epsilon=self.epsilon, alpha=self.alpha, beta=self.beta, stabilizer=self.stabilizer)
        self.composite = layer_rules("lrp", RULE_NAMES.get(rule, rule), parameters)


class AdvancedLRPAnalyzer(_LayerRulesAnalyzer):
    """LRP with any rule; rules for the input go to the layers that read it, the others take ``hidden_rule``.

    Args:
        model: as for ``Analyzer``, and its keyword options.
        rule_type: "epsilon", "stdx_epsilon", "gamma", "zplus", "alphabeta"; "zbox", "wsquare", "flat", "sign" (input layers);
            or "custom".
        epsilon, gamma, alpha, beta, mu, low, high: the rule's (and the hidden rule's) parameters, by keyword. ``low`` and
            ``high`` default to each sample's own minimum and maximum.
        hidden_rule: the other layers' rule, for input rules.
        composite: any Zennit composite, for "custom". It runs as Zennit would run it, canonizers included; a layer map given
            as a dict counts as its list of pairs.

    Raises:
        OptionError: if a parameter does not belong to the rule, or the composite is missing or no composite.
    """

    changes_model = False

    def __init__(
        self,
        model: nn.Module,
        rule_type: str,
        *,
        epsilon: float | None = None,
        gamma: float | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        mu: float | None = None,
        low: Any = None,
        high: Any = None,
        hidden_rule: str | None = None,
        composite: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        given = {"epsilon": epsilon, "gamma": gamma, "alpha": alpha, "beta": beta, "mu": mu, "low": low, "high": high}
        self.rule_type = rule_type
        self.hidden_rule = hidden_rule
        if (rule_type == "custom") != (composite is not None):
            raise OptionError("rule_type='custom' and composite= go together: give a Zennit composite with it, and only with it")
        if rule_type == "custom":
            _refuse(given | {"hidden_rule": hidden_rule}, ())
            self.composite = _pairs_for_dict(composite)
            self.writes_parameters = True
            return
        self.composite = self._rules_of(given)

    def _rules_of(self, given: dict[str, Any]) -> LayerRules:
        rule = RULE_NAMES.get(self.rule_type, self.rule_type)
        if rule not in RULES or rule == "z":
            raise OptionError(f"rule_type={self.rule_type!r} is not one of {', '.join(map(repr, RULE_TYPES))}")
        is_input_rule = rule in INPUT_LAYER_RULES
        if self.hidden_rule is not None and not is_input_rule:
            raise OptionError(f"hidden_rule= goes with an input rule ({', '.join(INPUT_LAYER_RULES)}), not with {self.rule_type!r}")
        hidden = _hidden_rule(self.hidden_rule or "epsilon")
        _refuse(given, RULE_PARAMETERS[rule] + (RULE_PARAMETERS[hidden] if is_input_rule else ()))
        parameters = _checked_parameters(_default_alpha_beta(given), self.stabilizer)
        if not is_input_rule:
            return layer_rules("lrp", rule, parameters)
        hidden_rule = RULES[hidden](parameters)
        return LayerRules(linear=hidden_rule, convolution=hidden_rule, first=RULES[rule](parameters))

    def attribute(self, batch: Batch) -> Tensor:
        if self.rule_type != "custom":
            return super().attribute(batch)
        composite: Any = self.composite
        with composite.context(batch.net) as modified:
            return replace(batch, net=modified).backward(GradientPass())


RULE_PARAMETERS: dict[str, tuple[str, ...]] = {
    "epsilon": ("epsilon",),
    "epsilon_std_x": ("epsilon",),
    "alpha_beta": ("alpha", "beta"),
    "gamma": ("gamma",),
    "zplus": (),
    "wsquare": (),
    "flat": (),
    "zbox": ("low", "high"),
    "sign": ("mu",),
}
RULE_TYPES = ("epsilon", "stdx_epsilon", "gamma", "zplus", "alphabeta", *INPUT_LAYER_RULES, "custom")


def _refuse(given: dict[str, Any], allowed: tuple[str, ...]) -> None:
    wrong = [name for name, value in given.items() if value is not None and name not in allowed]
    if wrong:
        takes = f"it takes {', '.join(allowed)}" if allowed else "it takes no parameters"
        raise OptionError(f"{wrong[0]}= does not belong to this rule: {takes}")


def _checked_parameters(given: dict[str, Any], stabilizer: Stabilizer) -> RuleParameters:
    """Rule parameters from those that are given, each a finite number (a bound may be a tensor)."""
    chosen: dict[str, Any] = {
        name: value if isinstance(value, Tensor | np.ndarray) and name in ("low", "high") else number(name, value)
        for name, value in given.items()
        if value is not None
    }
    return RuleParameters(**chosen, stabilizer=stabilizer)


def _default_alpha_beta(given: dict[str, Any]) -> dict[str, Any]:
    """One of alpha and beta says the other: alpha - beta = 1."""
    alpha, beta = given["alpha"], given["beta"]
    if alpha is not None and beta is None:
        return given | {"beta": number("alpha", alpha) - 1}
    if beta is not None and alpha is None:
        return given | {"alpha": number("beta", beta) + 1}
    return given


def _hidden_rule(name: str) -> str:
    rule = RULE_NAMES.get(name, name)
    allowed = ("epsilon", "epsilon_std_x", "gamma", "zplus", "alpha_beta", "z")
    if rule not in allowed:
        raise OptionError(f"hidden_rule={name!r} is not one of {', '.join(map(repr, allowed))}")
    return rule


def _pairs_for_dict(composite: Any) -> zennit.core.Composite:
    """The composite, with a layer map written as a dict read as the list of pairs that Zennit takes."""
    if not isinstance(composite, zennit.core.Composite):
        raise OptionError(f"composite= must be a Zennit composite, not {type(composite).__name__}")
    layer_map = getattr(composite, "layer_map", None)
    if isinstance(composite, zennit.composites.LayerMapComposite) and isinstance(layer_map, dict):
        return zennit.composites.LayerMapComposite(list(layer_map.items()), canonizers=composite.canonizers)
    return composite


class LRPSequential(_LayerRulesAnalyzer):
    """LRP with one rule for the first, one for the last and one for the other linear layers, in order of execution.

    Args:
        model: as for ``Analyzer``, and its keyword options.
        first_layer_rule, middle_layer_rule, last_layer_rule: any rule of ``AdvancedLRPAnalyzer`` but "custom".
        epsilon, gamma, alpha, beta, mu, low, high: the rules' parameters, by keyword.

    Raises:
        OptionError: if a rule is unknown, or a parameter belongs to none of them.
    """

    changes_model = False

    def __init__(
        self,
        model: nn.Module,
        first_layer_rule: str = "zbox",
        middle_layer_rule: str = "alphabeta",
        last_layer_rule: str = "epsilon",
        *,
        epsilon: float | None = None,
        gamma: float | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        mu: float | None = None,
        low: Any = None,
        high: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        self.first_layer_rule, self.middle_layer_rule, self.last_layer_rule = first_layer_rule, middle_layer_rule, last_layer_rule
        names = [RULE_NAMES.get(rule, rule) for rule in (first_layer_rule, middle_layer_rule, last_layer_rule)]
        for name in names:
            if name not in RULES:
                raise OptionError(f"{name!r} is not one of {', '.join(map(repr, RULE_TYPES[:-1]))}")
        given = {"epsilon": epsilon, "gamma": gamma, "alpha": alpha, "beta": beta, "mu": mu, "low": low, "high": high}
        _refuse(given, tuple(parameter for name in names for parameter in RULE_PARAMETERS.get(name, ())))
        parameters = _checked_parameters(_default_alpha_beta(given), self.stabilizer)
        first, middle, last = (RULES[name](parameters) for name in names)
        self.composite = LayerRules(linear=middle, convolution=middle, first=first, last=last)


class DeepTaylorAnalyzer(_LayerRulesAnalyzer):
    """Deep Taylor decomposition, with LRP-epsilon as its proxy (Montavon et al. 2017).

    Args:
        model: as for ``Analyzer``, and its keyword options.
        epsilon: of the epsilon rule, at least 0.
    """

    changes_model = False

    def __init__(self, model: nn.Module, epsilon: float = 1e-6, **options: Any) -> None:
        super().__init__(model, **options)
        self.epsilon = number("epsilon", epsilon, at_least=0)
        self.composite = layer_rules("lrp", "epsilon", RuleParameters(epsilon=self.epsilon))
