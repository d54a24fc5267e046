"""Pictures of 32 x 32 pixels with small shapes of seven: six ways in which one of them decides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from known_answers.scene import FloatArray, Planted, Shape, Task, apart, box_of, layer, planted, within

SPACE = (32, 32)
SIDE = 7
SIZE = (SIDE, SIDE)
NOISE = 0.1
MARGIN = 2

_ROWS, _COLUMNS = np.mgrid[:SIDE, :SIDE] - SIDE // 2
CROSS = (np.abs(_ROWS) == np.abs(_COLUMNS)).astype(float)
PLUS = ((_ROWS == 0) | (_COLUMNS == 0)).astype(float)
DIAMOND = (np.abs(_ROWS) + np.abs(_COLUMNS) == SIDE // 2).astype(float)
BARS = ((np.abs(_ROWS) == 2) & (np.abs(_COLUMNS) < SIDE // 2)).astype(float)
BLOCK = ((np.abs(_ROWS) < 2) & (np.abs(_COLUMNS) < 3)).astype(float)
NOTHING = np.zeros(SIZE)


def _noise(draw: np.random.Generator) -> FloatArray:
    return draw.normal(0, NOISE, SPACE)


def _strength(draw: np.random.Generator) -> float:
    return float(draw.uniform(0.8, 1.2))


def _shapes(draw: np.random.Generator, corners: Sequence[Shape], kinds: Sequence[FloatArray]) -> FloatArray:
    """Shapes of these kinds, one at each corner."""
    chosen = draw.integers(0, len(kinds), len(corners))
    return sum((layer(SPACE, corner, _strength(draw) * kinds[kind]) for corner, kind in zip(corners, chosen, strict=True)), np.zeros(SPACE))


def one_cause(draw: np.random.Generator) -> Planted:
    """A cross among other shapes."""
    corner, other, *rest = apart(draw, [SIZE] * int(draw.integers(3, 6)), SPACE)
    others = [PLUS, DIAMOND, BARS]
    ground = _noise(draw) + _shapes(draw, rest, others)
    causes = [layer(SPACE, corner, _strength(draw) * shape) for shape in (CROSS, NOTHING)]
    beside = [_shapes(draw, [other], others), np.zeros(SPACE)]
    return planted(ground, causes, beside, [within(SPACE, corner, SIZE)], within(SPACE, other, SIZE))


def two_causes(draw: np.random.Generator) -> Planted:
    """A cross and a diamond, both of which are needed."""
    cross, diamond, other, *rest = apart(draw, [SIZE] * int(draw.integers(3, 6)), SPACE)
    ground = _noise(draw) + _shapes(draw, rest, [PLUS, BARS])
    parts = layer(SPACE, cross, _strength(draw) * CROSS), layer(SPACE, diamond, _strength(draw) * DIAMOND)
    beside = [_shapes(draw, [other], [PLUS, BARS]), np.zeros(SPACE)]
    where = [within(SPACE, corner, SIZE) for corner in (cross, diamond)]
    return planted(ground, [parts[0] + parts[1], parts[1], parts[0]], beside, where, within(SPACE, other, SIZE))


def gap(draw: np.random.Generator) -> Planted:
    """A ring with a gap, as opticians show it."""
    radius = draw.uniform(5, 8)
    side = 2 * int(np.ceil(radius)) + 3
    corner, other, *rest = apart(draw, [(side, side), *[SIZE] * int(draw.integers(1, 3))], SPACE)
    ring, piece = _ring(radius, side, draw.uniform(-np.pi, np.pi))
    strength, others = _strength(draw), [PLUS, CROSS, BARS]
    ground = _noise(draw) + _shapes(draw, rest, others) + layer(SPACE, corner, strength * ring)
    missing = layer(SPACE, corner, strength * piece)
    beside = [_shapes(draw, [other], others), np.zeros(SPACE)]
    return planted(ground, [-missing, 0 * missing], beside, [missing > 0.1], within(SPACE, other, SIZE))


def _ring(radius: float, side: int, turn: float) -> tuple[FloatArray, FloatArray]:
    """A closed ring, and the piece of it that is five pixels long at an angle."""
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    ring = np.clip(1.25 - np.abs(np.hypot(rows, columns) - radius), 0, 1)
    angle = np.angle(np.exp(1j * (np.arctan2(rows, columns) - turn)))
    return ring, ring * (np.abs(angle) < 2.5 / radius)


def near_zero(draw: np.random.Generator) -> Planted:
    """A dark patch on bright ground, beside patches that are brighter still."""
    corner, other, *rest = apart(draw, [SIZE] * int(draw.integers(2, 5)), SPACE)
    coarse = draw.normal(0, 0.15, (4, 4))
    ground = 1 + np.kron(coarse, np.ones((8, 8))) + _noise(draw)
    ground = np.clip(ground + _shapes(draw, rest, [np.ones(SIZE)]), 0.3, None)
    dark = layer(SPACE, corner, np.abs(draw.normal(0, 0.02, SIZE)) - ground[box_of(corner, SIZE)])
    beside = [_shapes(draw, [other], [np.ones(SIZE)]), np.zeros(SPACE)]
    return planted(ground, [dark, 0 * dark], beside, [within(SPACE, corner, SIZE)], within(SPACE, other, SIZE))


def distractor(draw: np.random.Generator) -> Planted:
    """A cross that decides, and a block that stands beside it nearly always."""
    corner, other, *rest = apart(draw, [SIZE] * int(draw.integers(3, 6)), SPACE)
    ground = _noise(draw) + _shapes(draw, rest, [PLUS, DIAMOND, BARS])
    causes = [layer(SPACE, corner, _strength(draw) * shape) for shape in (CROSS, NOTHING)]
    beside = [layer(SPACE, other, _strength(draw) * shape) for shape in (BLOCK, NOTHING)]
    return planted(ground, causes, beside, [within(SPACE, corner, SIZE)], within(SPACE, other, SIZE))


def relation(draw: np.random.Generator) -> Planted:
    """Two crosses near each other, or far from each other."""
    wide = (SIDE, 24)
    whole, *rest = apart(draw, [wide, *[SIZE] * int(draw.integers(1, 4))], SPACE)
    near, far = int(draw.integers(8, 10)), int(draw.integers(14, 18))
    shift, turned = int(draw.integers(0, wide[1] - far - SIDE + 1)), bool(draw.integers(0, 2))
    first, second = (_strength(draw) * CROSS for _ in range(2))

    def pair(distance: int) -> tuple[FloatArray, list[Shape]]:
        starts = [shift, shift + distance] if not turned else [wide[1] - SIDE - shift, wide[1] - SIDE - shift - distance]
        corners = [(whole[0], whole[1] + start) for start in starts]
        return layer(SPACE, corners[0], first) + layer(SPACE, corners[1], second), corners

    (close, corners), (apart_, _) = pair(near), pair(far)
    ground = _noise(draw) + _shapes(draw, rest[1:], [PLUS, DIAMOND])
    beside = [_shapes(draw, rest[:1], [PLUS, DIAMOND]), np.zeros(SPACE)]
    where = [within(SPACE, corner, SIZE) for corner in corners]
    return planted(ground, [close, apart_], beside, where, within(SPACE, rest[0], SIZE))


_OTHER = "one of the other shapes taken out"
TASKS = (
    Task("one cause", "picture", "a cross among other shapes", "the cross taken out", _OTHER, one_cause, MARGIN),
    Task("several causes", "picture", "a cross and a diamond, both needed", "either of them taken out", _OTHER, two_causes, MARGIN),
    Task("absent cause", "picture", "the gap of a ring", "the gap closed", _OTHER, gap, MARGIN),
    Task(
        "near zero",
        "picture",
        "a dark patch on bright ground",
        "the patch as bright as the ground",
        "a bright patch taken out",
        near_zero,
        MARGIN,
    ),
    Task(
        "distractor",
        "picture",
        "a cross, which a block nearly always accompanies",
        "the cross taken out",
        "the block taken out",
        distractor,
        MARGIN,
        accompanies=(0.85, 0.15),
        ignores=True,
    ),
    Task("relation", "picture", "two crosses near each other", "one of them moved away", _OTHER, relation, MARGIN),
)
