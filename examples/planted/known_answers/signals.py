"""Signals of 256 samples with short waves: six ways in which one of them decides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from known_answers.scene import FloatArray, Planted, Shape, Task, apart, layer, planted, within

LENGTH = 256
SPACE = (LENGTH,)
WAVE = 24
SIZE = (WAVE,)
NOISE = 0.1
MARGIN = 8

_TIME = np.arange(WAVE) - (WAVE - 1) / 2
SPIKE = np.exp(-0.5 * (_TIME / 2.5) ** 2)
HILL = np.exp(-0.5 * (_TIME / 6) ** 2)
SWING = -_TIME / 4 * np.exp(0.5 - 0.5 * (_TIME / 4) ** 2)
SPINDLE = np.sin(2 * np.pi * _TIME / 8) * np.hanning(WAVE)
NOTHING = np.zeros(WAVE)

PERIOD = 16
PULSE = np.exp(-0.5 * ((np.arange(PERIOD) - (PERIOD - 1) / 2) / 2) ** 2)
STRETCH = 32


def _noise(draw: np.random.Generator) -> FloatArray:
    return draw.normal(0, NOISE, SPACE)


def _strength(draw: np.random.Generator) -> float:
    return float(draw.uniform(0.8, 1.2))


def _waves(draw: np.random.Generator, starts: Sequence[Shape], kinds: Sequence[FloatArray]) -> FloatArray:
    """Waves of these kinds, one at each start."""
    chosen = draw.integers(0, len(kinds), len(starts))
    return sum((layer(SPACE, start, _strength(draw) * kinds[kind]) for start, kind in zip(starts, chosen, strict=True)), np.zeros(SPACE))


def one_cause(draw: np.random.Generator) -> Planted:
    """A swing, up and then down, among other waves, one of which swings down and then up."""
    start, other, *rest = apart(draw, [SIZE] * int(draw.integers(3, 6)), SPACE)
    others = [SPIKE, -SWING, SPINDLE]
    ground = _noise(draw) + _waves(draw, rest, others)
    causes = [layer(SPACE, start, _strength(draw) * wave) for wave in (SWING, NOTHING)]
    beside = [_waves(draw, [other], others), np.zeros(SPACE)]
    return planted(ground, causes, beside, [within(SPACE, start, SIZE)], within(SPACE, other, SIZE))


def three_causes(draw: np.random.Generator) -> Planted:
    """A swing, a spindle and a hill, all of which are needed."""
    *starts, other = apart(draw, [SIZE] * int(draw.integers(4, 6)), SPACE)
    three, rest = starts[:3], starts[3:]
    ground = _noise(draw) + _waves(draw, rest, [SPIKE, -SWING])
    parts = [layer(SPACE, start, _strength(draw) * wave) for start, wave in zip(three, (SWING, SPINDLE, HILL), strict=True)]
    beside = [_waves(draw, [other], [SPIKE, -SWING]), np.zeros(SPACE)]
    where = [within(SPACE, start, SIZE) for start in three]
    return planted(ground, [sum(parts), *(sum(parts) - part for part in parts)], beside, where, within(SPACE, other, SIZE))


def missing_beat(draw: np.random.Generator) -> Planted:
    """A run of pulses at equal distances, of which one is missing."""
    pulses = int(draw.integers(6, 11))
    start, missing = int(draw.integers(0, LENGTH - pulses * PERIOD + 1)), int(draw.integers(1, pulses - 2))
    own = [layer(SPACE, (start + PERIOD * place,), _strength(draw) * PULSE) for place in range(pulses)]
    beside, cause = own[-1], own[missing]
    ground = _noise(draw) + sum(own) - beside - cause
    where = within(SPACE, (start + PERIOD * missing,), (PERIOD,))
    return planted(ground, [0 * cause, cause], [beside, 0 * beside], [where], within(SPACE, (start + PERIOD * (pulses - 1),), (PERIOD,)))


def near_zero(draw: np.random.Generator) -> Planted:
    """An oscillation that rests at zero for a while, and elsewhere swings wider."""
    rest, wide = apart(draw, [(STRETCH,)] * 2, SPACE)
    wave = _strength(draw) * np.sin(2 * np.pi * (np.arange(LENGTH) / draw.uniform(10, 16) + draw.uniform(0, 1)))
    ramp = np.clip(np.minimum(np.arange(STRETCH) + 1, np.arange(STRETCH)[::-1] + 1) / 5, 0, 1)
    flat = -layer(SPACE, rest, ramp) * wave
    wider = layer(SPACE, wide, ramp) * wave * draw.uniform(0.6, 1)
    ground = wave + draw.normal(0, 0.02, SPACE)
    return planted(ground, [flat, 0 * flat], [wider, 0 * wider], [within(SPACE, rest, (STRETCH,))], within(SPACE, wide, (STRETCH,)))


def distractor(draw: np.random.Generator) -> Planted:
    """A swing that decides, and a spindle that stands beside it nearly always."""
    start, other, *rest = apart(draw, [SIZE] * int(draw.integers(3, 6)), SPACE)
    ground = _noise(draw) + _waves(draw, rest, [SPIKE, -SWING])
    causes = [layer(SPACE, start, _strength(draw) * wave) for wave in (SWING, NOTHING)]
    beside = [layer(SPACE, other, _strength(draw) * wave) for wave in (SPINDLE, NOTHING)]
    return planted(ground, causes, beside, [within(SPACE, start, SIZE)], within(SPACE, other, SIZE))


def relation(draw: np.random.Generator) -> Planted:
    """A spike before a hill, or behind it."""
    whole, other, *rest = apart(draw, [(2 * WAVE + 8,), *[SIZE] * int(draw.integers(1, 4))], SPACE)
    first, second = (whole[0],), (whole[0] + WAVE + int(draw.integers(0, 9)),)
    spike, hill = _strength(draw) * SPIKE, _strength(draw) * HILL
    causes = [layer(SPACE, first, one) + layer(SPACE, second, two) for one, two in ((spike, hill), (hill, spike))]
    ground = _noise(draw) + _waves(draw, rest, [SWING, -SWING, SPINDLE])
    beside = [_waves(draw, [other], [SWING, -SWING, SPINDLE]), np.zeros(SPACE)]
    where = [within(SPACE, start, SIZE) for start in (first, second)]
    return planted(ground, causes, beside, where, within(SPACE, other, SIZE))


_OTHER = "one of the other waves taken out"
TASKS = (
    Task("one cause", "signal", "a swing up and then down among other waves", "the swing taken out", _OTHER, one_cause, MARGIN),
    Task(
        "several causes", "signal", "a swing, a spindle and a hill, all needed", "any one of them taken out", _OTHER, three_causes, MARGIN
    ),
    Task(
        "absent cause", "signal", "a missing pulse in a run of pulses", "the pulse put in", "the last pulse taken out", missing_beat, MARGIN
    ),
    Task(
        "near zero",
        "signal",
        "an oscillation that rests at zero for a while",
        "the rest filled with the oscillation",
        "a wider stretch taken out",
        near_zero,
        MARGIN,
    ),
    Task(
        "distractor",
        "signal",
        "a swing, which a spindle nearly always accompanies",
        "the swing taken out",
        "the spindle taken out",
        distractor,
        MARGIN,
        accompanies=(0.85, 0.15),
        ignores=True,
    ),
    Task("relation", "signal", "a spike before a hill, not behind it", "the two changed for each other", _OTHER, relation, MARGIN),
)
