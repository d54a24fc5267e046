"""What all analyzers share: reading input and target, cutting batches, giving the model back, returning arrays."""

from __future__ import annotations

import inspect
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, TypeAlias, TypedDict

import numpy as np
import torch
from torch import Tensor, nn

from signxai.common.errors import ModelError, OptionError
from signxai.engine.batch_bound import samples_at_once
from signxai.engine.embedding_rows import ReadRows
from signxai.engine.forward import OutputOption
from signxai.engine.freed_memory import keep_freed_memory
from signxai.engine.generators import in_turn
from signxai.engine.given_inputs import are_whole_numbers, is_structured, points_of, row_with_graph
from signxai.engine.joint_inputs import JointInputs
from signxai.engine.mixing import UNMIXED
from signxai.engine.model_loan import borrowed, unwrapped
from signxai.engine.model_view import ModelView
from signxai.engine.parameters import ParametersWrittenError, nobody_writes_to
from signxai.engine.prediction import ids_or_numbers, predict
from signxai.engine.relevance import UnknownOperationWarning
from signxai.engine.tape import Tape
from signxai.engine.targets import NamedTarget, Target, as_target
from signxai.methods.batch import (
    Batch,
    InputsFound,
    LayerTurns,
    Progress,
    Result,
    SharedResults,
    for_batch,
    not_finite,
    refuse_mixed_samples,
)
from signxai.methods.joining import joined, joined_at
from signxai.methods.layers_option import LayerOption, LayersOption, Relevance, layers_of, of_each

INITIAL_RELEVANCES = ("one_hot", "logit")
MOST_PASSES = 10**9
"""More points or draws than that are a slip of the hand: at a thousand a second they take eleven days."""

Multiply: TypeAlias = Callable[[Tensor, Batch], Tensor]
"""Multiplies the relevance of a batch by what a name says."""

Structure: TypeAlias = Callable[[Tensor], Any]
"""From relevance of several inputs in one row to the structure in which they were given."""


class CommonOptions(TypedDict, total=False):
    """The options of every analyzer, as ``Analyzer`` describes them."""

    batch_size: int | None
    seed: int
    relevance: str
    as_tensor: bool
    at: LayerOption | LayersOption
    create_graph: bool
    output: OutputOption
    stochastic: bool
    forward_kwargs: Mapping[str, Any] | None
    explained: Any
    progress: Callable[[float, int], None] | None


class Analyzer(ABC):
    """An attribution method bound to a model. It may be used again and again; the model is only borrowed in between.

    A subclass writes ``attribute``: the mathematics for a few samples. It passes the options below on to this class.

    Args:
        model: any ``torch.nn.Module``; a softmax or sigmoid at its output is taken off.
        batch_size: most samples in one forward pass; None: so many that their activations take about 1 GiB, on the CPU fewer where that is
            quicker. All at once then with ``at=`` or ``create_graph=``, and for a function as the target, which may compare samples.
        seed: seeds every random draw; what is drawn for a sample does not depend on its place in the batch.
        relevance: what relevance starts with at the output: "one_hot" (1 at the target) or "logit" (the target's logit).
        as_tensor: return a tensor on the model's device instead of a NumPy array.
        at: a module, by its dotted name or itself: instead of at the input, what arrives at that module's output, in its shape; of a module
            executed several times the name with the number of the execution, ``"relu[0]"``. A list of them: a dict from the name of each to
            what arrives there, all from one backward pass. For LRP, gradients, guided backpropagation, integrated gradients and SmoothGrad.
        create_graph: the map can be differentiated, by the parameters of the model and by the input, if they require gradients; takes
            several times as long. The model is explained in evaluation mode all the same. Goes with ``as_tensor``.
        output: a function from what the model returns to the tensor (N, ...) that is explained, for a model that returns several, as
            ``lambda returned: returned["boxes"]``; None: ``.logits``, a tensor, or the first one.
        stochastic: the model draws random numbers in its forward pass (dropout left on, a sampled code), for which it is refused
            otherwise: each sample is explained alone, with the draws that the seed gives. Draws from the generators
            of torch, NumPy and Python's ``random`` are noticed, and from those that the model keeps or its code names; all come back as
            they were. What no seed fixes (``secrets``, ``random.SystemRandom``) is refused.
        forward_kwargs: arguments of the model's forward that are passed on and not explained: tensors and arrays with one row per sample go
            with their samples, anything else is passed whole.
        explained: keys or positions of the inputs that get relevance, where there are several; the others are constants. None: all.
        progress: a function that is called again and again while the samples are explained, with how many of them are done, as 2.5, and
            how many there are; None: nobody is told.

    Attributes:
        changes_model: whether ``attribute`` may change something in the view of the model, such as hooks. A class that does not
            says so itself by False, which spares time; a subclass of it that says nothing may.
        writes_parameters: whether ``attribute`` writes to the values of parameters, which are then copied beforehand.
        chunks_itself: whether ``attribute`` takes all samples at once and cuts them as ``batch_size`` says.
        is_one_backward_pass: whether ``attribute`` is one ``backward`` or ``gradient`` of its batch, by which it takes ``at``. With several
            layers it is called once for each, and the pass runs at the first call alone.
        takes_several: whether ``attribute`` may be given several inputs in one row (n, values), of whatever shapes they are; it says so for
            itself, not for its subclasses. Otherwise one input may be explained at a time, in its own shape.
        takes_token_ids: whether ``attribute`` carries relevance to token ids itself; otherwise it is given the rows that embeddings read.
        explains_layers: whether the class has an ``attribute_at`` of its own, by which it takes ``at``, whatever it computes; it says so
            for itself, not for its subclasses.

    Raises:
        ModelError: if the model is no module, or its layers are hidden (TorchScript).
        OptionError: if an option is unknown, or has a value that is not allowed.
    """

    changes_model: ClassVar[bool] = True
    writes_parameters: bool = False
    chunks_itself: ClassVar[bool] = False
    is_one_backward_pass: ClassVar[bool] = False
    explains_layers: ClassVar[bool] = False
    takes_several: ClassVar[bool] = False
    takes_token_ids: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.changes_model = vars(cls).get("changes_model", True)  # not inherited: these speak of this class's own code
        cls.explains_layers = vars(cls).get("explains_layers", False)
        cls.takes_several = vars(cls).get("takes_several", False)

    def __init__(
        self,
        model: nn.Module,
        *,
        batch_size: int | None = None,
        seed: int = 0,
        relevance: str = "one_hot",
        as_tensor: bool = False,
        at: LayerOption | LayersOption = None,
        create_graph: bool = False,
        output: OutputOption = None,
        stochastic: bool = False,
        forward_kwargs: Mapping[str, Any] | None = None,
        explained: Any = None,
        progress: Callable[[float, int], None] | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            allowed = ", ".join(self.options())
            raise OptionError(f"{type(self).__name__} takes no option {next(iter(unknown))!r}; its options are {allowed}")
        unwrapped(model)
        if not isinstance(relevance, str) or relevance not in INITIAL_RELEVANCES:
            raise OptionError(f"relevance={relevance!r} is not one of {', '.join(map(repr, INITIAL_RELEVANCES))}")
        if at is not None and not self.takes_layers():
            raise OptionError(f"at={at!r}: {type(self).__name__} has no relevance at a layer; LRP, gradients and integrated gradients have")
        if output is not None and not callable(output):
            raise OptionError(f"output={output!r} must be a function from what the model returns to the tensor that is explained")
        if progress is not None and not callable(progress):
            raise OptionError(f"progress={progress!r} must be a function of how many samples are done and how many there are")
        self.model = model
        self.layers = layers_of(at, model)
        self.output = output
        self.stochastic = flag("stochastic", stochastic)
        self.batch_size = None if batch_size is None else whole_number("batch_size", batch_size, at_least=1)
        self.seed = whole_number("seed", seed, at_least=0, at_most=2**63 - 1)
        self.relevance = relevance
        self.as_tensor = flag("as_tensor", as_tensor)
        self.create_graph = flag("create_graph", create_graph)
        self.forward_kwargs = forward_kwargs
        self.explained = explained
        self.progress = progress
        check_graph(self.create_graph, as_tensor)

    @classmethod
    def takes_layers(cls) -> bool:
        """Whether the class takes ``at``."""
        return cls.is_one_backward_pass or cls.explains_layers

    @classmethod
    def options(cls) -> tuple[str, ...]:
        """The keywords that the class takes besides the model, in alphabetical order; ``at`` only where it can be answered."""
        names: set[str] = set()
        for owner in (owner for owner in cls.__mro__ if "__init__" in vars(owner)):
            parameters = list(inspect.signature(vars(owner)["__init__"]).parameters.values())[2:]
            names |= {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
            if owner is Analyzer or all(p.kind is not p.VAR_KEYWORD for p in parameters):
                break
        return tuple(sorted(names if cls.takes_layers() else names - {"at"}))

    @abstractmethod
    def attribute(self, batch: Batch) -> Tensor:
        """Relevance of the samples of ``batch``, in the shape of ``batch.x`` (with ``batch.at``: of that module's output)."""

    def attribute_at(self, batch: Batch, names: Sequence[str]) -> Sequence[Tensor]:
        """Relevance of the samples of ``batch`` at the output of each module of these names."""
        return [self.attribute(at_layer) for at_layer in LayerTurns(names).each(batch)]

    def analyze(self, input_tensor: Any, target_class: Any = None) -> Any:
        """Explain a batch.

        Args:
            input_tensor: tensor or array (N, ...), moved to the model's device and dtype; or several: a tuple or list of them (the model's
                positional arguments), or a mapping (its keyword arguments).
            target_class: None (argmax of each sample), an integer, N integers, a tuple index after the batch axis for
                outputs with more axes, or a callable from outputs to (N,).

        Returns:
            Relevance in the shape of the input (half precision is returned as float32): a NumPy array, or a tensor with ``as_tensor``;
            with a list of layers as ``at``, a dict from the name of each to it; of several inputs a tuple, or a dict from the key of each.

        Raises:
            InputError, TargetError, ModelError: if something does not fit; the message says what to do.
        """
        result = self.relevance_of(input_tensor, target_class)
        return result if self.as_tensor else of_each(as_array, result)

    def relevance_of(
        self, input_tensor: Any, target_class: Any = None, shared: SharedResults | None = None, multiply: Multiply | None = None
    ) -> Relevance:
        """What ``analyze`` gives, as tensors on the model's device.

        Args:
            input_tensor, target_class: as for ``analyze``.
            shared: what other methods on the same model, input and target have computed, and will.
            multiply: what the relevance of each batch at the input is multiplied by.
        """

        if self.create_graph:
            results, structure = self._with_graph(input_tensor, target_class, multiply)
        else:
            work = partial(self._explained, multiply)
            results, structure = self.in_batches(work, input_tensor, target_class, shared, bounded=self.layers is None)
        if self.layers is not None:
            return self.layers.named(results)
        return results[0] if structure is None else structure(results[0])

    def in_batches(
        self,
        work: Callable[[list[Batch]], Result],
        input_tensor: Any,
        target_class: Any = None,
        shared: SharedResults | None = None,
        bounded: bool = False,
    ) -> Result:
        """What ``work`` gives of the batches; where somebody writes to parameters meanwhile, of those of a copy of the model.

        Args:
            work: computes something of all batches, whose network it must not keep.
            input_tensor, target_class, shared: as for ``relevance_of``.
            bounded: whether batches are no larger than memory allows, where ``batch_size`` does not say how large they are.
        """
        try:
            with self._batches(self.writes_parameters, input_tensor, target_class, shared, bounded) as batches:
                return work(batches)
        except ParametersWrittenError:
            with self._batches(True, input_tensor, target_class, shared, bounded) as batches:
                return work(batches)

    def _explained(self, multiply: Multiply | None, batches: Sequence[Batch]) -> tuple[list[Tensor], Structure | None]:
        """The relevance of all batches together, at the input or at each layer; and how that at several inputs is taken apart."""
        parts = [part for batch in batches for part in for_batch(batch, partial(self._attributed, multiply))]
        if self.layers is not None:
            return joined_at(self.layers.names, parts, self._ready(batches[0])[0] if len(parts) > 1 else batches[0]), None
        inputs = batches[0].inputs
        if inputs is not None:
            _say_what_is_lost([batch.inputs for batch in batches if batch.inputs is not None], batches[0].found)
        structure = None if inputs is None else partial(inputs.structured, ids=batches[0].found.read, without=batches[0].found.without)
        return [joined([relevance for (relevance,) in parts])], structure

    def _with_graph(self, input_tensor: Any, target_class: Any, multiply: Multiply | None) -> tuple[list[Tensor], Structure | None]:
        """The same with a graph: written down while it is computed, and computed again once the model has its parameters back."""
        net = unwrapped(self.model)
        x, inputs = points_of(net, input_tensor, self.forward_kwargs, self.explained)
        x = x.clone(memory_format=torch.contiguous_format)
        if inputs is not None:
            if inputs.has_ids and not self.takes_token_ids:
                raise OptionError("create_graph=True does not go with gradient methods on token ids; use an LRP method, or give embeddings")
            source = row_with_graph(inputs, input_tensor)
        else:
            source = input_tensor.to(x) if isinstance(input_tensor, Tensor) else x
        parameters = list(net.parameters())
        if any(parameter.is_inference() for parameter in parameters):
            raise ModelError(
                "create_graph=True needs parameters with gradients, and these were made under torch.inference_mode(): leave that"
            )
        given = x if inputs is None else (inputs, x)
        with nobody_writes_to(parameters, "a map with a graph takes them as they are from its beginning to its end"):
            with self._batches(self.writes_parameters, given, target_class, None) as batches:
                tape = Tape([(x, source), *zip(batches[0].net.parameters(), parameters, strict=True)])
                with tape:
                    results, structure = self._explained(multiply, batches)
            return tape.replay(results), structure

    def _attributed(self, multiply: Multiply | None, batch: Batch) -> list[Tensor]:
        """The relevance of a batch at the input, or at each layer."""
        inputs = batch.inputs
        batch, read = self._ready(batch.with_activation())
        self._check_several(batch)
        relevance = [self.attribute(batch)] if self.layers is None else self.attribute_at(batch, self.layers.names)
        refuse_mixed_samples(batch, self.model)
        relevance = [self._checked(one, batch) for one in relevance]
        if not self.chunks_itself:
            batch.advance(len(batch.x))
        if self.layers is None and multiply is not None:
            relevance = [multiply(relevance[0], batch)]
        if self.layers is None and read is not None and inputs is not None:
            relevance = [read.at_ids(relevance[0], inputs)]
        return relevance

    def _ready(self, batch: Batch) -> tuple[Batch, ReadRows | None]:
        """The batch as ``attribute`` works on it, with the rows of embeddings in the place of token ids where it takes none itself.

        Raises:
            ModelError: if nothing of the inputs can be explained.
        """
        inputs = batch.inputs
        if inputs is None or not inputs.has_ids or self.takes_token_ids:
            return batch, None
        read = batch.reading_rows(inputs)
        if not read.points.numel():
            raise ModelError(
                f"no relevance reaches {inputs}: they are integers by which the model reads no embedding; give what counts as numbers in "
                "floating point"
            )
        return replace(batch, x=read.points, inputs=read.inputs), read

    def _check_several(self, batch: Batch) -> None:
        """Refuse several inputs for a method that works on one, in its own shape.

        Raises:
            OptionError: if there are several.
        """
        if batch.inputs is not None and not batch.inputs.is_own and not self.takes_several:
            raise OptionError(
                f"{type(self).__name__} explains one input of values at a time, and here are {batch.inputs}: say which by explained="
            )

    def _checked(self, relevance: object, batch: Batch) -> Tensor:
        """Relevance in memory of its own, if it is a tensor of the shape that it must have."""
        if not isinstance(relevance, Tensor):
            raise ModelError(f"{type(self).__name__}.attribute returned {type(relevance).__name__}; return a tensor")
        if self.layers is None and relevance.shape != batch.x.shape:
            came, allowed = tuple(relevance.shape), tuple(batch.x.shape)
            raise ModelError(f"{type(self).__name__}.attribute returned relevance of shape {came} for samples of shape {allowed}")
        if not batch.has_finite(relevance):
            raise not_finite(None)
        memory = relevance.untyped_storage().data_ptr()
        return relevance.clone() if memory == batch.x.untyped_storage().data_ptr() else relevance

    @contextmanager
    def _batches(
        self, copies_parameters: bool, input_tensor: Any, target_class: Any, shared: SharedResults | None, bounded: bool = False
    ) -> Iterator[list[Batch]]:
        """Borrow the model, and cut input and target into batches as ``batch_size`` says."""
        if target_class is None and (self.chunks_itself or (shared is not None and shared.is_for_several)):  # several runs must agree on it
            target_class = self._predicted(input_tensor, shared or SharedResults(methods=1))
        only_model_runs = not (self.changes_model or self._puts_hooks() or callable(target_class) or self.output is not None)
        loan = borrowed(self.model, copies_parameters, self.seed, only_model_runs)
        with in_turn(self.stochastic), torch.inference_mode(False), torch.enable_grad(), loan as view:
            x, inputs = self._read(view.net, input_tensor)
            if inputs is not None:
                output = self.output and view.of(self.output)
                x, inputs = ids_or_numbers(view.net, x, inputs, output, self.seed if self.stochastic else None, explains=True)
            if x.is_cpu:
                keep_freed_memory()
            count = x.shape[0]
            target = as_target(view.of(target_class) if callable(target_class) else target_class, count)
            step = self._step(view, x, inputs, target) if bounded and self.batch_size is None else self.batch_size or count
            step = count if self.chunks_itself else step
            batches = [self._batch(view, x, target, slice(start, min(start + step, count)), shared) for start in range(0, count, step)]
            if self.progress is not None:
                advance = Progress(self.progress, count).advance
                batches = [replace(batch, advance=advance) for batch in batches]
            yield batches if inputs is None else self._with_inputs(batches, inputs)

    def _step(self, view: ModelView, x: Tensor, inputs: JointInputs | None, target: Target) -> int:
        """How many samples run together where nobody says so."""
        compares_samples = target.score is not None and not isinstance(target.score, NamedTarget)
        if self.chunks_itself or self.stochastic or compares_samples:
            return x.shape[0]
        return samples_at_once(view.net, x, inputs, self.output and view.of(self.output), None)

    def _read(self, net: nn.Module, x: Any) -> tuple[Tensor, JointInputs | None]:
        """What a user gave as points (N, ...), and what the network takes for them, if that is more."""
        return points_of(net, x, self.forward_kwargs, self.explained, may_be_ids=True)

    def is_joint(self, x: Any) -> bool:
        """Whether x, as a user gave it, and what goes with it is more than one tensor of values."""
        return is_structured(x) or are_whole_numbers(x) or self.forward_kwargs is not None or self.explained is not None

    def _with_inputs(self, batches: list[Batch], inputs: JointInputs) -> list[Batch]:
        """Batches of points with what the network takes for them, and what all of them find out about it."""
        found = InputsFound()
        result = []
        for batch in batches:
            own = inputs.at(range(batch.rows.start, batch.rows.stop))
            is_asked = own.count > 1 and not (self.chunks_itself or self.stochastic)  # other arguments may mix the samples
            result.append(replace(batch, inputs=own, found=found, first_logits=[] if is_asked else None))
        return result

    def _puts_hooks(self) -> bool:
        """Whether outputs of modules are caught by hooks."""
        return self.layers is not None

    def _predicted(self, x: Any, shared: SharedResults) -> Target:
        key = ("target", self.batch_size, self.seed)
        return shared.once(key, lambda: self._predict(x, shared))

    def _predict(self, x: Any, shared: SharedResults) -> Target:
        logits = predict(self.model, x, self.batch_size, self.seed, self.output, self.stochastic, self.forward_kwargs)
        shared.see_logits(0, logits)
        return Target().resolved(logits)

    def _batch(self, view: ModelView, x: Tensor, target: Target, rows: slice, shared: SharedResults | None) -> Batch:
        part = target.rows(rows.start, rows.stop)
        samples = x if rows.start == 0 and rows.stop >= x.shape[0] else x[rows]
        output = self.output and view.of(self.output)
        is_known = self.chunks_itself or self.stochastic or samples.shape[0] == 1 or (output is None and self.model in UNMIXED)
        first: list[Tensor] | None = None if is_known else []
        return Batch(view.net, samples, part, rows, self.relevance, self.seed, None, shared, output, self.stochastic, None, first)


def _say_what_is_lost(inputs: Sequence[JointInputs], found: InputsFound) -> None:
    """Warn of integers, other than masks, of which others are computed that an embedding reads: they get no relevance."""
    for place, slot in enumerate(inputs[0].slots):
        parts = [one.slots[place].ids for one in inputs]
        if slot.name in found.mixed and slot.name not in found.read and not all(_is_mask(ids) for ids in parts if ids is not None):
            operation, where, _ = found.mixed[slot.name]
            warnings.warn(
                f"the model reads a table by integers that {operation!r} in {where} computes from the input {slot.name!r}, not place by "
                "place: no relevance reaches that input",
                UnknownOperationWarning,
                stacklevel=2,
            )


def _is_mask(ids: Tensor) -> bool:
    return bool(((ids == 0) | (ids == 1)).all())


def as_array(relevance: Tensor) -> np.ndarray[Any, Any]:
    """A NumPy array of a relevance tensor; half precision becomes float32."""
    relevance = relevance.detach().cpu()
    if relevance.dtype in (torch.float16, torch.bfloat16):
        relevance = relevance.float()
    array: np.ndarray[Any, Any] = relevance.numpy()
    return array


def whole_number(name: str, value: Any, at_least: int, at_most: float = float("inf")) -> int:
    """Check an option that counts something."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not at_least <= value <= at_most:
        limit = "" if at_most == float("inf") else f" and at most {at_most}"
        raise OptionError(f"{name}={value!r} must be a whole number of at least {at_least}{limit}")
    return int(value)


def flag(name: str, value: Any) -> bool:
    """Check an option that is True or False."""
    if not isinstance(value, bool):
        raise OptionError(f"{name}={value!r} must be True or False")
    return value


def check_graph(create_graph: object, as_tensor: bool) -> None:
    """Refuse a graph that is asked for without a tensor to carry it."""
    if create_graph and not as_tensor:
        raise OptionError("create_graph=True: a NumPy array has no graph; give as_tensor=True with it")


def number(name: str, value: Any, at_least: float | None = None) -> float:
    """Check an option that is a real number."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating) or not _is_finite(value):
        raise OptionError(f"{name}={value!r} must be a finite number")
    if at_least is not None and value < at_least:
        raise OptionError(f"{name}={value!r} must be at least {at_least:g}")
    return float(value)


def _is_finite(value: float | np.integer[Any] | np.floating[Any]) -> bool:
    """Whether a number is finite, also as a float."""
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def check_finite(name: str, tensor: Tensor) -> None:
    """Refuse an option's numbers with NaN or infinity among them.

    Raises:
        OptionError: there is one.
    """
    if not bool(torch.isfinite(tensor).all()):
        raise OptionError(f"{name} holds NaN or infinity: {tensor.tolist() if tensor.ndim == 0 else tuple(tensor.shape)}")


def like_input(name: str, value: Any, x: Tensor) -> Tensor:
    """A number, one sample or a batch, spread to the shape of ``x``.

    Raises:
        OptionError: if its shape does not fit, or it holds NaN or infinity.
    """
    tensor = torch.as_tensor(value, dtype=x.dtype, device=x.device)
    check_finite(name, tensor)
    if tensor.ndim == 0 or tensor.shape in (x.shape, x.shape[1:], (1, *x.shape[1:])):
        return tensor.expand_as(x)
    allowed = f"a number, one sample {tuple(x.shape[1:])} or a batch {tuple(x.shape)}"
    raise OptionError(f"{name} has the shape {tuple(tensor.shape)}; give {allowed}")
