"""Settings all tests share."""

import os

import pytest
import torch

from signxai.names import grammar as naming

os.environ["MPLBACKEND"] = "Agg"  # no window, whatever the machine
os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start: each core has a test of its own
torch.set_num_threads(1)  # the networks are too small for more to pay


@pytest.fixture(scope="module", autouse=True)
def registered_methods_are_forgotten():
    """What a module's tests register is gone behind them."""
    before = dict(naming._registered)
    yield
    naming._registered.clear()
    naming._registered.update(before)
    naming._parsed.cache_clear()
