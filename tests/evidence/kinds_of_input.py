"""Every kind of input that a metric takes, each with a network, a map and a mask."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks import SHAPES, drawn, inputs, network, randomized
from signxai import explain

N = 3


class Words(nn.Module):
    """Token ids (N, T), or their embeddings (N, T, D)."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.hidden, self.out = nn.Embedding(9, 4), nn.Linear(24, 7), nn.Linear(7, 3)

    def forward(self, ids: Tensor | None = None, mask: Tensor | None = None, embeddings: Tensor | None = None) -> Tensor:
        rows = self.table(ids) if embeddings is None else embeddings
        rows = rows if mask is None else rows * mask[..., None]
        return self.out(F.relu(self.hidden(rows.flatten(1))))


class SignalAndTable(nn.Module):
    """A signal (N, 2, 12) beside numbers (N, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.table, self.out = nn.Conv1d(2, 4, 3), nn.Linear(3, 4), nn.Linear(8, 3)

    def forward(self, signal: Tensor, table: Tensor) -> Tensor:
        return self.out(torch.cat([F.relu(self.conv(signal)).mean(2), F.relu(self.table(table))], 1))


@dataclass
class Case:
    net: nn.Module
    x: Any
    relevance: Any
    mask: Any
    how: dict[str, Any] = field(default_factory=dict)
    target: Any = 0
    explains: str = "gradient"
    has_only_ids: bool = False

    def rows(self, row: int) -> Case:
        """One sample alone."""
        own = slice(row, row + 1)
        how = {key: cut(value, own) if key == "forward_kwargs" else value for key, value in self.how.items()}
        target = self.target[own] if isinstance(self.target, list) else self.target
        return Case(self.net, *(cut(value, own) for value in (self.x, self.relevance, self.mask)), how, target, self.explains)


def cut(value: Any, own: slice) -> Any:
    if isinstance(value, dict):
        return {key: cut(one, own) for key, one in value.items()}
    if isinstance(value, tuple):
        return tuple(cut(one, own) for one in value)
    return None if value is None else value[own]


def negated(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: negated(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return tuple(negated(one) for one in value)
    return None if value is None else -value


def half(shape: tuple[int, ...], seed: int = 3) -> np.ndarray:
    """A mask with about half of the places, and at least one inside and one outside, of each sample."""
    mask = np.random.default_rng(seed).random(shape) < 0.5
    mask.reshape(len(mask), -1)[:, 0], mask.reshape(len(mask), -1)[:, -1] = True, False
    return mask


def of_network(kind: str) -> Case:
    net, x = network(kind), inputs(kind, N)
    return Case(net, x, explain(net, x, "gradient_x_input", [0, 3, 1]), half((N, *SHAPES[kind])), target=[0, 3, 1])


def token_ids() -> Case:
    net, x = randomized(Words()), torch.randint(1, 9, (N, 6), generator=torch.Generator().manual_seed(2))
    how = {"imputer": 0, "unit": "token"}
    return Case(net, x, explain(net, x, "lrp_z", 1), half((N, 6)), how, target=1, explains="lrp_z", has_only_ids=True)


def embeddings() -> Case:
    net = randomized(Words())
    x = {"embeddings": drawn(N, 6, 4)}
    return Case(net, x, explain(net, x, "gradient_x_input", 1), {"embeddings": half((N, 6, 4))}, {"unit": "token"}, target=1)


def ids_and_mask() -> Case:
    net, case = randomized(Words()), token_ids()
    padding = torch.ones(N, 6, dtype=torch.int64)
    padding[0, 4:] = 0
    x = {"ids": case.x, "mask": padding}
    relevance = {"ids": explain(net, x, "lrp_z", 1)["ids"]}
    return Case(net, x, relevance, {"ids": half((N, 6))}, case.how, target=1, explains="lrp_z", has_only_ids=True)


def several() -> Case:
    net, x = randomized(SignalAndTable()), (drawn(N, 2, 12), drawn(N, 3, seed=7))
    mask = half((N, 2, 12)), half((N, 3))
    return Case(net, x, explain(net, x, "gradient_x_input", 2), mask, {"imputer": {0: "interpolation", 1: 0.0}}, target=2)


def one_of_several() -> Case:
    net, case = randomized(SignalAndTable()), several()
    x = {"signal": case.x[0]}
    relevance = explain(net, x, "gradient_x_input", 2, forward_kwargs={"table": case.x[1]})
    return Case(net, x, relevance, {"signal": half((N, 2, 12))}, {"forward_kwargs": {"table": case.x[1]}}, target=2)


def with_softmax() -> Case:
    case = of_network("cnn1d")
    return Case(nn.Sequential(case.net, nn.Softmax(1)), case.x, case.relevance, case.mask, target=case.target)


KINDS = {
    **{kind: lambda kind=kind: of_network(kind) for kind in SHAPES},
    "token ids": token_ids,
    "embeddings": embeddings,
    "ids and mask": ids_and_mask,
    "several": several,
    "one of several": one_of_several,
    "softmax": with_softmax,
}
