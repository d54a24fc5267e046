"""Compare maps with autoLRP, which works on the operations of a network too: python tools/compare_with_autolrp.py

It changes torch functions, so this runs in an environment of its own:

    python -m venv .venv-autolrp
    .venv-autolrp/bin/pip install . autolrp==0.2.0
    .venv-autolrp/bin/python tools/compare_with_autolrp.py

Only where both compute one formula: linear layers and convolutions without a bias, activations, max pooling and products of two
signals. Biases, sums and means are by magnitude there, ``|a| / (|a| + |b|)``, and by contribution here, ``a / (a + b)``. Random
networks in float64, relevance of one logit; it prints the largest deviation relative to the largest value.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from signxai import explain

STABILIZER = 1e-13
"""It knows no division without one."""


class ByHand(nn.Module):
    """Matrix products and activations as operators."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.randn(12, 16)), nn.Parameter(torch.randn(16, 4))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x.mm(self.a)) @ self.b


class Attention(nn.Module):
    """Scores of two signals, without a softmax, times values: products of two signals alone."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(6, 8, bias=False) for _ in range(3))
        self.head = nn.Linear(40, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        scores = torch.bmm(self.q(x), self.k(x).transpose(1, 2))
        return self.head(torch.bmm(scores, self.v(x)).flatten(1))


def convolutional() -> nn.Module:
    """Convolutions, ReLU, max pooling and linear layers, as in VGG."""
    one, two = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.Conv2d(8, 12, 3, bias=False)
    features = (one, nn.ReLU(), nn.MaxPool2d(2), two, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    return nn.Sequential(*features, nn.Linear(12 * 3 * 3, 20, bias=False), nn.ReLU(), nn.Linear(20, 4, bias=False))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "convolutional network": (convolutional, (1, 3, 16, 16)),
    "matrix products by hand": (ByHand, (1, 12)),
    "products of two signals": (Attention, (1, 5, 6)),
}
LAYERS = ("AddmmBackward", "MmBackward", "ConvolutionBackward")
FORMULAS: dict[str, Any] = {
    "lrp_epsilon_0_1": ("epsilon", 0.1),
    "lrp_z": ("epsilon", STABILIZER),
    "lrp_zplus": ("zplus", STABILIZER),
    "lrp_alpha_2_beta_1": (("alpha_beta", {"alpha": 2.0, "beta": 1.0}), STABILIZER),
}


EXACT_PRODUCTS = ("products of two signals",)
"""Where its epsilon stabilizes products of two signals too, which are exact here."""


def reference(network: nn.Module, x: Tensor, rule: Any, epsilon: float) -> Tensor:
    """What autoLRP gives of the logit 1; relevance starts with 1."""
    autolrp: Any = importlib.import_module("autolrp")
    wrapped = autolrp.tensor(x.clone())
    logit = network(wrapped)[0, 1]
    config = autolrp.LRPConfig(rule={**autolrp.BASE, **dict.fromkeys(LAYERS, rule)}, eps=epsilon)
    logit.lrp(config=config)
    result: Tensor = wrapped.relevance.detach()
    return result


def main() -> None:
    """Print the deviations."""
    for name, (make, shape) in NETWORKS.items():
        torch.manual_seed(0)
        network, x = make().double().eval(), torch.randn(shape, dtype=torch.float64)
        for method, (rule, epsilon) in FORMULAS.items():
            if name in EXACT_PRODUCTS and epsilon > STABILIZER:
                continue
            ours = explain(network, x, method, 1)
            theirs = np.asarray(reference(network, x, rule, epsilon).as_subclass(Tensor))
            sys.stdout.write(f"| {name} | {method} | {np.abs(ours - theirs).max() / np.abs(ours).max():.0e} |\n")


if __name__ == "__main__":
    main()
