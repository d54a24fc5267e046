"""The activation at a network's output that turns logits into probabilities: what stood in front of it is explained.

It is found by notes where torch has a name for it, softmax or sigmoid, or their logarithms, and behind whatever leaves it one in
the eyes of a user: moves, a factor, a clamp, an epsilon. Written by hand it is recognized by what it computes: the output equals the
softmax or the sigmoid of something that the network took the exponential of.
"""

from __future__ import annotations

import math
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from signxai.engine.call import Call, Result, tensors_in
from signxai.engine.moves import MOVES_ALONE, in_any_layout
from signxai.engine.notes import AsItWas, FreshNotes
from signxai.engine.saved import SavedTensor, Saver
from signxai.engine.torch_functions import Operation, functions_named

SOFTMAX, SIGMOID = "softmax", "sigmoid"

_MOST_EPSILON = 1e-3
_REMEMBERED = 8


class ProbabilitiesWarning(UserWarning):
    """The output looks like probabilities, and nothing that was computed is their logits: the probabilities are explained."""


class Source(SavedTensor):
    """What stood in front, with its place in autograd's graph; copied, graph and all, before somebody writes to it."""

    __slots__ = ("_copy",)

    def __init__(self, tensor: Tensor, copy: Callable[[Tensor], Tensor]) -> None:
        super().__init__(tensor)
        self._copy = copy

    def secure(self) -> None:
        if self._tensor is not None:
            with torch.enable_grad():
                self._tensor = self._copy(self._tensor)
            self._version = self._tensor._version

    def get(self) -> Tensor | None:
        """The tensor; None if a write to it went unseen."""
        tensor = self._tensor
        return tensor if tensor is not None and tensor._version == self._version else None


@dataclass(frozen=True)
class Probabilities:
    """What is known of a tensor that holds probabilities, or their logarithms.

    Attributes:
        logits: gives what stood in front.
        name: "softmax" or "sigmoid".
        is_log: whether it holds logarithms.
        base: of the logarithms.
        sources: the tensors that stood in front; what is known holds as long as they can be had.
        is_by_value: it is known by what it equals for this input, which may be by chance.
    """

    logits: Callable[[], Tensor]
    name: str
    is_log: bool
    base: float = math.e
    sources: tuple[Source, ...] = ()
    is_by_value: bool = False

    def resolved(self) -> Probabilities | None:
        """The same, if what stood in front can be had."""
        return self if all(source.get() is not None for source in self.sources) else None

    def then(self, change: Change) -> Note | None:
        """What is known of the tensor that a call makes of this one."""
        return change(self)


@dataclass(frozen=True)
class Pending:
    """What may turn out to be probabilities, when somebody asks."""

    resolved: Callable[[], Probabilities | None]

    def then(self, change: Change) -> Note | None:
        """What may turn out to be some of the tensor that a call makes of this one."""

        def resolved() -> Probabilities | None:
            known = self.resolved()
            return None if known is None else change(known)

        return Pending(resolved)


Note: TypeAlias = Probabilities | Pending
Change: TypeAlias = Callable[[Probabilities], Probabilities | None]


@dataclass(frozen=True)
class Patch:
    """What was written to a part of a tensor's memory.

    Attributes:
        geometry: size, stride and offset of the view that it was written to.
        index: which part of that view; None: all of it.
        note: what is known of the values; None if nothing is.
    """

    geometry: tuple[torch.Size, tuple[int, ...], int]
    index: Any
    note: Note | None

    def write(self, memory: Tensor, values: Any) -> None:
        """Write values to that part of a tensor (n,)."""
        view = memory.as_strided(*self.geometry)
        if self.index is None:
            view.copy_(values)
        else:
            view[self.index] = values


def _table(**kinds: tuple[str, ...]) -> dict[Operation, str]:
    found = {function: kind for kind, names in kinds.items() for function in functions_named(*names)}
    return dict.fromkeys(MOVES_ALONE, "moves") | found


_SELECTING = ("gather", "take_along_dim", "masked_select", "take")

KINDS = _table(
    softmax=("softmax", "special_softmax", "_softmax"),
    log_softmax=("log_softmax", "special_log_softmax", "_log_softmax"),
    sigmoid=("sigmoid", "sigmoid_", "expit", "special_expit"),
    log_sigmoid=("logsigmoid", "log_sigmoid"),
    moves=("to", "float", "double", "half", "bfloat16", "type", "dropout", "index_select", "type_as", "permute", *_SELECTING),
    joins=("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack"),
    scales=(
        *("mul", "mul_", "multiply", "__mul__", "__rmul__", "__imul__"),
        *("div", "div_", "divide", "true_divide", "__truediv__", "__itruediv__"),
    ),
    shifts=("add", "add_", "__add__", "__radd__", "__iadd__"),
    cuts=("clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_min_", "clamp_max", "clamp_max_", "nan_to_num"),
    log=("log", "log_", "log2", "log2_", "log10", "log10_"),
    exp=("exp", "exp_", "exp2", "exp2_", "special_exp2", "expm1", "expm1_", "special_expm1"),
    powers=("pow", "__pow__", "__rpow__", "float_power"),
    complements=("rsub", "__rsub__"),
    arithmetic=("reciprocal", "reciprocal_", "__rtruediv__", "__rdiv__", "neg", "neg_", "__neg__", "negative", "sub_", "__isub__"),
    writes=("__setitem__", "copy_"),
    logaddexp=("logaddexp",),
    tanh=("tanh", "tanh_"),
    abs=("abs", "absolute"),
    softplus=("softplus",),
    logsumexp=("logsumexp", "special_logsumexp"),
    differences=("sub", "__sub__", "subtract"),
)  # fmt: skip
"""What a function does to probabilities, or to what may become some."""

_TAKEN_OFF = {"softmax": (SOFTMAX, False), "log_softmax": (SOFTMAX, True), "sigmoid": (SIGMOID, False), "log_sigmoid": (SIGMOID, True)}


class FinalActivation:
    """Watches for what may be the activation at the output; one for each forward pass.

    Args:
        saver: is told of writes.
        copy: copies a tensor, as an operation that the pass sees.
    """

    def __init__(self, saver: Saver, copy: Callable[[Tensor], Tensor]) -> None:
        self._saver = saver
        self._copy = copy
        self._notes: FreshNotes[Note] = FreshNotes()
        self._any = False
        self._any_patches = False
        self._differences: FreshNotes[tuple[AsItWas, Tensor]] = FreshNotes()
        self._patches: FreshNotes[tuple[Patch, ...]] = FreshNotes()
        self._candidates: deque[Candidate] = deque(maxlen=_REMEMBERED)
        self._recent: deque[Tensor] = deque(maxlen=_RECENT)
        self._is_lost = False
        self._is_by_chance = False

    @property
    def may_be_by_chance(self) -> bool:
        """Whether anything was remembered that the output may equal."""
        return bool(self._candidates)

    def was_by_chance(self) -> None:
        """Take note that the output equals what it was recognized by for this input alone: it is what it is."""
        self._is_by_chance = True

    def note(self, result: object, logits: object, name: str = SOFTMAX, is_log: bool = False) -> None:
        """Remember that ``result`` is a softmax, or sigmoid, of ``logits``, or the logarithm of one."""
        if isinstance(result, Tensor) and isinstance(logits, Tensor):
            self._put(result, Probabilities(lambda: logits, name, is_log, sources=(self._source(logits),)))

    def _put(self, result: Tensor, known: Note | None) -> None:
        if known is not None:
            self._any = True
            self._notes.put(result, known)

    def _source(self, x: Tensor) -> Source:
        source = Source(x, self._copy)
        if x.layout == torch.strided and not torch._C._functorch.is_functorch_wrapped_tensor(x):
            self._saver.watch(x, source)
        return source

    def before(self, kind: str, call: Call) -> Any:
        """What must be known before a call of one of ``KINDS`` runs, which may write to its input."""
        x = call.x
        if kind in _TAKEN_OFF:
            if not isinstance(x, Tensor):
                return None
            x = self._copy(x) if call.writes_in_place() else self._without_what_is_alike(x, call) if "softmax" in kind else x
            source = self._source(x)
            if "sigmoid" in kind:
                self._candidates.append(Candidate("sigmoid", source))
            return source
        if kind == "writes":
            return self._patches.get(_memory_of(x)) if self._any and isinstance(x, Tensor) else None
        if kind in _REMEMBERS:
            self._remember(kind, call)
        return self._note_of(x) if self._any and kind != "joins" else None

    def _note_of(self, x: object) -> Note | None:
        """What is known of a tensor: of itself, or as a part of memory that was written to piece by piece."""
        note = self._notes.get(x)
        if note is not None or not self._any_patches or not isinstance(x, Tensor) or x._base is None or x.layout != torch.strided:
            return note
        patches = self._patches.get(x._base)
        return None if patches is None else Pending(partial(self._patched, patches, x._base.numel(), _geometry(x, x._base)))

    def _remember(self, kind: str, call: Call) -> None:
        for of_kind, x, scale in _candidates_in(kind, call):
            kept = self._copy(x) if x is call.x and call.writes_in_place() else x
            self._candidates.append(Candidate(of_kind, self._source(kept), scale))

    def after(self, kind: str, call: Call, before: Any, result: Result) -> None:
        """Note what is still, or now, a probability."""
        if kind in _TAKEN_OFF:
            if isinstance(result, Tensor) and before is not None:
                name, is_log = _TAKEN_OFF[kind]
                self._put(result, Probabilities(before.take, name, is_log, sources=(before,)))
        elif kind == "writes":
            self._write(call, before)
        elif kind == "joins":
            self._join(call, result)
        elif before is None and not self._candidates and kind != "differences":
            return
        elif isinstance(result, Tensor):
            if kind == "differences" and isinstance(call.x, Tensor) and _spreads(call):
                self._differences.put(result, (AsItWas(call.x), call.args[1]))
            self._follow(kind, call, before, result)
        elif kind == "moves" and before is not None:
            for place, part in enumerate(result if isinstance(result, tuple | list) else ()):
                if isinstance(part, Tensor):
                    self._put(part, before.then(partial(_moved, _move_of(call), place)))

    def _follow(self, kind: str, call: Call, known: Note | None, result: Tensor) -> None:
        """Note what a call made of a tensor of which something is known, or may be."""
        if kind == "moves":
            if known is not None:
                self._put(result, known.then(partial(_moved, _move_of(call), None)))
            return
        changed = None if known is None else self._changed(kind, call, known)
        if isinstance(changed, Probabilities):
            self._put(result, changed)
        elif self._candidates and (changed is not None or self._may_be_some(result)):
            self._put(result, self._pending(result, changed))
        else:
            self._put(result, changed)

    def _changed(self, kind: str, call: Call, known: Note) -> Note | None:
        """What is known behind a call that leaves probabilities what they are, in the eyes of a user."""
        if kind == "log":
            base = _BASES[call.func.__name__.strip("_")]
            return known.then(lambda p: None if p.is_log else replace(p, is_log=True, base=base))
        if kind == "exp":
            base = _BASES.get(call.func.__name__.strip("_"), 0.0)
            return known.then(lambda p: replace(p, is_log=False, base=math.e) if p.is_log and p.base == base else None)
        if kind == "cuts":
            return known
        if kind in ("scales", "shifts"):
            number = _number_beside(call)
            return None if number is None else known.then(lambda p: p if _leaves_probabilities(kind, number, p) else None)
        if kind == "complements" and _number_beside(call) == 1:
            return Pending(partial(self._complement, known))
        return None

    def _complement(self, note: Note) -> Probabilities | None:
        """What one less a probability is one of."""
        known = note.resolved()
        if known is None or known.is_log:
            return None
        if known.name == SOFTMAX:
            self._is_lost = True
            return None
        return replace(known, logits=lambda: -known.logits())

    def _may_be_some(self, result: Tensor) -> bool:
        """Whether a result may be a softmax or sigmoid, written by hand, of what was remembered last."""
        size = result.numel()
        return result.is_floating_point() and any(candidate.size == size for candidate in self._candidates)

    def _pending(self, result: Tensor, changed: Note | None) -> Pending:
        """What a result may be by its value, or else by how it was made."""
        find: Callable[[], Probabilities | None]
        if result.numel() <= _MOST_KEPT:
            kept, candidates, has_graph = AsItWas(result.detach()), tuple(self._candidates)[-_RECENT:], result.requires_grad

            def find() -> Probabilities | None:
                values = kept.get()
                return None if values is None else _recognized(values, candidates, has_graph)
        else:
            self._recent.append(result)  # others are let go of
            reference, version = weakref.ref(result), result._version

            def find() -> Probabilities | None:
                values = reference()
                return None if values is None or values._version != version else _recognized(values, self._candidates, values.requires_grad)

        return Pending(lambda: find() or (None if changed is None else changed.resolved()))

    def _without_what_is_alike(self, x: Tensor, call: Call) -> Tensor:
        """What a softmax along an axis is one of: what was subtracted from all its inputs alike changes nothing."""
        axis = call.rest[0] if call.rest else call.named.get("dim")
        if not isinstance(axis, int):
            return x
        known, difference = self._notes.get(x), self._differences.get(x)
        if isinstance(known, Probabilities) and known.name == SOFTMAX and known.is_log and known.resolved() is not None:
            logits = known.logits()
            return logits if _differ_alike(logits.detach(), x.detach(), axis) else x
        a = None if difference is None else difference[0].get()
        if a is None or difference is None:
            return x
        place, b = axis % x.ndim - x.ndim, difference[1]
        return self._without_what_is_alike(a, call) if b.ndim < -place or b.shape[place] == 1 else x

    def _join(self, call: Call, result: Result) -> None:
        if not self._any or not isinstance(result, Tensor):
            return
        parts = tensors_in(call.args[:1] or tuple(call.kwargs.values())[:1])
        found = [self._note_of(part) for part in parts]
        if any(note is not None for note in found):
            join = call.of(call.func)
            self._put(result, Pending(partial(self._joined, found, lambda logits: join.run(logits))))

    def _joined(self, notes: Sequence[Note | None], join: Callable[[list[Tensor]], Tensor]) -> Probabilities | None:
        """What is known of several parts together."""
        found = [None if note is None else note.resolved() for note in notes]
        known = [one for one in found if one is not None]
        if not known:
            return None
        if len({(one.name, one.is_log, one.base) for one in known}) > 1 or len(known) < len(found):
            self._is_lost = True
            return None
        sources = tuple(source for one in known for source in one.sources)
        is_by_value = any(one.is_by_value for one in known)
        return replace(known[0], logits=lambda: join([one.logits() for one in known]), sources=sources, is_by_value=is_by_value)

    def _write(self, call: Call, before: tuple[Patch, ...] | None) -> None:
        """Note what was written to a part of a tensor: together such parts may be all of it."""
        target, value = call.x, call.args[-1] if call.rest else call.named.get("src")
        if not self._any or not isinstance(target, Tensor) or target.layout != torch.strided:
            return
        note = self._note_of(value)
        memory = _memory_of(target)
        if (note is None and not before) or not memory.is_contiguous():
            return
        index = call.args[1] if call.func is torch.Tensor.__setitem__ else None
        patches = (*(before or ()), Patch(_geometry(target, memory), index, note))
        self._any_patches = True
        self._patches.put(memory, patches)
        self._put(memory, Pending(partial(self._patched, patches, memory.numel(), _geometry(memory, memory))))

    def _patched(self, patches: tuple[Patch, ...], size: int, whole: tuple[Any, ...]) -> Probabilities | None:
        """What is known of a tensor whose parts were written one by one."""
        covered = torch.zeros(size, dtype=torch.bool, device="cpu")
        for patch in patches:
            patch.write(covered, torch.tensor(patch.note is not None, device="cpu"))
        written = [patch for patch in patches if patch.note is not None]
        if not bool(covered.as_strided(*whole).all()):
            self._is_lost = any(patch.note is not None and patch.note.resolved() is not None for patch in written)
            return None

        def join(logits: list[Tensor]) -> Tensor:
            memory = logits[0].new_zeros(size)
            for patch, values in zip(written, logits, strict=True):
                patch.write(memory, values)
            return memory.as_strided(*whole)

        return self._joined([patch.note for patch in written], join)

    def of(self, output: Tensor) -> Probabilities | None:
        """What is known of an output; None if it is none that is known to hold probabilities."""
        note = self._note_of(output)
        self._is_lost = False
        if self._is_by_chance:
            return None
        known = None if note is None else note.resolved()
        if known is None and isinstance(note, Probabilities):
            self._is_lost = True
        return known or _recognized(output, self._candidates, output.requires_grad)

    def say_if_unrecognized(self, output: Tensor, total: float) -> None:
        """Warn where an output whose logits are not known, and whose values sum to ``total``, holds probabilities, or looks like it."""
        if self._is_lost:
            warnings.warn(
                "some of the model's output are probabilities, but not all of it, or not of one kind, or of logits that were overwritten: "
                "it is explained as it is; let the model return logits, or name them by output=",
                ProbabilitiesWarning,
                stacklevel=2,
            )
        elif _look_like_probabilities(output, total):
            warnings.warn(
                "the model's output looks like probabilities, which sum to 1 over the classes, but their logits are not known: the "
                "probabilities are explained; let the model return logits, or name them by output=",
                ProbabilitiesWarning,
                stacklevel=2,
            )


def _look_like_probabilities(output: Tensor, total: float) -> bool:
    """Whether values lie in (0, 1] and sum to 1 along an axis."""
    if output.ndim < 2 or not output.is_floating_point():
        return False
    axes = [axis for axis in range(1, output.ndim) if output.shape[axis] > 1]
    axes = [axis for axis in axes if math.isclose(total * output.shape[axis], output.numel(), rel_tol=1e-3)]  # most outputs: one sum tells
    if not axes:
        return False
    values = output.detach()
    sums = [values.sum(axis) for axis in axes]
    return bool(((values > 0) & (values <= 1)).all()) and any(torch.allclose(one, torch.ones_like(one), atol=1e-4) for one in sums)


class Candidate:
    """What a softmax or a sigmoid may be one of: the input of a function that such things are written with.

    Attributes:
        kind: of the function.
        source: its input.
        scale: by which it multiplies that beforehand, in the eyes of the exponential.
        size: how many values it has.
    """

    __slots__ = ("kind", "scale", "size", "source")

    def __init__(self, kind: str, source: Source, scale: float = 1.0) -> None:
        self.kind, self.source, self.scale = kind, source, scale
        self.size = source.take().numel()


_REMEMBERS = frozenset({"exp", "powers", "tanh", "abs", "softplus", "logaddexp", "logsumexp", "differences"})
_BASES = {"exp": math.e, "exp2": 2.0, "special_exp2": 2.0, "log": math.e, "log2": 2.0, "log10": 10.0}
_RECENT, _MOST_KEPT = 4, 1 << 14


def _candidates_in(kind: str, call: Call) -> Iterator[tuple[str, Tensor, float]]:
    """What a call may make a softmax or sigmoid of: as which kind, of which tensor, multiplied by what."""
    x = call.x
    if kind == "powers":
        yield from _powers_in(call)
    elif kind == "logaddexp":
        yield from (("softplus", term, 1.0) for term in call.args if isinstance(term, Tensor))
    elif isinstance(x, Tensor) and (kind != "differences" or _spreads(call)):
        yield kind, x, math.log(2.0) if "exp2" in getattr(call.func, "__name__", "") else 1.0


def _powers_in(call: Call) -> Iterator[tuple[str, Tensor, float]]:
    """A number to the power of a tensor, which is an exponential."""
    if len(call.args) == 2:
        base, x = call.args[::-1] if call.func is torch.Tensor.__rpow__ else call.args
        number = _number(base)
        if number is not None and number > 0 and number != 1 and isinstance(x, Tensor):
            yield "exp", x, math.log(number)


def _recognized(output: Tensor, candidates: Sequence[Candidate], has_graph: bool) -> Probabilities | None:
    """What is known by what the output, which is in autograd's graph or not, equals."""
    if not candidates or not output.is_floating_point():
        return None
    values = output.detach()
    is_log = bool((values <= 0).all())
    if not is_log and not bool(((values >= 0) & (values <= 1)).all()):
        return None
    for candidate in candidates:
        x = candidate.source.get()
        if x is None or x.numel() != output.numel() or x.requires_grad != has_graph:
            continue
        known = _reading_of(candidate, x, values.reshape(x.shape), is_log)
        if known is not None:
            return replace(known, logits=partial(_reshaped, known.logits, output.shape))
    return None


def _reading_of(candidate: Candidate, x: Tensor, values: Tensor, is_log: bool) -> Probabilities | None:
    """What values are of something that was remembered, if they are that to rounding."""
    rtol, atol = _TOLERANCES.get(values.dtype, (2e-2, 1e-7))
    plain = x.detach() * candidate.scale if candidate.scale != 1 else x.detach()
    small = (plain.exp(), plain.exp().log1p()) if candidate.kind == "exp" else ()  # of small numbers a sigmoid is the same
    if any(torch.equal(values, other) for other in small):
        return None
    bases = (math.e, 2.0, 10.0) if is_log else (math.e,)
    for factor, name, logarithm in _readings(candidate.kind, plain):
        for base in bases:
            wanted = logarithm / math.log(base) if is_log else logarithm.exp()
            if torch.allclose(values, wanted, rtol=rtol, atol=atol):
                logits = partial(_times, candidate.source, factor * candidate.scale)
                return Probabilities(logits, name, is_log, base, (candidate.source,), is_by_value=True)
    return None


def _readings(kind: str, x: Tensor) -> Iterator[tuple[float, str, Tensor]]:
    """Of which multiple of what was remembered an output may be the softmax or sigmoid, and the logarithm of what it would be then."""
    if kind in ("exp", "sigmoid", "softplus", "abs"):
        yield -1.0, SIGMOID, F.logsigmoid(-x)
    if kind in ("exp", "sigmoid", "softplus", "abs"):
        yield 1.0, SIGMOID, F.logsigmoid(x)
    elif kind == "tanh":
        yield 2.0, SIGMOID, F.logsigmoid(2 * x)
        yield -2.0, SIGMOID, F.logsigmoid(-2 * x)
    if kind in ("exp", "logsumexp", "differences"):
        for axis in range(1, x.ndim):
            yield 1.0, SOFTMAX, torch.log_softmax(x, axis)


_TOLERANCES = {torch.float64: (1e-9, 1e-30), torch.float32: (2e-5, 1e-30)}
"""Relative and absolute: small probabilities are told apart, too."""


def _times(source: Source, factor: float) -> Tensor:
    x = source.take()
    return x if factor == 1 else x * factor


def _reshaped(logits: Callable[[], Tensor], shape: torch.Size) -> Tensor:
    return logits().reshape(shape)


def _differ_alike(logits: Tensor, x: Tensor, axis: int) -> bool:
    """Whether two tensors differ by what is alike along an axis."""
    if logits.shape != x.shape:
        return False
    difference = logits - x
    rtol, _ = _TOLERANCES.get(x.dtype, (2e-2, 0.0))
    spread = difference.amax(axis) - difference.amin(axis)
    return bool((spread <= rtol * logits.abs().amax(axis).clamp_min(1.0)).all())


def _memory_of(tensor: Tensor) -> Tensor:
    """The tensor that another one is a view of, or itself."""
    return tensor if tensor._base is None else tensor._base


def _geometry(tensor: Tensor, memory: Tensor) -> tuple[torch.Size, tuple[int, ...], int]:
    return tensor.shape, tensor.stride(), int(tensor.storage_offset() - memory.storage_offset())


def _move_of(call: Call) -> Call:
    """A move without its input, as one that leaves another tensor alone."""
    moved = in_any_layout(_out_of_place(call))
    return Call(moved.func, (None, *moved.rest), moved.named)


def _moved(move: Call, place: int | None, known: Probabilities) -> Probabilities:
    """What is known of the result of a move, or of one of its results."""

    def logits() -> Tensor:
        result = move.run(known.logits())
        moved: Tensor = result if place is None else result[place]
        return moved

    return replace(known, logits=logits)


def _spreads(call: Call) -> bool:
    """Whether what is subtracted is alike along some axis."""
    if len(call.args) != 2 or not isinstance(call.args[1], Tensor):
        return False
    x, other = call.args
    return bool(other.ndim < x.ndim or any(size == 1 != whole for size, whole in zip(other.shape, x.shape, strict=False)))


def _out_of_place(call: Call) -> Call:
    """A move that changes a tensor's shape in place as one that leaves it alone."""
    name = getattr(call.func, "__name__", "")
    plain = getattr(torch.Tensor, name[:-1], None) if name.endswith("_") and not name.endswith("__") else None
    return call if plain is None else call.of(plain)


def _number_beside(call: Call) -> float | None:
    """The number that a call takes beside its input; None if it takes anything else."""
    others = [value for value in call.args if value is not call.x]
    return None if len(others) != 1 or call.kwargs.keys() - {"out"} else _number(others[0])


def _leaves_probabilities(kind: str, number: float, known: Probabilities) -> bool:
    """Whether probabilities are still ones with a factor, or what is added."""
    if kind == "scales":
        return number == 1 or (number > 0 and known.name == SOFTMAX)  # ten times a sigmoid is no probability
    return not known.is_log and 0 <= number <= _MOST_EPSILON


def _number(value: object) -> float | None:
    if isinstance(value, Tensor):
        return float(value) if value.ndim == 0 and not value.requires_grad else None
    return float(value) if isinstance(value, int | float) else None
