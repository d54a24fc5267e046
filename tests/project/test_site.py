"""The site: every page is listed once, every public name has an entry, and it is made without a warning."""

import importlib
import re
import subprocess
import sys

import pytest

import signxai
from places import ROOT

INDEX = (ROOT / "docs" / "index.md").read_text()
REFERENCE = {path: path.read_text() for path in sorted((ROOT / "docs" / "reference").glob("*.md"))}
LISTED = [(ROOT / "docs" / target).resolve() for target in re.findall(r"^(?:[^`:\n]*<)?([\w./]+\.md)>?$", INDEX, re.M)]
DESCRIBED = re.findall(r"automodule:: ([\w.]+)", "\n".join(REFERENCE.values()))


def test_every_page_is_listed_once_in_the_order_of_the_site():
    pages = {ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md"), *REFERENCE}
    assert pages - {ROOT / "docs" / "index.md"} <= set(LISTED)
    assert len(LISTED) == len(set(LISTED))


def test_every_public_package_has_a_page_of_reference():
    packages = {"signxai", *(f"signxai.{name}" for name in signxai._MODULES)}
    assert {name for name in packages if not any(found == name or found.startswith(f"{name}.") for found in DESCRIBED)} == set()
    assert len(DESCRIBED) == len(set(DESCRIBED))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, made as `make docs` makes it."""
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    pytest.importorskip("myst_parser")
    folder = tmp_path_factory.mktemp("site")
    command = re.search(r"python (-m sphinx .*) \. out/docs$", (ROOT / "Makefile").read_text(), re.M)[1]
    arguments = [sys.executable, *command.replace("out/doctrees", str(folder / "doctrees")).split(), ".", folder / "html"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "html"


def described_names():
    """Each public name, and under which names it may be described: a function that several modules give has one entry."""
    modules = map(importlib.import_module, DESCRIBED)
    names = [(module, name) for module in modules for name in getattr(module, "__all__", [one for one in vars(module) if one[0].isupper()])]
    given = [(f"{module.__name__}.{name}", getattr(module, name)) for module, name in names]
    return {name: [other for other, same in given if same is value] for name, value in given}


@pytest.mark.slow
def test_every_public_name_has_an_entry(site):
    from sphinx.util.inventory import InventoryFile

    with (site / "objects.inv").open("rb") as file:
        entries = InventoryFile.load(file, "", lambda base, uri: uri)
    known = {name for kind, names in entries.items() if kind.startswith("py:") for name in names}
    public = described_names()
    assert {"signxai.explain", "signxai.evidence.METRICS"} <= set(public)
    assert [name for name, others in public.items() if not known.intersection(others)] == []


@pytest.mark.slow
def test_pages_load_nothing_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(REFERENCE)
    for page in pages:
        loaded = re.findall(r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=\"([^\"]+)\"", page.read_text())
        assert [address for address in loaded if re.match(r"(?:https?:)?//", address)] == [], page.name


@pytest.mark.slow
def test_formulas_are_drawn(site):
    methods = (site / "docs" / "methods.html").read_text()
    assert methods.count("<math") > 30
    assert "$$" not in methods
