"""Settings all tests share."""

import os
from importlib.metadata import version
from importlib.util import find_spec

import pytest
import torch

from networks import inputs, network
from signxai.names import catalog
from signxai.text.tokens import LEAST_TRANSFORMERS

os.environ["MPLBACKEND"] = "Agg"  # no window, whatever the machine
os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start: each core has a test of its own
collect_ignore_glob = ["conftest.py", "*/conftest.py"]  # they hold no doctests, and are all called conftest
torch.set_num_threads(1)  # the networks are too small for more to pay


IS_TOO_OLD_FOR_TEXTS = int(version("transformers").partition(".")[0]) < LEAST_TRANSFORMERS


def _explains_texts(item):
    """Whether a test, or the block of a document that it runs, calls ``explain_text``."""
    block = getattr(item, "callspec", None) and item.callspec.params.get("block", "")
    places = ("tests/text/", "signxai.text.explaining", "signxai.text.bundled", "model_directories")
    return any(place in item.nodeid for place in places) or any(word in str(block) for word in ("explain_text", "signxai text"))


HAS_ZARR = find_spec("zarr") is not None


def _writes_stores(item):
    """Whether a doctest, or the block of a document that a test runs, needs zarr, which is had from Python 3.11 on."""
    block = getattr(item, "callspec", None) and item.callspec.params.get("block", "")
    examples = "".join(example.source for example in item.dtest.examples) if hasattr(item, "dtest") else ""
    return any(word in f"{block}{examples}" for word in ("explain_dataset", "signxai run"))


QUICK_CASES = 8
"""Of a test with more cases than that, ``make test-quick`` runs so many, from its first to its last."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """What is left of tests with many cases for a quick run; and texts are explained by later versions of transformers alone."""
    families = {}
    for item in items:
        if IS_TOO_OLD_FOR_TEXTS and _explains_texts(item):
            item.add_marker(pytest.mark.skip(reason=f"texts need transformers {LEAST_TRANSFORMERS}"))
        if not HAS_ZARR and _writes_stores(item):
            item.add_marker(pytest.mark.skip(reason="stores need zarr 3, and that Python 3.11"))
        families.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for cases in families.values():
        kept = {round(place * (len(cases) - 1) / (QUICK_CASES - 1)) for place in range(QUICK_CASES)}
        for place, item in enumerate(cases):
            if len(cases) > QUICK_CASES and place not in kept:
                item.add_marker("slow")


def pytest_collectstart(collector):
    """What a module of tests draws as it is imported is the same in each run."""
    torch.manual_seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """What a test draws without a seed of its own is the same in each run, whichever tests ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="module", autouse=True)
def registered_methods_are_forgotten():
    """What a module's tests register is gone behind them."""
    before = catalog.current().records
    yield
    catalog.unregister(*(record for record in catalog.current().records if record not in before))


@pytest.fixture(scope="module")
def net():
    """The network of which many questions are asked; where another serves better, a module has its own."""
    return network("cnn2d")


@pytest.fixture(scope="module")
def x():
    return inputs("cnn2d")
