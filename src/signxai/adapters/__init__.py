"""Every method in the calls of other packages: ``signxai.adapters.captum`` for Captum, ``signxai.adapters.quantus`` for Quantus.

Importing it loads neither torch nor those packages: each module is loaded when it is asked for.
"""

from importlib import import_module
from typing import Any

__all__ = ["captum", "quantus"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'signxai.adapters' has no attribute {name!r}; its modules: {', '.join(__all__)}")
    return import_module(f"signxai.adapters.{name}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
