"""The generators of random numbers that a network may draw from, and how they are found, set and put back.

Torch's own are known. Python's, NumPy's and those that somebody made are found where the code of the modules can get at them: among
the attributes of a module, among what its functions and methods name, and so on for the functions that those call. A network whose code
names none of them is spared the look at their states, which takes as long as a small layer.

What code draws that makes a generator of its own each time, asks the system or reads the clock stands nowhere. There it is only seen that
the code names such a thing, and whether the output differs from one run to the next.
"""

from __future__ import annotations

import copyreg
import dis
import itertools
import os
import random
import sys
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from functools import cache, lru_cache, partial
from types import BuiltinFunctionType, CodeType, FunctionType, GeneratorType, MethodType, ModuleType
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from signxai.engine.module_names import is_keras

_PYTHON: random.Random = random.random.__self__  # type: ignore[attr-defined]
_NUMPY: np.random.RandomState = np.random.get_state.__self__  # type: ignore[attr-defined]
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
        self._kept = sys.modules[_KERAS_STATE]

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
            self._kept.set_global_attribute(_KERAS_GLOBAL, sys.modules[_KERAS_GENERATORS].SeedGenerator(seed & 0x7FFFFFFF))
        else:
            source.seed(seed)

    def is_at(self, state: Tensor | None) -> bool:
        source = self._source()
        return state is None if source is None else state is not None and source.is_at(state)


_KERAS_GENERATORS, _KERAS_STATE = "keras.src.random.seed_generator", "keras.src.backend.common.global_state"
_KERAS_GLOBAL = "global_seed_generator"
"""Where Keras has its generators, and the name by which it keeps the one of a thread."""


def _is_seed_generator(value: Value) -> bool:
    """Whether a value is a generator of Keras, if somebody has imported it."""
    kind = getattr(sys.modules.get(_KERAS_GENERATORS), "SeedGenerator", None)
    return kind is not None and isinstance(value, kind)


def seed_generators_of(modules: Iterable[nn.Module]) -> list[Value]:
    """Keras' generators among the attributes of modules, each once."""
    if _KERAS_GENERATORS not in sys.modules:
        return []
    seen: dict[int, Value] = {}
    held = (value for module in modules for attribute in list(module.__dict__.values()) for value in _in_reach(attribute, _REACH, seen))
    return list({id(value): value for value in held if _is_seed_generator(value)}.values())


_REACH = 4
"""So many lists, tables and plain objects deep is looked for the generators that a layer keeps."""


def _in_reach(attribute: Value, depth: int, seen: dict[int, Value]) -> Iterator[Value]:
    """An attribute, and what stands in it, if it is a list, a table or an object of a class of the user's own, each looked into once.

    Nothing but its type and what it holds is asked of an object, as its attributes may be code.
    """
    yield attribute
    if not depth or id(attribute) in seen or _is_seed_generator(attribute):
        return
    seen[id(attribute)] = attribute
    for value in _held_by(attribute, type(attribute)):
        yield from _in_reach(value, depth - 1, seen)


def _held_by(attribute: Value, kind: type) -> list[Value]:
    if issubclass(kind, list | tuple):
        return list(attribute)
    if issubclass(kind, dict):
        return list(attribute.values())
    if issubclass(kind, nn.Module | Tensor | type) or kind.__module__.partition(".")[0] in _OF_OTHERS:
        return []
    try:
        return list(object.__getattribute__(attribute, "__dict__").values())
    except AttributeError:
        return []


_OF_OTHERS = ("builtins", "keras", "torch", "numpy")
"""In whose objects no generator of the user's is looked for."""


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


class Unseen:
    """What code names that gives other numbers each time, and leaves no trace.

    Attributes:
        name: what it is called.
        is_random: whether two of its numbers may lead to the same output by chance, as those of a clock hardly do.
    """

    def __init__(self, name: str, is_random: bool) -> None:
        self.name, self.is_random = name, is_random


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
    modules, search = list(modules), _Search()
    kinds = dict.fromkeys(type(module) for module in modules if _look_into_module(module, search))
    for place in itertools.chain.from_iterable(map(_places_of_methods, kinds)):
        search.enter(place())
    found = search.found
    sources: list[Source] = [TorchSource(torch.default_generator, _TORCH_NAME)]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        sources += [TorchSource(generator, _TORCH_NAME) for generator in torch.cuda.default_generators]
    known = {id(source.generator) for source in sources if isinstance(source, TorchSource)}
    unseen = [value for value in found.values() if isinstance(value, Unseen)]
    of_keras = _of_keras(modules, found)
    others = [value for key, value in found.items() if key not in known and not isinstance(value, Unseen)]
    own = [_source(value, number) for number, value in enumerate(others, 1)]
    return Generators([*sources, *own, *of_keras], is_watched=True, unseen=unseen)


def _of_keras(modules: Iterable[nn.Module], found: Mapping[int, Value]) -> list[Source]:
    """What layers of Keras draw from beside their own: Keras' generator of this thread, and Python's, from which it is made."""
    if not any(map(is_keras, modules)) or not hasattr(sys.modules.get(_KERAS_STATE), "set_global_attribute"):
        return []
    of_python = [] if id(_PYTHON) in found else [_source(_PYTHON, 0)]
    return [KerasGlobalSource("Keras' global generator"), *of_python]


def _source(generator: Value, number: int) -> Source:
    name = f"a {type(generator).__module__.partition('.')[0]}.{type(generator).__name__} of its own"
    if isinstance(generator, torch.Generator):
        return TorchSource(generator, name)
    if _is_seed_generator(generator):
        return KerasSource(generator, name, number)
    if isinstance(generator, random.SystemRandom):
        return SystemSource(name)
    if isinstance(generator, random.Random):
        return PythonSource(generator, "Python's global generator" if generator is _PYTHON else name)
    return NumPySource(generator, "NumPy's global generator" if generator is _NUMPY else name)


_Place: TypeAlias = "Callable[[], Value]"
"""Gives what stands at a place where a generator stood."""

_GENERATORS = torch.Generator | random.Random | np.random.RandomState | np.random.BitGenerator
_COUNTERS = (itertools.count, itertools.cycle, GeneratorType)
_COUNTER = Unseen("an iterator, which goes on each time", is_random=False)

_MAKERS = {
    np.random: ("default_rng", "RandomState", "SeedSequence", "PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"),
    random: ("Random", "SystemRandom"),
    os: ("urandom", "getrandom"),
    uuid: ("uuid1", "uuid4"),
}
_CLOCKS = {
    time: tuple(f"{name}{unit}" for name in ("time", "perf_counter", "monotonic", "process_time", "thread_time") for unit in ("", "_ns")),
}
_NOW = ("now", "utcnow", "today")
_UNSEEN_IN: dict[ModuleType, dict[str, Unseen]] = {
    module: {name: Unseen(f"{module.__name__}.{name}", module in _MAKERS) for name in names if hasattr(module, name)}
    for module, names in (_MAKERS | _CLOCKS).items()
}
"""What draws unseen, by its module and its name there."""

_UNSEEN = {id(getattr(module, name)): unseen for module, found in _UNSEEN_IN.items() for name, unseen in found.items()}
"""By ``id``, as they live as long as Python."""

_READS_CLOCK = Unseen("datetime.now", is_random=False)
_LATER_IMPORTS = {"time", "os", "uuid", "random", "secrets", "datetime", "numpy"}
_PASSED_BY = {bool, int, float, complex, str, bytes, type(None), Tensor, nn.Parameter, torch.Size, torch.dtype, torch.device, type}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_TABLES = {dict, OrderedDict, defaultdict}
_TABLES_OF_TENSORS = {"_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"}
_CONTAINERS = (tuple, list, set, frozenset, deque)
_MOST_ITEMS, _MOST_DEPTH = 64, 4
_MOST_DEPTH_UNSEEN = 2
"""Functions that a network's own call: those further away read clocks to log, and would cost every network of a large library a trial."""

_places_of_class: WeakKeyDictionary[type, tuple[_Place, ...]] = WeakKeyDictionary()
_places_of_function: WeakKeyDictionary[FunctionType, tuple[_Place, ...]] = WeakKeyDictionary()


def _generator_in(value: Value) -> Value:
    """The generator that a value is, or draws from if it is a method of one; what draws unseen if it is that; else None."""
    if isinstance(value, np.random.Generator):
        return value.bit_generator
    if isinstance(value, _GENERATORS | Unseen) or _is_seed_generator(value):
        return value
    if isinstance(value, _COUNTERS):
        return _COUNTER
    unseen = _UNSEEN.get(id(value))
    if unseen is not None:
        return unseen
    owner = value.__self__ if isinstance(value, BuiltinFunctionType | MethodType) else None
    return _generator_in(owner) if isinstance(owner, _GENERATORS | np.random.Generator) else None


def _look_into_module(module: nn.Module, search: _Search) -> bool:
    """Enter the generators that a module holds; whether code runs in it that is not torch's, which may name others."""
    attributes, kind = module.__dict__, type(module)
    if _is_torchs(kind) and "forward" not in attributes and not any(map(attributes.get, _HOOKS)):  # type: ignore[arg-type]
        return False
    for name, value in attributes.items():
        of_value = type(value)
        if of_value in _PASSED_BY or name in _TABLES_OF_TENSORS or (of_value in _TABLES and not value):
            continue
        if of_value is not tuple or not _PASSED_BY.issuperset(map(type, value)):
            _look_into(value, search, 1)
    for value in _in_slots(module) if _has_slots(kind) else ():  # type: ignore[arg-type]
        _look_into(value, search, 1)
    return True


@lru_cache(maxsize=1024)
def _has_slots(kind: type) -> bool:
    """Whether instances of a class have slots, of which most modules have none."""
    return bool(copyreg._slotnames(kind))  # type: ignore[attr-defined]


@lru_cache(maxsize=1024)
def _is_torchs(kind: type) -> bool:
    """Whether all code of a class is torch's."""
    return all(_package_of(owner) in _OTHERS for owner in kind.__mro__)


class _Search:
    """The generators that were found, and where was looked already: hundreds of functions name the same tables of a library."""

    def __init__(self) -> None:
        self.found: dict[int, Value] = {}
        self._seen: dict[int, Value] = {}  # held, so that nothing else gets its id meanwhile

    def enter(self, value: Value) -> None:
        """Enter the generators that a value is, or that stand in it if it is a container and the like: nothing else is looked at."""
        if id(value) not in self._seen:
            self._seen[id(value)] = value
            self.found.update((id(generator), generator) for generator in _held(value))


def _look_into(value: Value, search: _Search, depth: int) -> None:
    """Enter the generators that a value is, holds or calls."""
    if type(value) in _PASSED_BY or isinstance(value, nn.Module | Tensor | np.ndarray) or depth > _MOST_DEPTH:
        return
    if _generator_in(value) is not None:
        search.enter(value)
    elif isinstance(value, FunctionType):
        for place in _places_of(value):
            search.enter(place())
    else:
        for part in _parts_of(value):
            _look_into(part, search, depth + 1)
        if not _is_of_others(type(value)):
            for place in _places_of_methods(type(value)):
                search.enter(place())


def _parts_of(value: Value) -> Iterable[Value]:
    """What a value holds, of which draws may be made."""
    if isinstance(value, MethodType):
        return value.__func__, value.__self__
    if isinstance(value, partial):
        return value.func, *value.args, *value.keywords.values()
    if isinstance(value, _CONTAINERS):
        return list(itertools.islice(value, _MOST_ITEMS))
    if isinstance(value, dict):
        return list(itertools.islice(value.values(), _MOST_ITEMS))
    if _is_of_others(type(value)):
        return ()
    has_dict = type(value).__dictoffset__ != 0  # one may answer in any way to being asked for __dict__
    return [*_in_slots(value), *(list(vars(value).values())[: 4 * _MOST_ITEMS] if has_dict else [])]


def _in_slots(value: Value) -> list[Value]:
    """What stands in the slots of an object."""
    return [getattr(value, name) for name in copyreg._slotnames(type(value)) if hasattr(value, name)]  # type: ignore[attr-defined]


def _is_of_others(owner: Value) -> bool:
    """Whether torch, NumPy, Keras or Python itself made a class or function: what they draw, they draw from where we look anyway."""
    return _package_of(owner) in _LIBRARIES


def _package_of(owner: Value) -> str:
    return (getattr(owner, "__module__", None) or "").partition(".")[0]


_OTHERS = {"torch", "numpy", "builtins", "logging", "threading", "re", "enum", "abc", "collections", "functools", "typing", "signxai"}
_LIBRARIES = _OTHERS | {"keras"}
"""Keras' layers hold functions of their users', such as activations; its own code draws by torch's generators, which are met then, and
which its seed generators seed."""


def _owners(kind: type) -> tuple[type, ...]:
    """Where attributes of a class may stand: in itself, its bases and the class that it is an instance of."""
    metaclass: type = type(kind)
    return (*kind.__mro__, *metaclass.__mro__)


def _places_of_methods(kind: type) -> tuple[_Place, ...]:
    """Where generators stand that the methods of a class name."""
    places = _places_of_class.get(kind)
    if places is None:
        owners = [owner for owner in _owners(kind) if not _is_of_others(owner)]
        methods = [_function_in(value) for owner in owners for value in list(vars(owner).values())]
        places = tuple(place for method in methods if method is not None for place in _places_named(method, set(), 1))
        _places_of_class[kind] = places  # an attribute may be an instance of the class itself
        _places_of_class[kind] = places = (*places, *(place for owner in owners for place in _places_among_attributes(owner)))
    return places


def _places_among_attributes(owner: type) -> Iterator[_Place]:
    """Where generators stand, or may come to stand, among the attributes of a class."""
    for name in list(vars(owner)):
        value = _class_attribute(owner, name)
        may_hold_some = type(value) in _TABLES | {list, set, deque} and not name.startswith("__")
        if may_hold_some or _holds_generator(value):
            yield partial(_class_attribute, owner, name)


def _class_attribute(owner: type, name: str) -> Value:
    """An attribute of a class as it stands there, or what a static or class method is made of."""
    value = vars(owner).get(name)
    return value.__func__ if isinstance(value, staticmethod | classmethod) else value


_CACHED = type(cache(abs))
"""The class of functions that keep their results."""


def _function_in(value: Value) -> FunctionType | None:
    """The function of a method, a static or class method, or a property."""
    value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    value = getattr(value, "__wrapped__", value) if isinstance(value, _CACHED) else value
    return value if isinstance(value, FunctionType) else None


def _places_of(function: FunctionType) -> tuple[_Place, ...]:
    """Where generators stand that a function names."""
    places = _places_of_function.get(function)
    if places is None:
        _places_of_function[function] = places = tuple(_places_named(function, set(), 1))
    return places


def _places_named(function: FunctionType, seen: set[CodeType], depth: int) -> Iterator[_Place]:
    """The same, with those that the functions name that it calls."""
    if function.__code__ in seen or depth > _MOST_DEPTH or _is_of_others(function):
        return
    seen.add(function.__code__)
    names = set(_names_in(function.__code__))
    values: list[tuple[Value, _Place]] = [
        (value, partial(function.__globals__.get, name)) for name in names if (value := function.__globals__.get(name)) is not None
    ]
    for cell in function.__closure__ or ():
        values.append((_contents(cell), partial(_contents, cell)))
    for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        values.append((value, partial(_itself, value)))
    values += [(module, partial(_itself, module)) for module in _imported_within(function, names)]
    met: set[int] = set()
    while values:
        value, place = values.pop()
        if isinstance(value, ModuleType):
            values += [] if id(value) in met else _named_in_module(value, names)
        elif isinstance(value, type) and issubclass(value, date):
            yield from [partial(_itself, _READS_CLOCK)] if depth <= _MOST_DEPTH_UNSEEN and names.intersection(_NOW) else []
        elif (found := _generator_in(value)) is not None:
            if depth <= _MOST_DEPTH_UNSEEN or not isinstance(found, Unseen):
                yield place
        elif isinstance(value, FunctionType):
            yield from _places_named(value, seen, depth + 1)
        elif _holds_generator(value):
            yield place
        elif depth <= _MOST_DEPTH_UNSEEN and id(value) not in met:
            yield from _places_in_object(value, place, seen, depth + 1)
        met.add(id(value))


def _imported_within(function: FunctionType, names: set[str]) -> list[ModuleType]:
    """The modules with something that draws unseen that a function imports itself."""
    if not (names & _LATER_IMPORTS) - function.__globals__.keys():
        return []
    imported = {instruction.argval for instruction in dis.get_instructions(function) if instruction.opname == "IMPORT_NAME"}
    return [sys.modules[name] for name in imported if name.partition(".")[0] in _LATER_IMPORTS and name in sys.modules]


def _places_in_object(value: Value, place: _Place, seen: set[CodeType], depth: int, levels: int = 2) -> Iterator[_Place]:
    """Where generators stand in an object that a function names, in its class and what its methods name; ``place`` is the object's."""
    if type(value) in _PASSED_BY - {type} or isinstance(value, nn.Module | Tensor | np.ndarray):
        return
    kind = value if isinstance(value, type) else type(value)
    if not _is_of_others(kind) and not issubclass(kind, nn.Module):
        for owner in _owners(kind):
            yield from _places_of_class_named(owner, seen, depth)
    for key, part in _named_parts(value):
        inner = partial(_part_at, place, key)
        if (found := _generator_in(part)) is not None:
            yield from [] if isinstance(found, Unseen) else [inner]
        elif _holds_generator(part):
            yield inner
        elif levels > 1 and not isinstance(part, type | ModuleType | FunctionType):
            yield from _places_in_object(part, inner, seen, depth, levels - 1)


def _holds_generator(value: Value) -> bool:
    """Whether a value is a generator, or one stands in it as ``_held`` says."""
    return any(not isinstance(generator, Unseen) for generator in _held(value))


def _held(value: Value, depth: int = 0) -> Iterator[Value]:
    """The generator that a value is, or those in a container, in slots, or behind a partial function or method."""
    generator = _generator_in(value)
    if generator is not None:
        yield generator
        return
    kind = type(value)  # others may do anything when they are asked, such as import a library
    if kind not in _HOLDERS and not _is_plain_tuple(kind) and (_is_of_others(kind) or kind.__dictoffset__ or not copyreg._slotnames(kind)):  # type: ignore[attr-defined]
        return
    for part in _parts_of(value) if depth <= _MOST_DEPTH else ():
        yield from _held(part, depth + 1)


def _is_plain_tuple(kind: type) -> bool:
    """Whether values of a class are tuples, and looked into as these: also those with names."""
    return issubclass(kind, tuple) and kind.__iter__ is tuple.__iter__ and kind.__getitem__ is tuple.__getitem__


_HOLDERS = {tuple, list, set, frozenset, deque, dict, OrderedDict, defaultdict, partial, MethodType}


def _places_of_class_named(owner: type, seen: set[CodeType], depth: int) -> Iterator[_Place]:
    """Where generators stand among the attributes of a class, and that its methods name."""
    if _is_of_others(owner):
        return
    for value in list(vars(owner).values()):
        method = _function_in(value)
        if method is not None:
            yield from _places_named(method, seen, depth)
    yield from _places_among_attributes(owner)


def _named_parts(value: Value) -> list[tuple[Value, Value]]:
    """What an object holds, by the name or number of it there."""
    if type(value) is list or _is_plain_tuple(type(value)):  # others may do anything when they are asked, such as import a library
        return list(enumerate(value[:_MOST_ITEMS]))
    if type(value) in _TABLES:
        return list(itertools.islice(value.items(), _MOST_ITEMS))
    is_plain = not isinstance(value, type) and type(value).__dictoffset__ != 0 and not _is_of_others(type(value))
    return list(itertools.islice(vars(value).items(), 4 * _MOST_ITEMS)) if is_plain else []


def _part_at(place: _Place, key: Value) -> Value:
    """What an object holds now, where something was found."""
    value = place()
    if type(value) is list or _is_plain_tuple(type(value)):
        return value[key] if key < len(value) else None
    if type(value) in _TABLES:
        return value.get(key)
    return vars(value).get(key) if type(value).__dictoffset__ != 0 else None


def _named_in_module(module: ModuleType, names: set[str]) -> list[tuple[Value, _Place]]:
    """What of a module is named beside it; of ``random`` and ``numpy.random`` their generator."""
    if module is np:
        return _named_in_module(np.random, names) if "random" in names else []
    unseen: list[tuple[Value, _Place]] = [
        (value, partial(_itself, value)) for name, value in _UNSEEN_IN.get(module, {}).items() if name in names
    ]
    if module is random:
        return [*unseen, (_PYTHON, partial(_itself, _PYTHON))]
    if module is np.random:
        return [*unseen, (_NUMPY, partial(_itself, _NUMPY))]
    if module in _UNSEEN_IN:
        return unseen
    if module.__name__.partition(".")[0] in _LIBRARIES:
        return []
    members = vars(module)
    return [(value, partial(members.get, name)) for name in names if (value := members.get(name)) is not None]


def _names_in(code: CodeType) -> Iterator[str]:
    """The names of globals and attributes in a function's code, and in that of functions within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)


def _contents(cell: Value) -> Value:
    """What a variable of an outer function holds, if it has been set."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _itself(value: Value) -> Value:
    return value
