"""The one door: explain a model's decision by a method's name."""

from signxai.engine.rule_registration import RuleHandle, register_rule, rules_for
from signxai.explaining import explain, explain_all, register_method
from signxai.inspecting import Report, Row, inspect_model

__all__ = ["Report", "Row", "RuleHandle", "explain", "explain_all", "inspect_model", "register_method", "register_rule", "rules_for"]
