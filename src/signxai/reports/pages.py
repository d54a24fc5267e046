"""Templates filled in, and the files that pages share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from signxai.reports.encoding import script_json
from signxai.reports.packages import jinja_package

__all__ = ["Pages"]

_HERE = Path(__file__).parent


class Pages:
    """Writes the pages of a report to its folder.

    Args:
        folder: where they go.
        common: what all templates are given.

    Raises:
        OptionError: the package jinja2 is missing.
    """

    def __init__(self, folder: Path, common: dict[str, Any]) -> None:
        jinja = jinja_package()
        loader = jinja.FileSystemLoader(_HERE / "templates")
        self._environment = jinja.Environment(
            loader=loader, autoescape=True, undefined=jinja.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._environment.filters |= {"number": number, "percent": percent, "signed": signed, "script_json": script_json}
        self._environment.globals |= common
        self.folder = folder
        (folder / "assets").mkdir()
        for asset in sorted((_HERE / "assets").iterdir()):
            (folder / "assets" / asset.name).write_bytes(asset.read_bytes())

    def write(self, path: str, template: str, **content: Any) -> None:
        """Write a page, at a path in the report's folder."""
        depth = path.count("/")
        text = self._environment.get_template(template).render(root="../" * depth, **content)
        self._put(path, text)

    def write_data(self, path: str, call: str, content: Any) -> None:
        """Write numbers as a script that hands them to a function of the report's script, as pages on disk may load no other files."""
        self._put(path, f"signxaiReport.{call}({script_json(content)});\n")

    def _put(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", errors="backslashreplace")  # a store may lie in a folder whose name is no UTF-8


def number(value: float | None) -> str:
    """A number as pages show it.

    >>> number(0.123456), number(None), number(float("nan")), number(-0.0)
    ('0.1235', '–', '–', '0')
    """
    if value is None or math.isnan(value):
        return "–"
    return f"{value + 0.0:.4g}".replace("-", "−")


def signed(value: float) -> str:
    """A number with its sign.

    >>> signed(0.5), signed(-2.0)
    ('+0.5', '−2')
    """
    return f"{value + 0.0:+.4g}".replace("-", "−")


def percent(value: float | None) -> str:
    """A share in percent.

    >>> percent(0.625), percent(None)
    ('62.5%', '–')
    """
    return "–" if value is None or math.isnan(value) else f"{value:.1%}"
