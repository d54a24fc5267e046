"""The network and the inputs on which many questions about the engine are asked."""

import pytest

from networks import inputs, network


@pytest.fixture(scope="module")
def net():
    return network("cnn2d")


@pytest.fixture(scope="module")
def x():
    return inputs("cnn2d")
