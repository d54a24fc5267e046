"""What holds for every method on every network."""

import numpy as np

from comparing import deviation
from networks import CONVOLUTIONAL
from sentences import is_cam, options
from signxai import explain, parse_method

# a method's own sizes, so that the repeated-gradient methods do not take the whole suite's time
QUICK = {"smoothgrad": {"num_samples": 5}, "vargrad": {"num_samples": 5}, "integrated_gradients": {"steps": 6}}
TARGETS = [0, 3, 1, 2]


def quick(name):
    return {**options(name), **QUICK.get(parse_method(name).method, {})}


def runs_on(name, kind):
    return kind in CONVOLUTIONAL or not is_cam(name)


def keeps_the_contract(net, x, name):
    """Shape, type, finite numbers, determinism, and a batch that equals its samples."""
    batch = explain(net, x, name, TARGETS, **quick(name))
    assert isinstance(batch, np.ndarray)
    assert batch.dtype == np.float64
    assert batch.shape == x.shape
    assert np.isfinite(batch).all()
    assert np.abs(batch).max() > 0
    np.testing.assert_array_equal(explain(net, x, name, TARGETS, **quick(name)), batch, err_msg="the same call gives another map")
    for size in (1, 3):
        assert deviation(explain(net, x, name, TARGETS, batch_size=size, **quick(name)), batch) < 1e-12
    single = np.concatenate([explain(net, x[i : i + 1], name, TARGETS[i], **quick(name)) for i in range(4)])
    assert deviation(single, batch) < 1e-12
