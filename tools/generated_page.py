"""What tools have in common that write parts of a page of the documentation."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def parts_from(source: str) -> re.Pattern[str]:
    """What finds the parts of a page between ``<!-- from SOURCE: NAME ARGUMENTS -->`` and ``<!-- end -->``."""
    return re.compile(rf"(<!-- from {source}: (\w+) ?([^>]*?) ?-->\n).*?(<!-- end -->)", re.DOTALL)


def with_parts(page: str, part: re.Pattern[str], parts: Mapping[str, Callable[..., str]]) -> str:
    """A page with every part as the function NAME has it now."""
    return part.sub(lambda found: f"{found[1]}{parts[found[2]](*found[3].split())}\n{found[4]}", page)


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """In Markdown."""
    return "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in (header, ("---",) * len(header), *rows))


def main(page: Path, rendered: Callable[[str], str], description: str | None) -> None:
    """Write the page, or check it."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--check", action="store_true", help="change nothing; exit status 1 if the page is out of date")
    before = page.read_text(encoding="utf-8")
    after = rendered(before)
    if options.parse_args().check:
        sys.exit(f"docs/{page.name} is out of date: run python {sys.argv[0]}" if after != before else 0)
    page.write_text(after, encoding="utf-8")
