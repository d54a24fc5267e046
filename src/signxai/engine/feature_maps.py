"""Spatial feature maps found while a network runs: those of convolutions, and the tokens of transformers laid out as a grid."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from signxai.engine.call import Call
from signxai.engine.graph import needs_relevance
from signxai.engine.layers import CONVOLUTIONS
from signxai.engine.mode import ForwardPass
from signxai.engine.registry import ANY_PASS, FEATURE_MAPS, RuleTable
from signxai.engine.saved import SavedTensor

_MOST_PREFIX = 8
"""At most so many tokens in front of those of the patches: the class token, registers."""

_REMEMBERED = 8
"""So many outputs of norms are remembered: the last layers of a transformer that reads out one token give the others no gradient."""


@dataclass(frozen=True)
class Layout:
    """How a feature map's axes are laid out: channels first (N, C, ...), or last, with ``prefix`` tokens in front of a grid."""

    grid: tuple[int, ...]
    channels_last: bool = False
    prefix: int = 0

    def channels_first(self, values: Tensor) -> Tensor:
        """Values or gradients of the map as (N, C, *grid)."""
        if not self.channels_last:
            return values
        flat = values.flatten(1, -2)[:, self.prefix :]
        return flat.transpose(1, 2).reshape(len(values), -1, *self.grid)


def layout_of(shape: Sequence[int], of_input: Sequence[int], known_grid: Sequence[int] | None = None) -> Layout | None:
    """How a feature map of this shape lies over an input (N, C, ...) of another; None if that cannot be told.

    Args:
        shape: of the feature map (N, C, ...), (N, ..., C) or (N, tokens, C).
        of_input: the input's shape.
        known_grid: the spatial axes of the convolution that made patches into tokens, if there was one.

    >>> layout_of((1, 512, 7, 7), (1, 3, 224, 224))
    Layout(grid=(7, 7), channels_last=False, prefix=0)
    >>> layout_of((1, 197, 768), (1, 3, 224, 224))
    Layout(grid=(14, 14), channels_last=True, prefix=1)
    >>> layout_of((1, 7, 7, 768), (1, 3, 224, 224))
    Layout(grid=(7, 7), channels_last=True, prefix=0)
    """
    if len(shape) == len(of_input) and _covers(shape[2:], of_input[2:]):
        return Layout(tuple(shape[2:]))
    return channels_last_layout(shape, of_input, known_grid)


def channels_last_layout(shape: Sequence[int], of_input: Sequence[int], known_grid: Sequence[int] | None = None) -> Layout | None:
    """The same for a map that is known to have its channels on the last axis."""
    extent = tuple(of_input[2:])
    if len(shape) == 3:
        return token_layout(shape, extent, known_grid)
    return Layout(tuple(shape[1:-1]), channels_last=True) if _covers(shape[1:-1], extent) else None


def token_layout(shape: Sequence[int], extent: tuple[int, ...], known_grid: Sequence[int] | None) -> Layout | None:
    """The grid of tokens (N, tokens, C) over spatial axes of these lengths, behind as few other tokens as possible."""
    for prefix in range(_MOST_PREFIX + 1):
        for grid in _grids(shape[1] - prefix, len(extent)):
            if tuple(known_grid or grid) == grid and _covers(grid, extent):
                return Layout(grid, channels_last=True, prefix=prefix)
    return None if known_grid is None else token_layout(shape, extent, None)


def _grids(count: int, axes: int) -> Iterator[tuple[int, ...]]:
    """All ways to arrange so many tokens along one or two axes."""
    if axes == 1 and count > 0:
        yield (count,)
    if axes == 2:
        yield from ((rows, count // rows) for rows in range(1, count + 1) if count % rows == 0)


def _covers(grid: Sequence[int], extent: Sequence[int]) -> bool:
    """Whether a grid is the extent divided by one stride, up to rounding."""
    if len(grid) != len(extent) or not grid or any(not 0 < cells <= length for cells, length in zip(grid, extent, strict=True)):
        return False
    low = max(length / (cells + 1) for cells, length in zip(grid, extent, strict=True))
    high = min(length / max(cells - 1, 0.5) for cells, length in zip(grid, extent, strict=True))
    return low < high


@dataclass(frozen=True)
class FeatureMap:
    """One feature map as it was executed."""

    edge: Any  # its place in the graph, whatever is done in place to the tensor later
    values: SavedTensor
    layout: Layout | None
    is_certain: bool  # not one of a transformer's norms, some of which no gradient reaches but at one token


@FEATURE_MAPS.rule_for(*CONVOLUTIONS)
def convolution(mode: FeatureMapPass, call: Call) -> Tensor:
    """A convolution's output, channels first."""
    result: Tensor = call.plain()
    if needs_relevance(result):
        mode.found.clear()
        mode.last_grid = tuple(result.shape[2:])
        mode.found.append(mode.remember(result, Layout(mode.last_grid), is_certain=True))
    return result


@FEATURE_MAPS.rule_for("layer_norm", "rms_norm")
def norm(mode: FeatureMapPass, call: Call) -> Tensor:
    """A norm over the channels of tokens or of a grid with channels last."""
    result: Tensor = call.plain()
    if needs_relevance(result) and result.ndim > 2:
        layout = channels_last_layout(result.shape, mode.shape, mode.last_grid)
        if layout is not None and torch.Size(layout.grid).numel() > 1:
            mode.found.append(mode.remember(result, layout, is_certain=False))
    return result


class FeatureMapPass(ForwardPass):
    """Remembers feature maps: those that are executed last, or what ``capture`` was called with last.

    Args:
        shape: of the input (N, C, ...).
        automatic: look for feature maps; otherwise only ``capture`` says what one is.
    """

    table: ClassVar[RuleTable] = FEATURE_MAPS

    def __init__(self, shape: Sequence[int], automatic: bool) -> None:
        super().__init__()
        self.rules = FEATURE_MAPS.rules if automatic else ANY_PASS.rules
        self.shape = tuple(shape)
        self.last_grid: tuple[int, ...] | None = None
        self.found: deque[FeatureMap] = deque(maxlen=_REMEMBERED)

    def capture(self, feature_map: Tensor) -> None:
        """Remember this one alone."""
        self.found.clear()
        self.found.append(self.remember(feature_map, self.layout(feature_map), is_certain=True))

    def layout(self, feature_map: Tensor) -> Layout | None:
        """How a feature map lies over the input."""
        return layout_of(feature_map.shape, self.shape, self.last_grid)

    def remember(self, feature_map: Tensor, layout: Layout | None, is_certain: bool) -> FeatureMap:
        """These values, and their place in the graph."""
        edge = torch.autograd.graph.get_gradient_edge(feature_map)
        return FeatureMap(edge, self.saver.save(feature_map), layout, is_certain)
