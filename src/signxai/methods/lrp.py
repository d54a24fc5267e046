"""Layer-wise relevance propagation by rules for layers, and by Zennit composites."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
from signxai.methods.composites import LayerRules, layer_rule, layer_rules
from signxai.names import catalog
from signxai.names.attention_rules import ATTENTION_RULES, CP, DEFAULT_ATTENTION
from signxai.names.forms import LRP_OPTIONS
from signxai.names.records import Parameter, Rule

AnyPass = TypeVar("AnyPass", bound=RelevancePass)

_COMMON = frozenset(option.keyword for option in LRP_OPTIONS)


class _LayerRulesAnalyzer(Analyzer):
    """LRP under rules for layers.

    Args (keyword):
        stabilizer: added to denominators that have no epsilon, with their sign, as Zennit does with 1e-6; 0: exact, 0 / 0 = 0.
        strict: an operation without a known rule is an error instead of a warning.
        attention: "attnlrp" (half of an attention product to the weights: Achtibat et al. 2024) or "cp" (the weights are constants, and
            all goes to the values: CP-LRP, Ali et al. 2022).

    Raises:
        OptionError: if one of them has a value that is not allowed.
    """

    is_one_backward_pass = True
    takes_token_ids = True

    def __init__(
        self, model: nn.Module, *, stabilizer: Stabilizer = 0.0, strict: bool = False, attention: str = DEFAULT_ATTENTION, **common: Any
    ) -> None:
        super().__init__(model, **common)
        self.stabilizer = stabilizer if callable(stabilizer) else number("stabilizer", stabilizer, at_least=0)
        self.strict = flag("strict", strict)
        if attention not in ATTENTION_RULES:
            raise OptionError(f"attention={attention!r} is not one of {', '.join(map(repr, ATTENTION_RULES))}")
        self.attention = attention
        self.composite: LayerRules | zennit.core.Composite

    def attribute(self, batch: Batch) -> Tensor:
        return batch.backward(self.mode(RelevancePass))

    def mode(self, kind: type[AnyPass]) -> AnyPass:
        """A pass of this kind for one forward and backward under this analyzer's rules."""
        assert isinstance(self.composite, LayerRules)
        weights_are_constant = self.attention == CP
        return kind(self.composite, self.stabilizer, self.strict, self.composite.is_z, weights_are_constant)


class MethodLRPAnalyzer(_LayerRulesAnalyzer):
    """LRP as a method name spells it: an input word (``lrp``, ``lrpsign``, ...) and a rule.

    Args:
        model: as for ``Analyzer``, and its keyword options.
        input_word: "lrp", "lrpsign", "lrpz", "zblrp", "w2lrp", "flatlrp", or another one of the catalog.
        rule: a rule or composite by its name in the catalog, for example "epsilon_std_x".
        options: the parameters of the two by keyword, for example ``epsilon=``, and ``stabilizer`` and ``strict``.

    Raises:
        MethodNameError: if there is no such input word or rule.
        OptionError: if a parameter does not belong to them, or its value is not allowed.
    """

    changes_model = False
    takes_several = True

    def __init__(self, model: nn.Module, input_word: str, rule: str, **options: Any) -> None:
        parameters = catalog.current().form(input_word, rule).parameters.values()
        values, rest = _parted(options, parameters)
        super().__init__(model, **rest)
        self.input_word = input_word
        self.rule = rule
        self.composite = layer_rules(input_word, rule, values, self.stabilizer)


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
    takes_several = True

    def __init__(
        self, model: nn.Module, rule: str = "epsilon", epsilon: float = 1e-6, *, alpha: float = 1.0, beta: float = 0.0, **options: Any
    ) -> None:
        super().__init__(model, **options)
        if rule not in ("epsilon", "zplus", "alphabeta"):
            raise OptionError(f"rule={rule!r} is not one of 'epsilon', 'zplus', 'alphabeta'; AdvancedLRPAnalyzer has more")
        self.rule = rule
        self.epsilon = number("epsilon", epsilon, at_least=0)
        self.alpha, self.beta = number("alpha", alpha), number("beta", beta)
        values = {"epsilon": self.epsilon, "alpha": self.alpha, "beta": self.beta}
        self.composite = _everywhere(_rule_named("rule", rule, _all_rules()), values, self.stabilizer)


class AdvancedLRPAnalyzer(_LayerRulesAnalyzer):
    """LRP with any rule; rules for the input go to the layers that read it, the others take ``hidden_rule``.

    Args:
        model: as for ``Analyzer``, and its keyword options.
        rule_type: "epsilon", "stdx_epsilon", "gamma", "zplus", "alphabeta"; "zbox", "wsquare", "flat", "sign" (input layers);
            another rule of the catalog; or "custom".
        hidden_rule: the other layers' rule, for input rules; epsilon, unless given.
        composite: any Zennit composite, for "custom". It runs as Zennit would run it, canonizers included; a layer map given
            as a dict counts as its list of pairs.
        options: the rule's (and the hidden rule's) parameters by keyword: epsilon, gamma, alpha, beta, mu, low, high. ``low``
            and ``high`` default to each sample's own minimum and maximum.

    Raises:
        OptionError: if a parameter does not belong to the rule, or the composite is missing or no composite.
    """

    changes_model = False
    takes_several = True

    def __init__(self, model: nn.Module, rule_type: str, *, hidden_rule: str | None = None, composite: Any = None, **options: Any) -> None:
        if (rule_type == "custom") != (composite is not None):
            raise OptionError("rule_type='custom' and composite= go together: give a Zennit composite with it, and only with it")
        if rule_type == "custom" and hidden_rule is not None:
            raise OptionError("hidden_rule= goes with an input rule, not with 'custom'")
        rules = [] if rule_type == "custom" else self._rules(rule_type, hidden_rule)
        values, rest = _parted(options, _parameters_of(rules))
        super().__init__(model, **rest)
        self.rule_type = rule_type
        self.hidden_rule = hidden_rule
        if rule_type == "custom":
            if self.attention != DEFAULT_ATTENTION:
                raise OptionError(f"attention={self.attention!r} does not go with rule_type='custom': Zennit's composite says it all")
            self.composite = _pairs_for_dict(composite)
            self.writes_parameters = True
            return
        first, *hidden = [layer_rule(rule, values, self.stabilizer) for rule in rules]
        self.composite = LayerRules(hidden[0], hidden[0], first=first) if hidden else LayerRules(first, first)

    @staticmethod
    def _rules(rule_type: str, hidden_rule: str | None) -> list[Rule]:
        """The rule and, where it is for inputs, the one of the other layers."""
        rule = _rule_named("rule_type", rule_type, _all_rules(), "custom")
        if rule.is_for_inputs:
            hidden = [other for other in _all_rules() if not other.is_for_inputs]
            return [rule, _rule_named("hidden_rule", hidden_rule or "epsilon", hidden)]
        if hidden_rule is not None:
            for_inputs = ", ".join(other.analyzer_name for other in _all_rules() if other.is_for_inputs)
            raise OptionError(f"hidden_rule= goes with an input rule ({for_inputs}), not with {rule_type!r}")
        return [rule]

    def attribute(self, batch: Batch) -> Tensor:
        if self.rule_type != "custom":
            return super().attribute(batch)
        composite: Any = self.composite
        with composite.context(batch.net) as modified:
            return replace(batch, net=modified).backward(GradientPass())


def _all_rules() -> list[Rule]:
    return list(catalog.current().rules.values())


def _rule_named(argument: str, name: object, rules: Iterable[Rule], *more: str) -> Rule:
    """The rule of this name, as the catalog or as the analyzers spell it."""
    rules = list(rules)
    for rule in rules:
        if name in (rule.name, rule.analyzer_name):
            return rule
    allowed = ", ".join(map(repr, [*(rule.analyzer_name for rule in rules), *more]))
    raise OptionError(f"{argument}={name!r} is not one of {allowed}")


def _everywhere(rule: Rule, values: Mapping[str, Any], stabilizer: Stabilizer) -> LayerRules:
    made = layer_rule(rule, values, stabilizer)
    return LayerRules(linear=made, convolution=made)


def _parameters_of(rules: Iterable[Rule]) -> list[Parameter]:
    return [parameter for rule in rules for parameter in rule.parameters]


def _parted(options: Mapping[str, Any], parameters: Iterable[Parameter]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The rules' parameters that are given (None: not given), checked; and the options of every LRP analyzer."""
    own = {parameter.keyword: parameter for parameter in parameters}
    values, rest = {}, {}
    for keyword, value in options.items():
        if keyword in _COMMON:
            rest[keyword] = value
        elif keyword in own and value is not None:
            values[keyword] = _checked(own[keyword], value)
        elif keyword not in own and (value is not None or not _is_of_any_rule(keyword)):
            takes = f"its parameters are {', '.join(own)}" if own else "it takes no parameters"
            raise OptionError(f"{keyword}= does not belong to this rule: {takes}; its options are {', '.join(sorted(_COMMON))}")
    return values, rest


def _is_of_any_rule(keyword: str) -> bool:
    return any(parameter.keyword == keyword for parameter in _parameters_of(_all_rules()))


def _checked(parameter: Parameter, value: Any) -> Any:
    if parameter.takes_tensor and isinstance(value, Tensor | np.ndarray):
        return value
    if complaint := parameter.complaint(value):
        raise OptionError(complaint)
    return parameter.kind(value)


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
        options: the rules' parameters by keyword: epsilon, gamma, alpha, beta, mu, low, high.

    Raises:
        OptionError: if a rule is unknown, or a parameter belongs to none of them.
    """

    changes_model = False
    takes_several = True

    def __init__(
        self,
        model: nn.Module,
        first_layer_rule: str = "zbox",
        middle_layer_rule: str = "alphabeta",
        last_layer_rule: str = "epsilon",
        **options: Any,
    ) -> None:
        names = {"first_layer_rule": first_layer_rule, "middle_layer_rule": middle_layer_rule, "last_layer_rule": last_layer_rule}
        rules = [_rule_named(argument, name, _all_rules()) for argument, name in names.items()]
        values, rest = _parted(options, _parameters_of(rules))
        super().__init__(model, **rest)
        self.first_layer_rule, self.middle_layer_rule, self.last_layer_rule = first_layer_rule, middle_layer_rule, last_layer_rule
        first, middle, last = (layer_rule(rule, values, self.stabilizer) for rule in rules)
        self.composite = LayerRules(linear=middle, convolution=middle, first=first, last=last)


class DeepTaylorAnalyzer(_LayerRulesAnalyzer):
    """Deep Taylor decomposition, with LRP-epsilon as its proxy (Montavon et al. 2017).

    Args:
        model: as for ``Analyzer``, and its keyword options.
        epsilon: of the epsilon rule, at least 0.
    """

    changes_model = False
    takes_several = True

    def __init__(self, model: nn.Module, epsilon: float = 1e-6, **options: Any) -> None:
        super().__init__(model, **options)
        self.epsilon = number("epsilon", epsilon, at_least=0)
        self.composite = layer_rules("lrp", "epsilon", {"epsilon": self.epsilon})
