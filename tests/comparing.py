"""How far two maps lie apart, and whether two networks have the same."""

import numpy as np
import torch
from torch import Tensor, nn

from signxai import explain


def deviation(got: np.ndarray, expected: np.ndarray) -> float:
    """Largest |difference| relative to the largest |expected| value; infinite where ``got`` is not finite or of another shape."""
    got, expected = np.asarray(got, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if got.shape != expected.shape or not np.isfinite(got).all():
        return float("inf")
    scale = np.abs(expected).max()
    return float(np.abs(got - expected).max() / scale) if scale > 0 else float(np.abs(got).max())


def assert_same_map(one: nn.Module, other: nn.Module, x: Tensor, method: str, tolerance: float = 1e-12) -> None:
    """Two networks that are the same function have the same map of class 1, which is not zero."""
    a, b = (net(x.clone().requires_grad_()).detach() for net in (one, other))  # a reentrant checkpoint warns of inputs without gradient
    assert torch.allclose(a, b, rtol=1e-12, atol=1e-12), "the twins are not the same function"
    expected = explain(one, x, method, 1)
    assert np.abs(expected).max() > 0
    assert deviation(explain(other, x, method, 1), expected) < tolerance
