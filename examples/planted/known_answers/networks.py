"""Small networks that learn the tasks, and what must hold of each before its answer counts as known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from known_answers.methods import TARGET
from known_answers.scene import Planted, Task

WIDTHS = (12, 16, 24, 24)
BATCH, RATE = 64, 6e-3

LEAST_ACCURACY = 0.98
LEAST_TURNED = 0.95
MOST_TURNED_BESIDE = 0.05
MOST_TURNED_IGNORED, MOST_SHIFT_IGNORED = 0.01, 0.02
"""Of what a task's network ignores: how often its removal may turn the class over, and how far it may shift the logit, as a part of what
the removal of the cause does."""


class UnknownAnswerError(ValueError):
    """A network does not rest on what was planted, or did not learn the task."""


def new_network(kind: str) -> nn.Module:
    """Four convolutions with batch norms and ReLUs, three max poolings, the mean over all places, one linear layer to two classes."""
    convolution, norm, pooling, mean, size = (
        (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d, 3)
        if kind == "picture"
        else (nn.Conv1d, nn.BatchNorm1d, nn.MaxPool1d, nn.AdaptiveAvgPool1d, 7)
    )
    layers: list[nn.Module] = []
    for before, after in zip((1, *WIDTHS), WIDTHS, strict=False):
        layers += [convolution(before, after, size, padding=size // 2), norm(after), nn.ReLU(), pooling(2)]
    return nn.Sequential(*layers[:-1], mean(1), nn.Flatten(), nn.Linear(WIDTHS[-1], 2))


def trained(task: Task, scenes: Planted, seed: int, steps: int) -> nn.Module:
    """A network that tells samples with the cause from those without, from random weights."""
    torch.manual_seed(seed)
    network = new_network(task.kind)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
    for x, changed, y in _batches(task, scenes, seed, steps):
        logits = network(x)
        loss = cross_entropy(logits, y)
        if task.ignores:
            loss = loss + (logits - network(changed)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def _batches(task: Task, scenes: Planted, seed: int, steps: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Samples, the same with the thing beside changed, and their classes, half of which have the cause."""
    states, draw = torch.from_numpy(scenes.states), np.random.default_rng(seed)
    for _ in range(steps):
        rows, y = draw.integers(0, len(states), BATCH), draw.integers(0, 2, BATCH)
        removal = np.where(y == TARGET, 0, draw.integers(1, states.shape[1], BATCH))
        changed = (draw.random(BATCH) >= np.where(y == TARGET, *task.accompanies)).astype(int)
        yield states[rows, removal, changed], states[rows, removal, 1 - changed], torch.from_numpy(y)


@dataclass(frozen=True)
class Facts:
    """What a network does with held-out samples.

    Attributes:
        accuracy: how often it is right, over samples with and without the cause, half of each.
        turned: for each removal of the cause, how often it turns the class over, of the samples that were told.
        turned_beside: how often changing the thing beside does.
        shift_beside: by how much that shifts the explained logit, as a part of what the removal of the cause does; medians.
    """

    accuracy: float
    turned: tuple[float, ...]
    turned_beside: float
    shift_beside: float


@torch.no_grad()
def logits_of(network: nn.Module, planted: Planted) -> npt.NDArray[np.float32]:
    """The logits of all states (N, 1 + removals, 2, classes)."""
    states = torch.from_numpy(planted.states)
    return np.asarray(network(states.flatten(0, 2)).reshape(*states.shape[:3], -1).numpy())


def facts_of(logits: npt.NDArray[np.float32]) -> Facts:
    """What follows from the logits of all states."""
    is_target = logits.argmax(-1) == TARGET
    own = logits[is_target[:, 0, 0], ..., TARGET]
    still = is_target[is_target[:, 0, 0]]
    removed = np.median(np.abs(own[:, 1:, 0] - own[:, :1, 0]), axis=0).min()
    return Facts(
        accuracy=float((is_target[:, 0].mean() + (~is_target[:, 1:]).mean()) / 2),
        turned=tuple(float(share) for share in (~still[:, 1:, 0]).mean(axis=0)),
        turned_beside=float((~still[:, 0, 1]).mean()),
        shift_beside=float(np.median(np.abs(own[:, 0, 1] - own[:, 0, 0])) / removed),
    )


def require_known(task: Task, facts: Facts, least_accuracy: float = LEAST_ACCURACY) -> None:
    """Let the network rest on the cause and on nothing beside it.

    Raises:
        UnknownAnswerError: if it does not.
    """
    wanted = [
        ("is right in", facts.accuracy, least_accuracy, 1.0),
        ("turns over without the cause in", min(facts.turned), LEAST_TURNED, 1.0),
        ("turns over with another thing changed in", facts.turned_beside, 0.0, MOST_TURNED_IGNORED if task.ignores else MOST_TURNED_BESIDE),
        ("heeds that thing by", facts.shift_beside, 0.0, MOST_SHIFT_IGNORED if task.ignores else np.inf),
    ]
    for what, share, least, most in wanted:
        if not least <= share <= most:
            limit = f"at least {least:.0%}" if share < least else f"at most {most:.0%}"
            raise UnknownAnswerError(
                f"{task.name} in a {task.kind}: the network {what} {share:.1%}, wanted is {limit}; train longer, or on more"
            )
