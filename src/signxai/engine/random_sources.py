"""The generators of random numbers that a network may draw from: torch's, Python's, NumPy's and Keras', each looked at, set and put back
in one way."""

from __future__ import annotations

import random
import sys
from abc import ABC, abstractmethod
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

PYTHON: random.Random = random.random.__self__  # type: ignore[attr-defined]
NUMPY: np.random.RandomState = np.random.get_state.__self__  # type: ignore[attr-defined]
"""The generators behind the functions of ``random`` and ``numpy.random``."""

_LOW, _HIGH = 0x2004, 0x12DDBBB7
"""Words that MT19937 turns into 0x2000 and into its complement: whichever bits a draw reads, a number near 0, and one near 1."""

_WORDS, _EXTREME_WORDS = 624, 64
_TRIED_SEEDS = 256


Value: TypeAlias = Any
"""What an attribute, a variable or a container holds, or a generator gives as its state."""


class Source(ABC):
    """A generator, with one way to look at it and to set it."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def state(self) -> Value:
        """Where it is."""

    @abstractmethod
    def put(self, state: Value) -> None:
        """Put it there."""

    @abstractmethod
    def seed(self, seed: int) -> None:
        """Let it draw what this seed gives."""

    @abstractmethod
    def is_at(self, state: Value) -> bool:
        """Whether it is there."""

    def go_to_end(self, is_high: bool) -> None:
        """Let the next draws be numbers near the end of their range, where that can be had: what is rare happens."""
        self.seed(int(is_high))


class TorchSource(Source):
    """A ``torch.Generator``, of any device."""

    def __init__(self, generator: torch.Generator, name: str) -> None:
        super().__init__(name)
        self.generator = generator

    def state(self) -> Tensor:
        return self.generator.get_state()

    def put(self, state: Tensor) -> None:
        self.generator.set_state(state)

    def seed(self, seed: int) -> None:
        self.generator.manual_seed(seed)

    def is_at(self, state: Tensor) -> bool:
        return bool(self.generator.get_state().numpy().tobytes() == state.numpy().tobytes())  # torch.equal takes three times as long

    def go_to_end(self, is_high: bool) -> None:
        self.seed(int(is_high))
        if self.generator.device.type != "cpu":
            return
        state = self.state().numpy().copy()  # seed, how many words are left and whether it is seeded, the place of the next, the words
        state[8:12].view(np.int32)[0] = _WORDS
        state[16:24].view(np.int64)[0] = 0
        state[24 : 24 + 8 * _WORDS].view(np.uint64)[:] = _extreme_words(is_high)
        self.put(torch.from_numpy(state))


class PythonSource(Source):
    """A ``random.Random``."""

    def __init__(self, generator: random.Random, name: str) -> None:
        super().__init__(name)
        self.generator = generator

    def state(self) -> Value:
        return self.generator.getstate()

    def put(self, state: Value) -> None:
        self.generator.setstate(state)

    def seed(self, seed: int) -> None:
        self.generator.seed(seed)

    def is_at(self, state: Value) -> bool:
        return bool(self.generator.getstate() == state)

    def go_to_end(self, is_high: bool) -> None:
        version = self.generator.getstate()[0]
        self.generator.setstate((version, (*_extreme_words(is_high).tolist(), 0), None))


class SystemSource(Source):
    """A ``random.SystemRandom``: nobody can tell whether it was drawn from, and no seed fixes it."""

    def state(self) -> None:
        return None

    def put(self, state: None) -> None:
        """Nothing: it has no state."""

    def seed(self, seed: int) -> None:
        """Nothing."""

    def is_at(self, state: None) -> bool:
        return False


class NumPySource(Source):
    """A ``numpy.random.RandomState``, or the bit generator of a ``Generator``."""

    def __init__(self, generator: np.random.RandomState | np.random.BitGenerator, name: str) -> None:
        super().__init__(name)
        self.generator = generator

    def state(self) -> Value:
        if isinstance(self.generator, np.random.RandomState):
            return self.generator.get_state(legacy=False)
        return self.generator.state

    def put(self, state: Value) -> None:
        if isinstance(self.generator, np.random.RandomState):
            self.generator.set_state(state)
        else:
            self.generator.state = state

    def seed(self, seed: int) -> None:
        kind = _bits_of(self.generator)
        if not isinstance(self.generator, np.random.RandomState):
            self.put(kind(seed).state)
        elif kind is np.random.MT19937:
            self.generator.seed(seed % 2**32)
        else:
            self.put(np.random.RandomState(kind(seed)).get_state(legacy=False))

    def is_at(self, state: Value) -> bool:
        return _are_same(self.state(), state)

    def go_to_end(self, is_high: bool) -> None:
        kind = _bits_of(self.generator)
        if kind is not np.random.MT19937:
            self.seed(_extreme_seeds(kind)[is_high])  # type: ignore[arg-type]
            return
        self.seed(int(is_high))
        state = self.state()
        self.put(state | {"state": {"key": _extreme_words(is_high).astype(np.uint32), "pos": 0}})


class KerasSource(Source):
    """A ``keras.random.SeedGenerator``: a seed, and how often it was drawn from.

    Args:
        generator: what it is.
        name: what it is called.
        number: tells it from others, so that one seed lets each draw numbers of its own.
    """

    def __init__(self, generator: Value, name: str, number: int) -> None:
        super().__init__(name)
        self.generator, self._number = generator, number

    def state(self) -> Tensor:
        counters: Tensor = self.generator.state.value
        return counters.detach().clone()

    def put(self, state: Tensor) -> None:
        with torch.no_grad():
            self.generator.state.value.copy_(state)

    def seed(self, seed: int) -> None:
        self.put(torch.tensor([(seed + 7919 * self._number) & 0x7FFFFFFF, 0], device="cpu"))

    def is_at(self, state: Tensor) -> bool:
        return bool(self.state().tolist() == state.tolist())


class KerasGlobalSource(Source):
    """The generator from which Keras draws where a layer has none: each thread has its own, from the first draw on."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._kept = sys.modules[KERAS_STATE]

    def _source(self) -> KerasSource | None:
        generator = self._kept.get_global_attribute(_KERAS_GLOBAL)
        return None if generator is None else KerasSource(generator, self.name, 0)

    def state(self) -> Tensor | None:
        source = self._source()
        return None if source is None else source.state()

    def put(self, state: Tensor | None) -> None:
        source = self._source()
        if state is None:
            self._kept.set_global_attribute(_KERAS_GLOBAL, None)
        elif source is not None:
            source.put(state)

    def seed(self, seed: int) -> None:
        source = self._source()
        if source is None:
            self._kept.set_global_attribute(_KERAS_GLOBAL, sys.modules[KERAS_GENERATORS].SeedGenerator(seed & 0x7FFFFFFF))
        else:
            source.seed(seed)

    def is_at(self, state: Tensor | None) -> bool:
        source = self._source()
        return state is None if source is None else state is not None and source.is_at(state)


KERAS_GENERATORS, KERAS_STATE = "keras.src.random.seed_generator", "keras.src.backend.common.global_state"
_KERAS_GLOBAL = "global_seed_generator"
"""Where Keras has its generators, and the name by which it keeps the one of a thread."""


def is_seed_generator(value: Value) -> bool:
    """Whether a value is a generator of Keras, if somebody has imported it."""
    kind = getattr(sys.modules.get(KERAS_GENERATORS), "SeedGenerator", None)
    return kind is not None and isinstance(value, kind)


def source_of(generator: Value, number: int) -> Source:
    """The way to look at a generator that was found, and to set it; the number tells Keras' from each other."""
    name = f"a {type(generator).__module__.partition('.')[0]}.{type(generator).__name__} of its own"
    if isinstance(generator, torch.Generator):
        return TorchSource(generator, name)
    if is_seed_generator(generator):
        return KerasSource(generator, name, number)
    if isinstance(generator, random.SystemRandom):
        return SystemSource(name)
    if isinstance(generator, random.Random):
        return PythonSource(generator, "Python's global generator" if generator is PYTHON else name)
    return NumPySource(generator, "NumPy's global generator" if generator is NUMPY else name)


def _bits_of(generator: Value) -> type[Value]:
    """The class of the bit generator inside."""
    return type(generator._bit_generator if isinstance(generator, np.random.RandomState) else generator)


def _are_same(a: Value, b: Value) -> bool:
    """Whether two states of NumPy's are equal: dicts of numbers, words, arrays and dicts."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_are_same(value, b[key]) for key, value in a.items())
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)


def _extreme_words(is_high: bool) -> Value:
    """A state of MT19937 whose first draws are extreme; not all, or methods that draw until a number fits would not end."""
    words = np.random.RandomState(int(is_high)).randint(0, 2**32, _WORDS, np.uint64)
    words[:_EXTREME_WORDS] = _HIGH if is_high else _LOW
    return words


@cache
def _extreme_seeds(kind: type[Value]) -> tuple[int, int]:
    """Seeds, of some, for which the first number drawn is the least and the greatest."""
    first = [np.random.Generator(kind(seed)).random() for seed in range(_TRIED_SEEDS)]
    return int(np.argmin(first)), int(np.argmax(first))
