"""signxai shows what a PyTorch network's decision rests on.

Importing it loads no torch: each public name is fetched from its module at first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from signxai._version import __version__

if TYPE_CHECKING:
    from signxai.api import explain, explain_all, inspect_model, register_method, register_rule, rules_for
    from signxai.common.errors import SignxaiError
    from signxai.evidence.certifying import certify
    from signxai.evidence.comparing import compare_methods
    from signxai.evidence.comparison import Comparison
    from signxai.figures.showing import show
    from signxai.names.grammar import list_methods, parse_method

__all__ = [
    "Comparison",
    "SignxaiError",
    "__version__",
    "certify",
    "compare_methods",
    "explain",
    "explain_all",
    "inspect_model",
    "list_methods",
    "parse_method",
    "register_method",
    "register_rule",
    "rules_for",
    "show",
]

_HOME = {
    "Comparison": "signxai.evidence.comparison",
    "compare_methods": "signxai.evidence.comparing",
    "SignxaiError": "signxai.common.errors",
    "certify": "signxai.evidence.certifying",
    "explain": "signxai.api",
    "explain_all": "signxai.api",
    "register_method": "signxai.api",
    "inspect_model": "signxai.api",
    "register_rule": "signxai.api",
    "rules_for": "signxai.api",
    "show": "signxai.figures.showing",
    "list_methods": "signxai.names.grammar",
    "parse_method": "signxai.names.grammar",
}


_MODULES = frozenset({"adapters", "datasets", "evidence", "models", "reports", "targets", "text", "timeseries"})
"""Modules with public names of their own, which are loaded when they are asked for."""


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"signxai.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'signxai' has no attribute {name!r}; public names: {', '.join((*__all__, *sorted(_MODULES)))}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__) | _MODULES)
