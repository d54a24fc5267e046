"""Reports: what a store of relevance maps holds, as a folder of pages that a browser opens from disk.

Importing it loads neither NumPy nor Jinja: the public name is fetched from its module at first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from signxai.reports.writing import write_report

__all__ = ["write_report"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'signxai.reports' has no attribute {name!r}; public names: {', '.join(__all__)}")
    return getattr(import_module("signxai.reports.writing"), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
