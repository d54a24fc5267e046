"""A model as a pass runs it: modules of its own over the tensors of the user's, in which nothing is changed, not for a moment.

A view has one module for each of the model's, of the same class and with the same attributes, in evaluation mode; its parameters share
the memory of the model's and ask for no gradient. Wherever an attribute leads to a module or tensor of the model, be it in a list, a
bound method, a closure or an object of some class, the view's leads to its own. What neither attributes nor closures lead to, such as
a global name, is beyond that: there the model itself is called, as it is, which is refused where modules of it are in training mode.

Lists, dicts, sets and the like that modules hold as attributes, also within each other, in namespaces and in dataclasses, are copies, as
are small NumPy arrays and tensors over the memory of a buffer: a forward may write to them. So are the lists, dicts and sets in which
Keras keeps those of its layers, and those of other derived classes where something in them leads to the model. Objects of other classes,
other tensors, what only a closure or a class holds, and modules that are in a list alone, other than Keras' layers, are the user's: what
a forward writes to them stays.
"""

from __future__ import annotations

import copyreg
import functools
import sys
import weakref
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from signxai.engine.fused.runs import KNOWN_AS_PLAIN, lend_forward
from signxai.engine.parameters import marked_as_copy, note_tensors_in_training
from signxai.engine.quantized import DequantizedForward
from signxai.engine.steady_modules import PLAIN_TENSORS, is_plain

_INERT = {
    *(int, float, bool, complex, str, bytes, type(None), type, range, slice, type(Ellipsis), property),
    *(torch.dtype, torch.device, torch.Size, torch.Generator, np.dtype, ModuleType, BuiltinFunctionType),
}
"""What leads to no module."""

_TENSORS_AND_MODULES = ("_parameters", "_buffers", "_modules")
_TABLES = {name for name, value in vars(nn.Module()).items() if isinstance(value, dict | set)}
_HOOKS = tuple(name for name in _TABLES if name.startswith(("_forward_", "_backward_")))

_OF_STEADY = {"training": False, KNOWN_AS_PLAIN: True, **{name: OrderedDict() for name in _HOOKS}}
"""What views of steady modules have alike; another thread may put hooks on the model meanwhile."""

_MOST_DEPTH = 6
_MOST_VISITED, _MOST_VISITED_PER_MODULE = 20_000, 200
"""How far attributes are followed: a model may lead to its trainer, and that to a data set. A layer of Keras leads to thirty objects."""

_MOST_BYTES = 1 << 20
"""Up to so many, an array is copied: a larger one is a table that is read."""

_PROXIES = (weakref.ProxyType, weakref.CallableProxyType)


Value: TypeAlias = Any
"""What an attribute or a container holds."""

Named = tuple[nn.Module, str, Tensor]
"""A tensor, with a module and the name that it has there."""


class ModelView:
    """The view of a model.

    Args:
        modules: the model and every module in it, each once, the model first.
        parameters, buffers: theirs, each once.
        is_steady: nothing but steady modules' own code runs, which changes nothing, and nobody puts hooks into the view.
        copies: whether parameters get memory of their own, too.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module],
        parameters: Iterable[Named],
        buffers: Iterable[Named],
        is_steady: bool = False,
        copies: bool = False,
    ) -> None:
        self._views: dict[int, Value] = {}
        self._visited, self._most_visited = 0, max(_MOST_VISITED, _MOST_VISITED_PER_MODULE * len(modules))
        self._seen: dict[int, Value] = {}
        self._memories = _Memories()
        if is_steady:
            self._lent = self._of_steady(modules, parameters)
        else:
            self._lent = self._of_any(modules, parameters, buffers, copies)
        self.net: nn.Module = self._views[id(modules[0])]

    def _of_steady(self, modules: Sequence[nn.Module], parameters: Iterable[Named]) -> list[nn.Module]:
        """View steady modules, quickly: nothing writes to their buffers, nor puts hooks on them. Gives those with a lent forward."""
        views = self._views
        shared = {id(parameter): _view_of(parameter) for *_, parameter in parameters if parameter.requires_grad}
        containers = []
        for module in modules:
            views[id(module)] = view = object.__new__(type(module))
            attributes = view.__dict__
            attributes.update(module.__dict__)
            attributes.update(_OF_STEADY)
            if attributes["_parameters"]:
                attributes["_parameters"] = {name: shared.get(id(own), own) for name, own in attributes["_parameters"].items()}
            if attributes["_buffers"]:
                attributes["_buffers"] = attributes["_buffers"].copy()
            if attributes["_modules"]:
                containers.append(view)
        for view in containers:
            view.__dict__["_modules"] = {name: views.get(id(child), child) for name, child in view.__dict__["_modules"].items()}
        views.update(shared)
        return [view for view in containers if lend_forward(view)]

    def _of_any(self, modules: Sequence[nn.Module], parameters: Iterable[Named], buffers: Iterable[Named], copies: bool) -> list[nn.Module]:
        """View any modules. Gives those with a lent forward."""
        self._views |= {id(module): object.__new__(_kind_of(type(module))) for module in modules}
        self._views.update((id(buffer), _of_kind(buffer, self._memories.copy(buffer))) for *_, buffer in buffers)
        for module, _, parameter in parameters:
            if self._memories.has(parameter):
                self._views[id(parameter)] = _view_of(parameter, marked_as_copy(self._memories.copy(parameter)))
            elif copies or writes_to_weight(module) or parameter.is_inference():  # which autograd does not save
                self._views[id(parameter)] = _view_of(parameter, marked_as_copy(parameter.detach().clone()))
            elif parameter.requires_grad:
                self._views[id(parameter)] = _view_of(parameter)
        views = [self._views[id(module)] for module in modules]
        if any(module.__dict__.get("training") for module in modules):
            tensors = [tensor for *_, tensor in (*parameters, *buffers)]
            note_tensors_in_training(views[0], [tensor for tensor in tensors if id(tensor) in self._views])
        for module in modules:
            if is_plain(module):
                self._fill_plain(module)
            else:
                self._fill(module)
        return [view for view in views if lend_forward(view)]

    def exchange_forward(self, module: nn.Module, forward: DequantizedForward) -> None:
        """Let a module's view run as the layer in floating point that it stands for."""
        view: nn.Module = self._views[id(module)]
        forward.module, forward.bias = view, self._views.get(id(forward.bias), forward.bias)
        view.__dict__["forward"] = forward
        self._lent.append(view)

    def release(self) -> None:
        """Let the view go at once, instead of when its cycles of references are found."""
        for view in self._lent:
            del view.__dict__["forward"]

    def _fill_plain(self, module: nn.Module) -> None:
        """A module of torch's own reads nothing but its tensors, its numbers and its tables of hooks, which are empty."""
        own = self._views.get
        attributes = own(id(module)).__dict__
        attributes.update(module.__dict__)
        attributes["training"] = False
        for name in _TENSORS_AND_MODULES:
            attributes[name] = {key: own(id(value), value) for key, value in attributes[name].items()}
        for name in _HOOKS:  # other code may add to any
            attributes[name] = attributes[name].copy() if attributes[name] else OrderedDict()

    def _fill(self, module: nn.Module) -> None:
        view = self._views[id(module)]
        attributes = view.__dict__
        attributes.update(module.__dict__)
        for name, value in module.__dict__.items():
            kind = type(value)
            if kind in _INERT or (kind is tuple and _INERT.issuperset(map(type, value))):
                continue
            if name in _TABLES and not value:
                attributes[name] = value.copy()
            elif name in _TENSORS_AND_MODULES:
                attributes[name] = self._exchanged(value)
            else:
                own = self.of(value, protects=True)
                attributes[name] = value.copy() if own is value and name in _TABLES else own
        if copyreg._slotnames(type(module)):  # type: ignore[attr-defined]
            for name in _slots(module):
                object.__setattr__(view, name, self.of(getattr(module, name), protects=True))
        if "training" in attributes:  # a compiled module has that of the module inside
            attributes["training"] = False
        if attributes.get("_compiled_call_impl") is not None:
            attributes["_compiled_call_impl"] = None
        if isinstance(attributes["_modules"].get("_orig_mod"), nn.Module):  # its forward leads to the model by compiled code
            attributes["forward"] = attributes["_modules"]["_orig_mod"].__call__

    def _exchanged(self, table: dict[str, Value]) -> dict[str, Value]:
        """A module's table of parameters, buffers or modules, as the view has it."""
        result = table.copy()
        for key, inner in table.items():
            result[key] = self._views.get(id(inner), inner)
        return result

    def of(self, value: Value, depth: int = 0, protects: bool = False) -> Value:
        """The same value where it leads to nothing of the model; else one that leads to the view.

        Args:
            value: anything.
            depth: how many attributes, items and the like led to it.
            protects: it is a module's, which may write to it: containers are copied, wherever they lead.
        """
        kind = type(value)
        if kind in _INERT:
            return value
        found = self._views.get(id(value))
        if found is not None:
            return found
        if id(value) in self._seen:
            return self._seen[id(value)]
        if isinstance(value, Tensor):
            return self._tensor(value)
        if depth >= _MOST_DEPTH or self._visited >= self._most_visited:
            return value
        self._visited += 1
        result = _copied(value) if protects else None
        self._seen[id(value)] = value if result is None else result  # a way back to it ends here
        if result is None:
            self._seen[id(value)] = result = self._rebuilt(value, depth + 1, protects and kind in (tuple, np.ndarray))
        else:
            _refill(result, lambda inner: self.of(inner, depth + 1, True), lambda key: self.of(key, depth + 1))
        return result

    def _tensor(self, tensor: Tensor) -> Tensor:
        """The same tensor; over the view's memory if it looks at a buffer's, a copy if it was made under ``torch.inference_mode()``."""
        if self._memories.has(tensor):
            self._seen[id(tensor)] = tensor = self._memories.copy(tensor)
        elif tensor.is_inference():  # which autograd does not save
            self._seen[id(tensor)] = tensor = tensor.clone()
        return tensor

    def _rebuilt(self, value: Value, depth: int, protects: bool) -> Value:
        rebuild = _REBUILD.get(type(value), _object)
        return rebuild(value, lambda inner: self.of(inner, depth, protects))


Exchange = Callable[[Value], Value]
"""From a value to that for the view, which is the same object where nothing of the model is in it."""


def writes_to_weight(module: nn.Module) -> bool:
    """Whether a module's forward writes to its weight: an embedding that scales rows down to ``max_norm``."""
    return isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.max_norm is not None


def _kind_of(kind: type) -> type:
    """The class of a module's or object's view: the end of that must not end what the module or object holds."""
    if not hasattr(kind, "__del__"):
        return kind
    return type(kind.__name__, (kind,), {"__del__": lambda self: None, "__module__": kind.__module__})


def _view_of(parameter: Tensor, copied: Tensor | None = None) -> Tensor:
    """A parameter that shares the memory of the model's, or is the copy of it, and asks for no gradient."""
    source = parameter if copied is None else copied
    view: Tensor
    if type(parameter) is nn.Parameter:
        view = torch.Tensor._make_subclass(nn.Parameter, source, False)
    else:
        view = source.detach()
        if type(view) is not type(parameter):
            view = torch.Tensor._make_subclass(type(parameter), source, False)
    if parameter.__dict__ or copied is not None:
        view.__dict__.update(_own_attributes(parameter) | ({} if copied is None else copied.__dict__))
    return view


def _of_kind(buffer: Tensor, copied: Tensor) -> Tensor:
    """The copy of a buffer, a parameter where that is one, as Keras keeps where its generators are: it makes one of what is none."""
    return torch.Tensor._make_subclass(nn.Parameter, copied, False) if isinstance(buffer, nn.Parameter) else copied


class _Memories:
    """Copies of buffers, to which code in the model may write: what shares memory with a buffer shares that of its copy."""

    def __init__(self) -> None:
        self._copies: dict[int, Tensor] = {}

    def has(self, tensor: Tensor) -> bool:
        """Whether a tensor looks at memory that was copied."""
        return bool(self._copies) and _has_memory(tensor) and _memory_of(tensor) in self._copies

    def copy(self, tensor: Tensor) -> Tensor:
        """A copy of a buffer, or the tensor over the copy of its memory."""
        storage = tensor.untyped_storage() if _has_memory(tensor) else None
        memory = 0 if storage is None else storage.data_ptr()
        if storage is None or not memory:
            result = tensor.detach().clone()
        elif memory not in self._copies and storage.nbytes() == tensor.numel() * tensor.element_size() and tensor.is_contiguous():
            self._copies[memory] = result = tensor.detach().clone()  # it looks at all of its memory, each value once
        else:
            if memory not in self._copies:
                self._copies[memory] = _bytes_of(storage)
            whole = self._copies[memory].untyped_storage()
            result = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
            result.set_(whole, tensor.storage_offset(), tensor.shape, tensor.stride())
        if tensor.__dict__:
            result.__dict__.update(_own_attributes(tensor))
        return result


def _bytes_of(storage: torch.UntypedStorage) -> Tensor:
    """A copy of all of a memory."""
    source = torch.empty(0, dtype=torch.uint8, device=storage.device)
    return source.set_(storage, 0, (storage.nbytes(),), (1,)).clone()


def _has_memory(tensor: Tensor) -> bool:
    """Whether a tensor is one of torch's own that lies in memory as its strides say; what others are made of is their affair."""
    return type(tensor) in _TENSORS and tensor.layout is torch.strided


_TENSORS = PLAIN_TENSORS | {type(nn.Buffer(torch.empty(0, device="cpu")))} if hasattr(nn, "Buffer") else PLAIN_TENSORS


def _memory_of(tensor: Tensor) -> int:
    """Where a tensor's memory begins; 0 if it has none."""
    return tensor.untyped_storage().data_ptr()


def _own_attributes(tensor: Tensor) -> dict[str, Value]:
    """What code keeps on a tensor, in containers of its own."""
    copies = {name: _copied(value) for name, value in tensor.__dict__.items()}
    return {name: tensor.__dict__[name] if copied is None else copied for name, copied in copies.items()}


def _slots(value: object) -> Iterable[str]:
    return (name for name in copyreg._slotnames(type(value)) if name != "__weakref__" and hasattr(value, name))  # type: ignore[attr-defined]


def _copied(value: Value) -> Value:
    """A copy of a container, record or small array, of the same items; None for anything else."""
    kind = type(value)
    if kind in _CONTAINERS:
        return value.copy()
    if _is_tracked(kind):
        return _of_same_class(value, value.__dict__, _items(value))
    if kind is np.ndarray:
        flags = value.flags
        return value.copy() if flags.owndata and flags.writeable and flags.c_contiguous and value.nbytes <= _MOST_BYTES else None
    if kind is not SimpleNamespace and not _is_record(kind):
        return None
    result = SimpleNamespace() if kind is SimpleNamespace else object.__new__(kind)
    result.__dict__.update(value.__dict__)
    return result


def _is_record(kind: type) -> bool:
    """Whether a class is a dataclass whose instances may change, and hold nothing that ends with them."""
    is_frozen = getattr(getattr(kind, "__dataclass_params__", None), "frozen", True)
    is_plain = bool(kind.__dictoffset__) and not hasattr(kind, "__del__") and not any(copyreg._slotnames(kind))  # type: ignore[attr-defined]
    return not is_frozen and is_plain and not issubclass(kind, nn.Module) and not _makes_itself(kind)


def _refill(copied: Value, exchange: Exchange, exchange_key: Exchange) -> None:
    """Exchange what is in a copy of a container. What is hashed stays itself if it leads to nothing of the model: it is known by that."""
    if isinstance(copied, list):
        if not _INERT.issuperset(map(type, copied)):
            list.__setitem__(copied, slice(None), list(map(exchange, copied)))  # not as a derived class would
    elif isinstance(copied, deque):
        if not _INERT.issuperset(map(type, copied)):
            items = list(map(exchange, copied))
            copied.clear()
            copied.extend(items)
    elif isinstance(copied, set):
        if not _INERT.issuperset(map(type, copied)):
            members = list(map(exchange_key, copied))
            set.clear(copied)
            set.update(copied, members)
    elif not isinstance(copied, np.ndarray | bytearray):
        _refill_mapping(copied if isinstance(copied, dict) else copied.__dict__, exchange, exchange_key)
    if _is_tracked(type(copied)):
        _refill_mapping(copied.__dict__, exchange, exchange_key)


def _refill_mapping(copied: dict[Value, Value], exchange: Exchange, exchange_key: Exchange) -> None:
    kind = OrderedDict if isinstance(copied, OrderedDict) else dict  # a derived class may do more
    if _INERT.issuperset(map(type, copied)):
        for key, item in copied.items():
            if type(item) not in _INERT:
                kind.__setitem__(copied, key, exchange(item))  # which changes no size
        return
    items = [(exchange_key(key), exchange(item)) for key, item in copied.items()]
    kind.clear(copied)
    for key, item in items:
        kind.__setitem__(copied, key, item)


def _sequence(value: Value, exchange: Exchange) -> Value:
    items = [exchange(item) for item in value]
    return value if all(map(_is, items, value)) else type(value)(items)


def _deque(value: Value, exchange: Exchange) -> Value:
    items = [exchange(item) for item in value]
    return value if all(map(_is, items, value)) else deque(items, value.maxlen)


def _array(value: Value, exchange: Exchange) -> Value:
    """An array that looks at the memory of another, if that is copied: at the copy's."""
    base = value.base
    own = exchange(base) if type(base) is np.ndarray else base
    if own is base:
        return value
    result = np.ndarray(value.shape, value.dtype, own, value.ctypes.data - base.ctypes.data, value.strides)
    result.flags.writeable = value.flags.writeable
    return result


def _mapping(value: Value, exchange: Exchange) -> Value:
    keys, values = [exchange(key) for key in value], [exchange(item) for item in value.values()]
    if all(map(_is, keys, value)) and all(map(_is, values, value.values())):
        return value
    result = value.copy()
    result.clear()
    for key, item in zip(keys, values, strict=True):  # a Counter's update would count them
        result[key] = item
    return result


def _is(a: object, b: object) -> bool:
    return a is b


def _method(value: MethodType, exchange: Exchange) -> Value:
    function, owner = exchange(value.__func__), exchange(value.__self__)
    return value if function is value.__func__ and owner is value.__self__ else MethodType(function, owner)


def _function(value: FunctionType, exchange: Exchange) -> Value:
    cells = value.__closure__ or ()
    own = tuple(_cell(cell, exchange) for cell in cells)
    defaults = value.__defaults__ and tuple(map(exchange, value.__defaults__))
    named = value.__kwdefaults__ and {name: exchange(default) for name, default in value.__kwdefaults__.items()}
    is_same = all(map(_is, own, cells)) and all(map(_is, defaults or (), value.__defaults__ or ()))
    if is_same and all(map(_is, (named or {}).values(), (value.__kwdefaults__ or {}).values())):
        return value
    result = FunctionType(value.__code__, value.__globals__, value.__name__, defaults, own or None)
    result.__kwdefaults__ = named
    result.__dict__.update(value.__dict__)
    return result


def _cell(cell: CellType, exchange: Exchange) -> CellType:
    try:
        content = cell.cell_contents
    except ValueError:  # an empty one
        return cell
    own = exchange(content)
    return cell if own is content else CellType(own)


def _partial(value: Value, exchange: Exchange) -> Value:
    function, args, named = exchange(value.func), exchange(value.args), exchange(value.keywords)
    is_same = function is value.func and args is value.args and named is value.keywords
    return value if is_same else functools.partial(function, *args, **named)


def _reference(value: Value, exchange: Exchange) -> Value:
    target = value()
    own = exchange(target)
    return value if own is target or isinstance(own, MethodType) else weakref.ref(own)


def _proxy(value: Value, exchange: Exchange) -> Value:
    try:
        target = value.__init__.__self__  # a proxy passes everything on to what it stands for
    except ReferenceError:
        return value
    own = exchange(target)
    return value if own is target else weakref.proxy(own)


def _object(value: Value, exchange: Exchange) -> Value:
    """An object of some class: a copy if its attributes lead to the model."""
    if isinstance(value, type) or not type(value).__dictoffset__:  # one may answer in any way to being asked for ``__dict__``
        return value
    state: dict[str, Value] = object.__getattribute__(value, "__dict__")
    if isinstance(value, list | dict | set):
        return _derived(value, exchange)
    own = {name: exchange(item) for name, item in state.items()}
    if all(map(_is, own.values(), state.values())) or _makes_itself(type(value)):
        return value
    result: Value = object.__new__(_kind_of(type(value)))
    result.__dict__.update(own)
    for name in _slots(value):
        object.__setattr__(result, name, exchange(getattr(value, name)))
    return result


_BASES: tuple[Value, ...] = (list, OrderedDict, dict, set)


def _items(value: Value) -> Iterable[Value]:
    """What a list, dict or set of a class derived from these holds, in whatever way the class itself would give it."""
    if isinstance(value, dict):
        return OrderedDict.values(value) if isinstance(value, OrderedDict) else dict.values(value)
    return list.__iter__(value) if isinstance(value, list) else set.__iter__(value)


def _derived(value: Value, exchange: Exchange) -> Value:
    """A list, dict or set of a derived class: a copy if what it holds leads to the model."""
    base = next(base for base in _BASES if isinstance(value, base))
    state: dict[str, Value] = object.__getattribute__(value, "__dict__")
    if type(value).__new__ is not base.__new__:
        return value
    items, own = [exchange(item) for item in _items(value)], {name: exchange(item) for name, item in state.items()}
    is_same = all(map(_is, items, _items(value))) and all(map(_is, own.values(), state.values()))
    return value if is_same else _of_same_class(value, own, items)


def _of_same_class(value: Value, state: dict[str, Value], items: Iterable[Value]) -> Value:
    """A list, dict or set of the class of this one, of these attributes and items, made without a word of that class."""
    base = next(base for base in _BASES if isinstance(value, base))
    result = base.__new__(type(value))
    if base is list:
        list.extend(result, items)
    elif base is set:
        set.update(result, items)
    else:
        for key, item in zip(base.keys(value), items, strict=True):
            base.__setitem__(result, key, item)
    if isinstance(value, defaultdict):
        result.default_factory = value.default_factory
    result.__dict__.update(state)
    return result


def _is_tracked(kind: type) -> bool:
    """Whether a class is one in which Keras keeps what is assigned to its layers as a list, dict or set."""
    place = sys.modules.get("keras.src.utils.tracking")
    return place is not None and issubclass(kind, list | dict | set) and getattr(place, kind.__name__, None) is kind


def _makes_itself(kind: type) -> bool:
    """Whether a class has a ``__new__`` of its own, which may ask for arguments."""
    return any("__new__" in vars(base) for base in kind.__mro__[:-1])


_CONTAINERS = {list, set, deque, dict, OrderedDict, defaultdict, Counter, bytearray}
"""What code may write to, and a copy of which holds the same items."""

_REBUILD: dict[type, Callable[[Value, Exchange], Value]] = {
    **dict.fromkeys((list, tuple, set, frozenset), _sequence),
    deque: _deque,
    np.ndarray: _array,
    **dict.fromkeys((dict, OrderedDict, defaultdict, Counter), _mapping),
    **dict.fromkeys(_PROXIES, _proxy),
    MethodType: _method,
    FunctionType: _function,
    functools.partial: _partial,
    weakref.ref: _reference,
}
