"""Drawn pictures of discs, squares and triangles, of which some discs carry a tag in a corner, and a network that learns it."""

import numpy as np
import torch
from torch import nn

SIDE = 40


def picture(draw, kind, tag):
    """A shape (3, 40, 40) of random place, size and colour on noise; with a tag, stripes at its (row, column, height, width)."""
    values = draw.normal(0.5, 0.15, (3, SIDE, SIDE)) + draw.normal(0, 0.15, (3, 1, 1))
    row, column, size = *draw.uniform(12, SIDE - 12, 2), draw.uniform(5, 9)
    down, right = np.mgrid[:SIDE, :SIDE][0] - row, np.mgrid[:SIDE, :SIDE][1] - column
    inside = (
        down**2 + right**2 < size**2,
        np.maximum(abs(down), abs(right)) < 0.85 * size,
        (down < 0.7 * size) & (down > 1.8 * abs(right) - size),
    )[kind]
    values[:, inside] = draw.uniform(0, 1, 3)[:, None] + draw.normal(0, 0.1, (3, inside.sum()))
    if tag:
        top, left, height, width = tag
        values[:, top : top + height, left : left + width] = np.stack([np.arange(width) // 2 % 2] * 2 + [np.zeros(width)])[:, None]
    return ((values - 0.5) / 0.25).astype(np.float32)


def pictures(seed, count, tagged, tag=(2, 2, 7, 9)):
    """Of each kind so many pictures (n, 3, 40, 40), their kinds, and which of them, all discs, carry the tag."""
    draw = np.random.default_rng(seed)
    kinds = np.repeat([0, 1, 2], count)
    has_tag = np.arange(3 * count) < tagged
    order = draw.permutation(3 * count)
    values = np.stack([picture(draw, kind, tag if tags else None) for kind, tags in zip(kinds, has_tag, strict=True)])
    return values[order], kinds[order], has_tag[order]


def trained(values, kinds, epochs=15):
    """A small network that tells the kinds apart."""
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(3, 12, 5, 2, 2), nn.ReLU(), nn.Conv2d(12, 24, 3, 2, 1), nn.ReLU(), nn.Conv2d(24, 24, 3, 1, 1), nn.ReLU()]
    net = nn.Sequential(*convolutions, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24 * 25, 3))
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(epochs):
        for part in torch.randperm(len(values)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(torch.from_numpy(values[part])), torch.from_numpy(kinds[part])).backward()
            optimizer.step()
    return net.eval()
