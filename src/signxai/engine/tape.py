"""A computation written down operation by operation, and carried out again where autograd sees it: relevance with a graph.

Relevance is computed outside of any graph: activations are saved detached, denominators are overwritten, a layer's rule runs within the
backward pass of another graph, whose gradients are relevance. None of that can be differentiated, and a graph that went through some of
it would give wrong derivatives without a word. So nothing of it is differentiated. A ``Tape`` sees the operators of torch that are carried
out below autograd, whoever calls them (a layer, a rule, the engine of a backward pass), and ``replay`` carries them out once more, on the
tensors that the user gave and the parameters as they are, as one plain computation with a graph. What is a derivative there is one of
torch's own formulas.

- **Memory, not tensors.** Operators read and write memory, and detached, shared and saved tensors are other views of the same. The tape
  knows a value by where it lies. Replayed, a write makes a new value of that memory, and those that were read before stay as they were.
- **Constants.** What is not computed from the input or a parameter (indices, masks, random numbers, buffers) is kept as it was. Decisions
  that the code took by values are taken alike: the derivative is that of the branch that was run.
- **Never a cut graph.** An operator without a derivative, a value that comes from outside of torch, or a result that differs from the one
  that was written down is an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch._decomp import get_decompositions
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from signxai.common.errors import ModelError

_aten = torch.ops.aten

_SAME_VALUE = {_aten.detach.default, _aten.alias.default, _aten.lift_fresh.default}
"""Operators that hand on what they are given; autograd takes some of them for the end of a graph."""


_BY_SHAPE_ALONE = (
    "zeros_like",
    "ones_like",
    "full_like",
    "empty_like",
    "new_zeros",
    "new_ones",
    "new_full",
    "new_empty",
    "new_empty_strided",
)
"""Operators whose result depends on the shape of what they are given."""

_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3}
"""How far what is computed again may be off, relative to the largest value; half precision: a tenth."""


@dataclass(frozen=True)
class Place:
    """Where a tensor lies in memory."""

    memory: int
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many values lie there."""
        return math.prod(self.shape)

    @property
    def axes(self) -> list[int]:
        """The axes in the order in which they lie in memory, the one that changes first at the end."""
        return sorted(range(len(self.shape)), key=lambda axis: (self.strides[axis], self.shape[axis]), reverse=True)

    def numbers(self, device: torch.device) -> Tensor:
        """Where in the memory each of the values lies (size,), in their own order."""
        number = torch.full((), self.offset, device=device)
        for size, stride in zip(self.shape, self.strides, strict=True):
            number = number.unsqueeze(-1) + torch.arange(size, device=device) * stride
        return number.reshape(-1)

    @property
    def is_dense(self) -> bool:
        """Whether the values lie from the beginning of the memory one after the other."""
        step = 1
        for axis in reversed(self.axes):
            if self.shape[axis] > 1 and self.strides[axis] != step:
                return False
            step *= self.shape[axis]
        return self.offset == 0


def place_of(tensor: Tensor) -> Place:
    """Where a tensor lies."""
    memory = tensor.untyped_storage().data_ptr()
    return Place(memory, tensor.dtype, int(tensor.storage_offset()), tuple(tensor.shape), tuple(tensor.stride()))


Operator: TypeAlias = Any
"""One of ``torch.ops``, with its schema."""

Argument: TypeAlias = Any
"""What an operator takes or returns: a tensor, its place, or a value of another kind, also in lists."""


@dataclass(frozen=True)
class _Step:
    """One operator as it was carried out: its arguments, with a ``Place`` or a kept constant for each tensor, and its results."""

    operator: Operator
    args: tuple[Argument, ...]
    kwargs: dict[str, Argument]
    written: tuple[Place, ...]
    results: tuple[Place | None, ...]


class Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]  # of torch, as is its __init__
    """While entered, writes down each operator that computes with the input, a parameter, or what was made of them.

    Args:
        given: tensors that are computed with, and for each the tensor that the user has: the derivative is by that.
    """

    def __init__(self, given: Sequence[tuple[Tensor, Tensor]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._steps: list[_Step] = []
        self._given: list[tuple[Place, Tensor, bool]] = []
        self._known: set[int] = set()
        self._alive: list[Tensor] = []  # so that no memory is used twice
        for tensor, source in given:
            self._give(tensor, source)

    def __torch_dispatch__(self, func: Operator, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
        for tensor in tensors:
            self._note_parameter(tensor)
        if not any(map(self._is_known, tensors)):
            return func(*args, **kwargs)
        written = [value for index in _written(func) for value in _tensors_in(_argument(func, index, args, kwargs))]
        for tensor in written:
            if not self._is_known(tensor):
                self._steps.append(_constant_memory(tensor))
        kept_args, kept_kwargs = tree_map(self._kept, args), tree_map(self._kept, kwargs)
        result = func(*args, **kwargs)
        if torch.Tag.nondeterministic_seeded in func.tags and (written or func._schema.name.endswith("_like")):
            self._steps += map(_constant_memory, written)  # what was drawn, and not drawn again
            return result
        results = _tensors_in(result)
        if not any(map(_is_number, (*results, *written))):
            return result
        for tensor in (*results, *written):
            if _is_number(tensor):
                self._known.add(tensor.untyped_storage().data_ptr())
                self._alive.append(tensor)
        self._steps.append(_Step(func, kept_args, kept_kwargs, tuple(map(place_of, written)), tuple(map(self._place, results))))
        return result

    def _note_parameter(self, tensor: Tensor) -> None:
        """Take a parameter that is not frozen, of a module that the model only borrows, for one that the user has."""
        if tensor.requires_grad and tensor.is_leaf and tensor.untyped_storage().nbytes() == tensor.nbytes and not self._is_known(tensor):
            self._give(tensor, tensor)

    def _give(self, tensor: Tensor, source: Tensor) -> None:
        storage = tensor.untyped_storage()
        self._given.append((place_of(tensor), source, storage.nbytes() == tensor.nbytes))
        self._known.add(storage.data_ptr())
        self._alive.append(tensor)

    def _is_known(self, tensor: Tensor) -> bool:
        return _is_number(tensor) and tensor.untyped_storage().data_ptr() in self._known

    def _place(self, tensor: Tensor) -> Place | None:
        return place_of(tensor) if self._is_known(tensor) else None

    def _kept(self, value: Argument) -> Argument:
        """A tensor's place; of a constant, its values as they are now."""
        if not isinstance(value, Tensor):
            return value
        return place_of(value) if self._is_known(value) else value.detach().clone()

    def replay(self, results: Sequence[Tensor]) -> list[Tensor]:
        """The results once more, with a graph down to the tensors that the user has.

        Raises:
            ModelError: if a step has no derivative, or a result does not come out as it was.
        """
        memory = _Memory()
        with torch.enable_grad():
            for place, source, fills in self._given:
                memory.put(place, source, fills)
            for step in self._steps:
                _carry_out(step, memory)
            again = [memory.read(place_of(result)) if self._is_known(result) else None for result in results]
            if not any(value is not None and value.requires_grad for value in again):
                raise ModelError(
                    "create_graph=True: the map does not depend on an input or a parameter that requires a gradient, by operations of "
                    "torch; let one require it (x.requires_grad_()), or leave create_graph out"
                )
            return [_same(value, result) for value, result in zip(again, results, strict=True)]


def _is_number(tensor: Tensor) -> bool:
    return (tensor.is_floating_point() or tensor.is_complex()) and tensor.numel() > 0 and tensor.layout == torch.strided


def _tensors_in(value: Argument) -> list[Tensor]:
    return [one for one in tree_flatten(value)[0] if isinstance(one, Tensor)]


def _written(operator: Operator) -> list[int]:
    """The numbers of the arguments that an operator writes to."""
    arguments = enumerate(operator._schema.arguments)
    return [index for index, argument in arguments if argument.alias_info is not None and argument.alias_info.is_write]


def _argument(operator: Operator, index: int, args: tuple[Argument, ...], kwargs: dict[str, Argument]) -> Argument:
    return args[index] if index < len(args) else kwargs.get(operator._schema.arguments[index].name)


def _constant_memory(tensor: Tensor) -> _Step:
    """All the memory that a tensor lies in, as it is now, as a constant."""
    size = tensor.untyped_storage().nbytes() // tensor.element_size()
    values = tensor.detach().as_strided((size,), (1,), 0).clone()
    place = Place(tensor.untyped_storage().data_ptr(), tensor.dtype, 0, (size,), (1,))
    return _Step(_aten.alias.default, (values,), {}, (place,), ())


class _Memory:
    """The values that lie in memory as the steps are carried out again."""

    def __init__(self) -> None:
        self._owners: dict[int, tuple[Place, Tensor]] = {}  # a value that fills the memory, and where it lies
        self._values: dict[int, dict[Place, Tensor]] = {}  # what was read of that, until something is written
        self._cut: dict[int, Operator] = {}

    def put(self, place: Place, value: Tensor, fills: bool = True) -> None:
        """A value in memory of its own, which it fills, or a view of what is there."""
        if fills:
            self._owners.setdefault(place.memory, (place, value))
        self._values.setdefault(place.memory, {})[place] = value

    def write(self, place: Place, value: Tensor) -> None:
        """A value that an operator wrote."""
        owner, before = self._owners.get(place.memory, (place, value))
        if owner.dtype != place.dtype:
            raise ModelError(f"create_graph=True: {owner.dtype} is written as {place.dtype}, which has no derivative")
        if not (place.is_dense and place.size == owner.size):  # a part of the memory
            value = _flat(owner, before).index_copy(0, place.numbers(value.device), value.reshape(-1))
            place = Place(place.memory, place.dtype, 0, tuple(value.shape), (1,))
        self._owners[place.memory] = place, value
        self._values[place.memory] = {place: value}
        self._cut.pop(place.memory, None)

    def cut(self, place: Place, operator: Operator) -> None:
        """Say that what an operator put there has no derivative."""
        self._cut[place.memory] = operator

    def _owner(self, place: Place) -> tuple[Place, Tensor]:
        if place.memory not in self._owners:
            raise ModelError("create_graph=True: parameters that share memory are read as one or written to; give each its own memory")
        return self._owners[place.memory]

    def read(self, place: Place, reader: Operator = None) -> Tensor:
        """The value that lies there now, for an operator."""
        if place.memory in self._cut and "backward" not in str(reader):  # such a formula counts on what is beside the result
            raise ModelError(f"create_graph=True: {self._cut[place.memory]} has no derivative by all of its results, which {reader} reads")
        if place.memory not in self._values:
            raise ModelError(f"create_graph=True: {reader} reads what an operator gave beside what it wrote, which is not followed")
        values = self._values[place.memory]
        if place not in values:
            owner, value = self._owner(place)
            if owner.dtype != place.dtype:
                raise ModelError(f"create_graph=True: {owner.dtype} is read as {place.dtype}, which has no derivative")
            values[place] = _flat(owner, value).index_select(0, place.numbers(value.device)).view(place.shape)
        return values[place]


def _flat(place: Place, value: Tensor) -> Tensor:
    """A value that fills its memory, in the order in which it lies there."""
    if not place.is_dense:
        raise ModelError("create_graph=True: a tensor that does not fill its memory is read as another view, or written to; clone it first")
    return value.permute(place.axes).reshape(-1)


def _carry_out(step: _Step, memory: _Memory) -> None:
    """Carry out a step again.

    Raises:
        ModelError: if it has no derivative.
    """

    def value_of(kept: Argument) -> Argument:
        return memory.read(kept, step.operator) if isinstance(kept, Place) else kept

    if step.operator is _aten.as_strided.default:  # which is told where in memory to read
        return
    args, kwargs = tree_map(value_of, step.args), tree_map(value_of, step.kwargs)
    try:
        results = _values(step, args, kwargs)
    except RuntimeError as error:
        raise ModelError(f"create_graph=True: {step.operator} cannot be carried out with a graph: {error}") from error
    if step.written:
        for place, value in zip(step.written, results, strict=True):
            memory.write(place, value)
        return
    has_graph = any(tensor.requires_grad for tensor in _tensors_in((args, kwargs)))
    for result, value in zip(step.results, results, strict=False):  # an LSTM gives one more, its workspace, where gradients are asked for
        if result is not None:
            memory.put(result, value)
            if has_graph and not value.requires_grad and step.operator._schema.name.partition("::")[2] not in _BY_SHAPE_ALONE:
                memory.cut(result, step.operator)


def _quotient(a: Tensor, b: Argument) -> Tensor:
    """``a / b``; where b is 0 a rule puts 0 in its place, so that the derivative there is 0, and not NaN."""
    if not isinstance(b, Tensor) or not bool((b == 0).any()):
        return torch.div(a, b)
    quotient = torch.div(a, b.masked_fill(b == 0, 1.0))
    return torch.where(b == 0, torch.div(a.detach(), b.detach()), quotient)


def _values(step: _Step, args: tuple[Argument, ...], kwargs: dict[str, Argument]) -> list[Tensor]:
    """What an operator returns, or what it writes."""
    operator = step.operator
    if operator in _SAME_VALUE:
        return [args[0]]
    if not step.written:
        carry_out: Operator = _REPLACED.get(operator, operator)
        return _with_derivatives(operator, _tensors_in(carry_out(*args, **kwargs)))
    if operator._schema.arguments[_written(operator)[0]].kwarg_only:  # out=
        names = {operator._schema.arguments[index].name for index in _written(operator)}
        function = _quotient if operator is _aten.div.out else operator._overloadpacket
        results = _tensors_in(function(*args, **{name: value for name, value in kwargs.items() if name not in names}))
        return [
            value.expand(place.shape).to(place.dtype)
            for place, value in zip(step.written, _with_derivatives(operator, results), strict=True)
        ]
    given = list(args)
    for index in _written(operator):
        given[index] = tree_map(lambda value: value.clone() if isinstance(value, Tensor) else value, given[index])
    operator(*given, **kwargs)
    return _with_derivatives(operator, [value for index in _written(operator) for value in _tensors_in(given[index])])


def _attention_backward(
    gradient: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    logsumexp: Tensor,
    dropout_p: float,
    is_causal: bool,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients by query, key and value of the attention that torch carries out as a whole, in operations that have derivatives."""
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = query @ key.mT * scale
    scores = scores if attn_mask is None else scores + attn_mask
    if is_causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril().logical_not(), -math.inf)
    weights = scores.softmax(-1)
    by_weights = gradient @ value.mT
    by_scores = weights * (by_weights - (by_weights * weights).sum(-1, keepdim=True)) * scale
    return by_scores @ key, by_scores.mT @ query, weights.mT @ gradient


_REPLACED: dict[Operator, Callable[..., Argument]] = {
    _aten.view.default: torch.reshape,  # how a value lies in memory may be otherwise when it is computed again
    _aten._unsafe_view.default: torch.reshape,
    _aten.div.Tensor: _quotient,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward.default: _attention_backward,
    **get_decompositions([_aten.silu_backward, _aten.mish_backward, _aten.native_group_norm_backward]),
}
"""What is carried out in the place of operators: gradients have no derivative of their own where torch carries them out as a whole."""


def _with_derivatives(operator: Operator, results: list[Tensor]) -> list[Tensor]:
    """The results, if the operator has a derivative."""
    if any(type(result.grad_fn).__name__ == "NotImplemented" for result in results):
        raise ModelError(
            f"create_graph=True: {operator} has no derivative in this version of torch; write that operation otherwise (attention: with "
            "torch.nn.attention.sdpa_kernel(SDPBackend.MATH); recurrent layers: with torch.backends.mkldnn.flags(enabled=False))"
        )
    return results


def _same(again: Tensor | None, result: Tensor) -> Tensor:
    """What was computed again, if it is the result; the result itself if it is a constant, as relevance at the last layer may be.

    Raises:
        ModelError: if it is not.
    """
    if again is None:
        return result
    off = float((again.detach() - result).abs().max())
    if not off <= _TOLERANCE.get(result.dtype, 0.1) * float(result.abs().max()):
        raise ModelError(f"create_graph=True: computed again, the map differs by {off:.3g}; does the model draw random numbers?")
    return again
