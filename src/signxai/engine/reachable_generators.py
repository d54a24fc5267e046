"""How the generators of random numbers are found that a network may draw from, and what else in its code gives other numbers each time.

Python's, NumPy's and those that somebody made are found where the code of the modules can get at them: among the attributes of a module,
among what its functions and methods name, and so on for the functions that those call. A network whose code names none of them is spared
the look at their states, which takes as long as a small layer.

What code draws that makes a generator of its own each time, asks the system or reads the clock stands nowhere. There it is only seen that
the code names such a thing.
"""

from __future__ import annotations

import copyreg
import dis
import itertools
import os
import random
import sys
import time
import uuid
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from functools import cache, lru_cache, partial
from types import BuiltinFunctionType, CodeType, FunctionType, GeneratorType, MethodType, ModuleType
from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from signxai.engine.random_sources import NUMPY, PYTHON, Value, is_seed_generator


class Unseen:
    """What code names that gives other numbers each time, and leaves no trace.

    Attributes:
        name: what it is called.
        is_random: whether two of its numbers may lead to the same output by chance, as those of a clock hardly do.
    """

    def __init__(self, name: str, is_random: bool) -> None:
        self.name, self.is_random = name, is_random


def found_in(modules: Iterable[nn.Module]) -> dict[int, Value]:
    """The generators that modules may draw from, and what else gives other numbers each time, by their ``id``."""
    search = _Search()
    kinds = dict.fromkeys(type(module) for module in modules if _look_into_module(module, search))
    for place in itertools.chain.from_iterable(map(_places_of_methods, kinds)):
        search.enter(place())
    return search.found


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
    if isinstance(value, _GENERATORS | Unseen) or is_seed_generator(value):
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
        return [*unseen, (PYTHON, partial(_itself, PYTHON))]
    if module is np.random:
        return [*unseen, (NUMPY, partial(_itself, NUMPY))]
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
