"""The generators of random numbers that a network may draw from, all together: seeded, put back, and whose turn it is to set them.

Torch's own are known, others are found (`reachable_generators`). Whether the output differs from one run to the next by what stands
nowhere is only seen when it is run.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from signxai.engine.module_names import is_keras
from signxai.engine.random_sources import KERAS_STATE, PYTHON, KerasGlobalSource, Source, TorchSource, Value, source_of
from signxai.engine.reachable_generators import Unseen, found_in


class Generators:
    """All generators that a network may draw from, as they are now.

    Attributes:
        is_watched: whether the network may draw from them at all, so that they are to be looked at.
        unseen: what else the network's code names that may change its output.
    """

    def __init__(self, sources: list[Source], is_watched: bool, unseen: Sequence[Unseen] = ()) -> None:
        self.sources = sources
        self.is_watched = is_watched
        self.unseen = unseen
        self._before = [source.state() for source in sources]
        self._last = self._before
        self._is_reproducible = False
        self._is_touched = False
        self._met: list[tuple[torch.Generator, Tensor]] = []

    def seed(self, seed: int) -> None:
        """Let each draw what the seed gives."""
        self._is_touched = True
        for source in self.sources:
            source.seed(seed)

    def seed_torch(self, seed: int) -> None:
        """Let torch's global generator draw what the seed gives."""
        self._is_touched = True
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would prepare every accelerator as well

    def trials(self) -> list[Callable[[], None]]:
        """Ways to set them, that no two networks' draws should survive alike."""
        return [*(partial(self.seed, seed) for seed in _SEEDS), *(partial(self._go_to_end, is_high) for is_high in (False, True))]

    def _go_to_end(self, is_high: bool) -> None:
        self._is_touched = True
        for source in self.sources:
            source.go_to_end(is_high)

    def remember(self) -> None:
        """Take note of where they are: a pass begins."""
        self._last = [source.state() for source in self.sources]

    def go_back(self) -> None:
        """Put them where they were when the pass began."""
        self._is_touched = True
        _put(self.sources, self._last)

    def moved(self) -> list[str]:
        """The names of those that were drawn from since, by this thread or by others."""
        return [source.name for source, state in zip(self.sources, self._last, strict=True) if not source.is_at(state)]

    def will_be_restored(self) -> None:
        """Take note that the network drew from them, or somebody is about to."""
        self._is_touched = True

    def meet(self, generator: torch.Generator, state: Tensor) -> None:
        """Take note of one that was found only when it was drawn from, and of where it was before."""
        if all(generator is not known for known, _ in self._met):
            self._met.append((generator, state))

    @property
    def has_met_any(self) -> bool:
        """Whether one was found that is nobody's but the network's."""
        return bool(self._met)

    def restore(self) -> None:
        """Put all back where they were when this was made, or when they were met; what nobody drew from is left to other threads."""
        for generator, state in self._met:
            generator.set_state(state)
        if self._is_touched:
            _put(self.sources, self._before)

    def is_due(self) -> bool:
        """Whether nobody has asked so far: whether the draws are those of the seed is to be tried once."""
        due = self.is_watched and not self._is_reproducible
        self._is_reproducible = True
        return due


_SEEDS = (1, 2, 3, 5, 8, 4_242_424_242)


def _put(sources: list[Source], states: list[Value]) -> None:
    for source, state in zip(sources, states, strict=True):
        if isinstance(source, TorchSource) or not source.is_at(state):  # of torch's, to look takes longer; others may be another thread's
            source.put(state)


_turn = threading.RLock()


def in_turn(sets_generators: bool) -> AbstractContextManager[Value]:
    """Explanations that set generators, which all threads share, come one after the other."""
    return _turn if sets_generators else nullcontext()


_lent = threading.local()


def lend(generators: Generators) -> Generators | None:
    """Let these be what the network that this thread runs draws from; what was so far, which ``take_back`` wants."""
    before: Generators | None = getattr(_lent, "generators", None)
    _lent.generators = generators
    return before


def take_back(generators: Generators, before: Generators | None) -> None:
    """Put lent generators back to where they were."""
    _lent.generators = before
    generators.restore()


def lent_generators() -> Generators:
    """What the network that this thread runs draws from; torch's own if nobody said."""
    found: Generators | None = getattr(_lent, "generators", None)
    return torch_generators(is_watched=False) if found is None else found


def torch_generators(is_watched: bool) -> Generators:
    """The generator of torch's own that draws on the CPU."""
    return Generators([TorchSource(torch.default_generator, _TORCH_NAME)], is_watched)


_TORCH_NAME = "torch's global generator"


def generators_of(modules: Iterable[nn.Module]) -> Generators:
    """All that modules may draw from: torch's own, of each device that is in use, and what their code can get at."""
    modules = list(modules)
    found = found_in(modules)
    sources: list[Source] = [TorchSource(torch.default_generator, _TORCH_NAME)]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        sources += [TorchSource(generator, _TORCH_NAME) for generator in torch.cuda.default_generators]
    known = {id(source.generator) for source in sources if isinstance(source, TorchSource)}
    unseen = [value for value in found.values() if isinstance(value, Unseen)]
    of_keras = _of_keras(modules, found)
    others = [value for key, value in found.items() if key not in known and not isinstance(value, Unseen)]
    own = [source_of(value, number) for number, value in enumerate(others, 1)]
    return Generators([*sources, *own, *of_keras], is_watched=True, unseen=unseen)


def _of_keras(modules: Iterable[nn.Module], found: Mapping[int, Value]) -> list[Source]:
    """What layers of Keras draw from beside their own: Keras' generator of this thread, and Python's, from which it is made."""
    if not any(map(is_keras, modules)) or not hasattr(sys.modules.get(KERAS_STATE), "set_global_attribute"):
        return []
    of_python = [] if id(PYTHON) in found else [source_of(PYTHON, 0)]
    return [KerasGlobalSource("Keras' global generator"), *of_python]
