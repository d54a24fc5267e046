"""What the tests of signals have in common."""

import warnings

import pytest


@pytest.fixture(scope="module")
def neurokit2():
    pytest.importorskip("wfdb")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it imports
        return pytest.importorskip("neurokit2")
