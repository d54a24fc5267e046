"""CITATION.cff and the BibTeX of the README say the same, and what is true of the package."""

import re

import pytest

import signxai
from places import ROOT

ENTRIES = dict(re.findall(r"^@\w+\{(\w+),\n(.*?)^\}", (ROOT / "README.md").read_text(), re.M | re.S))


def field(entry, name):
    """A field of an entry of BibTeX, without the braces that keep capitals."""
    return re.sub(r"[{}]", "", re.search(rf"^ *{name} *= \{{(.*)\}},$", ENTRIES[entry], re.M)[1])


@pytest.fixture(scope="module")
def citation():
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_the_version_is_the_package_s(citation):
    assert citation["version"] == signxai.__version__
    assert field("signxai", "note") == f"Version {signxai.__version__}"


def test_title_authors_and_license_are_the_package_s(citation):
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert f'name = "{citation["title"]}"' in pyproject
    assert f'license = "{citation["license"]}"' in pyproject
    assert all(f'authors = [{{ name = "{author["name"]}" }}]' in pyproject for author in citation["authors"])
    assert (field("signxai", "title"), field("signxai", "author")) == ("signxai", citation["authors"][0]["name"])


def test_the_paper_of_sign_is_the_catalog_s(citation):
    from signxai.names.papers import GUMPFER_2023

    paper = citation["references"][0]
    authors = [f"{author['family-names']}, {author['given-names']}" for author in paper["authors"]]
    assert authors == field("gumpfer2023signed", "author").split(" and ")
    for name in ("title", "journal", "doi"):
        assert field("gumpfer2023signed", name) == paper[name]
        assert paper[name] in str(GUMPFER_2023)
    assert (int(field("gumpfer2023signed", "volume")), int(field("gumpfer2023signed", "year"))) == (paper["volume"], paper["year"])
